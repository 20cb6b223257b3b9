//! SGDs that know nothing but the reference component's tables, on whole daemons and a real PostgreSQL: what they put there goes
//! out once, what arrives is there once, and cargos come and go, also where daemons and SGDs die at any moment.

mod import;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::{
    daemon::{Daemon, Entity, LIMA, PUNO, Setup},
    patience::until,
    pdf::pdf,
    platform::Platform,
    postgres::Postgres,
    rest::{Api, client},
};

/// One that has an identity, so that its cargos can be made here.
const CUSCO: Entity = Entity { ruc: "20900000015", name: "MUNICIPALIDAD DE EJEMPLO" };

/// An entity's `[[tables]]`, looked at as often as a test can wait for.
fn tables(postgres: &Postgres, database: &str) -> String {
    format!("[[tables]]\nname = \"tramite\"\nurl = \"{}\"\nevery = \"200ms\"\n", postgres.url(database))
}

fn setup(entity: Entity, postgres: &Postgres, database: &str) -> Setup {
    let setup = Setup::of(&[entity]).with(&tables(postgres, database));
    if entity.ruc == CUSCO.ruc { setup.with_identity("agente-municipalidad") } else { setup }
}

/// What such an SGD does to have a document sent: rows in four tables, in one transaction.
async fn send(
    sgd: &mut Client,
    numero: &str,
    destino: Entity,
    asunto: &str,
    pdf: &[u8],
) -> Result<i64, tokio_postgres::Error> {
    correct(sgd, numero, destino, asunto, pdf, None).await
}

/// The same; `corrects` is the CUO of an observed document.
async fn correct(
    sgd: &mut Client,
    numero: &str,
    destino: Entity,
    asunto: &str,
    pdf: &[u8],
    corrects: Option<String>,
) -> Result<i64, tokio_postgres::Error> {
    let tx = sgd.transaction().await?;
    tx.batch_execute("SET LOCAL search_path TO esq_iotramite").await?;
    let row = tx
        .query_one(
            "INSERT INTO iotdtc_despacho (sidemiext, vnumregstd, vanioregstd, ctipdociderem, vnumdociderem, vuniorgrem, \
             vrucentrec, vusureg, vcuoref) VALUES (nextval('seq_iotdtc_despacho'), $1, '2026', '1', '40633367', 'OTI', $2, \
             'jperez', $3) RETURNING sidemiext::int8",
            &[&numero, &destino.ruc, &corrects],
        )
        .await?;
    let id: i64 = row.get(0);
    let row = tx
        .query_one(
            "INSERT INTO iotdtm_doc_externo (siddocext, ccodtipdoc, vnumdoc, dfecdoc, vuniorgdst, vnomdst, vnomcardst, vasu, \
             snumanx, snumfol, vurldocanx, sidemiext) VALUES (nextval('seq_iotdtm_doc_externo'), '01', $1, \
             '2026-01-02 03:04:05', 'MESA DE PARTES', 'ROSA ÑAHUI', 'GERENTE', $2, 1, 3, 'https://lima.gob.pe/anexos/1', \
             CAST($3::int8 AS smallint)) RETURNING siddocext::int8",
            &[&format!("OFICIO {numero}"), &asunto, &id],
        )
        .await?;
    let externo: i64 = row.get(0);
    tx.execute(
        "INSERT INTO iotdtd_doc_principal VALUES (nextval('seq_iotdtd_doc_principal'), CAST($1::int8 AS smallint), 'oficio.pdf', $2)",
        &[&externo, &pdf],
    )
    .await?;
    tx.execute(
        "INSERT INTO iotdtd_anexo VALUES (nextval('seq_iotdtd_anexo'), CAST($1::int8 AS smallint), 'plano.dwg')",
        &[&externo],
    )
    .await?;
    tx.commit().await?;
    Ok(id)
}

