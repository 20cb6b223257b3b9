//! Mesa de partes acts on a received document: files it, and answers it with a cargo, which is shown as it will leave before
//! it leaves: nothing of it can be undone.

use axum::{
    extract::{Path, Query, Request, State},
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    Console,
    door::{Permiso, Visit},
    drafts::Que,
    failure::Fault,
    forms::{self, Archivo, Sent},
    inbox::or_dash,
    layout::{self, Field},
    received, words,
};
use crate::{
    domain::{Cargo, Contenido, Desenlace, Recepcion, validation::largo},
    exchange::{ExchangeError, NuevaRespuesta},
    http::FieldError,
};

/// Reasons that come again and again; the person adds what is particular.
const MOTIVOS: [&str; 6] = [
    "El documento no está firmado digitalmente por quien corresponde.",
    "Faltan anexos que el documento menciona.",
    "Los anexos no se pueden descargar de la dirección indicada.",
    "El documento no se puede leer o está incompleto.",
    "El documento está dirigido a otra entidad.",
    "El número de folios no corresponde al documento.",
];

/// What a form to answer holds.
#[derive(Debug, Default, Clone)]
struct Filled {
    numero: String,
    anio: String,
    unidad: String,
    usuario: String,
    motivo: String,
    detalle: String,
}

impl Filled {
    fn new(visit: &Visit, r: &Recepcion) -> Self {
        Self {
            numero: r.numero_registro.clone().unwrap_or_default(),
            anio: r.anio_registro.clone().unwrap_or_default(),
            usuario: visit.usuario.nombre.clone(),
            ..Self::default()
        }
    }

    fn sent(sent: &Sent) -> Self {
        let text = |name| sent.text(name).to_owned();
        Self {
            numero: text("numero_registro"),
            anio: text("anio_registro"),
            unidad: text("unidad"),
            usuario: text("usuario"),
            motivo: text("motivo"),
            detalle: text("detalle"),
        }
    }

    fn of(respuesta: &NuevaRespuesta) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        Self {
            numero: text(&respuesta.numero_registro),
            anio: text(&respuesta.anio_registro),
            unidad: text(&respuesta.unidad),
            usuario: text(&respuesta.usuario),
            motivo: String::new(),
            detalle: text(&respuesta.observacion),
        }
    }

    /// The chosen reason and what was added to it.
    fn observacion(&self) -> Option<String> {
        let known = MOTIVOS.iter().find(|motivo| **motivo == self.motivo).copied();
        let parts: Vec<&str> = known.into_iter().chain(Some(self.detalle.as_str())).filter(|t| !t.is_empty()).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    fn respuesta(&self, desenlace: Desenlace, pdf: Option<&Archivo>) -> NuevaRespuesta {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        NuevaRespuesta {
            desenlace,
            numero_registro: some(&self.numero),
            anio_registro: some(&self.anio),
            fecha_registro: None,
            unidad: some(&self.unidad),
            usuario: some(&self.usuario),
            observacion: if desenlace == Desenlace::Observado { self.observacion() } else { None },
            contenido: match pdf {
                None => Contenido::Ausente,
                Some(archivo) if archivo.es_pdf => Contenido::Pdf { una_vez: true },
                Some(_) => Contenido::NoPdf,
            },
        }
    }
}

/// What can be done with a document that waits, in its page.
pub fn actions(console: &Console, visit: &Visit, r: &Recepcion) -> Markup {
    let filled = Filled::new(visit, r);
    html! {
        section.tarjeta.acciones-documento aria-labelledby="atender" {
            h2 #atender { "Atender" }
            @if r.numero_registro.is_none() {
                details name="accion" {
                    summary { "Registrar" span.tenue { "anotar su número; no se envía nada" } }
                    form method="post" action={ "/entrada/" (r.id) "/registrar" } enctype="multipart/form-data" {
                        (layout::token(visit))
                        (number("registrar", r, &filled, &[]))
                        button.boton type="submit" { "Registrar" }
                    }
                }
            }
            details name="accion" {
                summary { "Recepcionar" span.tenue { "emitir el cargo al remitente" } }
                (form(console, visit, r, Desenlace::Recepcionado, &filled, &[]))
            }
            details name="accion" {
                summary { "Observar" span.tenue { "devolver un cargo que dice qué falta" } }
                (form(console, visit, r, Desenlace::Observado, &filled, &[]))
            }
        }
    }
}

fn number(scope: &str, r: &Recepcion, filled: &Filled, errors: &[FieldError]) -> Markup {
    let help = match &r.numero_registro {
        Some(_) => "El documento ya está registrado con este número: no se puede cambiar",
        None => "Revíselo: una vez guardado no se puede cambiar",
    };
    html! {
        div.campos {
            (Field::new("numero_registro", "Número de registro", &filled.numero).max(largo::NUMERO_REGISTRO).required().help(help).within(scope).show(errors))
            (Field::new("anio_registro", "Año", &filled.anio).max(4).help("Vacío: este año").within(scope).show(errors))
        }
    }
}

