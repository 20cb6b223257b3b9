//! How far the keys are used up: in the schemas in use they are `smallint`, and at 32,767 nothing can be added any more.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Conexion, Failure, Memory,
    schema::{KEY_WARN_PERCENT, SMALLINT_MAX, Table},
    session::Session,
    standing::Llave,
};
use crate::{
    exchange::{ALERTA, Exchange, notices::Noticia},
    store::EstadoWebhook,
};

/// How often they are looked at.
const EVERY: Duration = Duration::from_secs(3600);

impl Conexion {
    pub(super) async fn look_at_keys(
        &self,
        exchange: &Exchange,
        session: &Session,
        memory: &mut Memory,
    ) -> Result<(), Failure> {
        if memory.keys_seen.is_some_and(|at| at.elapsed() < EVERY) {
            return Ok(());
        }
        let mut keys = Vec::new();
        for table in session.schema.tables().filter(|table| table.key_is_smallint()) {
            let sql = format!("SELECT coalesce(max(\"{}\"), 0)::int8 FROM {}", table.key, table.full);
            let used: i64 = session.client.query_one(sql.as_str(), &[]).await?.try_get(0)?;
            let last = used.max(drawn(session, table).await?);
            keys.push(Llave { tabla: table.name, columna: table.key, ultima: last, maximo: SMALLINT_MAX });
        }
        for key in &keys {
            self.tell_key(exchange, key).await?;
        }
        self.known().llaves = keys;
        memory.keys_seen = Some(Instant::now());
        Ok(())
    }

    /// Told once when a key passes the mark, and once when it has room again.
    async fn tell_key(&self, exchange: &Exchange, key: &Llave) -> Result<(), Failure> {
        let sujeto = EstadoWebhook::id_for(&format!("{}:{}", self.options.place(), key.tabla));
        let scarce = key.por_agotarse();
        if !scarce && !exchange.avisado(sujeto).await? {
            return Ok(());
        }
        let Llave { tabla, columna, ultima, maximo } = key;
        let (estado, detalle) = match scarce {
            true => (
                "llave_por_agotarse",
                format!(
                    "La llave {columna} de {tabla} va por {ultima} de {maximo} (smallint): pasó el {KEY_WARN_PERCENT} %. Cuando se \
                     agote no se podrá agregar ninguna fila: quien administra la base de datos debe cambiarla a integer, con su \
                     secuencia y las columnas que la nombran"
                ),
            ),
            false => (
                "llave_con_espacio",
                format!("La llave {columna} de {tabla} vuelve a tener espacio ({ultima} de {maximo})"),
            ),
        };
        if scarce {
            tracing::warn!(
                tables = self.options.nombre,
                table = tabla,
                key = columna,
                last = ultima,
                "a key is running out"
            );
        }
        let entidad = Some(self.options.entidad.clone());
        let news = Noticia { tipo: ALERTA, sujeto, entidad, estado: estado.into(), detalle };
        exchange.avisar(news).await?;
        Ok(())
    }
}

/// The last key that was drawn: rows that were refused used theirs up. Zero where who asks may not know.
async fn drawn(session: &Session, table: &Table) -> Result<i64, Failure> {
    let sequence = match table.sequence() {
        Some(name) => format!("'{name}'"),
        None => format!("pg_get_serial_sequence('{}', '{}')", table.full, table.key),
    };
    let sql = format!("SELECT coalesce(pg_sequence_last_value({sequence}::regclass), 0)::int8");
    match session.client.query_one(sql.as_str(), &[]).await.and_then(|row| row.try_get(0)) {
        Ok(last) => Ok(last),
        Err(error) => match Failure::from(error) {
            failure if failure.of_this_row() => Ok(0),
            failure => Err(failure),
        },
    }
}
