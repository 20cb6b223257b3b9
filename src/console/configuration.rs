//! The configuration in force, each key with where it was set. Nothing is changed here.

use axum::extract::State;
use maud::{Markup, html};

use super::{
    Console,
    door::{Permiso, Visit},
    failure::Fault,
    layout,
};
use crate::config::Setting;

pub async fn show(State(console): State<Console>, visit: Visit) -> Result<Markup, Fault> {
    visit.exige(Permiso::Operar)?;
    // It is of the whole service: who is of one entity does not see the others'.
    if visit.acceso.entidad.is_some() {
        return Err(Fault::forbidden());
    }
    let settings = &console.settings;
    Ok(layout::page(
        &console,
        &visit,
        "Configuración",
        html! {
            p.migas { a href="/operacion" { "Operación" } }
            h1 { "Configuración en uso" }
            p.tenue { "Como la usa el servicio ahora, y dónde se fijó cada clave cuando arrancó. Los secretos no se muestran. Se cambia en el archivo o en el ambiente, no aquí." }
            @for section in sections(settings) {
                @let (name, rows) = section;
                section.tarjeta {
                    h2 { @if name.is_empty() { "General" } @else { "[" (name) "]" } }
                    div.desplaza tabindex="0" role="region" aria-label={ "Configuración de " (if name.is_empty() { "general" } else { name }) } { table {
                        thead { tr { th scope="col" { "Clave" } th scope="col" { "Valor" } th scope="col" { "Fijada en" } } }
                        tbody { @for setting in rows {
                            tr {
                                th scope="row" { code { (setting.key) } }
                                td { @match &setting.value { Some(value) => (value), None => span.tenue { "sin definir" } } }
                                td { @match &setting.origin { Some(origin) => code { (origin) }, None => span.tenue { "valor por omisión" } } }
                            }
                        } }
                    } }
                }
            }
            @if settings.is_empty() { div.vacio { p { strong { "Este servicio no dice su configuración." } } } }
        },
    ))
}

/// The keys by the section they stand in, in the order of their keys.
fn sections(settings: &[Setting]) -> Vec<(&str, Vec<&Setting>)> {
    let mut found: Vec<(&str, Vec<&Setting>)> = Vec::new();
    let section = |setting: &'_ Setting| setting.key.find('.').unwrap_or(0);
    for setting in settings {
        let name = setting.key.get(..section(setting)).unwrap_or_default();
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, rows)) => rows.push(setting),
            None => found.push((name, vec![setting])),
        }
    }
    found
}
