use std::{cell::RefCell, collections::BTreeMap, io::Cursor, process::Command};

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    hash::MessageDigest,
    pkey::PKey,
    rsa::Rsa,
    x509::{X509, X509Builder, X509NameBuilder, extension::KeyUsage},
};

use super::{
    acta::{CAMPO_TI, CAMPO_TRAMITE, Prueba},
    cartas::Carta,
    expediente::EJEMPLO,
    formularios::{Formulario, Servicio},
    situacion::{self, Estado},
    *,
};
use crate::{
    conformance::case::Catalogo,
    signing::{
        Identity, cades,
        pades::{self, Order},
        samples,
    },
};

const LLENO: &str = r#"
[entidad]
ruc = "20900000015"
nombre = "MUNICIPALIDAD DISTRITAL DE ÑAHUIPAMPA"
sigla = "muninahui"
direccion = "Plaza de Armas s/n"
telefono = "01 555 1234"
dominio = "muninahui.gob.pe"
[correo]
de = "rquispe@muninahui.gob.pe"
nombre = "Raúl Quispe"
[master]
nombre = "ANA PÉREZ"
dni = "40000001"
cargo = "gerente_municipal"
correo = "aperez@muninahui.gob.pe"
celular = "987654321"
designacion = "Resolución de Alcaldía N.º 012-2026"
designacion_fecha = "2026-01-15"
[consumo]
ip_publica = "190.12.3.4"
sistema = "Sistema de trámite"
finalidad = "Intercambio de documentos con otras entidades"
base_legal = "Decreto Legislativo 1412"
[[persona]]
rol = "comunicaciones"
nombre = "LUIS ROJAS"
dni = "40000002"
cargo = "Especialista"
unidad = "Imagen institucional"
correo = "lrojas@muninahui.gob.pe"
celular = "987654322"
[[persona]]
rol = "tecnologia"
nombre = "RAÚL QUISPE"
dni = "40000003"
cargo = "Jefe de TI"
unidad = "Tecnología"
correo = "rquispe@muninahui.gob.pe"
celular = "987654323"
[pruebas]
sgd = "propio"
sgd_nombre = "SGD Ñahui"
url = "http://190.12.3.4:8080/wsiotramite/Tramite"
[pruebas.tecnico]
nombre = "RAÚL QUISPE"
dni = "40000003"
correo = "rquispe@muninahui.gob.pe"
celular = "987654323"
[pruebas.administrativo]
nombre = "ROSA HUAMÁN"
dni = "40000004"
correo = "rhuaman@muninahui.gob.pe"
celular = "987654324"
[acta]
lugar = "Ñahuipampa"
informe = "informe.json"
[acta.jefe_ti]
nombre = "PÉREZ QUISPE Juana Rosa"
dni = "40633367"
cargo = "Jefa de tecnologías de la información"
[acta.jefe_tramite]
nombre = "ROSA HUAMÁN"
dni = "40000004"
cargo = "Jefa de trámite documentario"
[produccion]
url = "https://pide.muninahui.gob.pe/wsiotramite/Tramite"
especialista = "CARLOS ESPECIALISTA"
fecha = "2026-12-04"
"#;

const PERSONA_P12: &[u8] = include_bytes!("../../fixtures/pki/persona-municipalidad.p12");

fn lleno() -> Expediente {
    Expediente::leer(LLENO).unwrap()
}

