//! Every operation of the document, with every role, and with a key of another entity.

use super::*;
use crate::{
    http::{Code, auth},
    sgd::rest::openapi::operation::Operacion,
};

const ROLES: [Rol; 5] = [Rol::Sgd, Rol::MesaDePartes, Rol::Operador, Rol::Auditor, Rol::Admin];

/// A counterpart that only entity A sends to.
const SOLO_DE_A: &str = "20900000999";

/// What entity A has, by which its data are known in an answer.
struct Owned {
    despacho: String,
    recepcion: String,
    trabajo: String,
    clave: String,
}

async fn owned(world: &World) -> Owned {
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let made = world.post(&key, "/api/v1/despachos", &despacho("SOLO-DE-A", &pdf(2000))).await.json();
    let recepcion = world.arrival("71").await;
    let cola = world.get(&key, "/api/v1/cola").await.json();
    world.exchange.health().took(&ruc(SOLO_DE_A), &ruc(RUC_A), world.exchange.now());
    let claves = world.exchange.claves().await.unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Owned {
        despacho: text(&made["id"]),
        recepcion,
        trabajo: text(&cola["items"][0]["id"]),
        clave: claves[0].id.to_string(),
    }
}

impl Owned {
    /// The operation's address with what A has in it.
    fn address(&self, operacion: &Operacion) -> String {
        let id = match operacion.seccion().split([':', ' ']).next().unwrap() {
            "Despachos" => &self.despacho,
            "Recepciones" => &self.recepcion,
            "Cola" => &self.trabajo,
            _ => &self.clave,
        };
        operacion
            .ruta
            .replace("{id}", id)
            .replace("{ruc}", RUC_DESTINO)
            .replace("{nombre}", "sgd")
            .replace("{sha256}", &"0".repeat(64))
    }

    fn marks(&self) -> [&str; 7] {
        [&self.despacho, &self.recepcion, &self.trabajo, &self.clave, "SOLO-DE-A", RUC_A, SOLO_DE_A]
    }
}

async fn ask(world: &World, key: &str, operacion: &Operacion, address: &str) -> Answer {
    let body = operacion.cuerpo.map_or(Value::Null, |cuerpo| serde_json::from_str(cuerpo.ejemplo).unwrap());
    world.send(request(operacion.metodo.clone(), address, key, &body)).await
}

/// Of those behind a key: all but streams, which have no end.
fn protected() -> Vec<Operacion> {
    routes::operaciones().into_iter().filter(|operacion| operacion.grupo.is_some()).collect()
}

#[tokio::test]
async fn every_operation_is_open_to_its_roles_and_to_no_other() {
    let world = world();
    let owned = owned(&world).await;
    let mut keys = Vec::new();
    for rol in ROLES {
        // What is of the whole daemon is for an administrator of all entities.
        keys.push((rol, world.key(rol, Some(RUC_A).filter(|_| rol != Rol::Admin)).await));
    }
    for operacion in protected() {
        let address = owned.address(&operacion);
        let named = format!("{} {}", operacion.metodo, operacion.ruta);
        let without = ask(&world, "", &operacion, &address).await;
        assert_eq!((without.status.as_u16(), without.code().as_str()), (401, "clave_requerida"), "{named}");
        for (rol, key) in &keys {
            // A key that revokes itself ends the test early.
            if operacion.metodo == Method::DELETE && *rol == Rol::Admin {
                continue;
            }
            let answer = ask(&world, key, &operacion, &address).await;
            let refused = answer.status == 403 && answer.code() == "permiso_insuficiente";
            let allowed = operacion.grupo.unwrap().permite(*rol);
            assert_eq!(refused, !allowed, "{named} as {}: {}", auth::rol(*rol), answer.status);
            assert_ne!(answer.status, 500, "{named} as {}", auth::rol(*rol));
            assert_ne!(answer.status, 405, "{named}");
            if answer.status == 404 {
                assert_ne!(answer.code(), "ruta_no_existe", "{named}");
            }
        }
    }
}

#[tokio::test]
async fn no_operation_answers_or_changes_what_another_entity_has() {
    let world = world();
    let owned = owned(&world).await;
    let facts_before = world.exchange.store().facts(Default::default(), Some(&ruc(RUC_A)), 500).await.unwrap().len();
    for rol in ROLES {
        let key = world.key(rol, Some(RUC_B)).await;
        for operacion in protected().into_iter().filter(|operacion| operacion.grupo.unwrap().permite(rol)) {
            let named = format!("{} {} as {} of another entity", operacion.metodo, operacion.ruta, auth::rol(rol));
            let answer = ask(&world, &key, &operacion, &owned.address(&operacion)).await;
            if operacion.ruta.contains("{id}") {
                assert_eq!(answer.code(), "no_existe", "{named}");
                continue;
            }
            let text = String::from_utf8_lossy(&answer.body);
            // The directory is everybody's.
            let own = |mark: &&str| *mark != RUC_A || !operacion.ruta.contains("/entidades");
            for mark in owned.marks().into_iter().filter(own) {
                assert!(!text.contains(mark), "{named}: {mark} in {text}");
            }
            // Asking for the other by name opens nothing.
            if operacion.parametros.contains(&"entidad") {
                let asked = ask(&world, &key, &operacion, &format!("{}?entidad={RUC_A}", operacion.ruta)).await;
                assert_eq!(asked.code(), Code::EntidadNoPermitida.word(), "{named}");
            }
        }
    }
    let facts = world.exchange.store().facts(Default::default(), Some(&ruc(RUC_A)), 500).await.unwrap();
    assert_eq!(facts.len(), facts_before, "nothing happened to A: {:?}", facts.last());
}

#[tokio::test]
async fn the_page_and_the_document_need_no_key_and_are_what_they_say() {
    let world = world();
    for (path, kind) in [
        ("/api/docs", "text/html; charset=utf-8"),
        ("/api/docs/estilo.css", "text/css; charset=utf-8"),
        ("/api/openapi.json", "application/json"),
    ] {
        let answer = world.get("", path).await;
        assert_eq!((answer.status.as_u16(), answer.headers["content-type"].to_str().unwrap()), (200, kind));
    }
    let page = world.get("", "/api/docs").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
    let document = world.get("", "/api/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let operations: usize = document["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum();
    assert_eq!(operations, routes::operaciones().len());
}
