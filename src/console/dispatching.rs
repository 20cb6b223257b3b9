//! A document handed over by a person: new, the correction of an observed one, or a received one sent on. What is filled in is
//! judged as the platform will, the PDF is examined, and all of it is shown before it leaves.

use axum::{
    Json,
    extract::{Path, Query, Request, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    Console,
    door::{Permiso, Visit},
    drafts::Que,
    failure::Fault,
    forms::{self, Sent},
    inbox::or_dash,
    layout::{self, Field},
    outbox::name_of,
    received::signatures,
    words,
};
use crate::{
    domain::{Contenido, Despacho, Destinatario, Persona, Recepcion, entidad::TipoDocumento, validation::largo},
    exchange::{Documentacion, NuevoDespacho},
    http::FieldError,
    store::Staged,
};

/// Longest number of registration, and unit's code, in characters.
const NUMERO_REGISTRO_MAX: usize = 30;
/// Entities suggested at once.
const SUGGESTED_MAX: usize = 12;
/// Entities of a page of the search.
const FOUND_MAX: usize = 100;

/// What is being written.
enum Kind {
    New,
    Correct(Box<Despacho>),
    PassOn(Box<Recepcion>),
}

impl Kind {
    fn path(&self) -> String {
        match self {
            Self::New => "/salida/nuevo".into(),
            Self::Correct(observed) => format!("/salida/{}/subsanar", observed.id),
            Self::PassOn(received) => format!("/entrada/{}/derivar", received.id),
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::New => "Enviar un documento",
            Self::Correct(_) => "Subsanar un documento observado",
            Self::PassOn(_) => "Derivar a otra entidad",
        }
    }

    /// The form as it is before anybody wrote in it.
    fn begun(&self, visit: &Visit) -> NuevoDespacho {
        let some = |text: &str| (!text.trim().is_empty()).then(|| text.to_owned());
        let usuario = Some(visit.usuario.cuenta.clone());
        match self {
            Self::New => NuevoDespacho { usuario, remitente: dni(""), ..NuevoDespacho::default() },
            Self::Correct(observed) => NuevoDespacho {
                usuario,
                destinos: vec![observed.destino.to_string()],
                unidad_remitente: some(&observed.unidad_remitente),
                codigo_unidad_remitente: observed.codigo_unidad_remitente.clone(),
                remitente: observed.remitente.clone(),
                destinatario: observed.destinatario.clone(),
                tipo_documento: some(&observed.tipo_documento),
                numero_documento: some(&observed.numero_documento),
                asunto: some(&observed.asunto),
                folios: Some(observed.folios.into()),
                ..NuevoDespacho::default()
            },
            Self::PassOn(received) => NuevoDespacho {
                usuario,
                remitente: dni(""),
                tipo_documento: some(&received.tipo_documento),
                numero_documento: some(&received.numero_documento),
                asunto: some(&received.asunto),
                folios: received.folios,
                nombre_documento: some(&received.documento.nombre),
                ..NuevoDespacho::default()
            },
        }
    }
}

fn dni(number: &str) -> Persona {
    Persona { tipo_documento: "1".into(), numero_documento: number.into() }
}

#[derive(Debug, Default, Deserialize)]
pub struct Start {
    borrador: Option<String>,
    destino: Option<String>,
}

pub async fn new_form(
    State(console): State<Console>,
    visit: Visit,
    Query(start): Query<Start>,
) -> Result<Markup, Fault> {
    begin(&console, &visit, &Kind::New, &start).await
}

pub async fn correct_form(
    State(console): State<Console>,
    visit: Visit,
    Path(id): Path<String>,
    Query(start): Query<Start>,
) -> Result<Markup, Fault> {
    let kind = Kind::Correct(Box::new(console.despacho(&visit, &id).await?));
    begin(&console, &visit, &kind, &start).await
}

pub async fn pass_on_form(
    State(console): State<Console>,
    visit: Visit,
    Path(id): Path<String>,
    Query(start): Query<Start>,
) -> Result<Markup, Fault> {
    let kind = Kind::PassOn(Box::new(console.recepcion(&visit, &id).await?));
    begin(&console, &visit, &kind, &start).await
}

async fn begin(console: &Console, visit: &Visit, kind: &Kind, start: &Start) -> Result<Markup, Fault> {
    visit.exige(Permiso::Despachar)?;
    let draft = start.borrador.as_deref().and_then(|name| console.draft(visit, name));
    let mut filled = match draft.map(|draft| draft.que) {
        Some(Que::Despachar { nuevo, .. } | Que::Subsanar { nuevo, .. } | Que::Derivar { nuevo, .. }) => *nuevo,
        _ => kind.begun(visit),
    };
    if let Some(destino) = &start.destino {
        filled.destinos = vec![destino.clone()];
    }
    page(console, visit, kind, &filled, &[]).await
}

pub async fn new(State(console): State<Console>, visit: Visit, request: Request) -> Result<Response, Fault> {
    review(&console, &visit, Kind::New, request).await
}

pub async fn correct(
    State(console): State<Console>,
    visit: Visit,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Fault> {
    let kind = Kind::Correct(Box::new(console.despacho(&visit, &id).await?));
    review(&console, &visit, kind, request).await
}

pub async fn pass_on(
    State(console): State<Console>,
    visit: Visit,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Fault> {
    let kind = Kind::PassOn(Box::new(console.recepcion(&visit, &id).await?));
    review(&console, &visit, kind, request).await
}

/// The form as it was sent, with its PDF.
fn read(sent: &Sent, visit: &Visit) -> (NuevoDespacho, Option<Staged>) {
    let text = |name: &str| sent.text(name).to_owned();
    let pdf = sent.files("documento").next();
    let annexes: Vec<_> = sent.files("anexos").collect();
    let nuevo = NuevoDespacho {
        numero_registro: sent.some("numero_registro"),
        destinos: sent.some("destino").into_iter().collect(),
        unidad_remitente: sent.some("unidad_remitente"),
        codigo_unidad_remitente: None,
        usuario: Some(visit.usuario.cuenta.clone()),
        remitente: Persona {
            tipo_documento: text("remitente.tipo_documento"),
            numero_documento: text("remitente.numero_documento"),
        },
        destinatario: Destinatario {
            unidad: text("destinatario.unidad"),
            nombre: text("destinatario.nombre"),
            cargo: text("destinatario.cargo"),
        },
        tipo_documento: sent.some("tipo_documento"),
        numero_documento: sent.some("numero_documento"),
        fecha_documento: sent.some("fecha_documento"),
        asunto: sent.some("asunto"),
        // What is no number is told as the field's error.
        folios: sent.some("folios").map(|text| text.parse().unwrap_or(0)),
        nombre_documento: pdf.map(|archivo| archivo.nombre.clone()),
        contenido: match pdf {
            None => Contenido::Ausente,
            Some(archivo) if archivo.es_pdf => Contenido::Pdf { una_vez: true },
            Some(_) => Contenido::NoPdf,
        },
        anexos: annexes.iter().map(|archivo| Some(archivo.nombre.clone())).collect(),
        archivos: annexes.iter().map(|archivo| archivo.contenido.clone()).collect(),
        url_anexos: None,
        referencia: None,
        reemplaza: None,
    };
    (nuevo, pdf.filter(|archivo| archivo.es_pdf).map(|archivo| archivo.contenido.clone()))
}

async fn review(console: &Console, visit: &Visit, kind: Kind, request: Request) -> Result<Response, Fault> {
    visit.exige(Permiso::Despachar)?;
    let sent = forms::read(&console.exchange, &visit.csrf, request).await?;
    let (mut nuevo, pdf) = read(&sent, visit);
    let (entidad, document) = match &kind {
        Kind::New => (visit.entidad.clone(), pdf.clone().map(Documentacion::Nueva)),
        Kind::Correct(observed) => {
            nuevo.referencia = observed.cuo.as_ref().map(ToString::to_string);
            (observed.entidad.clone(), pdf.clone().map(Documentacion::Nueva))
        }
        Kind::PassOn(received) => {
            nuevo.contenido = Contenido::Pdf { una_vez: false };
            nuevo.nombre_documento = Some(received.documento.nombre.clone());
            (received.entidad.clone(), Some(Documentacion::EnAlmacen(received.documento.clone())))
        }
    };
    let judged = console.exchange.revisar_despacho(&entidad, &nuevo, document).await;
    let despacho = match judged {
        Ok(made) => made.into_iter().next().ok_or_else(|| Fault::wrong("Falta la entidad de destino"))?,
        Err(error) => {
            let mut errors = Fault::from(error).fields()?;
            not_chosen(&nuevo, &mut errors);
            let page = page(console, visit, &kind, &nuevo, &errors).await?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
    };
    let path = kind.path();
    let nuevo = Box::new(nuevo);
    let que = match kind {
        Kind::New => Que::Despachar { nuevo, pdf },
        Kind::Correct(observed) => Que::Subsanar { observado: observed.id, nuevo, pdf },
        Kind::PassOn(received) => Que::Derivar { recepcion: received.id, nuevo },
    };
    let name = console.keep(visit, entidad, que);
    let page = confirmation(console, visit, &despacho, &path, &name).await?;
    Ok(console.to_review(&name, page))
}

/// Part of a name is no RUC: what to do is to choose.
fn not_chosen(nuevo: &NuevoDespacho, errors: &mut [FieldError]) {
    let given = nuevo.destinos.first().map_or("", String::as_str);
    if given.is_empty() || given.bytes().all(|b| b.is_ascii_digit()) {
        return;
    }
    for error in errors.iter_mut().filter(|error| error.field == "destino") {
        error.detail = "Elija la entidad de la lista, o escriba su RUC de 11 dígitos".into();
    }
}

async fn confirmation(console: &Console, visit: &Visit, d: &Despacho, path: &str, name: &str) -> Result<Markup, Fault> {
    let directory = console.exchange.directorio().await?;
    let to = name_of(directory.as_deref(), &d.destino);
    let own = console.exchange.propia(&d.entidad).map(|own| own.nombre).unwrap_or_default();
    Ok(layout::page(
        console,
        visit,
        "Revise antes de enviar",
        html! {
            h1 { "Revise antes de enviar" }
            div.estrecho {
                section.tarjeta.resumen {
                    h2 { (or_dash(&d.asunto)) }
                    dl.datos {
                        dt { "Se envía a" } dd { strong { (to.unwrap_or("Entidad que no está en la lista de la plataforma")) } br; "RUC " (d.destino) }
                        dt { "Destinatario" } dd { (or_dash(&d.destinatario.nombre)) br; (or_dash(&d.destinatario.cargo)) br; span.tenue { (or_dash(&d.destinatario.unidad)) } }
                        dt { "Lo envía" } dd { (own) br; (or_dash(&d.unidad_remitente)) br; span.tenue { "documento de identidad " (d.remitente.numero_documento) } }
                        dt { "Documento" } dd { (or_dash(&d.numero_documento)) br; span.tenue { "del " (words::moment(d.fecha_documento)) ", " (d.folios) @if d.folios == 1 { " folio" } @else { " folios" } } }
                        dt { "Registro" } dd { (d.numero_registro) }
                        @if let Some(of) = &d.cuo_referencia { dt { "Corrige" } dd { "el documento con CUO " (of) } }
                        dt { "PDF" } dd { (or_dash(&d.documento.nombre)) ", " (words::size(d.documento.bytes)) }
                        @if !d.anexos.is_empty() { dt { "Anexos" } dd { ul { @for anexo in &d.anexos { li { (anexo.nombre) } } } } }
                    }
                }
                (signatures(d.documento.firmas.as_deref()))
                @if to.is_none() { (layout::notice(words::FAIR, html! { p { "Ese RUC no está en la última lista de la plataforma: es probable que lo rechace." } })) }
                (layout::notice(words::FAIR, html! { p { strong { "Una vez enviado no se puede retirar. " } "Mientras esté en cola y no se haya empezado a enviar, puede anularlo." } }))
                form.acciones method="post" action="/confirmar" enctype="multipart/form-data" {
                    (layout::token(visit))
                    input type="hidden" name="borrador" value=(name);
                    button.boton.principal type="submit" { "Enviar el documento" }
                    a.boton.plano href={ (path) "?borrador=" (name) } { "Volver y corregir" }
                }
            }
        },
    ))
}

async fn page(
    console: &Console,
    visit: &Visit,
    kind: &Kind,
    filled: &NuevoDespacho,
    errors: &[FieldError],
) -> Result<Markup, Fault> {
    let types = console.exchange.tipos_documento().await?;
    let directory = console.exchange.directorio().await?;
    let destino = filled.destinos.first().map_or("", String::as_str);
    let known = directory.as_deref().and_then(|d| d.entidades.iter().find(|e| e.ruc.as_str() == destino));
    Ok(layout::page(
        console,
        visit,
        kind.title(),
        html! {
            @match kind {
                Kind::New => p.migas { a href="/salida" { "Bandeja de salida" } },
                Kind::Correct(observed) => p.migas { a href="/salida" { "Bandeja de salida" } " › " a href={ "/salida/" (observed.id) } { (or_dash(&observed.asunto)) } },
                Kind::PassOn(received) => p.migas { a href="/entrada" { "Bandeja de entrada" } " › " a href={ "/entrada/" (received.id) } { (or_dash(&received.asunto)) } },
            }
            h1 { (kind.title()) }
            div.estrecho {
                @if let Kind::Correct(observed) = kind {
                    @if let Some(text) = observed.cargo.as_ref().and_then(|cargo| cargo.observacion.as_deref()) {
                        p.tenue { "La otra entidad observó:" } blockquote.observacion { (text) }
                    }
                }
                form method="post" action=(kind.path()) enctype="multipart/form-data" {
                    (layout::token(visit))
                    (layout::errors(errors))
                    (to_fields(filled, destino, known.map(|e| e.nombre.as_str()), errors))
                    (document_fields(kind, filled, &types, errors))
                    (from_fields(filled, errors))
                    button.boton.principal type="submit" { "Revisar antes de enviar" }
                }
            }
        },
    ))
}

fn to_fields(filled: &NuevoDespacho, destino: &str, known: Option<&str>, errors: &[FieldError]) -> Markup {
    let to = &filled.destinatario;
    let wrong = layout::error(errors, "destino");
    html! {
        fieldset.tarjeta {
            legend { "A quién" }
            div.campo {
                label for="destino" { "Entidad de destino" }
                input #destino name="destino" value=(destino) required autocomplete="off" data-entidades="/entidades" data-nombre="destino-nombre"
                    aria-describedby="destino-ayuda destino-nombre" aria-invalid=[wrong.map(|_| "true")];
                p #destino-nombre aria-live="polite" { @if let Some(name) = known { strong { (name) } } }
                p.ayuda #destino-ayuda { "Su RUC; escriba parte del nombre para buscarla, o " a href="/entidades" { "véala en la lista" } "." }
                @if let Some(wrong) = wrong { p.error { (wrong) } }
            }
            (Field::new("destinatario.nombre", "Nombre de la persona", &to.nombre).max(largo::NOMBRE_DESTINATARIO).required().show(errors))
            (Field::new("destinatario.cargo", "Su cargo", &to.cargo).max(largo::CARGO_DESTINATARIO).required().show(errors))
            (Field::new("destinatario.unidad", "Su unidad", &to.unidad).max(largo::UNIDAD_DESTINO).required().show(errors))
        }
    }
}

fn document_fields(kind: &Kind, filled: &NuevoDespacho, types: &[TipoDocumento], errors: &[FieldError]) -> Markup {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let folios = filled.folios.map(|n| n.to_string()).unwrap_or_default();
    let wrong = layout::error(errors, "documento.contenido")
        .or_else(|| layout::error(errors, "contenido"))
        .or_else(|| layout::error(errors, ""));
    html! {
        fieldset.tarjeta {
            legend { "El documento" }
            (Field::new("asunto", "Asunto", &text(&filled.asunto)).max(largo::ASUNTO).required().rows(3).show(errors))
            div.campos {
                div.campo {
                    label for="tipo_documento" { "Tipo" }
                    select #tipo_documento name="tipo_documento" required {
                        @for one in types { option value=(one.codigo) selected[filled.tipo_documento.as_deref() == Some(&one.codigo)] { (one.nombre) } }
                    }
                    @if let Some(wrong) = layout::error(errors, "tipo_documento") { p.error { (wrong) } }
                }
                (Field::new("folios", "Folios", &folios).max(5).required().show(errors))
            }
            (Field::new("numero_documento", "Número del documento", &text(&filled.numero_documento)).max(largo::NUMERO_DOCUMENTO).required().help("Como está escrito en él, por ejemplo OFICIO 001-2026-OTI").show(errors))
            (Field::new("numero_registro", "Número de registro de su entidad", &text(&filled.numero_registro)).max(NUMERO_REGISTRO_MAX).required().show(errors))
            @match kind {
                Kind::PassOn(received) => p.ayuda { "Se envía el mismo PDF que llegó: " (received.documento.nombre) ", " (words::size(received.documento.bytes)) "." },
                _ => {
                    div.campo {
                        label for="documento" { "PDF, ya firmado" }
                        input #documento name="documento" type="file" accept="application/pdf,.pdf" required aria-invalid=[wrong.map(|_| "true")];
                        p.ayuda { "Se examinan sus firmas y se le muestra el resultado antes de enviar." }
                        @if let Some(wrong) = wrong { p.error { (wrong) } }
                    }
                    div.campo {
                        label for="anexos" { "Anexos " span.tenue { "(opcional)" } }
                        input #anexos name="anexos" type="file" multiple;
                        p.ayuda { "Quedan publicados aquí para que la otra entidad los descargue; por la plataforma viaja su dirección." }
                        @if let Some(wrong) = layout::error(errors, "anexos") { p.error { (wrong) } }
                    }
                }
            }
            @if !errors.is_empty() && !matches!(kind, Kind::PassOn(_)) { p.ayuda { strong { "Elija otra vez los archivos: el navegador no los guarda." } } }
        }
    }
}

fn from_fields(filled: &NuevoDespacho, errors: &[FieldError]) -> Markup {
    let unit = filled.unidad_remitente.clone().unwrap_or_default();
    html! {
        fieldset.tarjeta {
            legend { "Quién lo envía" }
            (Field::new("unidad_remitente", "Unidad", &unit).max(largo::UNIDAD_REMITENTE).required().show(errors))
            div.campos {
                div.campo {
                    label for="identidad" { "Documento de identidad de quien firma" }
                    select #identidad name="remitente.tipo_documento" {
                        @for (code, name) in [("1", "DNI"), ("2", "Carné de extranjería")] {
                            option value=(code) selected[filled.remitente.tipo_documento == code] { (name) }
                        }
                    }
                }
                (Field::new("remitente.numero_documento", "Número", &filled.remitente.numero_documento).max(9).required().show(errors))
            }
        }
    }
}

#[derive(Debug, Default, Deserialize)]
pub struct Wanted {
    q: Option<String>,
    categoria: Option<u8>,
    formato: Option<String>,
}

/// Entities of the platform by name, RUC or category: a page, and for the script a list.
pub async fn entities(
    State(console): State<Console>,
    visit: Visit,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Fault> {
    let directory = console.exchange.directorio().await?;
    let q = wanted.q.as_deref().unwrap_or_default().trim().to_owned();
    let sought: Vec<String> = crate::exchange::listing::folded(&q).split_whitespace().map(Into::into).collect();
    let known = directory.as_deref().map(|d| d.entidades.as_slice()).unwrap_or_default();
    let max = if wanted.formato.is_some() { SUGGESTED_MAX } else { FOUND_MAX };
    let fits = |entidad: &&crate::domain::Entidad| {
        let text = crate::exchange::listing::folded(&format!("{} {}", entidad.nombre, entidad.ruc));
        wanted.categoria.is_none_or(|n| n == 0 || entidad.categoria.numero() == n)
            && sought.iter().all(|word| text.contains(word))
    };
    let found: Vec<_> = known.iter().filter(fits).take(max).collect();
    if wanted.formato.is_some() {
        let list: Vec<_> =
            found.iter().map(|e| serde_json::json!({ "ruc": e.ruc.as_str(), "nombre": e.nombre })).collect();
        return Ok(Json(list).into_response());
    }
    Ok(layout::page(&console, &visit, "Entidades", html! {
        p.migas { a href="/salida" { "Bandeja de salida" } }
        h1 { "Entidades de la plataforma" }
        form.busqueda method="get" action="/entidades" role="search" {
            div.campo.crece { label for="q" { "Nombre o RUC" } input #q type="search" name="q" value=(q); }
            div.campo { label for="categoria" { "Categoría" } select #categoria name="categoria" {
                option value="0" { "Todas" }
                @for one in crate::domain::Categoria::todas() { option value=(one.numero()) selected[wanted.categoria == Some(one.numero())] { (one.nombre()) } }
            } }
            button.boton type="submit" { "Buscar" }
        }
        @if let Some(directory) = &directory { p.tenue { "Lista de la plataforma del " (words::moment(directory.actualizado_en)) "." } }
        @if found.is_empty() { div.vacio { p { strong { "Ninguna entidad coincide." } } } }
        @else {
            ul.lista { @for e in &found {
                li.fila {
                    @if visit.puede(Permiso::Despachar) { a.principal href={ "/salida/nuevo?destino=" (e.ruc) } { span.asunto { (e.nombre) } } } @else { span.principal { (e.nombre) } }
                    p.otra { "RUC " (e.ruc) }
                    p.senas { (e.categoria.nombre()) }
                }
            } }
            @if found.len() == max { p.tenue { "Se muestran " (max) "; precise la búsqueda para ver otras." } }
        }
    })
    .into_response())
}
