//! A cargo arrives for a document of ours and closes its exchange. The answers are those of CONTRACT §6.

use super::{Actor, Exchange, RACES_MAX, Testigo, events, receive::sentence, sobres::attach};
use crate::{
    domain::{
        CargoTramite, Cuo, Despacho, Ruc,
        cargo::Respuesta,
        despacho::{Suceso, TransicionError},
        respuestas::Operacion,
        validation,
    },
    store::{Change, CommitError, Job, JobKind, Record, Staged, StoreError},
};

const YA_REGISTRADO: &str = "EL CARGO YA SE ENCUENTRA REGISTRADO";
const NO_SE_PUDO: &str = "NO SE PUDO REGISTRAR EL CARGO";
const EXITOSO: &str = "RECEPCION DE CARGO EXITOSO";

impl Exchange {
    /// Decides on a cargo that was taken in, and answers. `documento` is its staged PDF; `testigo` saw it on the wire.
    pub async fn recibir_cargo(
        &self,
        tramite: &CargoTramite,
        documento: Option<Staged>,
        testigo: Option<Testigo<'_>>,
    ) -> Respuesta {
        match self.try_recibir_cargo(tramite, documento, testigo).await {
            Ok(respuesta) => respuesta,
            Err(error) => {
                tracing::error!(%error, "a cargo could not be stored");
                Respuesta::nueva("-1", sentence(&error))
            }
        }
    }

    async fn try_recibir_cargo(
        &self,
        tramite: &CargoTramite,
        documento: Option<Staged>,
        testigo: Option<Testigo<'_>>,
    ) -> Result<Respuesta, StoreError> {
        let defectos = validation::cargo(tramite);
        if let Some(defecto) = validation::impedimentos(&defectos, self.settings().rigor).next() {
            return Ok(Respuesta::nueva("0003", defecto.texto));
        }
        let cuo = tramite.cuo.as_deref().and_then(|text| Cuo::parse(text).ok());
        let nombre = cuo.as_ref().map(|cuo| format!("cargo-{cuo}.pdf")).unwrap_or_default();
        let pdf = match &documento {
            Some(staged) => Some(self.examinado(nombre, staged, None).await),
            None => None,
        };
        let (Some(cuo), Some(cargo)) = (cuo, tramite.cargo(pdf)) else {
            return Ok(Respuesta::nueva("-1", NO_SE_PUDO));
        };
        let exitoso = Respuesta::nueva("0000", EXITOSO);
        let said = match &documento {
            Some(pdf) => self.oido(Operacion::Cargo, testigo.as_ref(), &exitoso, &pdf.sha256).await?,
            None => None,
        };
        for _ in 0..RACES_MAX {
            let Some(mut despacho) = self.despacho_de(&cuo, tramite.ruc_destino.as_deref()).await? else {
                return Ok(Respuesta::nueva("-1", NO_SE_PUDO));
            };
            if despacho.cuo_rechazado(&cuo) {
                self.foreign_cargo(&despacho, &cuo).await?;
                return Ok(Respuesta::nueva("-1", NO_SE_PUDO));
            }
            match despacho.aplicar(Suceso::Respondido { cargo: cargo.clone() }, self.now()) {
                Ok(()) => {}
                Err(TransicionError::CargoRepetido) => return Ok(Respuesta::nueva("0000", YA_REGISTRADO)),
                Err(TransicionError::OtroCargo) => return Ok(Respuesta::nueva("0002", YA_REGISTRADO)),
                Err(TransicionError::Imposible { .. }) => return Ok(Respuesta::nueva("-1", NO_SE_PUDO)),
            }
            let destino = despacho.destino.clone();
            let mut change = self.respondido(despacho, &Actor::pide(), documento.clone()).await?;
            attach(&mut change, said.clone());
            match self.store.commit(change).await {
                Ok(_) => {
                    self.health.dio_senales(&destino, self.now());
                    return Ok(exitoso);
                }
                Err(CommitError::Store(error)) => return Err(error),
                Err(CommitError::Stale(_) | CommitError::Exists { .. }) => {}
            }
        }
        Err(StoreError::Closed)
    }

    /// A cargo came under a CUO that was refused to us: it is about another document. People are told once for each CUO.
    async fn foreign_cargo(&self, despacho: &Despacho, cuo: &Cuo) -> Result<(), StoreError> {
        let detalle = format!(
            "Llegó un cargo con el CUO {cuo}, que la plataforma rechazó para este documento: es de otro documento y no se \
             registró. Consulte a la entidad {} qué documento atendió",
            despacho.destino
        );
        self.alert_once(despacho, &Actor::pide(), detalle).await
    }

    /// The change that records a despacho which just got its outcome. A document that it corrected is closed with it: the
    /// receiver has the new one.
    pub(super) async fn respondido(
        &self,
        despacho: Despacho,
        actor: &Actor,
        documento: Option<Staged>,
    ) -> Result<Change, StoreError> {
        let now = self.now();
        let detalle = despacho.cargo.as_ref().and_then(|c| c.observacion.clone());
        let fact = events::despacho(&despacho, events::despacho_respondido(&despacho), actor, now, detalle);
        let mut change = Change {
            facts: vec![fact],
            jobs_done: vec![Job::id_for(JobKind::Despachar, despacho.id)],
            documents: documento.into_iter().collect(),
            ..Change::default()
        };
        // An outcome told without its PDF is recorded, and the cargo asked for still.
        match despacho.cargo.as_ref().and_then(|cargo| cargo.documento.as_ref()) {
            Some(_) => change.jobs_done.push(Job::id_for(JobKind::PreguntarCargo, despacho.id)),
            None => change.jobs.push(self.ask_for_cargo(&despacho)),
        }
        self.close_corrected(&despacho, actor, &mut change).await?;
        change.records.push(Record::Despacho(Box::new(despacho)));
        Ok(change)
    }

    /// If `despacho` was accepted and corrects an observed one of ours, that one is now `S` (CONTRACT §5).
    pub(super) async fn close_corrected(
        &self,
        despacho: &Despacho,
        actor: &Actor,
        change: &mut Change,
    ) -> Result<(), StoreError> {
        let Some(referencia) = &despacho.cuo_referencia else { return Ok(()) };
        let Some(mut corrected) = self.store.despacho_by_cuo(&despacho.entidad, referencia).await? else {
            return Ok(());
        };
        // Of one that went to several, the copies for others correct nothing here.
        if corrected.subsanado_por != Some(despacho.id) && corrected.destino != despacho.destino {
            return Ok(());
        }
        let now = self.now();
        if corrected.aplicar(Suceso::Subsanado, now).is_ok() {
            let detalle = despacho.cuo.as_ref().map(|cuo| format!("Subsanado por el documento con CUO {cuo}"));
            change.facts.push(events::despacho(&corrected, events::DESPACHO_SUBSANADO, actor, now, detalle));
            change.records.push(Record::Despacho(Box::new(corrected)));
        }
        Ok(())
    }

    /// The despacho of ours under this CUO; the entity's contract does not say whose it is.
    async fn despacho_de(&self, cuo: &Cuo, ruc: Option<&str>) -> Result<Option<Despacho>, StoreError> {
        let named = ruc.and_then(|text| Ruc::de_contraparte(text).ok());
        for propia in &self.settings().entidades {
            if named.as_ref().is_some_and(|ruc| *ruc != propia.ruc) {
                continue;
            }
            if let Some(despacho) = self.store.despacho_by_cuo(&propia.ruc, cuo).await? {
                return Ok(Some(despacho));
            }
        }
        Ok(None)
    }
}
