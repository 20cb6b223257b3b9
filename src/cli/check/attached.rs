//! What the service uses: identities, API keys, webhooks, tables, and the timestamp authority.

use serde_json::Value;

use super::{Hallazgo, World};
use crate::{
    cli::{client::Api, identities, watch::days_left},
    config::Entity,
    domain::lima,
    signing::timestamp::Timestamper,
};

/// Days before the end of a certificate that are a worry.
const DAYS_WARNING: i64 = 30;

pub async fn attached(world: &World) -> Vec<Hallazgo> {
    let mut found = Vec::new();
    for entity in &world.config().entity {
        found.push(identity(world, entity.clone()).await);
    }
    found.push(tsa(world).await);
    found.push(backup(world).await);
    match &world.api {
        Some(api) => {
            found.push(keys(api).await);
            found.extend(told(api).await);
        }
        None => found.push(Hallazgo::omitida("claves", "claves y avisos", "el servicio no está en marcha")),
    }
    found
}

async fn identity(world: &World, entity: Entity) -> Hallazgo {
    let (key, name) = ("identidades", format!("identidad de {}", entity.ruc));
    let read = tokio::task::spawn_blocking(move || identities::identity(&entity)).await;
    let identity = match read.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(Some(identity)) => identity,
        Ok(None) => return Hallazgo::omitida(key, name, "no tiene: su SGD da los cargos ya firmados"),
        Err(why) => return Hallazgo::falla(key, name, why).remedio("Corrija identity.file o identity.password_file"),
    };
    let end = lima::texto(identity.valida_hasta());
    let remedy = "Pida otro certificado a su entidad de certificación y póngalo en identity.file";
    match days_left(identity.valida_hasta(), world.now) {
        _ if !identity.vigente(world.now) => {
            Hallazgo::falla(key, name, format!("su certificado no está vigente; vale hasta el {end}")).remedio(remedy)
        }
        days if days < DAYS_WARNING => {
            Hallazgo::advertencia(key, name, format!("su certificado vence el {end}, en {days} días")).remedio(remedy)
        }
        _ => Hallazgo::bien(key, name, format!("su certificado vale hasta el {end}")),
    }
}

async fn tsa(world: &World) -> Hallazgo {
    let (key, name) = ("tsa", "sellado de tiempo");
    let client = match identities::timestamper(world.config()) {
        None => return Hallazgo::omitida(key, name, "no está configurado: se firma sin sello de tiempo"),
        Some(Err(why)) => return Hallazgo::falla(key, name, why).remedio("Corrija [tsa] url"),
        Some(Ok(client)) => client,
    };
    let digest = openssl::sha::sha256(b"chasqui check");
    let asked = tokio::task::spawn_blocking(move || client.stamp(&digest)).await;
    match asked.map_err(|error| error.to_string()).and_then(|asked| asked.map_err(|error| error.to_string())) {
        Ok(stamp) => Hallazgo::bien(key, name, format!("{} sella", stamp.authority)),
        Err(why) => Hallazgo::advertencia(key, name, format!("no sella: {why}; mientras tanto se firma sin sello"))
            .remedio("Revise [tsa] url y policy, y que el cortafuegos deje salir hacia ella"),
    }
}

async fn backup(world: &World) -> Hallazgo {
    let (key, name, backup) = ("respaldo", "copia de respaldo", &world.config().backup);
    let Some(to) = backup.to.clone() else {
        return Hallazgo::advertencia(key, name, "no se hace ninguna").remedio("Escriba [backup] to: docs/respaldo.md");
    };
    let (place, now) = (to.clone(), world.now);
    let age = tokio::task::spawn_blocking(move || crate::cli::backup::age(&place, now)).await.ok().flatten();
    let remedy =
        format!("Pruebe: chasqui store backup; y que el usuario del servicio pueda escribir en {}", to.display());
    match age {
        None => {
            Hallazgo::falla(key, name, format!("no hay ninguna en {} que se pueda leer", to.display())).remedio(remedy)
        }
        Some(age) => {
            let told = format!("la última es de hace {} h", age.as_secs() / 3600);
            match age {
                age if age > backup.every * 7 => Hallazgo::falla(key, name, told).remedio(remedy),
                age if age > backup.every * 2 => Hallazgo::advertencia(key, name, told).remedio(remedy),
                _ => Hallazgo::bien(key, name, told),
            }
        }
    }
}

async fn keys(api: &Api) -> Hallazgo {
    let (key, name) = ("claves", "claves de API");
    match api.get("/api/v1/admin/api-keys").await {
        Err(failure) => Hallazgo::falla(key, name, failure.message().to_owned()),
        Ok(list) => {
            let items = list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let active = items.iter().filter(|item| item.get("revocada_en").is_none_or(Value::is_null)).count();
            if active == 0 {
                Hallazgo::advertencia(key, name, "ninguna está en vigor: ningún SGD puede entrar")
                    .remedio("chasqui api-key create --name SGD --role sgd")
            } else {
                Hallazgo::bien(key, name, format!("{active} en vigor"))
            }
        }
    }
}

/// Webhooks and tables, as the service sees them.
async fn told(api: &Api) -> Vec<Hallazgo> {
    let health = match api.get("/api/v1/salud").await {
        Ok(health) => health,
        Err(failure) => return vec![Hallazgo::falla("webhooks", "avisos", failure.message().to_owned())],
    };
    let of = |member: &str| health.get(member).and_then(Value::as_array).cloned().unwrap_or_default();
    let webhooks = of("webhooks");
    let tables = of("tablas");
    let mut found = Vec::with_capacity(webhooks.len() + tables.len());
    found.extend(webhooks.iter().map(|one| standing("webhooks", "webhook", one)));
    found.extend(tables.iter().map(|one| standing("tablas", "tablas", one)));
    found
}

/// One of those, by the words in which its state is told.
fn standing(key: &'static str, kind: &str, one: &Value) -> Hallazgo {
    let text = |member: &str| one.get(member).and_then(Value::as_str).unwrap_or_default();
    let (name, last) = (text("nombre"), text("ultimo_error"));
    let (shown, state) = (format!("{kind} {name}"), text("situacion"));
    let why = if last.is_empty() { String::new() } else { format!(": {last}") };
    let remedy = match key {
        "webhooks" => format!("Pruébelo: chasqui webhook ping {name}"),
        _ => "Revise la base de datos de [[tables]]: dirección, usuario y permisos".to_owned(),
    };
    match state {
        "bien" => Hallazgo::bien(key, shown, "al día"),
        "otro_servicio" => Hallazgo::bien(key, shown, "las atiende otro servicio del mismo almacén"),
        "con_errores" => Hallazgo::advertencia(key, shown, format!("algunos documentos no pasan{why}")).remedio(remedy),
        "en_pausa" | "sin_conexion" => Hallazgo::falla(key, shown, format!("no recibe nada{why}")).remedio(remedy),
        other => Hallazgo::advertencia(key, shown, format!("{other}{why}")).remedio(remedy),
    }
}
