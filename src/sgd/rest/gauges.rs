//! How counterparts are doing, for `/metrics`: gauges by RUC, of those that are down and those most lately tried, and no more, so
//! that the page is bounded however many there are.

use std::fmt::Write;

use jiff::Timestamp;

use crate::{
    exchange::health::{Circuito, Salud, SaludPlataforma},
    sgd::{
        tables::{TablasSituacion, TablasView},
        webhook::{Situacion, WebhookView},
    },
    store::{JobKind, Stage, Standing},
};

/// Most counterparts on the page.
pub const DESTINATIONS_MAX: usize = 200;

type Value = fn(&Salud) -> Option<f64>;

const FAMILIES: [(&str, &str, Value); 7] = [
    ("circuit", "0 works, 1 is being probed, 2 is left alone", |s| Some(circuit(s.circuito))),
    ("failures_in_a_row", "Attempts that failed since the last answer", |s| Some(f64::from(s.fallos_seguidos))),
    ("errors_since_seconds", "Since when every attempt ended badly, answered or not", |s| s.errores_desde.map(seconds)),
    ("down_since_seconds", "Since when nothing has worked", |s| s.caida_desde.map(seconds)),
    ("last_success_seconds", "When it answered last", |s| s.ultimo_exito.map(seconds)),
    ("latency_p50_seconds", "Median time of an answer over the last attempts", |s| s.p50_ms.map(milliseconds)),
    ("latency_p95_seconds", "95th percentile of the same", |s| s.p95_ms.map(milliseconds)),
];

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn milliseconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

fn circuit(circuito: Circuito) -> f64 {
    match circuito {
        Circuito::Cerrado => 0.0,
        Circuito::Probando => 1.0,
        Circuito::Abierto => 2.0,
    }
}

/// Whether nothing is taken in or sent on the word of a person.
pub fn add_maintenance(page: &mut String, active: bool) {
    let text = format!(
        "# HELP chasqui_maintenance Whether maintenance is in force.\n# TYPE chasqui_maintenance gauge\nchasqui_maintenance {}\n",
        u8::from(active)
    );
    insert(page, &text);
}

/// The platform's own gauges.
pub fn add_platform(page: &mut String, pide: &SaludPlataforma) {
    let families = [
        ("circuit", "0 works, 1 is being probed, 2 everything is paused", Some(circuit(pide.circuito))),
        ("down_since_seconds", "Since when it cannot be reached", pide.caida_desde.map(seconds)),
        ("next_probe_seconds", "When it is tried again", pide.proxima_prueba.map(seconds)),
        ("last_success_seconds", "When it answered last", pide.ultimo_exito.map(seconds)),
    ];
    let mut text = String::new();
    for (name, help, value) in families {
        let name = format!("chasqui_platform_{name}");
        let _ = writeln!(text, "# HELP {name} {help}.\n# TYPE {name} gauge");
        if let Some(value) = value {
            let _ = writeln!(text, "{name} {value}");
        }
    }
    insert(page, &text);
}

/// How long the queues are: every kind and stage, also those of which there is none.
pub fn add_queue(page: &mut String, standing: &[Standing], now: Timestamp) {
    let kinds = [
        (JobKind::Despachar, "despachar"),
        (JobKind::EntregarCargo, "entregar_cargo"),
        (JobKind::PreguntarCargo, "preguntar_cargo"),
    ];
    let stages =
        [(Stage::New, "new"), (Stage::Waiting, "waiting"), (Stage::UnderWay, "under_way"), (Stage::Dead, "dead")];
    let families = [("jobs", "Deliveries by kind and stage"), ("oldest_age_seconds", "Age of the oldest of them")];
    let mut text = String::new();
    for (name, help) in families {
        let _ = writeln!(text, "# HELP chasqui_queue_{name} {help}.\n# TYPE chasqui_queue_{name} gauge");
        for ((kind, kind_name), (stage, stage_name)) in kinds.iter().flat_map(|k| stages.iter().map(move |s| (k, s))) {
            let found = standing.iter().find(|s| s.kind == *kind && s.stage == *stage);
            let value = match (name, found) {
                ("jobs", found) => found.map_or(0, |s| s.jobs),
                (_, Some(s)) => u64::try_from(now.duration_since(s.oldest).as_secs()).unwrap_or(0),
                (_, None) => 0,
            };
            let _ = writeln!(text, "chasqui_queue_{name}{{kind=\"{kind_name}\",stage=\"{stage_name}\"}} {value}");
        }
    }
    insert(page, &text);
}

/// How the webhooks are doing, by name. Names come from the configuration.
pub fn add_webhooks(page: &mut String, all: &[WebhookView], now: Timestamp) {
    type Value = fn(&WebhookView, Timestamp) -> f64;
    fn count<N: TryInto<u32>>(n: N) -> f64 {
        f64::from(n.try_into().unwrap_or(u32::MAX))
    }
    let families: [(&str, &str, Value); 7] = [
        ("paused", "1 while it is left alone", |w, _| count(u32::from(w.situacion == Situacion::EnPausa))),
        ("lag_events", "Events of the feed not told yet, up to 1000", |w, _| count(w.atraso)),
        ("held_exchanges", "Exchanges behind because an event failed", |w, _| count(w.retenidos)),
        ("oldest_age_seconds", "Age of the oldest thing not told", |w, now| {
            w.atrasado_desde.map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0))
        }),
        ("delivered", "Events delivered since the start", |w, _| count(w.entregados)),
        ("failed", "Attempts that failed since the start", |w, _| count(w.fallidos)),
        ("given_up", "Events given up since the start", |w, _| count(w.abandonados)),
    ];
    let mut text = String::new();
    for (name, help, value) in families {
        let _ = writeln!(text, "# HELP chasqui_webhook_{name} {help}.\n# TYPE chasqui_webhook_{name} gauge");
        for one in all {
            let _ = writeln!(text, "chasqui_webhook_{name}{{name=\"{}\"}} {}", one.nombre, value(one, now));
        }
    }
    insert(page, &text);
}