/// On a Wednesday, with the anchors of the tests.
fn en<T>(ambiente: Ambiente, work: impl FnOnce(&Contexto<'_>) -> T) -> T {
    let mut trust = Trust::default();
    trust.with(samples::CHAIN, "pruebas").unwrap();
    let calendario = Calendario::default();
    let ahora = "2026-11-25T15:00:00Z".parse().unwrap();
    work(&Contexto { ahora, calendario: &calendario, ambiente, confianza: &trust })
}

fn ensayo<T>(work: impl FnOnce(&Contexto<'_>) -> T) -> T {
    en(Ambiente::Simulation, work)
}

fn output(program: &str, arguments: &[&str], name: &str, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), bytes).unwrap();
    let run = Command::new(program).args(arguments).current_dir(folder.path()).output();
    let run = run.unwrap_or_else(|error| panic!("{program}, which these tests need: {error}"));
    assert!(run.status.success(), "{program}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

/// The text as another program reads it, with single spaces.
fn text(pdf: &[u8]) -> String {
    let text = output("pdftotext", &["-layout", "d.pdf", "-"], "d.pdf", pdf);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn claves(problemas: &[Problema]) -> Vec<&str> {
    problemas.iter().map(|p| p.clave.as_str()).collect()
}

/// The dossier with one key changed.
fn con(clave: &str, valor: &str) -> Expediente {
    let mut table: toml::Table = LLENO.parse().unwrap();
    let (path, last) = clave.rsplit_once('.').unwrap();
    let mut at = &mut table;
    for part in path.split('.') {
        at = at.entry(part).or_insert_with(|| toml::Table::new().into()).as_table_mut().unwrap();
    }
    at.insert(last.into(), valor.into());
    Expediente::leer(&table.to_string()).unwrap()
}

#[test]
fn the_example_is_read_and_lacks_everything_by_its_key() {
    let empty = Expediente::leer(EJEMPLO).unwrap();
    ensayo(|contexto| {
        for formulario in Formulario::TODOS {
            let lacks = formulario.problemas(&empty, contexto);
            assert!(claves(&lacks).contains(&"entidad.ruc"), "{lacks:?}");
            assert!(matches!(formulario.pdf(&empty, contexto), Err(OnboardingError::Datos(_))));
        }
    });
}

#[test]
fn a_key_written_wrong_is_told_with_its_line_and_the_one_that_was_meant() {
    let said = |text: &str| Expediente::leer(text).unwrap_err().to_string();
    assert_eq!(said("[entidad]\nrucc = \"1\"\n"), "línea 2: la clave «rucc» no existe; ¿quiso decir «ruc»?");
    assert!(said("[entidad]\nruc = [1]\n").starts_with("línea 2: se espera un texto"));
    assert!(said("[entidad\n").contains("falta cerrar la sección con ]"));
    let read = Expediente::leer("[entidad]\nruc = 20131312955\n[avance]\nmaster_pedido = 2026-11-02\n").unwrap();
    assert_eq!((&*read.entidad.ruc, &*read.avance.master_pedido), ("20131312955", "2026-11-02"));
}

#[test]
fn every_form_says_its_data_and_that_its_layout_is_not_official() {
    ensayo(|contexto| {
        for formulario in Formulario::TODOS {
            let pdf = formulario.pdf(&lleno(), contexto).unwrap();
            let text = text(&pdf);
            for words in
                ["MUNICIPALIDAD DISTRITAL DE ÑAHUIPAMPA", "20900000015", "no figura en las fuentes públicas", "ENSAYO"]
            {
                assert!(text.contains(words), "{}: {words}: {text}", formulario.palabra());
            }
            let fields = pades::signature_fields(Cursor::new(&pdf)).unwrap();
            assert!(fields.len() == 1 && fields[0].name == "Firma" && !fields[0].signed);
        }
        let of = |formulario: Formulario| text(&formulario.pdf(&lleno(), contexto).unwrap());
        for servicio in Servicio::TODOS {
            let said = of(Formulario::A1(servicio));
            assert!(said.contains(servicio.nombre()) && said.contains("190.12.3.4"), "{said}");
        }
        assert!(of(Formulario::A3).contains("Gerente municipal"));
        assert!(of(Formulario::Pruebas).contains("http://190.12.3.4:8080/wsiotramite/Tramite"));
        assert!(of(Formulario::Produccion).contains("viernes 4 de diciembre de 2026"));
    });
    let real = con("entidad.ruc", "20131312955");
    let said = en(Ambiente::Production, |contexto| text(&Formulario::A3.pdf(&real, contexto).unwrap()));
    assert!(!said.contains("ENSAYO"));
}

#[test]
fn each_datum_is_held_to_its_rule() {
    let wrong = [
        (Formulario::A3, "entidad.ruc", "20900000016"),
        (Formulario::A3, "master.dni", "4000001"),
        (Formulario::A3, "master.cargo", "alcalde"),
        (Formulario::A3, "master.correo", "ana@gmail.com"),
        (Formulario::A3, "master.correo", "ana.muninahui@gmail.com"),
        (Formulario::A3, "master.correo", "ana@otra.gob.pe"),
        (Formulario::A3, "master.celular", "12345678"),
        (Formulario::A3, "master.designacion_fecha", "2027-01-01"),
        (Formulario::A1(Servicio::Cuo), "consumo.ip_publica", "192.168.1.4"),
        (Formulario::A1(Servicio::Cuo), "consumo.ip_publica", "mi-servidor"),
        (Formulario::Pruebas, "pruebas.sgd", "otro"),
        (Formulario::Pruebas, "pruebas.url", "http://190.12.3.4/otra"),
        (Formulario::Pruebas, "pruebas.tecnico.celular", "887654321"),
        (Formulario::Produccion, "produccion.url", "https://10.0.0.4/wsiotramite/Tramite"),
        (Formulario::Produccion, "produccion.fecha", "2026-11-26"),
        (Formulario::Produccion, "produccion.fecha", "2026-12-08"),
        (Formulario::Produccion, "produccion.fecha", "4/12/2026"),
    ];
    ensayo(|contexto| {
        for (formulario, clave, valor) in wrong {
            let found = formulario.problemas(&con(clave, valor), contexto);
            assert_eq!(claves(&found), [clave], "{valor}: {found:?}");
            assert!(!found[0].escriba.is_empty());
        }
        // Two business days from Wednesday the 25th: Friday the 27th.
        let fine = |fecha: &str| Formulario::Produccion.problemas(&con("produccion.fecha", fecha), contexto).is_empty();
        assert!(fine("2026-11-27") && !fine("2026-11-28"));
        // Who has no institutional addresses writes one, exactly.
        let without =
            LLENO.replace("dominio = \"muninahui.gob.pe\"", "").replace("@muninahui.gob.pe", ".muninahui@gmail.com");
        assert!(Formulario::Acceso.problemas(&Expediente::leer(&without).unwrap(), contexto).is_empty());
        let other = Expediente::leer(&without.replace("lrojas.muninahui@", "lrojas@")).unwrap();
        assert_eq!(claves(&Formulario::Acceso.problemas(&other, contexto)), ["persona[1].correo"]);
    });
}

#[test]
fn people_are_two_at_least_fifteen_at_most_and_nobody_twice() {
    ensayo(|contexto| {
        let alone = LLENO.replace("rol = \"comunicaciones\"", "rol = \"usuario\"");
        let found = Formulario::Acceso.problemas(&Expediente::leer(&alone).unwrap(), contexto);
        assert_eq!(claves(&found), ["persona"]);
        let (from, to) = (LLENO.find("[[persona]]").unwrap(), LLENO.rfind("[[persona]]").unwrap());
        let one = &LLENO[from..to];
        let many: String = (0..14).map(|n| one.replace("40000002", &format!("411111{n:02}"))).collect();
        let found = Formulario::Acceso.problemas(&Expediente::leer(&(LLENO.to_owned() + &many)).unwrap(), contexto);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].problema, "hay 16 personas");
        let twice = Formulario::Acceso.problemas(&Expediente::leer(&(LLENO.to_owned() + one)).unwrap(), contexto);
        assert_eq!(claves(&twice), ["persona[3].dni"]);
    });
}

/// A report as the suite writes it.
fn informe(conclusion: &str) -> Vec<u8> {
    let caso = |id: &str, veredicto: &str| {
        serde_json::json!({
            "id": id, "grupo": "contrato", "titulo": "La dirección responde", "exige": "x", "fuente": "x", "requisitos": [],
            "severidad": "alta", "intrusivo": false, "veredicto": veredicto, "notas": ["porque sí"], "fallo": null,
            "esperado": null, "inicio": "2026-11-25T14:00:00Z", "milisegundos": 3, "evidencia": []
        })
    };
    let failed = usize::from(conclusion == "NO CONFORME");
    let catalogo = Catalogo::incorporado().unwrap();
    let last = if failed == 1 { "NO CUMPLE" } else { "NO APLICA" };
    let total = catalogo.casos.len();
    let verdict = |n: usize| if n + 1 == total { last } else { "CUMPLE" };
    let casos: Vec<_> = catalogo.casos.iter().enumerate().map(|(n, c)| caso(&c.id, verdict(n))).collect();
    let report = serde_json::json!({
        "formato": 1, "chasqui": "0.1.0", "catalogo_sha256": catalogo.sha256,
        "inicio": "2026-11-25T14:00:00Z", "fin": "2026-11-25T14:05:00Z",
        "objetivo": {"url": "http://190.12.3.4:8080/wsiotramite/Tramite", "ruc": "20900000015", "perfil": "completo",
            "intrusivo": true, "plataforma": null, "operador": "api", "prefijo_cuo": "99", "remitente": "20900000023"},
        "resumen": {"conclusion": conclusion, "casos": total, "cumple": total - 1, "cumple_con_tolerancia": 0, "no_cumple": failed,
            "no_aplica": 1 - failed, "no_ejecutado": 0, "informativo": 0, "esperados": 0},
        "casos": casos
    });
    serde_json::to_vec(&report).unwrap()
}

/// Another person of the municipality, of the same authority.
fn jefa_de_tramite(dni: &str, ruc: &str) -> Identity {
    let issuer = X509::from_pem(include_bytes!("../../fixtures/pki/intermediate.cert.pem")).unwrap();
    let issuer_key = PKey::private_key_from_pem(include_bytes!("../../fixtures/pki/intermediate.key.pem")).unwrap();
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    let (tax, person) = (format!("NTRPE-{ruc}"), format!("PNOPE-{dni}"));
    for (part, value) in [
        ("C", "PE"),
        ("O", "MUNICIPALIDAD DISTRITAL DE EJEMPLO"),
        ("2.5.4.97", tax.as_str()),
        ("SN", "HUAMAN"),
        ("GN", "Rosa"),
        ("serialNumber", person.as_str()),
        ("CN", "HUAMAN Rosa FIR 20900000015 soft"),
    ] {
        name.append_entry_by_text(part, value).unwrap();
    }
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(987_654).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&name.build()).unwrap();
    builder.set_issuer_name(issuer.subject_name()).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::from_str("20260101000000Z").unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_str("20290101000000Z").unwrap()).unwrap();
    let usage = KeyUsage::new().critical().digital_signature().non_repudiation().build().unwrap();
    builder.append_extension(usage).unwrap();
    builder.sign(&issuer_key, MessageDigest::sha256()).unwrap();
    let pem = [key.private_key_to_pem_pkcs8().unwrap(), builder.build().to_pem().unwrap(), issuer.to_pem().unwrap()];
    Identity::read(&pem.concat(), None).unwrap()
}

