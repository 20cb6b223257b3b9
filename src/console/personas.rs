//! Personas: who may enter, made and changed by whoever administers.

use axum::{
    extract::{Path, Request, State},
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use maud::{Markup, html};

use super::{
    Console,
    door::{Permiso, Visit},
    failure::Fault,
    forms::{self, Sent},
    layout::{self, Field},
    words,
};
use crate::{
    domain::{Id, Ruc},
    exchange::usuarios::{CUENTA_MAX, NOMBRE_MAX, NuevoUsuario},
    http::FieldError,
    store::{Rol, Usuario},
};

const ROLES: [(&str, Rol); 4] = [
    ("mesa_de_partes", Rol::MesaDePartes),
    ("operador", Rol::Operador),
    ("auditor", Rol::Auditor),
    ("admin", Rol::Admin),
];

/// The password that was just made for an account.
struct Made<'a> {
    cuenta: &'a str,
    contrasena: &'a str,
}

pub async fn list(State(console): State<Console>, visit: Visit) -> Result<Markup, Fault> {
    visit.exige(Permiso::Administrar)?;
    page(&console, &visit, &Sent::default(), &[], None).await
}

/// Whether the person that administers may see another: one limited to an entity sees those of that entity alone.
fn reaches(visit: &Visit, person: &Usuario) -> bool {
    visit.acceso.entidad.is_none() || person.entidad.as_ref().is_some_and(|ruc| visit.acceso.alcanza(ruc))
}

async fn page(
    console: &Console,
    visit: &Visit,
    sent: &Sent,
    errors: &[FieldError],
    made: Option<Made<'_>>,
) -> Result<Markup, Fault> {
    let mut people = console.exchange.usuarios().await?;
    people.retain(|person| reaches(visit, person));
    let settings = console.exchange.settings();
    let ours: Vec<_> = settings.entidades.iter().filter(|own| visit.acceso.alcanza(&own.ruc)).collect();
    // Where there is one, it is meant, until somebody says «all».
    let chosen = match ours.as_slice() {
        [one] if sent.textos.is_empty() => one.ruc.as_str(),
        _ => sent.text("entidad"),
    };
    Ok(layout::page(
        console,
        visit,
        "Personas",
        html! {
            h1 { "Personas" }
            @if let Some(made) = &made {
                (layout::notice(words::GOOD, html! {
                    p { "La contraseña provisional de " strong { (made.cuenta) } " es:" }
                    p { code { (made.contrasena) } }
                    p { "Désela ahora: no se volverá a mostrar. Al ingresar se le pedirá otra." }
                }))
            }
            div.desplaza tabindex="0" role="region" aria-label="Personas" { table {
                thead { tr { th scope="col" { "Cuenta" } th scope="col" { "Nombre" } th scope="col" { "Rol" } th scope="col" { "Entidad" } th scope="col" { "Estado" } th scope="col" { "Acciones" } } }
                tbody { @for person in &people { (row(visit, person)) } }
            } }
            section.tarjeta.estrecho aria-labelledby="nueva" {
                h2 #nueva { "Nueva persona" }
                form method="post" action="/personas" enctype="multipart/form-data" {
                    (layout::token(visit))
                    (layout::errors(errors))
                    (Field::new("cuenta", "Cuenta", sent.text("cuenta")).max(CUENTA_MAX).required().help("Con la que ingresará, por ejemplo rnahui").show(errors))
                    (Field::new("nombre", "Nombre", sent.text("nombre")).max(NOMBRE_MAX).required().help("Como figurará en los cargos que emita").show(errors))
                    div.campos {
                        div.campo { label for="rol" { "Rol" } select #rol name="rol" { @for (word, rol) in ROLES { option value=(word) selected[word == sent.text("rol")] { (words::rol(rol)) } } } }
                        div.campo { label for="entidad" { "Entidad" } select #entidad name="entidad" {
                            @if visit.acceso.entidad.is_none() { option value="" { "Todas (no para mesa de partes)" } }
                            @for own in &ours {
                                option value=(own.ruc.as_str()) selected[own.ruc.as_str() == chosen] { (own.nombre) }
                            }
                        } }
                    }
                    @if let Some(wrong) = layout::error(errors, "entidad") { p.error { (wrong) } }
                    button.boton.principal type="submit" { "Crear" }
                }
            }
        },
    ))
}

