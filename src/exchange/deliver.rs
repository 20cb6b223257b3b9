//! Our cargo goes to the sender's side, again and again until it is accepted.

use super::{
    Actor, Exchange, ExchangeError, Sobres, events,
    sobres::attach,
    step::{Step, in_words},
};
use crate::{
    domain::{CargoTramite, Contenido, Falla, Id, Recepcion, cargo::Respuesta, lima, respuestas::Operacion},
    store::{Change, Job, Record, Staged, StoreError},
};

impl Exchange {
    /// Delivers the cargo of a recepcion.
    pub(super) async fn step_cargo(&self, job: &Job) -> Result<Step, StoreError> {
        let Some(recepcion) = self.store.recepcion(job.sujeto).await? else { return self.finished(job).await };
        let pdf = recepcion.cargo.as_ref().and_then(|c| c.documento.as_ref());
        let (Some(pdf), None) = (pdf, recepcion.cargo_entregado_en) else { return self.finished(job).await };
        let documento = self.store.open_document(&pdf.sha256).await?;
        let tramite = cargo_tramite(&recepcion);
        // A cargo that the other side does not know stops only itself: that entity is there and answers.
        let clear =
            |a: &Respuesta| !matches!(a.codigo(), "" | "-1") || Falla::de_respuesta(a) == Falla::CargoNoReconocido;
        let mut sobres = Sobres::default();
        let call = self.platform.cargo(&tramite, documento, &mut sobres);
        let answer = self.call((&recepcion.remitente.ruc, recepcion.id), clear, call).await;
        let (falla, motivo, wait) = match answer {
            Ok(answer) if cargo_accepted(&answer) => {
                let said = self.dicho(Operacion::Cargo, sobres, (Some(&pdf.sha256), None)).await?;
                return self.cargo_delivered(job, recepcion.id, &answer, said).await;
            }
            Ok(answer) => {
                let motivo = format!("El cargo no fue aceptado: {}", in_words(&answer));
                let falla = self.entendida(Operacion::Cargo, &recepcion.remitente.ruc, &answer);
                (falla, motivo, None)
            }
            Err(error) => (error.falla, format!("El cargo no pudo entregarse: {error}"), error.retry_after),
        };
        let note = motivo.clone();
        self.change_recepcion(recepcion.id, |mut recepcion| {
            let now = self.now();
            recepcion.cargo_no_entregado(note.clone(), now);
            let tipo = events::RECEPCION_CARGO_SIN_RESPUESTA;
            let fact = events::recepcion(&recepcion, tipo, &Actor::chasqui(), now, Some(note.clone()));
            let records = vec![Record::Recepcion(Box::new(recepcion))];
            Ok(((), Some(Change { facts: vec![fact], records, ..Change::default() })))
        })
        .await
        .or_else(only_store)?;
        Ok(Step::asked(falla, motivo, wait))
    }

    async fn cargo_delivered(
        &self,
        job: &Job,
        id: Id,
        answer: &Respuesta,
        said: Option<Staged>,
    ) -> Result<Step, StoreError> {
        self.change_recepcion(id, |mut recepcion| {
            let now = self.now();
            recepcion.cargo_entregado(now);
            let detalle = answer.descripcion.clone();
            let fact = events::recepcion(&recepcion, events::RECEPCION_CARGO_ENVIADO, &Actor::chasqui(), now, detalle);
            let records = vec![Record::Recepcion(Box::new(recepcion))];
            let mut change = Change { facts: vec![fact], records, jobs_done: vec![job.id], ..Change::default() };
            attach(&mut change, said.clone());
            Ok(((), Some(change)))
        })
        .await
        .or_else(only_store)?;
        Ok(Step::Done)
    }
}

/// Of a use case's errors, a job stops only for the store's.
fn only_store(error: ExchangeError) -> Result<(), StoreError> {
    match error {
        ExchangeError::Store(error) => Err(error),
        _ => Ok(()),
    }
}

/// A delivered cargo is accepted by 0000, or because it is there already, whatever the code (CONTRACT §7).
fn cargo_accepted(answer: &Respuesta) -> bool {
    answer.codigo() == "0000" || answer.descripcion().to_lowercase().contains("ya se encuentra registrado")
}

fn cargo_tramite(r: &Recepcion) -> CargoTramite {
    let cargo = r.cargo.as_ref();
    let text = |field: fn(&crate::domain::Cargo) -> &Option<String>| cargo.and_then(|c| field(c).clone());
    CargoTramite {
        ruc_emisor: Some(r.entidad.to_string()),
        ruc_destino: Some(r.remitente.ruc.to_string()),
        cuo: Some(r.cuo.to_string()),
        cuo_referencia: r.cuo_referencia.clone(),
        numero_registro: text(|c| &c.numero_registro),
        anio_registro: text(|c| &c.anio_registro),
        fecha_registro: cargo.and_then(|c| c.fecha_registro).map(lima::texto),
        unidad: text(|c| &c.unidad),
        usuario: text(|c| &c.usuario),
        contenido: Contenido::Pdf { una_vez: false },
        observacion: text(|c| &c.observacion),
        estado: cargo.map(|c| c.desenlace.letra().into()),
        anexos: None,
    }
}
