//! Records as callers of the API see them (INTERFACES, "A despacho as JSON").

use jiff::{Timestamp, civil::Date};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::{
        Anexo, Bloqueo, Cargo, Despacho, Destinatario, Documento, Entidad, EstadoDespacho, EstadoRecepcion, Falla, Id,
        Informe, Persona, Purga, Recepcion, Ruc, Sha256,
        conservacion::{DocumentoPurgado, RegistroPurgado},
        lima,
        recepcion::{Advertencia, AnexoTraido, Remitente},
    },
    http::auth,
    sgd::rest::openapi::schemas::Letra,
    store::{ApiKey, Directorio, Fact, FactAt, Rol},
};

/// A page of a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PaginaDe{T}")]
pub struct Items<T> {
    pub items: Vec<T>,
    pub next_cursor: Option<String>,
}

impl<T> Items<T> {
    /// The same items, each as `show` has it.
    pub fn map<'a, V>(&'a self, show: impl Fn(&'a T) -> V) -> Items<V> {
        Items { items: self.items.iter().map(show).collect(), next_cursor: self.next_cursor.clone() }
    }

    pub fn whole(items: impl IntoIterator<Item = T>) -> Self {
        Self { items: items.into_iter().collect(), next_cursor: None }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Cargo")]
pub struct CargoView<'a> {
    #[schemars(with = "EstadoRecepcion")]
    desenlace: &'static str,
    numero_registro: Option<&'a str>,
    anio_registro: Option<&'a str>,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    fecha_registro: Option<Timestamp>,
    unidad: Option<&'a str>,
    usuario: Option<&'a str>,
    observacion: Option<&'a str>,
    documento: Option<DocumentoView<'a>>,
    firmas: Option<&'a Informe>,
}

/// A PDF without its report, which stands beside it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Documento")]
struct DocumentoView<'a> {
    nombre: &'a str,
    bytes: u64,
    sha256: &'a Sha256,
}

fn documento(d: &Documento) -> DocumentoView<'_> {
    DocumentoView { nombre: &d.nombre, bytes: d.bytes, sha256: &d.sha256 }
}

fn cargo(cargo: &Cargo) -> CargoView<'_> {
    let (recepcionado, observado) = ("recepcionado", "observado");
    CargoView {
        desenlace: if cargo.desenlace.letra() == "O" { observado } else { recepcionado },
        numero_registro: cargo.numero_registro.as_deref(),
        anio_registro: cargo.anio_registro.as_deref(),
        fecha_registro: cargo.fecha_registro,
        unidad: cargo.unidad.as_deref(),
        usuario: cargo.usuario.as_deref(),
        observacion: cargo.observacion.as_deref(),
        documento: cargo.documento.as_ref().map(documento),
        firmas: cargo.documento.as_ref().and_then(|d| d.firmas.as_deref()),
    }
}

/// A hold.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Bloqueo")]
pub struct BloqueoView<'a> {
    motivo: &'a str,
    por: &'a str,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    desde: Timestamp,
}

pub fn bloqueo(bloqueo: &Bloqueo) -> BloqueoView<'_> {
    let Bloqueo { motivo, por, desde } = bloqueo;
    BloqueoView { motivo, por, desde: *desde }
}

/// The certificate of a purge.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Purga")]
pub struct PurgaView<'a> {
    corrida: Id,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    fecha: Timestamp,
    por: &'a str,
    politica: &'a str,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    terminado_en: Timestamp,
    bytes: u64,
    documentos: &'a [DocumentoPurgado],
    registro: &'a RegistroPurgado,
}

pub fn purga(purga: &Purga) -> PurgaView<'_> {
    PurgaView {
        corrida: purga.corrida,
        fecha: purga.en,
        por: &purga.por,
        politica: &purga.politica,
        terminado_en: purga.terminado_en,
        bytes: purga.bytes(),
        documentos: &purga.documentos,
        registro: &purga.registro,
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Despacho")]
pub struct DespachoView<'a> {
    id: Id,
    entidad: &'a Ruc,
    #[schemars(with = "EstadoDespacho")]
    estado: &'static str,
    #[schemars(with = "Letra")]
    cflgest: &'static str,
    cuo: Option<&'a str>,
    cuo_referencia: Option<&'a str>,
    /// The same, under the name the request gives it.
    referencia: Option<&'a str>,
    numero_registro: &'a str,
    destino: &'a Ruc,
    unidad_remitente: &'a str,
    codigo_unidad_remitente: Option<&'a str>,
    usuario: &'a str,
    remitente: &'a Persona,
    destinatario: &'a Destinatario,
    tipo_documento: &'a str,
    numero_documento: &'a str,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    fecha_documento: Timestamp,
    asunto: &'a str,
    folios: u32,
    documento: DocumentoView<'a>,
    firmas: Option<&'a Informe>,
    anexos: &'a [Anexo],
    url_anexos: Option<&'a str>,
    intentos: u32,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    enviado_en: Option<Timestamp>,
    cargo: Option<CargoView<'a>>,
    ultimo_error: Option<&'a str>,
    /// Of one that is `fallido`: the catalogue's code.
    falla: Option<Falla>,
    /// Of one that was observed: the despacho that corrects it.
    subsanado_por: Option<Id>,
    /// What keeps it from being purged, and what was purged of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    bloqueo: Option<BloqueoView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purga: Option<PurgaView<'a>>,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    creado_en: Timestamp,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    actualizado_en: Timestamp,
}