fn form(
    console: &Console,
    visit: &Visit,
    r: &Recepcion,
    desenlace: Desenlace,
    filled: &Filled,
    errors: &[FieldError],
) -> Markup {
    let (path, send) = match desenlace {
        Desenlace::Recepcionado => ("recepcionar", "Revisar el cargo"),
        Desenlace::Observado => ("observar", "Revisar la observación"),
    };
    let given = console.exchange.cargo_debe_darse(&r.entidad);
    let wrong = layout::error(errors, "cargo.contenido").or_else(|| layout::error(errors, ""));
    let id = |name: &str| format!("{path}-{name}");
    html! {
        form method="post" action={ "/entrada/" (r.id) "/" (path) } enctype="multipart/form-data" {
            (layout::token(visit))
            (layout::errors(errors))
            (number(path, r, filled, errors))
            (Field::new("unidad", "Unidad a la que pasa", &filled.unidad).max(largo::UNIDAD_REGISTRO).required().within(path).show(errors))
            (Field::new("usuario", "Quién lo registra", &filled.usuario).max(largo::USUARIO_REGISTRO).required().within(path).show(errors))
            @if desenlace == Desenlace::Observado {
                div.campo {
                    label for=(id("motivo")) { "Motivo" }
                    select id=(id("motivo")) name="motivo" {
                        option value="" { "Lo escribo yo" }
                        @for motivo in MOTIVOS { option value=(motivo) selected[motivo == filled.motivo] { (motivo) } }
                    }
                }
                (Field::new("detalle", "Qué debe corregir el remitente", &filled.detalle).max(largo::OBSERVACION).rows(4).unmarked()
                    .help("Se añade al motivo. El remitente lo lee tal cual: diga qué falta y cómo remediarlo.").within(path).show(errors))
                @if let Some(wrong) = layout::error(errors, "observacion") { p.error { (wrong) } }
            }
            div.campo {
                label for=(id("cargo")) { "PDF del cargo, ya firmado" @if !given { " " span.tenue { "(opcional)" } } }
                input id=(id("cargo")) name="cargo" type="file" accept="application/pdf,.pdf" required[given] aria-invalid=[wrong.map(|_| "true")];
                @if given { p.ayuda { "Esta entidad firma sus cargos fuera de chasqui: elija el PDF firmado." } }
                @else { p.ayuda { "Sin archivo, chasqui lo hace y lo firma con la identidad de la entidad." } }
                @if let Some(wrong) = wrong { p.error { (wrong) } }
            }
            button.boton.principal type="submit" { (send) }
        }
    }
}

fn form_page(
    console: &Console,
    visit: &Visit,
    r: &Recepcion,
    desenlace: Desenlace,
    filled: &Filled,
    errors: &[FieldError],
) -> Markup {
    let title = match desenlace {
        Desenlace::Recepcionado => "Recepcionar el documento",
        Desenlace::Observado => "Observar el documento",
    };
    layout::page(
        console,
        visit,
        title,
        html! {
            p.migas { a href="/entrada" { "Bandeja de entrada" } " › " a href={ "/entrada/" (r.id) } { (or_dash(&r.asunto)) } }
            h1 { (title) }
            div.estrecho { (form(console, visit, r, desenlace, filled, errors)) }
        },
    )
}

