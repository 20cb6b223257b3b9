//! The lists of despachos and recepciones, newest first, with filters.
//!
//! State, CUO and number of registration are looked up; the other filters are tried on one record after another, up to a
//! bound: a page may be short, and its `next` goes on from the last record that was looked at.

use jiff::Timestamp;

use crate::{
    domain::{Cuo, Despacho, EstadoDespacho, EstadoRecepcion, Id, Recepcion, Ruc},
    store::{Listing, Numbered, Page, Store, StoreError},
};

/// Most records looked at for one page.
pub const LOOKED_AT_MAX: usize = 2_000;
/// Records read at a time while filtering; between two batches others have their turn.
const BATCH: usize = 100;

/// A record that is listed.
pub trait Registro: Sized {
    type Estado: Copy + PartialEq + Send;

    /// Every state with its word.
    fn estados() -> Vec<(&'static str, Self::Estado)>;
    fn id(&self) -> Id;
    fn estado(&self) -> Self::Estado;
    fn creado_en(&self) -> Timestamp;
    /// The other entity.
    fn contraparte(&self) -> &Ruc;
    fn numero_registro(&self) -> Option<&str>;
    /// What `q` is looked for in.
    fn textos(&self) -> Vec<&str>;

    fn page(
        store: &dyn Store,
        listing: Listing<Self::Estado>,
    ) -> impl Future<Output = Result<Page<Self>, StoreError>> + Send;
    fn numbered(store: &dyn Store, of: Numbered) -> impl Future<Output = Result<Page<Self>, StoreError>> + Send;
    /// Those under a CUO, newest first.
    fn under(store: &dyn Store, entidad: &Ruc, cuo: &Cuo)
    -> impl Future<Output = Result<Vec<Self>, StoreError>> + Send;
}

/// Which records of an entity are wanted.
#[derive(Debug, Clone)]
pub struct Filter<E> {
    pub estado: Option<E>,
    /// As it was written: what is no CUO finds nothing.
    pub cuo: Option<String>,
    pub numero_registro: Option<String>,
    /// The other entity.
    pub ruc: Option<Ruc>,
    pub desde: Option<Timestamp>,
    pub hasta: Option<Timestamp>,
    /// Folded by [`Filter::with_words`]; all of them must be found.
    pub words: Vec<String>,
}

impl<E> Default for Filter<E> {
    fn default() -> Self {
        Self { estado: None, cuo: None, numero_registro: None, ruc: None, desde: None, hasta: None, words: Vec::new() }
    }
}

impl<E: Copy + PartialEq> Filter<E> {
    /// With the words of a text.
    #[must_use]
    pub fn with_words(self, text: &str) -> Self {
        Self { words: folded(text).split_whitespace().map(Into::into).collect(), ..self }
    }

    fn wants<R: Registro<Estado = E>>(&self, record: &R) -> bool {
        self.estado.is_none_or(|estado| record.estado() == estado)
            && self.numero_registro.as_deref().is_none_or(|numero| record.numero_registro() == Some(numero))
            && self.ruc.as_ref().is_none_or(|ruc| record.contraparte() == ruc)
            && self.desde.is_none_or(|desde| record.creado_en() >= desde)
            && self.hasta.is_none_or(|hasta| record.creado_en() <= hasta)
            && self.found_in(record)
    }

    /// Records to read at once for a page of so many.
    fn batch(&self, limit: usize) -> usize {
        let picky = self.ruc.is_some() || !self.words.is_empty();
        if picky { BATCH } else { BATCH.min(limit) }
    }

    fn found_in<R: Registro>(&self, record: &R) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let text = folded(&record.textos().join("\n"));
        self.words.iter().all(|word| text.contains(word))
    }
}

/// Lower case without accents, so that people find what they remember.
pub fn folded(text: &str) -> String {
    let plain = |c: char| match c {
        'á' | 'à' | 'ä' | 'â' => 'a',
        'é' | 'è' | 'ë' | 'ê' => 'e',
        'í' | 'ì' | 'ï' | 'î' => 'i',
        'ó' | 'ò' | 'ö' | 'ô' => 'o',
        'ú' | 'ù' | 'ü' | 'û' => 'u',
        'ñ' => 'n',
        other => other,
    };
    text.chars().flat_map(char::to_lowercase).map(plain).collect()
}

/// A page of at most `limit` of the wanted records, after `after`.
pub async fn find<R: Registro>(
    store: &dyn Store,
    entidad: &Ruc,
    filter: &Filter<R::Estado>,
    mut after: Option<Id>,
    limit: usize,
) -> Result<Page<R>, StoreError> {
    if let Some(cuo) = &filter.cuo {
        let mut items = match Cuo::parse(cuo) {
            Ok(cuo) => R::under(store, entidad, &cuo).await?,
            Err(_) => Vec::new(),
        };
        items.retain(|record| filter.wants(record));
        return Ok(Page { items, next: None });
    }
    // Ids sort by the time of their making.
    if let Some(hasta) = filter.hasta {
        let newest = first_after(hasta);
        after = Some(after.map_or(newest, |after| after.min(newest)));
    }
    let (mut items, mut looked_at) = (Vec::new(), 0);
    loop {
        let batch = batch::<R>(store, entidad, filter, after, filter.batch(limit)).await?;
        let (read, mut next) = (batch.items.len(), batch.next);
        for (n, record) in batch.items.into_iter().enumerate() {
            if filter.desde.is_some_and(|desde| record.creado_en() < desde) {
                return Ok(Page { items, next: None });
            }
            let id = record.id();
            if filter.wants(&record) {
                items.push(record);
            }
            if items.len() == limit && n + 1 < read {
                next = Some(id);
                break;
            }
        }
        looked_at += read;
        if next.is_none() || items.len() == limit || looked_at >= LOOKED_AT_MAX {
            return Ok(Page { items, next });
        }
        after = next;
        tokio::task::yield_now().await;
    }
}