/// How work on the SGDs' tables is going, by name. Names come from the configuration.
pub fn add_tables(page: &mut String, all: &[TablasView]) {
    type Value = fn(&TablasView) -> f64;
    fn count<N: TryInto<u32>>(n: N) -> f64 {
        f64::from(n.try_into().unwrap_or(u32::MAX))
    }
    let families: [(&str, &str, Value); 11] = [
        ("connected", "1 while the database is reached", |t| {
            count(u32::from(matches!(t.situacion, TablasSituacion::Bien | TablasSituacion::ConErrores)))
        }),
        ("lag_events", "Events of the feed not written yet, up to 1000", |t| count(t.atraso)),
        ("held_exchanges", "Exchanges that the database refuses", |t| count(t.retenidos)),
        ("rows_to_send", "Rows that wait for the platform", |t| count(t.por_enviar)),
        ("rows_to_deliver", "Answered rows whose cargo is not delivered", |t| count(t.por_entregar)),
        ("rows_failed", "Rows that wait for a correction, up to 20", |t| count(t.filas_con_error.len())),
        ("rows_unknown", "Answered rows of documents not known here", |t| count(t.desconocidas)),
        ("handed_over", "Rows handed over since the start", |t| count(t.despachados)),
        ("received", "Documents written since the start", |t| count(t.recibidos)),
        ("answered", "Answers taken since the start", |t| count(t.cargos)),
        ("texts_cut", "Rows of which a text did not fit, since the start", |t| count(t.recortes)),
    ];
    let mut text = String::new();
    for (name, help, value) in families {
        let _ = writeln!(text, "# HELP chasqui_tables_{name} {help}.\n# TYPE chasqui_tables_{name} gauge");
        for one in all {
            let _ = writeln!(text, "chasqui_tables_{name}{{name=\"{}\"}} {}", one.nombre, value(one));
        }
    }
    let help = "Share of a smallint key that is used up";
    let _ = writeln!(text, "# HELP chasqui_tables_key_used_ratio {help}.\n# TYPE chasqui_tables_key_used_ratio gauge");
    for (one, key) in all.iter().flat_map(|one| one.llaves.iter().map(move |key| (one, key))) {
        let used = count(key.ultima.max(0)) / count(key.maximo.max(1));
        let _ =
            writeln!(text, "chasqui_tables_key_used_ratio{{name=\"{}\",table=\"{}\"}} {used}", one.nombre, key.tabla);
    }
    insert(page, &text);
}

/// Puts metrics before the end of the page.
fn insert(page: &mut String, text: &str) {
    let end = page.rfind("# EOF").unwrap_or(page.len());
    page.insert_str(end, text);
}

/// The gauges in the text format of OpenMetrics, put before the end of `page`.
pub fn add_to(page: &mut String, mut all: Vec<Salud>) {
    // Those that are down are what people look for, and are tried ever more seldom.
    all.sort_by_key(|s| std::cmp::Reverse((s.caida_desde.is_some(), s.ultimo_exito.max(s.ultimo_fallo))));
    all.truncate(DESTINATIONS_MAX);
    all.sort_by(|a, b| a.ruc.cmp(&b.ruc));
    let mut text = String::new();
    for (name, help, value) in FAMILIES {
        let name = format!("chasqui_destination_{name}");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}.\n# TYPE {name} gauge");
        for salud in &all {
            if let Some(value) = value(salud) {
                let _ = writeln!(text, "{name}{{ruc=\"{}\"}} {value}", salud.ruc);
            }
        }
    }
    insert(page, &text);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        domain::{Id, Ruc},
        exchange::health::{BreakerPolicy, Health, Outcome},
    };

    #[test]
    fn each_counterpart_has_its_gauges_and_the_page_its_end_and_its_bound() {
        let health = Health::new(BreakerPolicy::default());
        let at = |n: i64| Timestamp::from_second(1_790_000_000 + n).unwrap();
        let ruc = |n: i64| Ruc::de_contraparte(&format!("{:011}", 20_000_000_000 + n)).unwrap();
        for n in 0..=i64::try_from(DESTINATIONS_MAX).unwrap() {
            health.record(&ruc(n), Id::from_u128(1), Outcome::Answered, Duration::from_millis(250), at(n));
        }
        health.record(&ruc(7), Id::from_u128(1), Outcome::Failed("no".into()), Duration::ZERO, at(500));
        let mut page = "a 1\n# EOF\n".to_owned();
        add_to(&mut page, health.todas(None, at(500)));
        for line in [
            "chasqui_destination_circuit{ruc=\"20000000007\"} 0",
            "chasqui_destination_failures_in_a_row{ruc=\"20000000007\"} 1",
            "chasqui_destination_down_since_seconds{ruc=\"20000000007\"} 1790000500",
            "chasqui_destination_latency_p95_seconds{ruc=\"20000000100\"} 0.25",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in {page}");
        }
        assert!(page.starts_with("a 1\n# HELP") && page.ends_with("# EOF\n"));
        assert!(!page.contains("20000000000"), "the one tried longest ago is left out");
        let down = ruc(999);
        health.record(&down, Id::from_u128(1), Outcome::Failed("no".into()), Duration::ZERO, at(-9000));
        let mut page = String::new();
        add_to(&mut page, health.todas(None, at(500)));
        assert!(page.contains(down.as_str()), "but not one that is down");
    }
}
