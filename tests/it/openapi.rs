//! The API as its own document has it: tried from outside by schemathesis, which knows nothing but that document and reports
//! every answer that it does not tell of. `./test` installs it.

use std::{path::Path, process::Command};

use crate::{
    daemon::{CUSCO, LIMA, Setup},
    envelope::Fields,
    patience::until,
    pdf::pdf,
    platform::Platform,
    process::said,
    rest::{despacho, text},
};

/// What is asked of every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                      unsupported_method,allow_header_conformance";

/// Requests made up for each operation, beside those of its examples and of the edges of its parameters.
const MADE_UP: &str = "8";

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_answer_that_the_document_does_not_tell_of() {
    let (_platform, daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let mut daemons = daemons;
    let daemon = &mut daemons[0];
    let arrived = Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &pdf(1, 3_000));
    assert_eq!(daemon.soap(arrived.xml()).await.verdict().0, "0000");
    let api = daemon.api();
    let sent = api.dispatch(&despacho("E-1", CUSCO.ruc), &pdf(2, 3_000)).await;
    let received = api.until_one("/api/v1/recepciones").await;
    let known = [("despachos", text(&sent, "id")), ("recepciones", text(&received, "id"))];
    let config = known.map(|(kind, id)| {
        format!(
            "[[operations]]\ninclude-path-regex = \"^/api/v1/{kind}/\"\nparameters = {{ \"path.id\" = \"{id}\" }}\n"
        )
    });
    let file = daemon.dir().join("schemathesis.toml");
    std::fs::write(&file, config.concat()).unwrap();

    let key = daemon.new_key("admin", None);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/schemathesis");
    let mut command = Command::new(program);
    command.current_dir(daemon.dir()).arg("--config-file").arg(&file).arg("run");
    command.arg(format!("http://{}/api/openapi.json", daemon.api_address()));
    command.args(["-H", &format!("Authorization: Bearer {key}")]);
    command.args(["--phases", "examples,coverage,fuzzing", "-n", MADE_UP, "--seed", "1", "--continue-on-failure"]);
    command.args(["--suppress-health-check", "all", "--generation-database", "none", "-c", CHECKS]);
    // It would revoke the key that it uses.
    command.args(["--exclude-operation-id", "delete_admin_api-keys_id"]);
    // In maintenance nothing else would be tried.
    command.args(["--exclude-operation-id", "post_admin_mantenimiento"]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output = output.unwrap_or_else(|error| panic!("schemathesis does not start ({error}): run ./test once"));
    assert!(output.status.success(), "{}", said(&output));
    until("it serves on", 30, || async {
        let answer = api.get("/readyz").await;
        if answer.status == 200 { Ok(()) } else { Err("not ready".to_owned()) }
    })
    .await;
}
