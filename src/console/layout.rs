//! The shell of every page and the pieces that pages share.

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    Console, assets,
    door::{Permiso, Visit},
    forms, words,
    words::Tone,
};
use crate::{
    domain::{Id, firmas::Veredicto, lima},
    http::FieldError,
};

/// Where the navigation leads, under which name, and who sees it.
const PLACES: [(&str, &str, Option<Permiso>); 6] = [
    ("/entrada", "Entrada", None),
    ("/salida", "Salida", None),
    ("/estadisticas", "Estadísticas", None),
    ("/operacion", "Operación", Some(Permiso::Operar)),
    ("/auditoria", "Auditoría", Some(Permiso::Auditar)),
    ("/personas", "Personas", Some(Permiso::Administrar)),
];

fn head(title: &str) -> Markup {
    html! {
        (DOCTYPE)
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (title) " · chasqui" }
        link rel="icon" href=(assets::ICON.address()) type="image/svg+xml";
        link rel="stylesheet" href=(assets::STYLE.address());
    }
}

/// A page for nobody in particular: the door, an error.
pub fn bare(title: &str, content: Markup) -> Markup {
    html! {
        (head(title))
        html lang="es-PE" {
            body.sola {
                main #contenido {
                    p.marca { img src=(assets::ICON.address()) alt="" width="28" height="28"; "chasqui" }
                    (content)
                }
            }
        }
    }
}

/// A page of a visit.
pub fn page(console: &Console, visit: &Visit, title: &str, content: Markup) -> Markup {
    let settings = console.exchange.settings();
    let ours = &settings.entidades;
    let own = ours.iter().find(|own| own.ruc == visit.entidad);
    let name = own.map_or("", |own| own.nombre.as_str());
    let several = visit.acceso.entidad.is_none() && ours.len() > 1;
    let allowed = PLACES.into_iter().filter(|(.., permiso)| permiso.is_none_or(|permiso| visit.puede(permiso)));
    let here = |place: &str| visit.path == place || visit.path.strip_prefix(place).is_some_and(|r| r.starts_with('/'));
    html! {
        (head(title))
        html lang="es-PE" {
            body data-sucesos="/sucesos" {
                a.saltar href="#contenido" { "Ir al contenido" }
                header.cabecera {
                    div.identidad {
                        a.marca href="/" { img src=(assets::ICON.address()) alt="" width="28" height="28"; "chasqui" }
                        @if several {
                            form.entidad method="post" action="/entidad" enctype="multipart/form-data" {
                                (token(visit))
                                label.oculto for="elegir-entidad" { "Entidad" }
                                select #elegir-entidad name="ruc" {
                                    @for own in ours {
                                        option value=(own.ruc.as_str()) selected[own.ruc == visit.entidad] { (own.nombre) }
                                    }
                                }
                                button.boton.menor type="submit" { "Ver" }
                            }
                        } @else { span.entidad { (name) } }
                    }
                    div.persona {
                        a.campana href="/novedades" { (bell()) span { "Novedades" } span.cuenta-novedades data-novedades="" hidden {} }
                        a.quien href="/cuenta" { span.nombre { (visit.usuario.nombre) } span.tenue { (words::rol(visit.acceso.rol)) } }
                        form method="post" action="/salir" enctype="multipart/form-data" {
                            (token(visit))
                            button.boton.menor type="submit" { "Salir" }
                        }
                    }
                    nav.lugares aria-label="Principal" {
                        ul { @for (place, name, _) in allowed {
                            li { a href=(place) aria-current=[here(place).then_some("page")] { (name) } }
                        } }
                    }
                }
                @if let Some(found) = console.exchange.mantenimiento() {
                    div.aviso.regular role="status" {
                        p {
                            strong { "En mantenimiento" }
                            @match found.hasta { Some(end) => { " hasta el " (moment(end)) }, None => {} }
                            ": " (found.motivo) ". Puede leer todo; nada se recibe ni se envía hasta que termine."
                        }
                    }
                }
                main #contenido tabindex="-1" { (content) }
                script src=(assets::SCRIPT.address()) defer {}
            }
        }
    }
}

fn bell() -> Markup {
    PreEscaped(
        r#"<svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"><path d="M6 9a6 6 0 0 1 12 0c0 6 2 7 2 7H4s2-1 2-7"/><path d="M10 20a2.2 2.2 0 0 0 4 0"/></svg>"#
            .to_owned(),
    )
}

/// What every form begins with.
pub fn token(visit: &Visit) -> Markup {
    html! { input type="hidden" name=(forms::TOKEN) value=(visit.csrf); }
}

