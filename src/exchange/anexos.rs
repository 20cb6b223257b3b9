//! Annexes whose files an SGD gave: the address under which their receiver downloads them, and who did; and those of received
//! documents that somebody had downloaded.
//!
//! The address is unguessable and of one despacho: its id, by which it is found, and 192 bits of chance. It holds only once
//! the despacho has its CUO, and until its time is over.

use std::net::IpAddr;

use jiff::civil::Date;

use super::{Actor, Exchange, ExchangeError, events};
use crate::{
    domain::{Cuo, Despacho, EstadoDespacho, Id, Recepcion, Ruc, lima, recepcion::AnexoTraido},
    store::{Change, Record, Staged, StoreError},
};

/// Where they are, on the listener that the platform reaches.
pub const PATH: &str = "/anexos";
/// Characters of an id without hyphens.
const ID_CHARS: usize = 32;
/// Bytes of chance in a token.
const CHANCE_BYTES: usize = 24;

/// The last part of an address.
pub(super) fn token(id: Id, secret: &[u8; 32]) -> String {
    let chance = secret.first_chunk::<CHANCE_BYTES>().map_or(&[][..], |chance| chance);
    format!("{}{}", id.simple(), base64_simd::URL_SAFE_NO_PAD.encode_to_string(chance))
}

pub(super) fn address(base: &str, token: &str) -> String {
    format!("{}{PATH}/{token}", base.trim_end_matches('/'))
}

/// The despacho that a token names, unjudged.
fn named(token: &str) -> Option<Id> {
    Id::try_parse(token.get(..ID_CHARS)?).ok()
}

impl Exchange {
    /// With the scheme and host under which annexes are downloaded; `None`: none are taken.
    #[must_use]
    pub fn with_anexos(mut self, base: Option<&str>) -> Self {
        self.anexos_base = base.map(Into::into);
        self
    }

    /// The despacho whose annexes are at an address, if it was sent.
    pub async fn anexos_de(&self, token: &str) -> Result<Option<Despacho>, StoreError> {
        let Some(id) = named(token) else { return Ok(None) };
        let found = self.store.despacho(id).await?;
        Ok(found.filter(|despacho| published(despacho) && own_token(despacho).is_some_and(|own| same(own, token))))
    }

    /// The token of a document's annexes, for who has it: CUOs follow each other and RUCs are known, so its number and its
    /// date are asked for too.
    pub async fn buscar_anexos(
        &self,
        cuo: &Cuo,
        receptor: &Ruc,
        numero: &str,
        fecha: Date,
    ) -> Result<Option<String>, StoreError> {
        let numero = folded(numero);
        for propia in &self.settings().entidades {
            let found = self.store.despacho_by_cuo(&propia.ruc, cuo).await?;
            let stated = |despacho: &Despacho| {
                let theirs = folded(&despacho.numero_documento);
                !theirs.is_empty() && same(&theirs, &numero) && lima::en_lima(despacho.fecha_documento).date() == fecha
            };
            let found =
                found.filter(|despacho| despacho.destino == *receptor && published(despacho) && stated(despacho));
            if let Some(token) = found.as_ref().and_then(own_token) {
                return Ok(Some(token.to_owned()));
            }
        }
        Ok(None)
    }

    /// Keeps an annex of a received document that was downloaded because somebody asked for it.
    pub async fn anexo_traido(
        &self,
        actor: &Actor,
        entidad: Option<&Ruc>,
        id: Id,
        traido: AnexoTraido,
        file: Staged,
    ) -> Result<Recepcion, ExchangeError> {
        let now = self.now();
        self.change_recepcion(id, |mut recepcion| {
            if entidad.is_some_and(|ruc| *ruc != recepcion.entidad) {
                return Err(ExchangeError::NoExiste);
            }
            if recepcion.purga.is_some() || !recepcion.traer_anexo(traido.clone())? {
                return Ok((recepcion, None));
            }
            // Facts stay when the exchange is purged: what a stranger's names and addresses say does not belong in them.
            let (n, sha256) = (recepcion.anexos_traidos.len(), &traido.sha256);
            let detalle = Some(format!("Se descargó el anexo {n} (SHA-256 {sha256})"));
            let mut fact = events::recepcion(&recepcion, events::RECEPCION_ANEXO_TRAIDO, actor, now, detalle);
            fact.documentos.push(traido.sha256.clone());
            let records = vec![Record::Recepcion(Box::new(recepcion.clone()))];
            let documents = vec![file.clone()];
            Ok((recepcion, Some(Change { facts: vec![fact], records, documents, ..Change::default() })))
        })
        .await
    }

    /// Puts on record that somebody began to download the annex number `n`, from 1.
    pub async fn anexo_descargado(
        &self,
        despacho: &Despacho,
        n: usize,
        from: Option<IpAddr>,
    ) -> Result<(), ExchangeError> {
        let from = from.map_or_else(String::new, |from| format!(" desde {from}"));
        let archivo = n.checked_sub(1).and_then(|n| despacho.anexos.get(n)).and_then(|anexo| anexo.archivo.as_ref());
        let sha256 = archivo.map_or_else(String::new, |archivo| format!(" (SHA-256 {})", archivo.sha256));
        let detalle = Some(format!("Se empezó a descargar el anexo {n}{sha256}{from}"));
        let actor = Actor("anexos".into());
        let mut fact = events::despacho(despacho, events::DESPACHO_ANEXO_DESCARGADO, &actor, self.now(), detalle);
        fact.documentos.extend(archivo.map(|archivo| archivo.sha256.clone()));
        self.store.commit(Change { facts: vec![fact], ..Change::default() }).await?;
        Ok(())
    }
}