pub fn despacho(d: &Despacho) -> DespachoView<'_> {
    let referencia = d.cuo_referencia.as_ref().map(|cuo| cuo.as_str());
    DespachoView {
        id: d.id,
        entidad: &d.entidad,
        estado: d.estado.palabra(),
        cflgest: d.estado.letra(),
        cuo: d.cuo.as_ref().map(|cuo| cuo.as_str()),
        cuo_referencia: referencia,
        referencia,
        numero_registro: &d.numero_registro,
        destino: &d.destino,
        unidad_remitente: &d.unidad_remitente,
        codigo_unidad_remitente: d.codigo_unidad_remitente.as_deref(),
        usuario: &d.usuario,
        remitente: &d.remitente,
        destinatario: &d.destinatario,
        tipo_documento: &d.tipo_documento,
        numero_documento: &d.numero_documento,
        fecha_documento: d.fecha_documento,
        asunto: &d.asunto,
        folios: d.folios,
        documento: documento(&d.documento),
        firmas: d.documento.firmas.as_deref(),
        anexos: &d.anexos,
        url_anexos: d.url_anexos.as_deref(),
        intentos: d.intentos,
        enviado_en: d.enviado_en,
        cargo: d.cargo.as_ref().map(cargo),
        ultimo_error: d.ultimo_error.as_deref(),
        falla: d.falla,
        subsanado_por: d.subsanado_por,
        bloqueo: d.bloqueo.as_ref().map(bloqueo),
        purga: d.purga.as_deref().map(purga),
        creado_en: d.creado_en,
        actualizado_en: d.actualizado_en,
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Recepcion")]
pub struct RecepcionView<'a> {
    id: Id,
    entidad: &'a Ruc,
    #[schemars(with = "EstadoRecepcion")]
    estado: &'static str,
    #[schemars(with = "Letra")]
    cflgest: &'static str,
    cuo: &'a str,
    cuo_referencia: Option<&'a str>,
    remitente: &'a Remitente,
    destinatario: &'a Destinatario,
    tipo_documento: &'a str,
    numero_documento: &'a str,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    fecha_documento: Option<Timestamp>,
    asunto: &'a str,
    folios: Option<i64>,
    documento: DocumentoView<'a>,
    firmas: Option<&'a Informe>,
    anexos: &'a [Anexo],
    url_anexos: Option<&'a str>,
    /// Those that were downloaded.
    anexos_traidos: Vec<AnexoTraidoView<'a>>,
    advertencias: &'a [Advertencia],
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    recibido_en: Timestamp,
    fecha_presentacion: Date,
    numero_registro: Option<&'a str>,
    anio_registro: Option<&'a str>,
    cargo: Option<CargoView<'a>>,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    cargo_entregado_en: Option<Timestamp>,
    ultimo_error: Option<&'a str>,
    /// What keeps it from being purged, and what was purged of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    bloqueo: Option<BloqueoView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purga: Option<PurgaView<'a>>,
    /// When its record was made: on arrival.
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    creado_en: Timestamp,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    actualizado_en: Timestamp,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AnexoTraido")]
pub struct AnexoTraidoView<'a> {
    nombre: &'a str,
    url: &'a str,
    tipo: Option<&'a str>,
    bytes: u64,
    sha256: &'a Sha256,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    traido_en: Timestamp,
}

fn traido(traido: &AnexoTraido) -> AnexoTraidoView<'_> {
    let AnexoTraido { nombre, url, tipo, bytes, sha256, traido_en } = traido;
    AnexoTraidoView { nombre, url, tipo: tipo.as_deref(), bytes: *bytes, sha256, traido_en: *traido_en }
}

