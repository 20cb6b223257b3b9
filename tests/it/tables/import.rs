//! What an earlier system left in the tables comes over: consultas, cargos and arrivals of before find it, once, whoever dies
//! meanwhile.

use std::process::Command;

use super::*;
use crate::{
    envelope::{Fields, from_base64_twice, query},
    process::{binary, said},
};

/// A despacho as the earlier system left it.
struct Sent<'a> {
    numero: &'a str,
    destino: &'a str,
    cuo: Option<&'a str>,
    /// `cflgest` and `cflgenv`.
    letters: &'a str,
    pdf: Option<&'a [u8]>,
    cargo: Option<&'a [u8]>,
}

impl Sent<'_> {
    async fn insert(&self, sgd: &Client) -> i64 {
        let (estado, enviado) = self.letters.split_at(1);
        let row = sgd
            .query_one(
                "INSERT INTO esq_iotramite.iotdtc_despacho (sidemiext, vnumregstd, vanioregstd, ctipdociderem, vnumdociderem, \
                 vuniorgrem, vrucentrec, vusureg, vcuo, cflgest, cflgenv, dfecreg, dfecenv, bcarstdrec) \
                 VALUES (nextval('esq_iotramite.seq_iotdtc_despacho'), $1, '2024', '1', '40633367', 'OTI', $2, 'jperez', $3, $4, \
                 $5, '2024-03-04 10:00', '2024-03-04 10:01', $6) RETURNING sidemiext::int8",
                &[&self.numero, &self.destino, &self.cuo, &estado, &enviado, &self.cargo],
            )
            .await
            .unwrap();
        let id: i64 = row.get(0);
        if let Some(pdf) = self.pdf {
            document(sgd, "sidemiext", id, pdf).await;
        }
        if matches!(estado, "R" | "O" | "S") {
            sgd.execute(
                "UPDATE esq_iotramite.iotdtc_despacho SET vnumregstdrec = '000777', vanioregstdrec = '2026', dfecregstdrec = \
                 '2025-06-02 10:00', vuniorgstdrec = 'GERENCIA MUNICIPAL', vusuregstdrec = 'ROSA ÑAHUI PÉREZ', vobs = $2 \
                 WHERE sidemiext = CAST($1::int8 AS smallint)",
                &[&id, &(estado != "R").then_some("Falta la firma")],
            )
            .await
            .unwrap();
        }
        id
    }
}

/// A received document as the earlier system left it.
struct Received<'a> {
    cuo: &'a str,
    /// `cflgest` and `cflgenvcar`.
    letters: &'a str,
    pdf: &'a [u8],
    cargo: Option<&'a [u8]>,
}

impl Received<'_> {
    async fn insert(&self, sgd: &Client, remitente: &str) -> i64 {
        let (estado, told) = self.letters.split_at(1);
        let answered = estado != "P";
        let row = sgd
            .query_one(
                "INSERT INTO esq_iotramite.iotdtc_recepcion (sidrecext, vrucentrem, vuniorgrem, ctipdociderem, vnumdociderem, \
                 vcuo, cflgest, cflgenvcar, dfecreg, bcarstd, vnumregstd, vanioregstd, vuniorgstd, dfecregstd, vusuregstd, vobs) \
                 VALUES (nextval('esq_iotramite.seq_iotdtc_recepcion'), $1, 'OFICINA', '1', '40633367', $2, $3, $4, \
                 '2024-05-06 09:00', $5, $6, '2024', 'GERENCIA', '2024-05-07 11:00', 'ROSA ÑAHUI', $7) \
                 RETURNING sidrecext::int8",
                &[
                    &remitente,
                    &self.cuo,
                    &estado,
                    &told,
                    &self.cargo,
                    &answered.then_some("000555"),
                    &(estado == "O").then_some("Falta el anexo"),
                ],
            )
            .await
            .unwrap();
        let id: i64 = row.get(0);
        document(sgd, "sidrecext", id, self.pdf).await;
        id
    }
}