/// It left, or may have: whoever received it may ask for its annexes.
fn published(despacho: &Despacho) -> bool {
    despacho.cuo.is_some()
        && despacho.estado != EstadoDespacho::Anulado
        && despacho.anexos.iter().any(|anexo| anexo.archivo.is_some())
}

fn own_token(despacho: &Despacho) -> Option<&str> {
    despacho.url_anexos.as_deref()?.rsplit('/').next()
}

/// A document's number as people copy it: without the spaces around and between, in any case.
fn folded(numero: &str) -> String {
    numero.split_whitespace().collect::<String>().to_lowercase()
}

/// Takes as long wherever they differ.
fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::exchange::{
        NuevoDespacho,
        tests::world::{NUESTRA, OTRA, World, nuevo, ruc},
    };

    async fn with_annexes(world: &World, numero: &str) -> NuevoDespacho {
        NuevoDespacho {
            numero_registro: Some(numero.into()),
            anexos: vec![Some("plano.dwg".into()), Some("cuadro.xlsx".into())],
            archivos: vec![world.stage(b"un plano").await, world.stage(b"un cuadro").await],
            ..nuevo()
        }
    }

    async fn refused(world: &World, nuevo: NuevoDespacho) -> Vec<&'static str> {
        let pdf = world.stage(b"%PDF-1.7 oficio").await;
        let made = world.exchange.despachar(&Actor::local(), &ruc(NUESTRA), &nuevo, Some(pdf), None).await;
        let Err(ExchangeError::Defectos(found)) = made else { panic!("it was taken") };
        found.iter().map(|defecto| defecto.campo).collect()
    }

    #[tokio::test]
    async fn annexes_are_found_by_their_address_or_cuo_once_the_document_left_and_by_nothing_else() {
        let mut world = World::new().await;
        assert_eq!(refused(&world, with_annexes(&world, "1").await).await, ["anexos"], "nobody could download them");
        world.exchange = world.exchange.clone().with_anexos(Some("https://entidad.gob.pe/"));
        let id = world.dispatch_as(with_annexes(&world, "1").await).await;
        let despacho = world.despacho(id).await;
        let url = despacho.url_anexos.clone().unwrap();
        let token = url.strip_prefix("https://entidad.gob.pe/anexos/").unwrap();
        assert_eq!(token.len(), 64);
        let sizes: Vec<_> = despacho.anexos.iter().map(|a| a.archivo.as_ref().unwrap().bytes).collect();
        assert_eq!(sizes, [8, 9]);
        assert!(world.exchange.anexos_de(token).await.unwrap().is_none(), "it did not leave yet");
        world.run_due().await;
        assert_eq!(world.exchange.anexos_de(token).await.unwrap().map(|d| d.id), Some(id));
        let other = format!("{}x", &token[..63]);
        for wrong in ["", "x", &token[..32], &token[..63], &other, &format!("{token}x")] {
            assert!(world.exchange.anexos_de(wrong).await.unwrap().is_none(), "{wrong}");
        }
        let (numero, fecha) = (despacho.numero_documento.as_str(), lima::en_lima(despacho.fecha_documento).date());
        let find = async |cuo: &str, receptor: &str, numero: &str, fecha| {
            let cuo = Cuo::parse(cuo).unwrap();
            world.exchange.buscar_anexos(&cuo, &ruc(receptor), numero, fecha).await.unwrap()
        };
        for as_copied in [numero.to_owned(), format!("  {}\n", numero.to_uppercase()), numero.to_lowercase()] {
            assert_eq!(find("1", OTRA, &as_copied, fecha).await.as_deref(), Some(token), "{as_copied}");
        }
        assert!(find("1", NUESTRA, numero, fecha).await.is_none() && find("2", OTRA, numero, fecha).await.is_none());
        assert!(find("1", OTRA, "", fecha).await.is_none() && find("1", OTRA, "otro", fecha).await.is_none());
        assert!(find("1", OTRA, numero, fecha.tomorrow().unwrap()).await.is_none());
        world.advance(Duration::from_secs(60));
        world.exchange.anexo_descargado(&world.despacho(id).await, 1, None).await.unwrap();
        let told = world.exchange.store().facts_of(id).await.unwrap().pop().unwrap().fact.detalle.unwrap();
        let sha256 = &despacho.anexos[0].archivo.as_ref().unwrap().sha256;
        assert_eq!(told, format!("Se empezó a descargar el anexo 1 (SHA-256 {sha256})"));
        assert_eq!(world.history(id).await.last().unwrap(), "despacho.anexo_descargado");
    }

    #[tokio::test]
    async fn either_all_files_are_given_or_an_address_of_the_sgds_own() {
        let mut world = World::new().await;
        world.exchange = world.exchange.clone().with_anexos(Some("https://entidad.gob.pe"));
        let mut some = with_annexes(&world, "2").await;
        some.archivos.pop();
        assert_eq!(refused(&world, some).await, ["anexos"]);
        let url_anexos = Some("https://otra.pe/x".into());
        let both = NuevoDespacho { url_anexos, ..with_annexes(&world, "2").await };
        assert_eq!(refused(&world, both).await, ["url_anexos"]);
        // Several destinations have an address each.
        let none = with_annexes(&world, "3").await;
        let several = NuevoDespacho { destinos: vec![OTRA.into(), "20131312955".into()], ..none };
        let pdf = world.stage(b"%PDF-1.7 oficio").await;
        let made = world.exchange.despachar(&Actor::local(), &ruc(NUESTRA), &several, Some(pdf), None).await.unwrap();
        assert_ne!(made[0].url_anexos, made[1].url_anexos);
    }
}
