//! What a good client feels while others attack: its time for 20 KiB documents, alone and beside each attack, in turns.

use std::{sync::Arc, time::Duration};

use crate::{
    attacker::{self, Attack, Attacker},
    daemon::{CUSCO, LIMA},
    envelope::Fields,
    load::Length,
    pdf, seconds,
    target::Target,
};

/// Connections of an attack, and of the good client.
const ATTACKERS: usize = 20;
const GOOD: usize = 4;

pub fn run() {
    println!(
        "## Bajo ataque\n\nUn cliente bueno ({GOOD} conexiones, 20 KiB) junto a {ATTACKERS} conexiones que atacan.\n"
    );
    println!(
        "| ataque | p99 solo | p99 con el ataque | veces | ataques terminados |\n| --- | ---: | ---: | ---: | ---: |"
    );
    // The bounds of the program: they are part of the defence.
    let (target, asked) = (Target::with(""), Target::document(20 * 1024));
    let length = Length { time: seconds(), requests: 200 };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    target.load(GOOD, &asked, length);
    for (name, attack) in attacks() {
        let alone = target.load(GOOD, &asked, length).outcome.percentile(99);
        let attacker = {
            let _inside = runtime.enter();
            Attacker::start(target.address, ATTACKERS, &attack)
        };
        let beside = target.load(GOOD, &asked, length).outcome.percentile(99);
        let rounds = attacker.rounds();
        runtime.block_on(async move { drop(attacker) });
        let [alone, beside] = [alone, beside].map(|time| time.as_secs_f64() * 1e3);
        println!("| {name} | {alone:.1} ms | {beside:.1} ms | {:.2} | {rounds} |", beside / alone);
    }
    println!();
}

fn attacks() -> Vec<(&'static str, Attack)> {
    let document = Fields::document(CUSCO.ruc, LIMA.ruc, "19", &pdf::pdf(3, 20_000)).xml();
    let with = |what: &str, by: &str| attacker::request("", document.replacen(what, by, 1).as_bytes());
    let doctype = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"bbbbbbbb\">]>";
    let attributes: String = (0..5_000).map(|n| format!(" a{n}=\"{n}\"")).collect();
    let broken: Arc<[u8]> = document.replace("JVBER", "****").into_bytes().into();
    vec![
        ("conexiones que no dicen nada", Attack::Silent),
        ("cabeceras a gotas", Attack::DrippingHead(Duration::from_millis(10))),
        ("cuerpos que se detienen a la mitad", Attack::Stuck(attacker::half("", document.as_bytes()))),
        ("un DOCTYPE", Attack::Request(with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", doctype))),
        ("10 000 elementos anidados", Attack::Request(with("<s:Body>", &"<s:Body>".repeat(10_000)))),
        ("5000 atributos", Attack::Request(with("<s:Body>", &format!("<s:Body{attributes}>")))),
        ("lo que no es base64", Attack::Request(attacker::request("", &broken))),
        ("un nombre de 60 KB", Attack::Request(with("<s:Body>", &format!("<{}>", "n".repeat(60_000))))),
        ("lo que no es HTTP", Attack::Request(Arc::from(&b"\0\0\0\0 / \r\n\r\n"[..]))),
    ]
}