async fn document(sgd: &Client, key: &str, id: i64, pdf: &[u8]) {
    let external = format!(
        "INSERT INTO esq_iotramite.iotdtm_doc_externo (siddocext, vnomentemi, ccodtipdoc, vnumdoc, dfecdoc, vuniorgdst, vnomdst, \
         vnomcardst, vasu, snumanx, snumfol, {key}) VALUES (nextval('esq_iotramite.seq_iotdtm_doc_externo'), 'ENTIDAD', '01', \
         'OFICIO 1', '2024-03-04 09:00', 'MESA DE PARTES', 'ROSA ÑAHUI', 'GERENTE', 'Un asunto de antes', 0, 3, \
         CAST($1::int8 AS smallint)) RETURNING siddocext::int8"
    );
    let externo: i64 = sgd.query_one(&external, &[&id]).await.unwrap().get(0);
    let principal = "INSERT INTO esq_iotramite.iotdtd_doc_principal VALUES (nextval('esq_iotramite.seq_iotdtd_doc_principal'), \
                     CAST($1::int8 AS smallint), 'oficio.pdf', $2)";
    sgd.execute(principal, &[&externo, &pdf]).await.unwrap();
}

fn import(daemon: &Daemon, yes: bool) -> Value {
    let args: &[&str] = if yes { &["--yes"] } else { &[] };
    let output = daemon.cli(&[&["import", "tables", "--format", "json"], args].concat());
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    assert_eq!(report["hecho"], yes, "{report}");
    report["tablas"][0].clone()
}

/// Rows brought over, there already, and read, of one table.
fn counts(report: &Value, table: &str) -> [u64; 3] {
    ["tomadas", "ya_estaban", "filas"].map(|member| report[table][member].as_u64().unwrap())
}