/// A state or verdict: its words and, for who sees it, its colour.
pub fn badge((text, tone): (&str, Tone)) -> Markup {
    html! { span class={ "insignia " (tone) } { (text) } }
}

pub fn signature_badge(veredicto: Option<Veredicto>) -> Markup {
    badge(words::firmas(veredicto))
}

/// A moment for people and for programs.
pub fn moment(at: Timestamp) -> Markup {
    html! { time datetime=(lima::texto(at)) { (words::moment(at)) } }
}

/// A message that stands out.
pub fn notice(tone: Tone, content: Markup) -> Markup {
    html! { div class={ "aviso " (tone) } role="status" { (content) } }
}

/// Where a list goes on: nothing where it ends.
pub fn pager(path: &str, query: &[(&str, &str)], next: Option<Id>, first: bool) -> Markup {
    let address = |cursor: Option<String>| {
        let mut pairs: Vec<String> = query
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", super::door::encoded(value)))
            .collect();
        pairs.extend(cursor.map(|cursor| format!("cursor={cursor}")));
        if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
    };
    html! {
        @if next.is_some() || !first {
            nav.paginas aria-label="Páginas" {
                @if !first { a.boton href=(address(None)) { "Al principio" } }
                @if let Some(next) = next { a.boton href=(address(Some(next.to_string()))) rel="next" { "Más antiguos" } }
            }
        }
    }
}

/// One field of a form.
pub struct Field<'a> {
    pub name: &'a str,
    pub label: &'a str,
    pub value: &'a str,
    pub help: &'a str,
    /// In characters; 0: not limited here.
    pub max: usize,
    pub required: bool,
    /// Not said to be optional: whether it is depends on another field.
    pub unmarked: bool,
    /// Lines; 1 is a plain field.
    pub rows: u8,
    /// What tells its ids from those of another form of the page.
    pub scope: &'a str,
}

impl<'a> Field<'a> {
    pub fn new(name: &'a str, label: &'a str, value: &'a str) -> Self {
        Self { name, label, value, help: "", max: 0, required: false, unmarked: false, rows: 1, scope: "" }
    }

    pub fn help(self, help: &'a str) -> Self {
        Self { help, ..self }
    }

    pub fn max(self, max: usize) -> Self {
        Self { max, ..self }
    }

    pub fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub fn unmarked(self) -> Self {
        Self { unmarked: true, ..self }
    }

    pub fn rows(self, rows: u8) -> Self {
        Self { rows, ..self }
    }

    pub fn within(self, scope: &'a str) -> Self {
        Self { scope, ..self }
    }

    /// The field with what is wrong with it.
    pub fn show(&self, errors: &[FieldError]) -> Markup {
        let Self { name, label, value, help, max, required, unmarked, rows, scope } = *self;
        let id = if scope.is_empty() { name.to_owned() } else { format!("{scope}-{name}") };
        let wrong = error(errors, name);
        let max = (max > 0).then_some(max);
        let mut described = Vec::new();
        if !help.is_empty() {
            described.push(format!("{id}-ayuda"));
        }
        if wrong.is_some() {
            described.push(format!("{id}-error"));
        }
        let described = (!described.is_empty()).then(|| described.join(" "));
        html! {
            div.campo {
                label for=(id) { (label) @if !required && !unmarked { " " span.tenue { "(opcional)" } } }
                @if rows > 1 {
                    textarea id=(id) name=(name) rows=(rows) maxlength=[max] required[required]
                        aria-invalid=[wrong.map(|_| "true")] aria-describedby=[described.as_deref()] { (value) }
                } @else {
                    input id=(id) name=(name) value=(value) maxlength=[max] required[required] autocomplete="off"
                        aria-invalid=[wrong.map(|_| "true")] aria-describedby=[described.as_deref()];
                }
                @if !help.is_empty() { p.ayuda id=(format!("{id}-ayuda")) { (help) } }
                @if let Some(wrong) = wrong { p.error id=(format!("{id}-error")) { (wrong) } }
            }
        }
    }
}

/// What is wrong with a field, whatever object it is in.
pub fn error<'a>(errors: &'a [FieldError], name: &str) -> Option<&'a str> {
    errors.iter().find(|error| error.field == name).map(|error| error.detail.as_str())
}

/// What is wrong, above a form: those that `shown` fields do not tell themselves stand out in full.
pub fn errors(errors: &[FieldError]) -> Markup {
    html! {
        @if !errors.is_empty() {
            div.aviso.malo role="alert" {
                p { strong { "Todavía no: hay algo que corregir." } }
                ul { @for error in errors { li { (error.detail) } } }
            }
        }
    }
}