async fn batch<R: Registro>(
    store: &dyn Store,
    entidad: &Ruc,
    filter: &Filter<R::Estado>,
    after: Option<Id>,
    limit: usize,
) -> Result<Page<R>, StoreError> {
    let (entidad, estado) = (entidad.clone(), filter.estado);
    match filter.numero_registro.clone() {
        Some(numero) => R::numbered(store, Numbered { entidad, numero, after, limit }).await,
        None => R::page(store, Listing { entidad, estado, after, limit }).await,
    }
}

/// An id greater than all that were made up to `at`, to the millisecond, and than none made later.
pub fn first_after(at: Timestamp) -> Id {
    let ms = u128::try_from(at.as_millisecond()).unwrap_or(0) + 1;
    Id::from_u128(ms << 80)
}

impl Registro for Despacho {
    type Estado = EstadoDespacho;

    fn estados() -> Vec<(&'static str, Self::Estado)> {
        EstadoDespacho::TODOS.map(|e| (e.palabra(), e)).into()
    }

    fn id(&self) -> Id {
        self.id
    }

    fn estado(&self) -> EstadoDespacho {
        self.estado
    }

    fn creado_en(&self) -> Timestamp {
        self.creado_en
    }

    fn contraparte(&self) -> &Ruc {
        &self.destino
    }

    fn numero_registro(&self) -> Option<&str> {
        Some(&self.numero_registro)
    }

    fn textos(&self) -> Vec<&str> {
        let to = &self.destinatario;
        let mut texts =
            vec![self.asunto.as_str(), &self.numero_documento, &self.numero_registro, self.destino.as_str()];
        texts.extend([self.unidad_remitente.as_str(), &self.usuario, &to.unidad, &to.nombre, &to.cargo]);
        texts.extend(self.cuo.as_ref().map(Cuo::as_str));
        texts
    }

    async fn page(store: &dyn Store, listing: Listing<EstadoDespacho>) -> Result<Page<Self>, StoreError> {
        store.despachos(listing).await
    }

    async fn numbered(store: &dyn Store, of: Numbered) -> Result<Page<Self>, StoreError> {
        store.despachos_by_numero(of).await
    }

    async fn under(store: &dyn Store, entidad: &Ruc, cuo: &Cuo) -> Result<Vec<Self>, StoreError> {
        Ok(store.despacho_by_cuo(entidad, cuo).await?.into_iter().collect())
    }
}

impl Registro for Recepcion {
    type Estado = EstadoRecepcion;

    fn estados() -> Vec<(&'static str, Self::Estado)> {
        EstadoRecepcion::TODOS.map(|e| (e.palabra(), e)).into()
    }

    fn id(&self) -> Id {
        self.id
    }

    fn estado(&self) -> EstadoRecepcion {
        self.estado
    }

    fn creado_en(&self) -> Timestamp {
        self.recibido_en
    }

    fn contraparte(&self) -> &Ruc {
        &self.remitente.ruc
    }

    fn numero_registro(&self) -> Option<&str> {
        self.numero_registro.as_deref()
    }

    fn textos(&self) -> Vec<&str> {
        let (from, to) = (&self.remitente, &self.destinatario);
        let mut texts =
            vec![self.asunto.as_str(), &self.numero_documento, from.ruc.as_str(), &from.nombre, &from.unidad];
        texts.extend([to.unidad.as_str(), &to.nombre, &to.cargo, self.cuo.as_str()]);
        texts.extend(self.numero_registro.as_deref());
        texts
    }

    async fn page(store: &dyn Store, listing: Listing<EstadoRecepcion>) -> Result<Page<Self>, StoreError> {
        store.recepciones(listing).await
    }

    async fn numbered(store: &dyn Store, of: Numbered) -> Result<Page<Self>, StoreError> {
        store.recepciones_by_numero(of).await
    }

    async fn under(store: &dyn Store, entidad: &Ruc, cuo: &Cuo) -> Result<Vec<Self>, StoreError> {
        let mut found = store.recepciones_by_cuo(entidad, cuo).await?;
        found.reverse();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_whatever_their_case_and_accents() {
        assert_eq!(folded("AÑO Pingüino ÓRGANO"), "ano pinguino organo");
    }

    #[test]
    fn an_id_of_the_next_millisecond_stands_after_all_of_this_one() {
        let at: Timestamp = "2026-11-21T15:00:00.123Z".parse().unwrap();
        let made = |ms: i64| {
            let ms = u64::try_from(ms).unwrap();
            uuid::Builder::from_unix_timestamp_millis(ms, &[0xff; 10]).into_uuid()
        };
        assert!(made(at.as_millisecond()) < first_after(at));
        let next = uuid::Builder::from_unix_timestamp_millis(u64::try_from(at.as_millisecond() + 1).unwrap(), &[0; 10]);
        assert!(next.into_uuid() > first_after(at));
    }
}
