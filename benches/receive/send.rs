//! Documents handed over by REST and delivered through the simulator to another daemon: three processes on this machine.

use std::time::{Duration, Instant};

use reqwest::{Method, multipart};

use crate::{
    daemon::{CUSCO, LIMA, Setup},
    measured,
    patience::until,
    pdf,
    platform::Platform,
    rest::{Api, despacho},
};

/// Handed over at once.
const CONNECTIONS: usize = 8;

/// Sizes and how many of each.
const SENDS: [(&str, usize, usize); 4] =
    [("20 KiB", 20 * 1024, 400), ("200 KiB", 200 * 1024, 200), ("2 MiB", 2 << 20, 100), ("20 MiB", 20 << 20, 16)];

pub fn run() {
    println!(
        "## Enviar\n\n{CONNECTIONS} clientes entregan por REST, y el documento sale por el simulador a otro servicio.\n"
    );
    println!(
        "| documento | tomados (202)/s | p50 del 202 | p99 | entregados/s | ms de CPU del emisor cada uno | memoria máxima del emisor, MB |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for (name, bytes, count) in SENDS {
        runtime.block_on(size(name, bytes, count));
    }
    println!();
}

async fn size(name: &str, bytes: usize, count: usize) {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA]), Setup::of(&[CUSCO])]).await;
    let (sender, receiver) = (daemons[0].api(), daemons[1].api());
    let pid = daemons[0].process().id();
    let whole = pdf::pdf(11, bytes);
    let (cpu, began) = (measured::cpu(pid), Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let (sender, whole) = (sender.clone(), whole.clone());
        tasks.spawn(async move {
            let mut times = Vec::new();
            for number in (connection..count).step_by(CONNECTIONS) {
                times.push(hand_over(&sender, number, &whole).await);
            }
            times
        });
    }
    let mut times: Vec<Duration> = tasks.join_all().await.concat();
    let taken = began.elapsed();
    until("all are delivered", 300, || async {
        let page = receiver.get("/metrics").await;
        let page = String::from_utf8(page.body).expect("text");
        let answered = measured::metric(&page, "chasqui_http_requests_total{listener=\"soap\",status=\"200\"}");
        if answered.unwrap_or(0.0) >= count as f64 { Ok(()) } else { Err(format!("{answered:?} of {count}")) }
    })
    .await;
    let delivered = began.elapsed();
    let cpu = (measured::cpu(pid) - cpu).as_secs_f64() * 1e3 / count as f64;
    times.sort_unstable();
    let percentile = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!(
        "| {name} | {:.1} | {:.1} ms | {:.1} ms | {:.1} | {cpu:.2} | {:.0} |",
        count as f64 / taken.as_secs_f64(),
        percentile(50),
        percentile(99),
        count as f64 / delivered.as_secs_f64(),
        measured::peak(pid)
    );
}

/// One document, unlike any other; how long its 202 took.
async fn hand_over(sender: &Api, number: usize, whole: &[u8]) -> Duration {
    let mut own = whole.to_vec();
    own[900..909].copy_from_slice(format!("{number:09}").as_bytes());
    let datos = despacho(&format!("2026-{number:06}"), CUSCO.ruc).to_string();
    let datos = multipart::Part::text(datos).mime_str("application/json").expect("a media type");
    let file = multipart::Part::bytes(own).file_name("oficio.pdf").mime_str("application/pdf").expect("a media type");
    let form = multipart::Form::new().part("datos", datos).part("documento", file);
    let began = Instant::now();
    let request = sender.request(Method::POST, "/api/v1/despachos").multipart(form);
    sender.send(request).await.expect("an answer").expect(202);
    began.elapsed()
}