#[tokio::test]
async fn consultas_cargos_and_arrivals_of_before_find_what_came_over() {
    let postgres = Postgres::start().await;
    let (lima, cusco) = (postgres.component("lima").await, postgres.component("cusco").await);
    let (old, cargo, open) = (pdf(11, 400_000), pdf(12, 300_000), pdf(13, 20_000));
    let to_cusco = |numero, cuo, letters, pdf, cargo| Sent { numero, destino: CUSCO.ruc, cuo, letters, pdf, cargo };
    // What Lima sent.
    let answered = to_cusco("000001", Some("0000004001"), "RS", Some(&old[..]), Some(&cargo[..])).insert(&lima).await;
    let waiting = to_cusco("000002", Some("0000004002"), "ES", Some(&open[..]), None).insert(&lima).await;
    to_cusco("000002", Some("4003"), "SS", Some(&open[..]), Some(&cargo[..])).insert(&lima).await;
    to_cusco("000004", None, "PE", Some(&open[..]), None).insert(&lima).await;
    let unsure = to_cusco("000005", Some("0000004005"), "PE", Some(&open[..]), None).insert(&lima).await;
    to_cusco("000006", Some("0000004006"), "RS", None, None).insert(&lima).await;
    Sent { destino: "99", ..to_cusco("000007", Some("0000004007"), "ES", None, None) }.insert(&lima).await;
    // What Lima received: delivered, answered and not delivered, and not answered.
    Received { cuo: "0000005001", letters: "RS", pdf: &old, cargo: Some(&cargo) }.insert(&lima, CUSCO.ruc).await;
    let owed = Received { cuo: "0000005002", letters: "ON", pdf: &open, cargo: Some(&cargo) };
    let owed = owed.insert(&lima, CUSCO.ruc).await;
    let left = Received { cuo: "0000005003", letters: "PN", pdf: &open, cargo: None }.insert(&lima, CUSCO.ruc).await;
    // Cusco sent them.
    for (n, cuo, letters) in [("1", "0000005001", "RS"), ("2", "0000005002", "ES"), ("3", "0000005003", "ES")] {
        let sent = Sent { numero: n, destino: LIMA.ruc, cuo: Some(cuo), letters, pdf: Some(&open), cargo: None };
        sent.insert(&cusco).await;
    }
    let setups = [setup(LIMA, &postgres, "lima"), setup(CUSCO, &postgres, "cusco")];
    let (_platform, mut daemons) = Platform::with(setups).await;
    // Cusco's daemon is stopped while its rows come over, Lima's is not; and looking changes nothing.
    daemons[1].stop();
    assert_eq!(counts(&import(&daemons[1], true), "despachos"), [3, 0, 3]);
    daemons[1].run().await;
    until("the row of a document that is not known is counted once", 30, || async {
        let seen = health(&daemons[0]).await;
        if seen["desconocidas"] == 1 { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    let plan = import(&daemons[0], false);
    assert_eq!((counts(&plan, "despachos"), counts(&plan, "recepciones")), ([5, 0, 7], [3, 0, 3]), "{plan}");
    assert_eq!(plan["despachos"]["por_estado"], json!({"E": 2, "P": 2, "R": 2, "S": 1}), "{plan}");
    assert_eq!(daemons[0].api().list("/api/v1/despachos").await.len(), 0);
    let done = import(&daemons[0], true);
    assert_eq!((counts(&done, "despachos"), counts(&done, "recepciones")), ([5, 0, 7], [3, 0, 3]), "{done}");
    let again = import(&daemons[0], true);
    assert_eq!((counts(&again, "despachos"), counts(&again, "recepciones")), ([0, 5, 7], [0, 3, 3]), "{again}");
    let odd: Vec<String> = done["filas"].as_array().unwrap().iter().map(|row| row["motivo"].to_string()).collect();
    for what in ["2024-000002#3", "sin CUO", "se le pregunta al receptor", "sin el PDF de su cargo", "no es un RUC"] {
        assert!(odd.iter().any(|motivo| motivo.contains(what)), "{what}: {odd:?}");
    }

    // A consulta of the platform is answered as the earlier component would have.
    let told = daemons[0].soap(query("0000005001")).await;
    assert_eq!(told.verdict(), ("0000".into(), "DATOS ENCONTRADOS".into()));
    for (field, value) in [("cflgest", "R"), ("vnumregstd", "000555"), ("vuniorgstd", "GERENCIA")] {
        assert_eq!(told.field(field).as_deref(), Some(value), "{field}");
    }
    assert!(from_base64_twice(&told.field("bcarstd").unwrap()) == cargo);
    assert_eq!(daemons[0].soap(query("0000005003")).await.field("cflgest").as_deref(), Some("P"));
    // A cargo closes what was sent before, and its row says so; one that came before is known again.
    let late = daemons[0].soap(Fields::cargo("0000004002", "R", &cargo).xml()).await;
    assert_eq!(late.verdict(), ("0000".into(), "RECEPCION DE CARGO EXITOSO".into()));
    let of = |row: i64| format!("FROM esq_iotramite.iotdtc_despacho WHERE sidemiext = {row}");
    becomes(&lima, &format!("SELECT cflgest::text {}", of(waiting)), "R").await;
    let same = daemons[0].soap(Fields::cargo("0000004001", "R", &cargo).xml()).await;
    assert_eq!(same.verdict(), ("0000".into(), "EL CARGO YA SE ENCUENTRA REGISTRADO".into()));
    // So does one for what the earlier system did not know to have arrived.
    let late = daemons[0].soap(Fields::cargo("0000004005", "R", &cargo).xml()).await;
    assert_eq!(late.verdict().0, "0000");
    becomes(&lima, &format!("SELECT cflgest::text {}", of(unsure)), "R").await;
    // A repeated arrival is known by its PDF, whatever of its texts the columns kept.
    let arrival = |pdf: &[u8]| Fields::document(CUSCO.ruc, LIMA.ruc, "0000005003", pdf).xml();
    assert_eq!(daemons[0].soap(arrival(&open)).await.verdict().0, "0000");
    assert_eq!(daemons[0].soap(arrival(&old)).await.verdict(), ("0003".into(), "CUO no valido".into()));
    assert_eq!(daemons[0].api().list("/api/v1/recepciones").await.len(), 3);
    // The cargo that was owed is delivered, and both sides' rows say so.
    let told = format!("SELECT cflgenvcar::text FROM esq_iotramite.iotdtc_recepcion WHERE sidrecext = {owed}");
    becomes(&lima, &told, "S").await;
    becomes(
        &cusco,
        "SELECT cflgest || vobs FROM esq_iotramite.iotdtc_despacho WHERE vnumregstd = '2'",
        "OFalta el anexo",
    )
    .await;
    // And the SGD answers the rest as ever.
    let answer = format!(
        "UPDATE esq_iotramite.iotdtc_recepcion SET cflgest = 'R', vnumregstd = '9', vanioregstd = '2026', vuniorgstd = 'MESA', \
         vusuregstd = 'ROSA', bcarstd = (SELECT bcarstd FROM esq_iotramite.iotdtc_recepcion WHERE sidrecext = {owed}) \
         WHERE sidrecext = {left}"
    );
    lima.batch_execute(&answer).await.unwrap();
    becomes(&cusco, "SELECT cflgest::text FROM esq_iotramite.iotdtc_despacho WHERE vnumregstd = '3'", "R").await;
    let seen = health(&daemons[0]).await;
    assert_eq!((seen["desconocidas"].as_u64(), seen["despachados"].as_u64()), (Some(0), Some(0)), "{seen}");

    let api = daemons[0].api();
    let found = api.get("/api/v1/despachos?cuo=0000004001").await.expect(200);
    let found = &found["items"][0];
    assert_eq!(
        (found["estado"].as_str(), found["numero_registro"].as_str()),
        (Some("recepcionado"), Some("2024-000001"))
    );
    assert_eq!(found["creado_en"], "2024-03-04T10:00:00-05:00", "{found}");
    let path = format!("/api/v1/despachos/{}", found["id"].as_str().unwrap());
    assert_eq!(api.history(&path).await, ["despacho.importado"]);
    let fact = api.facts(&path).await.remove(0);
    let detail = fact["detalle"].as_str().unwrap();
    assert!(detail.contains(&format!("iotdtc_despacho, fila {answered}")) && detail.contains("local"), "{detail}");
    let empty = api.get("/api/v1/despachos?cuo=0000004006").await.expect(200);
    let path = format!("/api/v1/despachos/{}/documento", empty["items"][0]["id"].as_str().unwrap());
    assert_eq!(api.get(&path).await.problem().0, 404);
    let verified = daemons[0].cli(&["audit", "verify"]);
    assert!(verified.status.success(), "{}", said(&verified));
}

#[tokio::test]
async fn an_import_that_is_cut_short_goes_on_and_repeats_nothing() {
    const ROWS: usize = 130;
    let postgres = Postgres::start().await;
    let lima = postgres.component("lima").await;
    for n in 0..ROWS {
        let (numero, cuo, pdf) =
            (format!("{n:06}"), format!("{:010}", 7000 + n), pdf(n as u64, 2_000 + 4_000 * (n % 5)));
        let sent =
            Sent { numero: &numero, destino: CUSCO.ruc, cuo: Some(&cuo), letters: "ES", pdf: Some(&pdf), cargo: None };
        sent.insert(&lima).await;
        let cuo = format!("{:010}", 9000 + n);
        Received { cuo: &cuo, letters: "RS", pdf: &pdf, cargo: Some(&pdf) }.insert(&lima, CUSCO.ruc).await;
    }
    let (_platform, mut daemons) = Platform::with([setup(LIMA, &postgres, "lima")]).await;
    // The daemon dies under it, then the command on its own does, twice.
    daemons[0].stop();
    daemons[0].environment().push(("CHASQUI_FAILPOINT".into(), "tables.imported*17".into()));
    daemons[0].run().await;
    let cut = daemons[0].cli(&["import", "tables", "--yes"]);
    assert!(!cut.status.success(), "{}", said(&cut));
    daemons[0].kill();
    daemons[0].environment().clear();
    for times in [40, 120] {
        let killed = Command::new(binary())
            .args(["import", "tables", "--yes", "--config", daemons[0].config().to_str().unwrap()])
            .env("CHASQUI_FAILPOINT", format!("tables.imported*{times}"))
            .current_dir(daemons[0].dir())
            .output()
            .unwrap();
        assert!(!killed.status.success(), "{}", said(&killed));
    }
    let done = import(&daemons[0], true);
    let rows = ROWS as u64;
    let (sent, received) = (counts(&done, "despachos"), counts(&done, "recepciones"));
    assert_eq!((sent, received[0] + received[1]), ([0, rows, rows], rows), "{done}");
    assert_eq!(received[1], 17 + 40 + 120 - rows, "what was committed before each end is there: {done}");
    let again = import(&daemons[0], true);
    assert_eq!((counts(&again, "despachos"), counts(&again, "recepciones")), ([0, rows, rows], [0, rows, rows]));
    daemons[0].run().await;
    let api = daemons[0].api();
    for list in ["despachos", "recepciones"] {
        let all = api.list(&format!("/api/v1/{list}?limit=500")).await;
        assert_eq!(all.len(), ROWS, "{list}");
    }
    let verified = daemons[0].cli(&["store", "verify"]);
    assert!(verified.status.success(), "{}", said(&verified));
}