fn jefa_de_ti() -> Identity {
    Identity::read(PERSONA_P12, Some(samples::PASSWORD)).unwrap()
}

fn firmar(pdf: &[u8], who: &Identity, campo: &str) -> Vec<u8> {
    let at = "2026-11-25T15:00:00Z".parse().unwrap();
    let mut out = Vec::new();
    pades::sign(Cursor::new(pdf), &mut out, who, &Order { at, field: Some(campo), ..Order::default() }).unwrap();
    out
}

/// The only file of the dossier that looking at an acta reads.
fn informes(name: &str) -> Result<Vec<u8>, String> {
    if name == "informe.json" { Ok(informe("CONFORME")) } else { Err(format!("«{name}» no existe")) }
}

fn acta_hecha() -> Vec<u8> {
    ensayo(|contexto| acta::pdf(&lleno(), &Prueba::leer(&informe("CONFORME")).unwrap(), false, contexto).unwrap())
}

#[test]
fn the_acta_tells_the_result_and_the_digest_of_the_report() {
    let report = informe("CONFORME");
    let said = text(&acta_hecha());
    let digest = Prueba::leer(&report).unwrap().sha256;
    for words in [digest.as_str(), "CONFORME", "chasqui 0.1.0", ": La dirección responde (porque sí)", "ROSA HUAMÁN"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(Prueba::leer(b"{}").is_err());
}

#[test]
fn an_acta_stands_on_a_report_of_the_same_component_that_ended_well() {
    ensayo(|contexto| {
        let failed = Prueba::leer(&informe("NO CONFORME")).unwrap();
        let refused = acta::pdf(&lleno(), &failed, false, contexto).unwrap_err().to_string();
        assert!(refused.contains("acta.informe: la conclusión es NO CONFORME: 1 caso no cumple"), "{refused}");
        let draft = text(&acta::pdf(&lleno(), &failed, true, contexto).unwrap());
        assert!(draft.contains("BORRADOR: no lo firme. La conclusión es NO CONFORME"), "{draft}");
        assert!(draft.contains("no da conformidad") && !draft.contains("dan su conformidad"), "{draft}");
        let bytes = acta::pdf(&lleno(), &failed, true, contexto).unwrap();
        assert!(pades::signature_fields(Cursor::new(&bytes)).unwrap().is_empty(), "a draft has nothing to sign");
        let fine = Prueba::leer(&informe("CONFORME")).unwrap();
        let other = con("pruebas.url", "https://otra.gob.pe/wsiotramite/Tramite");
        assert_eq!(claves(&fine.reparos(&other, contexto.ahora)), ["acta.informe"]);
        assert_eq!(fine.reparos(&lleno(), contexto.ahora), []);
        let without = fine.reparos(&con("pruebas.url", ""), contexto.ahora);
        assert!(without[0].problema.ends_with("y pruebas.url no está escrita"), "{without:?}");
    });
}

#[test]
fn a_report_that_is_not_as_the_suite_wrote_it_is_no_ground() {
    type Change = fn(&mut crate::conformance::report::Informe);
    let cases: [(Change, &str); 6] = [
        (|i| i.resumen.cumple += 1, "su resumen no es el de sus casos"),
        (|i| drop(i.casos.pop()), "le faltan casos de la suite: 1"),
        (|i| i.catalogo_sha256 = "ab".repeat(32), "los casos de otra versión"),
        (|i| i.fin = "2031-01-01T00:00:00Z".parse().unwrap(), "su hora de término no puede ser"),
        (|i| i.objetivo.perfil = "receptor".into(), "es del perfil receptor, y hace falta el completo"),
        (
            |i| {
                i.casos[0].veredicto = crate::conformance::report::Veredicto::NoCumple;
                i.casos[0].esperado = Some("se sabe".into());
                i.resumen = crate::conformance::report::Resumen::de(&i.casos, true);
            },
            "1 caso grave no se cumple, aunque sea una desviación conocida: ",
        ),
    ];
    ensayo(|contexto| {
        for (change, expected) in cases {
            let mut prueba = Prueba::leer(&informe("CONFORME")).unwrap();
            change(&mut prueba.informe);
            let found = prueba.reparos(&lleno(), contexto.ahora);
            assert!(found.iter().any(|p| p.problema.contains(expected)), "{expected}: {found:?}");
        }
    });
}

#[test]
fn an_acta_that_both_signed_in_their_fields_is_in_order() {
    let first = firmar(&acta_hecha(), &jefa_de_ti(), CAMPO_TI);
    let both = firmar(&first, &jefa_de_tramite("40000004", "20900000015"), CAMPO_TRAMITE);
    ensayo(|contexto| {
        let (informe, found) = acta::firmada(&lleno(), &both, &informes, contexto);
        assert_eq!((informe.firmas.len(), found), (2, vec![]));
        let (_, found) = acta::firmada(&lleno(), &first, &informes, contexto);
        assert_eq!(found.len(), 1);
        assert!(found[0].problema.starts_with("falta la firma de ROSA HUAMÁN"), "{found:?}");
        let (_, found) = acta::firmada(&lleno(), &acta_hecha(), &informes, contexto);
        assert_eq!(found.len(), 3, "{found:?}");
        let twice = acta::firmada(&con("acta.jefe_tramite.dni", "40633367"), &both, &informes, contexto).1;
        assert!(claves(&twice).contains(&"acta.jefe_tramite.dni"), "{twice:?}");
    });
    // As another program sees the same file.
    let seen = output("pdfsig", &["-nocert", "d.pdf"], "d.pdf", &both);
    assert_eq!(seen.matches("Signature is Valid").count(), 2, "{seen}");
}

#[test]
fn an_acta_signed_by_others_or_changed_is_not() {
    let first = firmar(&acta_hecha(), &jefa_de_ti(), CAMPO_TI);
    ensayo(|contexto| {
        let other = firmar(&first, &jefa_de_tramite("40000009", "20900000023"), CAMPO_TRAMITE);
        let found = acta::firmada(&lleno(), &other, &informes, contexto).1;
        assert_eq!(claves(&found), ["acta.jefe_tramite", "acta.jefe_tramite"], "{found:?}");
        assert!(found[0].problema.contains("DNI 40000009") && found[1].problema.contains("20900000023"));
        let mut changed = first.clone();
        let place = memchr::memmem::find(&changed, b"startxref").unwrap();
        changed[place - 3] ^= 1;
        assert!(claves(&acta::firmada(&lleno(), &changed, &informes, contexto).1).contains(&"archivos.acta"));
    });
}

#[test]
fn an_acta_of_another_entity_or_report_or_made_to_practise_is_not_the_one() {
    let both = |pdf: &[u8], ruc: &str| {
        firmar(&firmar(pdf, &jefa_de_ti(), CAMPO_TI), &jefa_de_tramite("40000004", ruc), CAMPO_TRAMITE)
    };
    let signed = both(&acta_hecha(), "20900000015");
    let said = |found: &[Problema], words: &str| found.iter().any(|p| p.problema.contains(words));
    ensayo(|contexto| {
        let other = acta::firmada(&con("entidad.ruc", "20131312955"), &signed, &informes, contexto).1;
        assert!(said(&other, "es de la entidad con RUC 20900000015"), "{other:?}");
        let later = acta::firmada(&lleno(), &signed, &|_| Ok(informe("NO CONFORME")), contexto).1;
        assert!(said(&later, "es del informe con SHA-256"), "{later:?}");
        let form = Formulario::A3.pdf(&lleno(), contexto).unwrap();
        let form = acta::firmada(&lleno(), &form, &informes, contexto).1;
        assert!(said(&form, "no es un acta hecha con"), "{form:?}");
    });
    en(Ambiente::Production, |contexto| {
        let practised = acta::firmada(&lleno(), &signed, &informes, contexto).1;
        assert!(said(&practised, "es un ENSAYO"), "{practised:?}");
    });
    // Another document in the place of a form.
    let (expediente, files) = archivos();
    files.borrow_mut().insert("a3.pdf".into(), signed);
    let lector = |name: &str| files.borrow().get(name).cloned().ok_or_else(|| format!("«{name}» no existe"));
    let found = ensayo(|contexto| Carta::Master.problemas(&expediente, contexto, &lector));
    assert!(said(&found, "es otro documento (acta), y se esperaba a3"), "{found:?}");
}

#[test]
fn a_reports_signature_is_of_that_report_and_says_whose_it_is() {
    let report = informe("CONFORME");
    let signed = cades::sign(&jefa_de_ti(), &openssl::sha::sha256(&report), None, None).unwrap();
    ensayo(|contexto| {
        let (who, _) = sello::firmante(&report, &signed.cms, contexto).unwrap();
        assert!(who.contains("PÉREZ QUISPE"), "{who}");
        assert!(sello::firmante(b"otro", &signed.cms, contexto).unwrap_err().contains("no es de este archivo"));
        assert!(sello::firmante(&report, b"hola", contexto).unwrap_err().contains("no es una firma"));
    });
}

const PARSER: &str = r#"
import email, email.policy, json, sys
raw = open("m.eml", "rb").read()
assert max(map(len, raw.split(b"\r\n"))) < 100 and raw.count(b"\n") == raw.count(b"\r\n")
m = email.message_from_bytes(raw, policy=email.policy.default)
body = m.get_body()
print(json.dumps({
    "subject": m["subject"], "from": m["from"].addresses[0].addr_spec, "name": m["from"].addresses[0].display_name,
    "to": [a.addr_spec for a in m["to"].addresses], "date": m["date"].datetime.isoformat(), "text": body.get_content(),
    "files": {a.get_filename(): [a.get_content_type(), a.get_content()[:4].decode(), len(a.get_content())] for a in m.iter_attachments()},
    "defects": [str(d) for p in m.walk() for d in p.defects] + [str(d) for h in m.values() for d in getattr(h, "defects", [])],
}))
"#;

fn archivos() -> (Expediente, RefCell<BTreeMap<String, Vec<u8>>>) {
    let signed =
        |formulario: Formulario| firmar(&ensayo(|c| formulario.pdf(&lleno(), c).unwrap()), &jefa_de_ti(), "Firma");
    let mut files = BTreeMap::new();
    for formulario in Formulario::TODOS.into_iter().take(4) {
        files.insert(format!("{}.pdf", formulario.palabra()), signed(formulario));
    }
    let first = firmar(&acta_hecha(), &jefa_de_ti(), CAMPO_TI);
    let acta = firmar(&first, &jefa_de_tramite("40000004", "20900000015"), CAMPO_TRAMITE);
    files.insert("acta.pdf".into(), acta);
    files.insert("informe.json".into(), informe("CONFORME"));
    files.insert("resolucion.pdf".into(), include_bytes!("../../fixtures/oficio.pdf").to_vec());
    let text = format!(
        "{LLENO}\n[archivos]\na3 = \"a3.pdf\"\ndesignacion = \"resolucion.pdf\"\na1_cuo = \"a1-cuo.pdf\"\n\
         a1_entidad = \"a1-entidad.pdf\"\na1_tramite = \"a1-tramite.pdf\"\nacta = \"acta.pdf\"\n"
    );
    (Expediente::leer(&text).unwrap(), RefCell::new(files))
}

#[test]
fn every_email_is_read_by_another_program_with_its_subject_and_files() {
    let (expediente, files) = archivos();
    let lector = |name: &str| files.borrow().get(name).cloned().ok_or_else(|| format!("«{name}» no existe"));
    let expected = [
        (Carta::Master, "PIDE", 2),
        (Carta::Consumo, "PIDE", 3),
        (Carta::Acceso, "PIDE", 1),
        (Carta::Componente, "MPV", 0),
        (Carta::Pruebas, "MPV Pruebas", 1),
        (Carta::Produccion, "MPV pase a producción", 2),
    ];
    for (carta, subject, count) in expected {
        let eml = ensayo(|contexto| carta.eml(&expediente, contexto, &lector, "abc123").unwrap());
        let read: serde_json::Value = serde_json::from_str(&output("python3", &["-c", PARSER], "m.eml", &eml)).unwrap();
        assert_eq!(read["defects"], serde_json::json!([]));
        assert_eq!(read["subject"], subject);
        assert_eq!(read["from"], "rquispe@muninahui.gob.pe");
        assert_eq!(read["name"], "Raúl Quispe");
        assert_eq!(read["to"], serde_json::json!(["mesadeayuda@gobiernodigital.gob.pe"]));
        assert_eq!(read["date"], "2026-11-25T10:00:00-05:00");
        assert!(read["text"].as_str().unwrap().contains("ÑAHUIPAMPA, con RUC 20900000015,"));
        let attached = read["files"].as_object().unwrap();
        assert_eq!(attached.len(), count, "{attached:?}");
        assert!(attached.values().all(|file| file[0] == "application/pdf" && file[1] == "%PDF"));
    }
    let eml = ensayo(|c| Carta::Consumo.eml(&expediente, c, &lector, "1").unwrap());
    let read: serde_json::Value = serde_json::from_str(&output("python3", &["-c", PARSER], "m.eml", &eml)).unwrap();
    assert!(read["files"].get("Formato A-1 Envío de documentos.pdf").is_some(), "{}", read["files"]);
    assert!(Servicio::TODOS.iter().all(|s| read["text"].as_str().unwrap().contains(s.nombre())));
}

#[test]
fn what_must_be_signed_and_is_not_goes_with_no_email() {
    let (expediente, files) = archivos();
    let lector = |name: &str| files.borrow().get(name).cloned().ok_or_else(|| format!("«{name}» no existe"));
    let plain = ensayo(|contexto| Formulario::A3.pdf(&lleno(), contexto).unwrap());
    files.borrow_mut().insert("a3.pdf".into(), plain);
    files.borrow_mut().remove("acta.pdf");
    files.borrow_mut().insert("resolucion.pdf".into(), b"hola".to_vec());
    ensayo(|contexto| {
        let found = Carta::Master.problemas(&expediente, contexto, &lector);
        assert_eq!(claves(&found), ["archivos.a3", "archivos.designacion"]);
        assert!(found[0].problema.contains("no tiene ninguna firma digital"), "{found:?}");
        let found = Carta::Produccion.problemas(&expediente, contexto, &lector);
        assert_eq!((claves(&found), found[0].problema.as_str()), (vec!["archivos.acta"], "«acta.pdf» no existe"));
    });
}

#[test]
fn the_six_steps_go_from_missing_to_ready_to_waiting_to_done() {
    let nothing = |_: &str| Err("no existe".to_owned());
    let estados = |expediente: &Expediente, lector: cartas::Lector<'_>| -> Vec<Estado> {
        ensayo(|contexto| situacion::pasos(expediente, contexto, lector)).into_iter().map(|paso| paso.estado).collect()
    };
    let empty = estados(&Expediente::default(), &nothing);
    assert_eq!(empty.len(), 6);
    assert!(empty.iter().enumerate().all(|(n, estado)| (*estado == Estado::FaltanDatos) == (n != 2)));
    let (mut expediente, files) = archivos();
    let lector = |name: &str| files.borrow().get(name).cloned().ok_or_else(|| format!("«{name}» no existe"));
    assert_eq!(estados(&expediente, &lector), [Estado::Listo; 6]);
    expediente.avance.master_pedido = "2026-11-02".into();
    expediente.avance.consumo_autorizado = "2026-11-20".into();
    expediente.avance.pruebas_terminadas = "2027-01-01".into();
    let now = ensayo(|contexto| situacion::pasos(&expediente, contexto, &lector));
    assert_eq!((now[0].estado, now[1].estado, now[3].estado), (Estado::EnEspera, Estado::Hecho, Estado::FaltanDatos));
    assert_eq!(now[0].detalle, "pedido el 2026-11-02, hace 23 días: pregunte por la respuesta");
    assert_eq!(claves(&now[3].falta), ["avance.pruebas_terminadas"]);
}