fn row(visit: &Visit, person: &Usuario) -> Markup {
    let disabled = person.deshabilitado_en.is_some();
    let act = |what: &str, label: &str, class: &str| {
        html! { form method="post" action={ "/personas/" (person.id) "/" (what) } enctype="multipart/form-data" {
            (layout::token(visit)) button class={ "boton menor " (class) } type="submit" { "Sí, " (label) span.oculto { " a " (person.cuenta) } }
        } }
    };
    // Opened first, and only then pressed: neither can be undone by pressing again.
    let ask = |what: &str, title: &str, label: &str, class: &str, means: &str| {
        html! { details.confirma name={ "decidir-" (person.id) } {
            summary { (title) span.oculto { " a " (person.cuenta) } }
            p.ayuda { (means) }
            (act(what, label, class))
        } }
    };
    html! { tr {
        th.fijo scope="row" { (person.cuenta) }
        td { (person.nombre) }
        td { (words::rol(person.rol)) }
        td.fijo { @match &person.entidad { Some(ruc) => (ruc), None => "Todas" } }
        td { @if person.deshabilitado_en.is_some() { (layout::badge(("Deshabilitada", words::BAD))) }
            @else if person.contrasena.provisional { (layout::badge(("Contraseña provisional", words::FAIR))) }
            @else { (layout::badge(("Activa", words::GOOD))) } }
        td { @if person.id != visit.usuario.id {
            @if disabled {
                (ask("restablecer", "Habilitar otra vez", "habilitarla con otra contraseña", "", "Podrá ingresar con una contraseña provisional, que se mostrará una sola vez."))
            } @else {
                (ask("restablecer", "Dar otra contraseña", "dar otra contraseña", "", "La que tiene deja de servir y sus sesiones terminan. Se mostrará una provisional, una sola vez."))
                (ask("deshabilitar", "Deshabilitar", "deshabilitar", "peligro", "Sus sesiones terminan y no podrá ingresar. Para habilitarla después, pulse aquí mismo «Habilitar otra vez»: se le da otra contraseña."))
            }
        } }
    } }
}

pub async fn create(State(console): State<Console>, visit: Visit, request: Request) -> Result<Response, Fault> {
    visit.exige(Permiso::Administrar)?;
    let sent = forms::read(&console.exchange, &visit.csrf, request).await?;
    let rol = ROLES.iter().find(|(word, _)| *word == sent.text("rol")).map(|(_, rol)| *rol);
    let rol = rol.ok_or_else(|| Fault::wrong("Ese rol no existe"))?;
    let entidad = sent.some("entidad").map(|text| Ruc::de_contraparte(&text)).transpose();
    let entidad = entidad.map_err(|error| Fault::wrong(error.to_string()))?;
    let entidad = entidad.or_else(|| visit.acceso.entidad.clone());
    if entidad.as_ref().is_some_and(|ruc| !visit.acceso.alcanza(ruc)) {
        return Err(Fault::forbidden());
    }
    let nuevo = NuevoUsuario { cuenta: sent.text("cuenta").into(), nombre: sent.text("nombre").into(), rol, entidad };
    match console.exchange.crear_usuario(visit.actor(), nuevo, None).await {
        Ok((made, person)) => {
            let made = made.as_ref().map(|text| Made { cuenta: &person.cuenta, contrasena: text });
            Ok(page(&console, &visit, &Sent::default(), &[], made).await?.into_response())
        }
        Err(error) => {
            let errors = Fault::from(error).fields()?;
            let page = page(&console, &visit, &sent, &errors, None).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

pub async fn decide(
    State(console): State<Console>,
    visit: Visit,
    Path((id, what)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Fault> {
    visit.exige(Permiso::Administrar)?;
    forms::read(&console.exchange, &visit.csrf, request).await?;
    let missing = || Fault::missing("esa persona");
    let id: Id = id.parse().map_err(|_| missing())?;
    let person = console.exchange.store().usuario(id).await?.filter(|person| reaches(&visit, person));
    let person = person.ok_or_else(missing)?;
    match what.as_str() {
        "restablecer" => {
            let (made, person) = console.exchange.restablecer_usuario(visit.actor(), person.id, None).await?;
            let made = made.as_ref().map(|text| Made { cuenta: &person.cuenta, contrasena: text });
            Ok(page(&console, &visit, &Sent::default(), &[], made).await?.into_response())
        }
        "deshabilitar" => {
            console.exchange.deshabilitar_usuario(visit.actor(), person.id).await?;
            Ok(Redirect::to("/personas").into_response())
        }
        _ => Err(Fault::missing("esa acción")),
    }
}