pub async fn file(
    State(console): State<Console>,
    visit: Visit,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Fault> {
    visit.exige(Permiso::Responder)?;
    let recepcion = console.recepcion(&visit, &id).await?;
    let sent = forms::read(&console.exchange, &visit.csrf, request).await?;
    let (numero, anio) = (sent.text("numero_registro"), sent.some("anio_registro"));
    let limit = Some(&recepcion.entidad);
    let done = match console.exchange.registrar(visit.actor(), limit, recepcion.id, numero, anio.as_deref()).await {
        Ok(_) => "registrado",
        // Somebody else, or the SGD, was first: its page says with which number.
        Err(ExchangeError::Estado(_)) => "ya_registrado",
        Err(error) => return Err(error.into()),
    };
    Ok(Redirect::to(&format!("/entrada/{id}?hecho={done}")).into_response())
}

#[derive(Debug, Default, Deserialize)]
pub struct Again {
    /// A draft that is to be changed.
    borrador: Option<String>,
}

pub async fn accept_form(
    State(console): State<Console>,
    visit: Visit,
    Path(id): Path<String>,
    Query(again): Query<Again>,
) -> Result<Markup, Fault> {
    again_form(&console, &visit, &id, &again, Desenlace::Recepcionado).await
}

pub async fn object_form(
    State(console): State<Console>,
    visit: Visit,
    Path(id): Path<String>,
    Query(again): Query<Again>,
) -> Result<Markup, Fault> {
    again_form(&console, &visit, &id, &again, Desenlace::Observado).await
}

async fn again_form(
    console: &Console,
    visit: &Visit,
    id: &str,
    again: &Again,
    desenlace: Desenlace,
) -> Result<Markup, Fault> {
    visit.exige(Permiso::Responder)?;
    let recepcion = console.recepcion(visit, id).await?;
    let draft = again.borrador.as_deref().and_then(|name| console.draft(visit, name));
    let filled = match draft.map(|draft| draft.que) {
        Some(Que::Responder { respuesta, .. }) => Filled::of(&respuesta),
        _ => Filled::new(visit, &recepcion),
    };
    Ok(form_page(console, visit, &recepcion, desenlace, &filled, &[]))
}

pub async fn accept(
    State(console): State<Console>,
    visit: Visit,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Fault> {
    review(&console, &visit, &id, request, Desenlace::Recepcionado).await
}

pub async fn object(
    State(console): State<Console>,
    visit: Visit,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Fault> {
    review(&console, &visit, &id, request, Desenlace::Observado).await
}

/// Judges what was filled in, and shows it as it would leave.
async fn review(
    console: &Console,
    visit: &Visit,
    id: &str,
    request: Request,
    desenlace: Desenlace,
) -> Result<Response, Fault> {
    visit.exige(Permiso::Responder)?;
    let recepcion = console.recepcion(visit, id).await?;
    let sent = forms::read(&console.exchange, &visit.csrf, request).await?;
    let filled = Filled::sent(&sent);
    let given = sent.files("cargo").next();
    let respuesta = filled.respuesta(desenlace, given);
    let pdf = given.filter(|archivo| archivo.es_pdf).map(|archivo| archivo.contenido.clone());
    let limit = Some(&recepcion.entidad);
    let judged = console.exchange.revisar_respuesta(limit, recepcion.id, &respuesta, pdf.as_ref()).await;
    let (known, cargo) = match judged {
        Ok(judged) => judged,
        Err(error) => {
            let errors = Fault::from(error).fields()?;
            let page = form_page(console, visit, &recepcion, desenlace, &filled, &errors);
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
    };
    let que = Que::Responder { recepcion: known.id, respuesta: Box::new(respuesta), pdf: pdf.clone() };
    let name = console.keep(visit, known.entidad.clone(), que);
    Ok(console.to_review(&name, confirmation(console, visit, &known, &cargo, given, &name)))
}

fn confirmation(
    console: &Console,
    visit: &Visit,
    r: &Recepcion,
    cargo: &Cargo,
    given: Option<&Archivo>,
    name: &str,
) -> Markup {
    let (title, verb, path) = match cargo.desenlace {
        Desenlace::Recepcionado => ("Cargo de recepción", "Emitir el cargo y enviarlo", "recepcionar"),
        Desenlace::Observado => ("Cargo de observación", "Observar y enviar el cargo", "observar"),
    };
    let signer = console.exchange.identidad(&r.entidad).map(|identity| identity.titular().nombre.clone());
    layout::page(
        console,
        visit,
        "Revise antes de enviar",
        html! {
            p.migas { a href="/entrada" { "Bandeja de entrada" } " › " a href={ "/entrada/" (r.id) } { (or_dash(&r.asunto)) } }
            h1 { "Revise antes de enviar" }
            div.estrecho {
                section.tarjeta.resumen {
                    h2 { (title) }
                    dl.datos {
                        dt { "Se envía a" } dd { strong { (or_dash(&r.remitente.nombre)) } br; "RUC " (r.remitente.ruc) br; (or_dash(&r.remitente.unidad)) }
                        dt { "Por el documento" } dd { (or_dash(&r.numero_documento)) br; (or_dash(&r.asunto)) br; span.tenue { "CUO " (r.cuo) } }
                    }
                    (received::cargo_data(cargo, "Fecha de registro"))
                    dl.datos {
                        dt { "PDF" } dd { @match (given, &cargo.documento) {
                            (Some(given), Some(document)) => {
                                "El que adjuntó: " (or_dash(&given.nombre)) ", " (words::size(given.contenido.bytes)) br;
                                (layout::signature_badge(document.firmas.as_ref().map(|report| report.veredicto)))
                            }
                            _ => { "Lo hace chasqui y lo firma " strong { (signer.as_deref().unwrap_or("la identidad de la entidad")) } }
                        } }
                    }
                }
                (layout::notice(words::FAIR, html! { p { strong { "Esto no se puede deshacer. " } "El cargo es la constancia legal de la recepción: al confirmar se firma y se envía por la plataforma." } }))
                form.acciones method="post" action="/confirmar" enctype="multipart/form-data" {
                    (layout::token(visit))
                    input type="hidden" name="borrador" value=(name);
                    button.boton.principal type="submit" data-una-vez="" { (verb) }
                    a.boton.plano href={ "/entrada/" (r.id) "/" (path) "?borrador=" (name) } { "Volver y corregir" }
                }
            }
        },
    )
}