/// Mesa de partes answers every document that waits, under its own numbers; with its own PDF or with none.
async fn answer(sgd: &Client, cargo: Option<&[u8]>) -> Result<u64, tokio_postgres::Error> {
    sgd.execute(
        "UPDATE esq_iotramite.iotdtc_recepcion SET cflgest = 'R', vnumregstd = 'E-' || sidrecext, vanioregstd = '2026', \
         vuniorgstd = 'GERENCIA', dfecregstd = timezone('America/Lima', now()) - interval '1 minute', vusuregstd = 'ROSA ÑAHUI', \
         bcarstd = $1 WHERE cflgest = 'P'",
        &[&cargo],
    )
    .await
}

async fn text(sgd: &Client, sql: &str) -> Option<String> {
    sgd.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

/// Waits until what a statement gives is `wanted`.
async fn becomes(sgd: &Client, sql: &str, wanted: &str) {
    until(&format!("{sql} gives {wanted}"), 60, || async {
        match text(sgd, sql).await {
            Some(found) if found == wanted => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .await;
}

async fn health(daemon: &Daemon) -> Value {
    let api = Api::new(format!("http://{}", daemon.api_address()), Some(daemon.new_key("operador", None)));
    api.get("/api/v1/salud").await.expect(200)["tablas"][0].clone()
}

struct Two {
    lima: Client,
    cusco: Client,
    daemons: Vec<Daemon>,
    platform: Platform,
    postgres: Postgres,
}

impl Two {
    async fn start() -> Self {
        let postgres = Postgres::start().await;
        let (lima, cusco) = (postgres.component("lima").await, postgres.component("cusco").await);
        let setups = [setup(LIMA, &postgres, "lima"), setup(CUSCO, &postgres, "cusco")];
        let (platform, daemons) = Platform::with(setups).await;
        Self { lima, cusco, daemons, platform, postgres }
    }
}

#[tokio::test]
async fn a_document_goes_from_tables_to_tables_and_its_cargo_back() {
    let mut two = Two::start().await;
    let (document, cargo) = (pdf(1, 900_000), pdf(2, 300_000));
    let row = send(&mut two.lima, "000123", CUSCO, "Remito información «Ñandú»", &document).await.unwrap();
    let sent = format!("FROM esq_iotramite.iotdtc_despacho WHERE sidemiext = {row}");
    becomes(&two.lima, &format!("SELECT cflgest::text || cflgenv {sent}"), "ES").await;
    let cuo = text(&two.lima, &format!("SELECT vcuo::text {sent}")).await.unwrap();
    assert!(text(&two.lima, &format!("SELECT dfecenv::text {sent}")).await.is_some());

    becomes(&two.cusco, "SELECT count(*)::text FROM esq_iotramite.iotdtc_recepcion", "1").await;
    let arrived = "SELECT concat_ws('|', vrucentrem, vuniorgrem, vnumdociderem, vcuo, r.cflgest, cflgenvcar, vnomentemi, ccodtipdoc, \
                   vnumdoc, dfecdoc, vnomdst, vasu, snumanx, snumfol, vurldocanx, p.vnomdoc, a.vnomdoc) \
                   FROM esq_iotramite.iotdtc_recepcion r JOIN esq_iotramite.iotdtm_doc_externo e USING (sidrecext) \
                   JOIN esq_iotramite.iotdtd_doc_principal p USING (siddocext) JOIN esq_iotramite.iotdtd_anexo a USING (siddocext)";
    let wanted = format!(
        "{}|OTI|40633367|{cuo}|P|N|{}|01|OFICIO 000123|2026-01-02 03:04:05|ROSA ÑAHUI|Remito información «Ñandú»|1|3|\
         https://lima.gob.pe/anexos/1|oficio.pdf|plano.dwg",
        LIMA.ruc, LIMA.name
    );
    assert_eq!(text(&two.cusco, arrived).await.unwrap(), wanted);
    let stored = two.cusco.query_one("SELECT bpdfdoc FROM esq_iotramite.iotdtd_doc_principal", &[]).await.unwrap();
    assert!(stored.get::<_, Vec<u8>>(0) == document, "the bytes are those sent");

    answer(&two.cusco, Some(&cargo)).await.unwrap();
    becomes(&two.lima, &format!("SELECT cflgest::text {sent}"), "R").await;
    let told =
        format!("SELECT concat_ws('|', vnumregstdrec, vanioregstdrec, vuniorgstdrec, vusuregstdrec, vobs) {sent}");
    assert_eq!(text(&two.lima, &told).await.unwrap(), "E-1|2026|GERENCIA|ROSA ÑAHUI");
    let stored = two.lima.query_one(&format!("SELECT bcarstdrec {sent}"), &[]).await.unwrap();
    assert!(stored.get::<_, Vec<u8>>(0) == cargo, "the cargo's bytes are those given");
    becomes(&two.cusco, "SELECT cflgenvcar::text FROM esq_iotramite.iotdtc_recepcion", "S").await;

    let seen = health(&two.daemons[0]).await;
    assert_eq!((seen["situacion"].as_str(), seen["despachados"].as_u64()), (Some("bien"), Some(1)), "{seen}");
}

#[tokio::test]
async fn a_row_that_cannot_be_sent_says_why_and_goes_out_once_it_is_corrected() {
    let mut two = Two::start().await;
    let document = pdf(3, 20_000);
    let wrong = send(&mut two.lima, "000001", CUSCO, "", &document).await.unwrap();
    let row = |id: i64| format!("FROM esq_iotramite.iotdtc_despacho WHERE sidemiext = {id}");
    becomes(&two.lima, &format!("SELECT cflgest::text || cflgenv {}", row(wrong)), "PE").await;
    let why = text(&two.lima, &format!("SELECT vobs::text {}", row(wrong))).await.unwrap();
    assert_eq!(why, "chasqui: Asunto de documento no especificado");
    let seen = health(&two.daemons[0]).await;
    assert_eq!(seen["filas_con_error"][0]["motivo"], "Asunto de documento no especificado", "{seen}");

    two.lima.batch_execute("UPDATE esq_iotramite.iotdtm_doc_externo SET vasu = 'Con asunto'").await.unwrap();
    two.lima.batch_execute("UPDATE esq_iotramite.iotdtc_despacho SET cflgenv = 'N'").await.unwrap();
    becomes(&two.lima, &format!("SELECT cflgest::text || cflgenv || coalesce(vobs, '-') {}", row(wrong)), "ES-").await;

    let twice = send(&mut two.lima, "000001", CUSCO, "Otro", &pdf(4, 20_000)).await.unwrap();
    becomes(&two.lima, &format!("SELECT cflgest::text || cflgenv {}", row(twice)), "PE").await;
    let why = text(&two.lima, &format!("SELECT vobs::text {}", row(twice))).await.unwrap();
    assert!(why.contains("no se envía dos veces"), "{why}");

    // An observation without its text is no answer; with it, it is.
    becomes(&two.cusco, "SELECT count(*)::text FROM esq_iotramite.iotdtc_recepcion", "1").await;
    let observe = "UPDATE esq_iotramite.iotdtc_recepcion SET cflgest = 'O', vnumregstd = '77', vuniorgstd = 'GERENCIA', \
                   vusuregstd = 'ROSA'";
    two.cusco.batch_execute(observe).await.unwrap();
    becomes(&two.cusco, "SELECT cflgenvcar::text FROM esq_iotramite.iotdtc_recepcion", "E").await;
    let corrected = "UPDATE esq_iotramite.iotdtc_recepcion SET vobs = 'Falta la firma', cflgenvcar = 'N'";
    two.cusco.batch_execute(corrected).await.unwrap();
    // It gave no PDF: the cargo is made and signed here.
    becomes(&two.lima, &format!("SELECT cflgest::text || vobs {}", row(wrong)), "OFalta la firma").await;
    let cargo = two.lima.query_one(&format!("SELECT bcarstdrec {}", row(wrong)), &[]).await.unwrap();
    assert!(cargo.get::<_, Vec<u8>>(0).starts_with(b"%PDF"));
    becomes(&two.cusco, "SELECT cflgenvcar::text FROM esq_iotramite.iotdtc_recepcion", "S").await;

    // What corrects it names its CUO, and ends it.
    let cuo = text(&two.lima, &format!("SELECT vcuo::text {}", row(wrong))).await;
    let again = correct(&mut two.lima, "000002", CUSCO, "Subsano", &pdf(6, 20_000), cuo).await.unwrap();
    becomes(&two.lima, &format!("SELECT cflgest::text {}", row(again)), "E").await;
    becomes(&two.lima, &format!("SELECT cflgest::text {}", row(wrong)), "S").await;
}

#[tokio::test]
async fn a_row_that_a_trigger_refuses_or_another_system_sent_holds_up_none_and_contrary_answers_are_told() {
    let mut two = Two::start().await;
    let stubborn = "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                    RAISE EXCEPTION 'no' USING ERRCODE = '45000'; END $$; \
                    CREATE TRIGGER no BEFORE UPDATE ON esq_iotramite.iotdtc_despacho FOR EACH ROW \
                    WHEN (OLD.vnumregstd = '000001') EXECUTE FUNCTION no()";
    let row = |id: i64| format!("FROM esq_iotramite.iotdtc_despacho WHERE sidemiext = {id}");
    two.lima.batch_execute(stubborn).await.unwrap();
    send(&mut two.lima, "000001", CUSCO, "", &pdf(3, 20_000)).await.unwrap();
    let sent = send(&mut two.lima, "000002", CUSCO, "Asunto", &pdf(4, 20_000)).await.unwrap();
    becomes(&two.lima, &format!("SELECT cflgest::text {}", row(sent)), "E").await;

    let mark = "CREATE FUNCTION ajeno() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.vcuo = '0000004321'; RETURN NEW; END $$; \
                CREATE TRIGGER ajeno BEFORE INSERT ON esq_iotramite.iotdtc_despacho FOR EACH ROW EXECUTE FUNCTION ajeno()";
    two.lima.batch_execute(mark).await.unwrap();
    let foreign = send(&mut two.lima, "000003", CUSCO, "Asunto", &pdf(5, 20_000)).await.unwrap();
    becomes(&two.lima, &format!("SELECT cflgest::text || cflgenv {}", row(foreign)), "PE").await;
    let why = text(&two.lima, &format!("SELECT vobs::text {}", row(foreign))).await.unwrap();
    assert!(why.contains("CUO de otro sistema"), "{why}");

    // The SGD changes its mind after the sender has the cargo.
    becomes(&two.cusco, "SELECT count(*)::text FROM esq_iotramite.iotdtc_recepcion", "1").await;
    answer(&two.cusco, None).await.unwrap();
    becomes(&two.cusco, "SELECT cflgenvcar::text FROM esq_iotramite.iotdtc_recepcion", "S").await;
    let other = "UPDATE esq_iotramite.iotdtc_recepcion SET cflgest = 'O', vobs = 'Falta', cflgenvcar = 'N'";
    two.cusco.batch_execute(other).await.unwrap();
    becomes(&two.cusco, "SELECT cflgenvcar::text FROM esq_iotramite.iotdtc_recepcion", "E").await;
    let seen = health(&two.daemons[1]).await;
    assert!(seen["filas_con_error"][0]["motivo"].as_str().unwrap().contains("otra respuesta"), "{seen}");
}

#[tokio::test]
async fn what_the_receiver_refused_is_sent_anew_once_the_row_says_so_and_a_row_waits_for_its_document() {
    let mut two = Two::start().await;
    let refuses = json!({"falla": "codigo", "operacion": "recepcionar", "valor": "0003", "entregada": false, "primeras": 1,
                         "texto": "Nombre de cargo del destino no especificado"});
    two.platform.faults(&json!({"falla": [refuses]})).await;
    let row = send(&mut two.lima, "000001", CUSCO, "Asunto", &pdf(1, 20_000)).await.unwrap();
    let of_row = format!("FROM esq_iotramite.iotdtc_despacho WHERE sidemiext = {row}");
    becomes(&two.lima, &format!("SELECT cflgest::text || cflgenv {of_row}"), "PE").await;
    let why = text(&two.lima, &format!("SELECT vobs::text {of_row}")).await.unwrap();
    assert!(why.starts_with("chasqui: ") && why.contains("Nombre de cargo del destino"), "{why}");
    assert_eq!(text(&two.cusco, "SELECT count(*)::text FROM esq_iotramite.iotdtc_recepcion").await.unwrap(), "0");
    two.lima.batch_execute("UPDATE esq_iotramite.iotdtc_despacho SET cflgenv = 'N'").await.unwrap();
    becomes(&two.lima, &format!("SELECT cflgest::text || cflgenv {of_row}"), "ES").await;

    // An SGD that adds the row first and its document afterwards.
    let alone = "INSERT INTO esq_iotramite.iotdtc_despacho (sidemiext, vnumregstd, vanioregstd, ctipdociderem, vnumdociderem, \
                 vuniorgrem, vrucentrec) SELECT nextval('esq_iotramite.seq_iotdtc_despacho'), '000002', '2026', '1', '40633367', \
                 'OTI', vrucentrec FROM esq_iotramite.iotdtc_despacho WHERE vnumregstd = '000001'";
    two.lima.batch_execute(alone).await.unwrap();
    until("it was seen", 60, || async {
        let seen = health(&two.daemons[0]).await;
        if seen["por_enviar"] == 1 { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    let document = "WITH externo AS (INSERT INTO esq_iotramite.iotdtm_doc_externo (siddocext, ccodtipdoc, vnumdoc, dfecdoc, \
                    vuniorgdst, vnomdst, vnomcardst, vasu, snumfol, sidemiext) \
                    SELECT nextval('esq_iotramite.seq_iotdtm_doc_externo'), ccodtipdoc, 'OFICIO 2', dfecdoc, vuniorgdst, vnomdst, \
                    vnomcardst, vasu, snumfol, (SELECT sidemiext FROM esq_iotramite.iotdtc_despacho WHERE vnumregstd = '000002') \
                    FROM esq_iotramite.iotdtm_doc_externo RETURNING siddocext) \
                    INSERT INTO esq_iotramite.iotdtd_doc_principal \
                    SELECT nextval('esq_iotramite.seq_iotdtd_doc_principal'), (SELECT siddocext FROM externo), vnomdoc, bpdfdoc \
                    FROM esq_iotramite.iotdtd_doc_principal";
    two.lima.batch_execute(document).await.unwrap();
    let sent = "SELECT cflgest::text || cflgenv FROM esq_iotramite.iotdtc_despacho WHERE vnumregstd = '000002'";
    becomes(&two.lima, sent, "ES").await;
    becomes(&two.cusco, "SELECT count(*)::text FROM esq_iotramite.iotdtc_recepcion", "2").await;
}

#[tokio::test]
async fn a_trigger_tells_at_once_and_the_connection_is_encrypted_if_the_server_is_believed() {
    let postgres = Postgres::start().await;
    let ca = postgres.encrypt().await;
    let mut lima = postgres.component("lima").await;
    lima.batch_execute(
        "CREATE FUNCTION avisar_chasqui() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN NOTIFY chasqui; RETURN NULL; END $$; \
         CREATE TRIGGER avisar_chasqui AFTER INSERT OR UPDATE ON esq_iotramite.iotdtc_despacho \
         EXECUTE FUNCTION avisar_chasqui()",
    )
    .await
    .unwrap();
    let url = format!("{}?sslmode=require", postgres.url("lima"));
    let section = format!("[[tables]]\nname = \"tramite\"\nurl = \"{url}\"\nevery = \"1h\"\n");
    let trusting = format!("{section}ca_file = {ca:?}\n");
    let (_platform, daemons) =
        Platform::with([Setup::of(&[LIMA]).with(&trusting), Setup::of(&[PUNO]).with(&section)]).await;
    until("the tables are reached", 60, || async {
        let seen = health(&daemons[0]).await;
        if seen["situacion"] == "bien" { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    let used = "SELECT bool_and(ssl)::text FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                WHERE application_name = 'chasqui'";
    assert_eq!(text(&lima, used).await.as_deref(), Some("true"));
    let row = send(&mut lima, "000001", PUNO, "Asunto", &pdf(8, 20_000)).await.unwrap();
    let sent = format!("SELECT cflgest::text FROM esq_iotramite.iotdtc_despacho WHERE sidemiext = {row}");
    becomes(&lima, &sent, "E").await;
    // Who vouches for nobody believes nobody.
    let seen = health(&daemons[1]).await;
    assert_eq!(seen["situacion"], "sin_conexion", "{seen}");
    assert!(seen["ultimo_error"].as_str().unwrap().contains("UnknownIssuer"), "{seen}");
}

#[tokio::test]
async fn only_one_daemon_works_on_the_tables_and_the_next_takes_over() {
    let postgres = Postgres::start().await;
    let mut lima = postgres.component("lima").await;
    let both = [Setup::of(&[LIMA]), Setup::of(&[PUNO])].map(|setup| setup.with(&tables(&postgres, "lima")));
    let (platform, mut daemons) = Platform::with(both).await;
    let situation = |seen: &Value| seen["situacion"].as_str().unwrap_or_default().to_owned();
    let first = until("one of them works on the tables", 60, || async {
        let seen = [health(&daemons[0]).await, health(&daemons[1]).await];
        match seen.each_ref().map(situation) {
            [one, other] if one == "bien" && other == "sin_conexion" => Ok(0),
            [one, other] if other == "bien" && one == "sin_conexion" => Ok(1),
            _ => Err(format!("{seen:?}")),
        }
    })
    .await;
    let other = 1 - first;
    let refused = health(&daemons[other]).await;
    assert!(refused["ultimo_error"].as_str().unwrap().contains("otro servicio de chasqui"), "{refused}");
    daemons[first].kill();
    let destination = if other == 0 { PUNO } else { LIMA };
    platform.faults(&json!({"falla": [{"falla": "error_503", "operacion": "cuo"}]})).await;
    let row = send(&mut lima, "000001", destination, "Asunto", &pdf(9, 20_000)).await.unwrap();
    until("the other works on them", 60, || async {
        let seen = health(&daemons[other]).await;
        if seen["despachados"] == 1 { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    // The SGD takes it back before it left.
    let of_row = format!("FROM esq_iotramite.iotdtc_despacho WHERE sidemiext = {row}");
    let take_back = format!("UPDATE esq_iotramite.iotdtc_despacho SET cflganu = 'S' WHERE sidemiext = {row}");
    lima.batch_execute(&take_back).await.unwrap();
    becomes(&lima, &format!("SELECT left(vdesanu, 9)::text {of_row}"), "chasqui: ").await;
    let api = daemons[other].api();
    let found = api.get("/api/v1/despachos?numero_registro=2026-000001").await.expect(200);
    assert_eq!(found["items"][0]["estado"], "anulado", "{found}");
}

#[tokio::test]
async fn another_schema_with_fewer_and_narrower_columns_works_and_a_key_that_ends_is_told() {
    let postgres = Postgres::start().await;
    let (mut lima, cusco) = (postgres.component("lima").await, postgres.component("cusco").await);
    cusco
        .batch_execute(
            "ALTER SCHEMA esq_iotramite RENAME TO idosgd; SET search_path TO idosgd; \
             ALTER TABLE iotdtc_recepcion DROP COLUMN cflganu, DROP COLUMN cflgestobs, DROP COLUMN dfecmod; \
             ALTER TABLE iotdtm_doc_externo ALTER vasu TYPE varchar(10), ALTER dfecdoc TYPE date, DROP COLUMN cindtup; \
             ALTER TABLE iotdtc_recepcion ALTER sidrecext SET DEFAULT nextval('seq_iotdtc_recepcion'); \
             SELECT setval('seq_iotdtc_recepcion', 27000); \
             INSERT INTO iotdtc_recepcion (vrucentrem, vcuo, cflgest, cflgenvcar) VALUES ('20406325815', '1', 'R', 'S')",
        )
        .await
        .unwrap();
    let setups = [setup(LIMA, &postgres, "lima"), setup(CUSCO, &postgres, "cusco")];
    let (_platform, mut daemons) = Platform::with(setups).await;
    send(&mut lima, "000009", CUSCO, "Un asunto más largo que su columna", &pdf(5, 30_000)).await.unwrap();
    becomes(&cusco, "SELECT max(vasu)::text FROM idosgd.iotdtm_doc_externo", "Un asunto ").await;
    let seen = health(&daemons[1]).await;
    assert_eq!((seen["esquema"].as_str(), seen["recortes"].as_u64()), (Some("idosgd"), Some(1)), "{seen}");
    assert_eq!(seen["situacion"], "con_errores", "{seen}");
    let alerts = daemons[1].api().get("/api/v1/eventos?limit=500").await.expect(200);
    assert!(alerts.to_string().contains("La llave sidrecext de iotdtc_recepcion va por 27001 de 32767"), "{alerts}");
    let page = client().get(format!("http://{}/metrics", daemons[1].api_address())).send().await.unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains("chasqui_tables_connected{name=\"tramite\"} 1"), "{page}");
    assert!(page.contains("chasqui_tables_key_used_ratio{name=\"tramite\",table=\"iotdtc_recepcion\"} 0.8"), "{page}");
}

/// A small generator of our own: the seed is printed, and repeats a run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Documents that each side sends.
const EACH: usize = 20;

#[tokio::test]
async fn every_document_is_once_on_both_sides_whoever_dies_when() {
    let seed = std::env::var("CHASQUI_CRASH_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(7);
    eprintln!("CHASQUI_CRASH_SEED={seed} repeats this run");
    let mut chance = Chance(seed);
    let mut two = Two::start().await;
    for n in 0..EACH {
        let numero = format!("{n:06}");
        for (name, destino) in [("lima", CUSCO), ("cusco", LIMA)] {
            let document = pdf(n as u64 * 2 + u64::from(name == "cusco"), 10_000 + 40_000 * (n % 7));
            // The SGD dies in the middle of it, and begins anew.
            if chance.below(4) == 0 {
                let mut dying = two.postgres.client(name).await.unwrap();
                let wait = std::time::Duration::from_millis(chance.below(6));
                tokio::time::timeout(wait, send(&mut dying, &numero, destino, "Asunto", &document)).await.ok();
                drop(dying);
            }
            let mut sgd = two.postgres.client(name).await.unwrap();
            let there =
                format!("SELECT count(*)::text FROM esq_iotramite.iotdtc_despacho WHERE vnumregstd = '{numero}'");
            if text(&sgd, &there).await.as_deref() == Some("0") {
                send(&mut sgd, &numero, destino, "Asunto", &document).await.unwrap();
            }
        }
        answer(&two.lima, Some(&pdf(1000 + n as u64, 5_000))).await.unwrap();
        answer(&two.cusco, None).await.unwrap();
        match chance.below(4) {
            0 | 1 => {
                let which = usize::try_from(chance.below(2)).unwrap();
                let points = ["", "", "tables.handed_over", "tables.answered", "tables.written"];
                two.daemons[which].kill();
                let point = points[usize::try_from(chance.below(5)).unwrap()];
                two.daemons[which].environment().clear();
                if !point.is_empty() {
                    // It dies by itself at the next one, at whatever moment that is.
                    two.daemons[which].environment().push(("CHASQUI_FAILPOINT".into(), point.into()));
                    two.daemons[which].start();
                    tokio::time::sleep(std::time::Duration::from_millis(400 + chance.below(1200))).await;
                    two.daemons[which].kill();
                    two.daemons[which].environment().clear();
                }
                two.daemons[which].run().await;
            }
            2 => {
                let cut = "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE application_name = 'chasqui'";
                text(&two.lima, cut).await;
            }
            _ => {}
        }
    }
    let logs = two.daemons.iter().map(|daemon| std::fs::read_to_string(daemon.dir().join("serve.log")).unwrap());
    let died: usize = logs.map(|log| log.matches("because a test asked for it").count()).sum();
    eprintln!("seed {seed}: {died} daemons died within a step");
    for sgd in [&two.lima, &two.cusco] {
        until("everything ended", 180, || async {
            let open = "SELECT concat_ws(' ', (SELECT count(*) FROM esq_iotramite.iotdtc_despacho WHERE cflgest <> 'R'), \
                        (SELECT count(*) FROM esq_iotramite.iotdtc_recepcion WHERE cflgest <> 'R' OR cflgenvcar <> 'S'), \
                        (SELECT count(*) FROM esq_iotramite.iotdtc_recepcion))";
            match text(sgd, open).await {
                Some(found) if found == format!("0 0 {EACH}") => Ok(()),
                found => {
                    answer(&two.lima, Some(&pdf(999, 5_000))).await.unwrap();
                    answer(&two.cusco, None).await.unwrap();
                    Err(format!("{found:?}"))
                }
            }
        })
        .await;
    }
    // Each number once on either side, under the same CUO, with the same bytes.
    for (from, to) in [(&two.lima, &two.cusco), (&two.cusco, &two.lima)] {
        let sent = "SELECT d.vcuo::text, md5(p.bpdfdoc), d.vnumregstdrec::text, md5(d.bcarstdrec) FROM esq_iotramite.iotdtc_despacho d \
                    JOIN esq_iotramite.iotdtm_doc_externo e USING (sidemiext) JOIN esq_iotramite.iotdtd_doc_principal p USING (siddocext)";
        let received = "SELECT r.vcuo::text, md5(p.bpdfdoc), r.vnumregstd::text, md5(r.bcarstd) FROM esq_iotramite.iotdtc_recepcion r \
                        JOIN esq_iotramite.iotdtm_doc_externo e USING (sidrecext) JOIN esq_iotramite.iotdtd_doc_principal p USING (siddocext)";
        let (sent, received) = (all(from, sent).await, all(to, received).await);
        assert_eq!(sent.len(), EACH);
        assert_eq!(sent.keys().collect::<Vec<_>>(), received.keys().collect::<Vec<_>>(), "seed {seed}");
        for (cuo, (document, number, cargo)) in &sent {
            let (there, filed, given) = &received[cuo];
            assert_eq!((document, number), (there, filed), "{cuo}, seed {seed}");
            assert!(
                cargo.is_some() && given.as_ref().is_none_or(|given| Some(given) == cargo.as_ref()),
                "{cuo}, seed {seed}"
            );
        }
    }
}

type Document = (Option<String>, Option<String>, Option<String>);

async fn all(sgd: &Client, sql: &str) -> BTreeMap<String, Document> {
    let rows = sgd.query(sql, &[]).await.unwrap();
    let found: BTreeMap<String, Document> =
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3)))).collect();
    assert_eq!(found.len(), rows.len(), "no document is twice there");
    found
}