pub fn recepcion(r: &Recepcion) -> RecepcionView<'_> {
    RecepcionView {
        id: r.id,
        entidad: &r.entidad,
        estado: r.estado.palabra(),
        cflgest: r.estado.letra(),
        cuo: r.cuo.as_str(),
        cuo_referencia: r.cuo_referencia.as_deref(),
        remitente: &r.remitente,
        destinatario: &r.destinatario,
        tipo_documento: &r.tipo_documento,
        numero_documento: &r.numero_documento,
        fecha_documento: r.fecha_documento,
        asunto: &r.asunto,
        folios: r.folios,
        documento: documento(&r.documento),
        firmas: r.documento.firmas.as_deref(),
        anexos: &r.anexos,
        url_anexos: r.url_anexos.as_deref(),
        anexos_traidos: r.anexos_traidos.iter().map(traido).collect(),
        advertencias: &r.advertencias,
        recibido_en: r.recibido_en,
        fecha_presentacion: r.fecha_presentacion,
        numero_registro: r.numero_registro.as_deref(),
        anio_registro: r.anio_registro.as_deref(),
        cargo: r.cargo.as_ref().map(cargo),
        cargo_entregado_en: r.cargo_entregado_en,
        ultimo_error: r.ultimo_error.as_deref(),
        bloqueo: r.bloqueo.as_ref().map(bloqueo),
        purga: r.purga.as_deref().map(purga),
        creado_en: r.recibido_en,
        actualizado_en: r.actualizado_en,
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Suceso")]
pub struct FactView<'a> {
    cursor: String,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    fecha: Timestamp,
    tipo: &'a str,
    actor: &'a str,
    entidad: Option<&'a Ruc>,
    sujeto: Id,
    cuo: Option<&'a str>,
    estado: Option<&'a str>,
    detalle: Option<&'a str>,
    documentos: &'a [Sha256],
}

/// A fact's place in the feed as callers hold it: `seq.n-mark`. The mark is of the fact itself: a journal that lost its end
/// gives the same numbers to others.
pub fn cursor(at: &FactAt) -> String {
    format!("{}.{}-{:08x}", at.cursor.seq, at.cursor.n, mark(&at.fact))
}

pub fn mark(fact: &Fact) -> u32 {
    serde_json::to_vec(fact).map_or(0, |bytes| crc32c::crc32c(&bytes))
}

/// Facts, each with its words where they are told still.
pub fn facts<'a>(facts: &'a [FactAt], told: &'a [bool]) -> impl Iterator<Item = FactView<'a>> {
    facts.iter().zip(told).map(|(at, told)| fact(at, *told))
}

pub fn fact(at: &FactAt, told: bool) -> FactView<'_> {
    let f = &at.fact;
    FactView {
        cursor: cursor(at),
        fecha: f.at,
        tipo: &f.tipo,
        actor: &f.actor,
        entidad: f.entidad.as_ref(),
        sujeto: f.sujeto,
        cuo: f.cuo.as_deref(),
        estado: f.estado.as_deref(),
        detalle: f.detalle.as_deref().filter(|_| told),
        documentos: &f.documentos,
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Entidad")]
pub struct EntidadView<'a> {
    ruc: &'a Ruc,
    nombre: &'a str,
    categoria: u8,
    categoria_nombre: &'static str,
    /// Whether the platform's last list has it.
    vigente: bool,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    ausente_desde: Option<Timestamp>,
}

pub fn entidad<'a>(directorio: &Directorio, e: &'a Entidad) -> EntidadView<'a> {
    let ausente_desde = directorio.ausentes.get(&e.ruc).copied();
    EntidadView {
        ruc: &e.ruc,
        nombre: &e.nombre,
        categoria: e.categoria.numero(),
        categoria_nombre: e.categoria.nombre(),
        vigente: ausente_desde.is_none(),
        ausente_desde,
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ClaveDeApi")]
pub struct ApiKeyView<'a> {
    id: Id,
    nombre: &'a str,
    #[schemars(with = "Rol")]
    rol: &'static str,
    entidad: Option<&'a Ruc>,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    creada_en: Timestamp,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    revocada_en: Option<Timestamp>,
    /// Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    clave: Option<&'a str>,
}

pub fn api_key<'a>(key: &'a ApiKey, clave: Option<&'a str>) -> ApiKeyView<'a> {
    ApiKeyView {
        id: key.id,
        nombre: &key.nombre,
        rol: auth::rol(key.rol),
        entidad: key.entidad.as_ref(),
        creada_en: key.creada_en,
        revocada_en: key.revocada_en,
        clave,
    }
}
