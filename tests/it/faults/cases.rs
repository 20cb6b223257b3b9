//! The cases as data: each kind of fault on each operation of an exchange.

use serde_json::{Value, json};

/// What the histories have to say of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    /// The end was unclear and is on record as such.
    Unclear,
    /// There was nothing to notice.
    Clean,
    Either,
}

#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub operacion: &'static str,
    pub fault: Value,
    pub tells: Tells,
}

impl Case {
    /// The rules of the simulator that make the case, for the two ends that are its own.
    pub fn rules(&self, sender: &str, receiver: &str) -> Vec<Value> {
        let mut rule = self.fault.clone();
        rule["operacion"] = json!(self.operacion);
        rule["primeras"] = json!(1);
        match self.operacion {
            "cuo" => rule["remitente"] = json!(sender),
            _ => rule["entidad"] = json!(receiver),
        }
        let mut rules = vec![rule];
        if self.operacion == "consultar" {
            // Without an unclear end nobody asks.
            rules.push(json!({"falla": "corte", "operacion": "recepcionar", "receptora": receiver, "primeras": 1}));
        }
        rules
    }
}

/// Faults that any operation meets.
fn of_any() -> Vec<(Value, Tells)> {
    use Tells::{Clean, Either, Unclear};
    vec![
        (json!({"falla": "demora", "tiempo": "200ms"}), Clean),
        (json!({"falla": "demora", "tiempo": "6s"}), Unclear),
        (json!({"falla": "demora", "tiempo": "6s", "antes": true}), Unclear),
        (json!({"falla": "corte"}), Unclear),
        (json!({"falla": "corte", "entregada": false}), Unclear),
        (json!({"falla": "corte_a_medias"}), Unclear),
        (json!({"falla": "fallo_500"}), Unclear),
        (json!({"falla": "fallo_500", "entregada": false}), Unclear),
        (json!({"falla": "error_503"}), Unclear),
        (json!({"falla": "error_503", "entregada": true, "reintentar_en": "1s"}), Unclear),
        (json!({"falla": "html"}), Unclear),
        (json!({"falla": "html", "entregada": false}), Unclear),
        (json!({"falla": "vacia"}), Unclear),
        (json!({"falla": "vacia", "entregada": false}), Unclear),
        (json!({"falla": "nula"}), Unclear),
        (json!({"falla": "codigo", "valor": ""}), Unclear),
        (json!({"falla": "codigo", "valor": "-1", "texto": ""}), Unclear),
        (json!({"falla": "gzip"}), Clean),
        (json!({"falla": "cierra_conexion"}), Clean),
        (json!({"falla": "charset", "declarado": "ISO-8859-1", "real": "UTF-8"}), Either),
        (json!({"falla": "charset", "declarado": "UTF-8", "real": "ISO-8859-1"}), Either),
    ]
}

/// Faults of the three operations that carry a code with a text.
fn of_messages() -> Vec<(Value, Tells)> {
    use Tells::{Clean, Unclear};
    vec![
        (json!({"falla": "codigo", "valor": "9999", "texto": "ALGO"}), Unclear),
        (json!({"falla": "codigo", "valor": "null"}), Unclear),
        (json!({"falla": "codigo", "valor": " 0000 "}), Clean),
        (json!({"falla": "sin_vdesres"}), Clean),
        (json!({"falla": "caida"}), Unclear),
        (json!({"falla": "reloj", "desfase": "3days"}), Clean),
    ]
}

fn of_one(operacion: &str) -> Vec<(Value, Tells)> {
    use Tells::{Clean, Either};
    let doubled = || {
        vec![
            (json!({"falla": "duplicada"}), Clean),
            (json!({"falla": "duplicada", "copias": 5, "a_la_vez": true}), Clean),
        ]
    };
    match operacion {
        "recepcionar" => [doubled(), vec![(json!({"falla": "cargo_antes", "tiempo": "4s"}), Either)]].concat(),
        "cargo" => {
            let back = json!({"falla": "reloj", "desfase": "-400days"});
            [doubled(), vec![(json!({"falla": "cargo_distinto"}), Clean), (back, Clean)]].concat()
        }
        _ => Vec::new(),
    }
}

pub fn all() -> Vec<Case> {
    let mut all = Vec::new();
    for operacion in ["cuo", "recepcionar", "cargo", "consultar"] {
        let mut faults = of_any();
        if operacion != "cuo" {
            faults.extend(of_messages());
        }
        faults.extend(of_one(operacion));
        for (fault, tells) in faults {
            let name = format!("{operacion} {fault}");
            all.push(Case { name, operacion, fault, tells });
        }
    }
    all
}
