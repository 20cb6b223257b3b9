//! The table of the corpus.

use Veredicto::{Confiable, Integro, Invalido, Modificado, NoComprobable, SinFirmas};

use super::paper::{GOOD_STAMP, Paper, Pen, Stamp, der, oid, page_dict, stream};
use crate::{
    domain::firmas::Veredicto,
    signing::{
        asn1::{sequence, tlv},
        cms::Digest,
    },
};

pub struct Case {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub verdict: Veredicto,
    /// A finding that must be there; empty: none in particular.
    pub code: &'static str,
}

fn case(name: &'static str, verdict: Veredicto, code: &'static str, paper: &Paper) -> Case {
    Case { name, bytes: paper.bytes.clone(), verdict, code }
}

fn signed(pen: Pen) -> Paper {
    let mut paper = Paper::new();
    paper.sign(&pen);
    paper
}

fn letter() -> Paper {
    signed(Pen::default())
}

/// A signed letter with something done to it.
fn spoilt(spoil: impl FnOnce(&mut Paper)) -> Paper {
    let mut paper = letter();
    spoil(&mut paper);
    paper
}

pub fn all() -> Vec<Case> {
    [sound(), signers(), ranges(), changes(), locks(), prepared(), files(), contents()].into_iter().flatten().collect()
}

fn sound() -> Vec<Case> {
    let pen = |digest, pss| Pen { digest, pss, ..Pen::default() };
    let ec = |digest| Pen { who: "persona-gobierno", digest, ..Pen::default() };
    let stamped = Pen { stamp: Some(GOOD_STAMP), ..Pen::default() };
    let mut lasting = signed(stamped.clone());
    lasting.sign(&Pen { format: "ETSI.RFC3161", ..Pen::default() });
    let mut evidence = letter();
    evidence.save(&[
        (1, "<</Type/Catalog/Pages 2 0 R/AcroForm 6 0 R/DSS 60 0 R>>".into()),
        (60, "<</Type/DSS/Certs[61 0 R]>>".into()),
        (61, stream("", "not a certificate")),
    ]);
    let mut described = letter();
    described.save(&[(7, "<</Title(Otro titulo)>>".into())]);
    vec![
        case("unsigned", SinFirmas, "", &Paper::new()),
        case("RSA and SHA-256", Confiable, "revocacion_sin_comprobar", &letter()),
        case("RSA and SHA-384", Confiable, "", &signed(pen(Digest::Sha384, false))),
        case("RSA and SHA-512", Confiable, "", &signed(pen(Digest::Sha512, false))),
        case("RSA-PSS", Confiable, "", &signed(pen(Digest::Sha256, true))),
        case("ECDSA and SHA-256", Confiable, "", &signed(ec(Digest::Sha256))),
        case("ECDSA and SHA-384", Confiable, "", &signed(ec(Digest::Sha384))),
        case(
            "older format",
            Confiable,
            "",
            &signed(Pen { format: "adbe.pkcs7.detached", unbound: true, ..Pen::default() }),
        ),
        case("with a timestamp", Confiable, "", &signed(stamped)),
        case("with a CRL inside", Confiable, "no_revocado", &signed(Pen { crl: true, ..Pen::default() })),
        case("timestamp over all of it", Confiable, "sello_agregado", &lasting),
        case("evidence added later", Confiable, "guardados_posteriores", &evidence),
        case("title changed later", Confiable, "metadatos_cambiados", &described),
    ]
}

fn signers() -> Vec<Case> {
    let stamp = |who, wrong| Pen { stamp: Some(Stamp { who, wrong, ..GOOD_STAMP }), ..Pen::default() };
    let old = |date, time| Pen { date, stamp: Some(Stamp { time, ..GOOD_STAMP }), ..Pen::of("expired") };
    let no_time = |date| Pen { date, ..Pen::of("expired") };
    let strange = sequence(&[&oid("1.2.3.4.5"), &tlv(0x31, &tlv(4, b"x"))]);
    vec![
        case("unknown CA", Integro, "emisor_desconocido", &signed(Pen::of("unknown-ca"))),
        case("expired when signed", Invalido, "certificado_no_vigente", &signed(Pen::of("expired"))),
        case("not yet valid", Invalido, "certificado_no_vigente", &signed(Pen::of("not-yet-valid"))),
        case(
            "expired since, without proof of time",
            Integro,
            "certificado_vencido",
            &signed(no_time("D:20220601100000-05'00'")),
        ),
        case(
            "expired since, stamped by an authority not yet in force",
            Integro,
            "sello_sin_respaldo",
            &signed(old("D:20220601100000-05'00'", "20220601150100Z")),
        ),
        case("wrong key usage", Integro, "uso_de_clave", &signed(Pen::of("wrong-usage"))),
        case("revoked", Invalido, "certificado_revocado", &signed(Pen { crl: true, ..Pen::of("revoked") })),
        case("SHA-1", Integro, "algoritmo_debil", &signed(Pen { digest: Digest::Sha1, ..Pen::default() })),
        case(
            "certificate not bound",
            Integro,
            "sin_certificado_firmado",
            &signed(Pen { unbound: true, ..Pen::default() }),
        ),
        case(
            "another certificate bound",
            Invalido,
            "certificado_cambiado",
            &signed(Pen { bind: Some("persona-gobierno"), ..Pen::default() }),
        ),
        case("timestamp of something else", Integro, "sello_invalido", &signed(stamp("tsa", true))),
        case("timestamp of no authority", Integro, "sello_sin_respaldo", &signed(stamp("tsa-without-usage", false))),
        case(
            "unsigned data beside the signature",
            Integro,
            "atributos_ajenos",
            &signed(Pen { unsigned: strange, ..Pen::default() }),
        ),
        case(
            "a stranger's certificate along",
            Integro,
            "certificado_ajeno",
            &signed(Pen { extra_certificate: Some(der("unknown-ca")), ..Pen::default() }),
        ),
        case(
            "signed in the future",
            Confiable,
            "fecha_futura",
            &signed(Pen { date: "D:20300101000000Z", ..Pen::default() }),
        ),
        case(
            "outdated format",
            NoComprobable,
            "formato_obsoleto",
            &signed(Pen { format: "adbe.pkcs7.sha1", ..Pen::default() }),
        ),
        case(
            "key alone, without certificates inside",
            NoComprobable,
            "formato_obsoleto",
            &signed(Pen { format: "adbe.x509.rsa_sha1", ..Pen::default() }),
        ),
        case(
            "unknown format",
            NoComprobable,
            "formato_desconocido",
            &signed(Pen { format: "ACME.secret", ..Pen::default() }),
        ),
    ]
}

/// Replaces the ByteRange by another of the same length.
fn ranged(change: impl FnOnce([u64; 4]) -> [i64; 4]) -> Paper {
    spoilt(|paper| {
        let start = paper.find("/ByteRange[") + "/ByteRange[".len();
        let end = start + paper.bytes[start..].iter().position(|byte| *byte == b']').expect("an end");
        let text = String::from_utf8_lossy(&paper.bytes[start..end]).into_owned();
        let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
        let [a, b, c, d] = change([numbers[0], numbers[1], numbers[2], numbers[3]]);
        let new = format!("{a} {b:>10} {c:>10} {d:>10}");
        assert_eq!(new.len(), end - start);
        paper.bytes[start..end].copy_from_slice(new.as_bytes());
    })
}

fn ranges() -> Vec<Case> {
    let signed_of = |value: u64| i64::try_from(value).expect("small");
    let moved = |by: [i64; 4]| {
        ranged(move |from| {
            let mut to = by;
            to.iter_mut().zip(from).for_each(|(by, from)| *by += signed_of(from));
            to
        })
    };
    let mut swapped = letter();
    swapped.sign(&Pen::of("persona-gobierno"));
    let starts: Vec<usize> = memchr::memmem::find_iter(&swapped.bytes, b"/Contents<30").map(|at| at + 10).collect();
    let (one, other) =
        (swapped.bytes[starts[0]..starts[0] + 9000].to_vec(), swapped.bytes[starts[1]..starts[1] + 9000].to_vec());
    swapped.bytes[starts[0]..starts[0] + 9000].copy_from_slice(&other);
    swapped.bytes[starts[1]..starts[1] + 9000].copy_from_slice(&one);
    let mut wrapped = letter();
    let at = wrapped.find("20 0 obj");
    let end = at + memchr::memmem::find(&wrapped.bytes[at..], b"endobj").expect("an end");
    let copy = String::from_utf8_lossy(&wrapped.bytes[at + 9..end]).into_owned();
    wrapped.save(&[(20, copy), (4, stream("", "BT (PAGUESE 1000000) Tj ET"))]);
    vec![
        case("range moved by one", Invalido, "rango_desplazado", &moved([0, -1, 0, 0])),
        case("gap made wider", Invalido, "rango_desplazado", &moved([0, 0, 1, -1])),
        case("range ends early", Invalido, "no_cubre_su_revision", &moved([0, 0, 0, -9])),
        case("range beyond the file", Invalido, "rango_fuera_del_archivo", &moved([0, 0, 0, 1])),
        case(
            "range begins late",
            Invalido,
            "rango_mal_formado",
            &ranged(|[_, b, c, d]| [9, signed_of(b), signed_of(c), signed_of(d)]),
        ),
        case(
            "negative range",
            Invalido,
            "rango_mal_formado",
            &ranged(|[_, b, c, _]| [0, signed_of(b), signed_of(c), -5]),
        ),
        case(
            "second ByteRange",
            Invalido,
            "clave_repetida",
            &spoilt(|p| {
                p.swap("/M(D:20261120100000-05'00')", "/ByteRange[0 1 2 3]/X(aaaa)");
            }),
        ),
        case(
            "second Contents",
            Invalido,
            "clave_repetida",
            &spoilt(|p| {
                p.swap("/M(D:20261120100000-05'00')", "/Contents<3080>/X(aaaaaaaa)");
            }),
        ),
        case("signatures of two fields swapped", Invalido, "contenido_alterado", &swapped),
        case("signature copied into a later saving", Invalido, "rango_desplazado", &wrapped),
        case(
            "data after the signature",
            Invalido,
            "datos_tras_la_firma",
            &spoilt(|p| {
                let end = p.find("/M(D:") - 3;
                p.bytes[end] = b'1';
            }),
        ),
        case(
            "case of the digits changed",
            Invalido,
            "contenido_irregular",
            &spoilt(|p| {
                let at = p.find("/Contents<30") + 10;
                let letter = p.bytes[at..].iter().position(|byte| byte.is_ascii_lowercase()).expect("a letter");
                p.bytes[at + letter] = p.bytes[at + letter].to_ascii_uppercase();
            }),
        ),
        case(
            "no signature in the field",
            Invalido,
            "",
            &spoilt(|p| {
                let at = p.find("/Contents<30") + 10;
                p.bytes[at..at + 9000].fill(b'0');
            }),
        ),
        case(
            "one byte of the text changed",
            Invalido,
            "contenido_alterado",
            &spoilt(|p| {
                p.swap("OFICIO 001", "OFICIO 002");
            }),
        ),
        case(
            "one bit of the signature changed",
            Invalido,
            "",
            &spoilt(|p| {
                let end = p.bytes[..p.find("/M(D:") - 1]
                    .iter()
                    .rposition(|byte| *byte != b'0' && *byte != b'>')
                    .expect("digits");
                p.bytes[end - 20] = if p.bytes[end - 20] == b'1' { b'2' } else { b'1' };
            }),
        ),
    ]
}

fn changes() -> Vec<Case> {
    let saved = |objects: &[(u32, &str)]| {
        let objects: Vec<(u32, String)> = objects.iter().map(|(number, body)| (*number, (*body).to_owned())).collect();
        spoilt(|paper| {
            paper.save(&objects);
        })
    };
    let content = stream("", "BT (PAGUESE 1000000) Tj ET");
    let page = |annots: &str, more: &str| format!("{}{more}>>", page_dict(annots));
    let sealed = {
        let mut paper = Paper::new();
        paper.sign(&Pen { docmdp: Some(1), ..Pen::default() }).sign(&Pen::of("persona-gobierno"));
        paper
    };
    let mut replaced = letter();
    replaced.save(&[
        (21, "<</Type/Annot/Subtype/Widget/FT/Sig/T(Firma0)/V 80 0 R/Rect[0 0 0 0]/F 132/P 3 0 R>>".into()),
        (
            80,
            "<</Type/Sig/Filter/Adobe.PPKLite/SubFilter/ETSI.CAdES.detached/ByteRange[0 1 2 3]/Contents<3000>>>".into(),
        ),
    ]);
    let mut shown = letter();
    shown.sign_with(&Pen::of("persona-gobierno"), &[(4, content.clone())]);
    vec![
        case("text of the page replaced", Modificado, "cambio_contenido", &saved(&[(4, &content)])),
        case("text replaced by the next signer", Modificado, "cambio_contenido", &shown),
        case(
            "page added",
            Modificado,
            "cambio_pagina",
            &saved(&[(2, "<</Type/Pages/Kids[3 0 R 70 0 R]/Count 2>>"), (70, "<</Type/Page/Parent 2 0 R>>")]),
        ),
        case("page pointed elsewhere", Modificado, "cambio_pagina", &saved(&[(3, &page("[21 0 R]", "/Rotate 180"))])),
        case(
            "annotation laid over the page",
            Modificado,
            "cambio_anotacion",
            &saved(&[
                (3, &page("[21 0 R 70 0 R]", "")),
                (70, "<</Type/Annot/Subtype/FreeText/Rect[0 0 600 800]/Contents(nuevo)>>"),
            ]),
        ),
        case(
            "font replaced",
            Modificado,
            "cambio_contenido",
            &saved(&[(5, "<</Type/Font/Subtype/Type1/BaseFont/ZapfDingbats>>")]),
        ),
        case(
            "action added",
            Modificado,
            "accion_agregada",
            &saved(&[(1, "<</Type/Catalog/Pages 2 0 R/AcroForm 6 0 R/OpenAction<</S/JavaScript/JS(x)>>>>")]),
        ),
        case(
            "form field added",
            Modificado,
            "campo_agregado",
            &saved(&[(6, "<</Fields[21 0 R 70 0 R]/SigFlags 3>>"), (70, "<</FT/Tx/T(a)/V(b)>>")]),
        ),
        case(
            "catalog replaced",
            Modificado,
            "cambio_catalogo",
            &saved(&[(1, "<</Type/Catalog/Pages 2 0 R/AcroForm 6 0 R/PageLayout/TwoColumnLeft/Names<<>>>>")]),
        ),
        case(
            "signature taken out of the form",
            NoComprobable,
            "firma_fuera_del_formulario",
            &saved(&[(6, "<</Fields[]/SigFlags 3>>"), (3, &page("[]", ""))]),
        ),
        case("signature replaced in its field", Invalido, "rango_desplazado", &replaced),
        case("signed after a certification that allows nothing", Modificado, "certificacion_violada", &sealed),
        case("object without use added", Modificado, "cambio_otro", &saved(&[(70, "(nada)")])),
        case(
            "bytes after the end",
            Modificado,
            "bytes_despues_del_fin",
            &spoilt(|p| p.bytes.extend_from_slice(b"4 0 obj\n(x)\nendobj\n")),
        ),
        case(
            "update without a table",
            Modificado,
            "bytes_despues_del_fin",
            &spoilt(|p| {
                let prev = p.find("startxref");
                let last = memchr::memmem::rfind(&p.bytes, b"startxref").expect("an end");
                assert!(prev < last);
                let tail = p.bytes[last..].to_vec();
                p.bytes.extend_from_slice(
                    format!("4 0 obj\n{}\nendobj\ntrailer\n<</Root 1 0 R>>\n", stream("", "x")).as_bytes(),
                );
                p.bytes.extend_from_slice(&tail);
            }),
        ),
        case(
            "blanks after the end",
            Confiable,
            "blancos_al_final",
            &spoilt(|p| p.bytes.extend_from_slice(b"\0\0\r\n \0")),
        ),
    ]
}

/// Documents that were prepared before they were signed.
/// Two signers, whose fields stood there from the beginning; the first one locks something.
fn locks() -> Vec<Case> {
    let twice = |fieldmdp, lock: &str| {
        let mut paper = Paper::new();
        let widget = |n: u8, more: &str| {
            format!("<</Type/Annot/Subtype/Widget/FT/Sig/T(Firma{n})/Rect[0 0 0 0]/F 132/P 3 0 R{more}>>")
        };
        let objects = [
            (21, widget(0, &format!("/V 20 0 R{lock}"))),
            (23, widget(1, "")),
            (6, "<</Fields[21 0 R 23 0 R]/SigFlags 3>>".to_owned()),
            (3, format!("{}>>", page_dict("[21 0 R 23 0 R]"))),
        ];
        paper.sign_with(&Pen { fieldmdp, ..Pen::default() }, &objects);
        paper.sign(&Pen::of("persona-gobierno"));
        paper
    };
    vec![
        case("two fields, nothing locked", Confiable, "firma_agregada", &twice(None, "")),
        case("all fields locked", Modificado, "campo_bloqueado", &twice(Some("/Action/All"), "")),
        case(
            "the second field locked",
            Modificado,
            "campo_bloqueado",
            &twice(Some("/Action/Include/Fields[(Firma1)]"), ""),
        ),
        case("another field locked", Confiable, "firma_agregada", &twice(Some("/Action/Include/Fields[(Otro)]"), "")),
        case(
            "all but the second locked",
            Confiable,
            "firma_agregada",
            &twice(Some("/Action/Exclude/Fields[(Firma1)]"), ""),
        ),
        case(
            "locked by the field",
            Modificado,
            "campo_bloqueado",
            &twice(None, "/Lock<</Action/Include/Fields[(Firma1)]>>"),
        ),
        case(
            "closed by the field",
            Modificado,
            "campo_bloqueado",
            &twice(None, "/Lock<</Action/Include/Fields[(X)]/P 1>>"),
        ),
    ]
}

fn prepared() -> Vec<Case> {
    // The page shows an object that does not exist yet; the second "signature" brings it.
    let mut hole = Paper::with("", "");
    hole.save(&[(3, format!("{}>>", page_dict("[]").replace("/Contents 4 0 R", "/Contents[4 0 R 70 0 R]")))]);
    let hole_page =
        |annots: &str| format!("{}>>", page_dict(annots).replace("/Contents 4 0 R", "/Contents[4 0 R 70 0 R]"));
    hole.sign_with(&Pen::default(), &[(3, hole_page("[21 0 R]"))]);
    hole.sign_with(
        &Pen::of("persona-gobierno"),
        &[
            (3, hole_page("[21 0 R 23 0 R]")),
            (
                23,
                "<</Type/Annot/Subtype/Widget/FT/Sig/T(Firma1)/V 22 0 R/Rect[0 0 0 0]/F 132/P 3 0 R/AP<</N 70 0 R>>>>"
                    .into(),
            ),
            (70, stream("", "BT (PAGUESE 1000000) Tj ET")),
        ],
    );
    // The page's text is at once the document's metadata.
    let mut twofold = Paper::with("/Metadata 4 0 R", "");
    twofold.sign(&Pen::default()).save(&[(4, stream("/Type/Metadata", "BT (PAGUESE 1000000) Tj ET"))]);
    vec![
        case("hole filled by a second signature", Modificado, "hueco_llenado", &hole),
        case("page text in the role of metadata", Modificado, "objeto_doble", &twofold),
    ]
}

fn files() -> Vec<Case> {
    let mut cyclic = letter();
    let at = cyclic.bytes.len();
    cyclic.bytes.extend_from_slice(
        format!("xref\n0 0\ntrailer\n<</Root 1 0 R/Prev {at}>>\nstartxref\n{at}\n%%EOF\n").as_bytes(),
    );
    let mut encrypted = letter();
    encrypted.save(&[(70, "<</Filter/Standard/V 1>>".into())]).table(&[], "/Encrypt 70 0 R");
    let mut deep = Paper::new();
    deep.save(&[(70, format!("{}{}", "[".repeat(100), "]".repeat(100)))]);
    let mut deeper = letter();
    deeper.save(&[(1, format!("<</Type/Catalog/Pages 2 0 R/X {}{}>>", "[".repeat(5000), "]".repeat(5000)))]);
    let mut kids = Paper::new();
    kids.save(&[(2, "<</Type/Pages/Kids[2 0 R 2 0 R 3 0 R]/Count 99999999>>".into())]);
    let mut fields = Paper::new();
    fields.save(&[
        (6, "<</Fields[70 0 R]>>".into()),
        (70, "<</FT/Sig/Kids[70 0 R 71 0 R]>>".into()),
        (71, "<</Kids[70 0 R]>>".into()),
    ]);
    let bomb = Case { name: "object stream that inflates to 300 MB", bytes: bomb(), verdict: NoComprobable, code: "" };
    let mut before = letter();
    before.bytes.splice(0..0, *b"junk\n");
    let mut many = Paper::new();
    let list: String = (0..70).map(|n| format!("{} 0 R ", 1000 + n)).collect();
    let mut objects = vec![(6, format!("<</Fields[{list}]>>"))];
    objects.extend((0..70).map(|n| (1000 + n, "<</FT/Sig/V<</ByteRange[0 1 2 3]/Contents<30>>>>>".to_owned())));
    many.save(&objects);
    let plain = |name, bytes: &[u8], code| Case { name, bytes: bytes.to_vec(), verdict: NoComprobable, code };
    vec![
        plain("not a PDF", b"PK\x03\x04 this is a zip", "no_es_pdf"),
        plain("empty", b"", "no_es_pdf"),
        plain("only a header", b"%PDF-1.7\n", "pdf_danado"),
        Case {
            name: "cut in half",
            bytes: letter().bytes[..8000].to_vec(),
            verdict: SinFirmas,
            code: "bytes_despues_del_fin",
        },
        case("tables in a circle", NoComprobable, "tabla_reparada", &cyclic),
        case("encrypted", NoComprobable, "cifrado", &encrypted),
        case("a hundred arrays one in another", SinFirmas, "objeto_danado", &deep),
        case("catalog nested without end", NoComprobable, "", &deeper),
        case("pages in a circle", SinFirmas, "", &kids),
        case("fields in a circle", SinFirmas, "", &fields),
        case("bytes before the beginning", Invalido, "bytes_antes_del_comienzo", &before),
        case("too many signatures", Invalido, "demasiadas_firmas", &many),
        bomb,
    ]
}

/// The catalog lies in a compressed object that is made of zeros by the hundred megabytes.
fn bomb() -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..300 {
        encoder.write_all(&vec![0; 1024 * 1024]).expect("memory");
    }
    let data = encoder.finish().expect("memory");
    let mut bytes = b"%PDF-1.7\n".to_vec();
    let stream_at = bytes.len();
    bytes.extend_from_slice(
        format!("5 0 obj\n<</Type/ObjStm/N 1/First 4/Filter/FlateDecode/Length {}>>\nstream\n", data.len()).as_bytes(),
    );
    bytes.extend_from_slice(&data);
    bytes.extend_from_slice(b"\nendstream\nendobj\n");
    let table = bytes.len();
    let rows: Vec<u8> = [[2, 0, 5, 0], [1, 0, u8::try_from(stream_at).expect("small"), 0]].concat();
    bytes.extend_from_slice(
        format!("6 0 obj\n<</Type/XRef/W[1 2 1]/Index[1 1 5 1]/Root 1 0 R/Size 7/Length {}>>\nstream\n", rows.len())
            .as_bytes(),
    );
    bytes.extend_from_slice(&rows);
    bytes.extend_from_slice(format!("\nendstream\nendobj\nstartxref\n{table}\n%%EOF\n").as_bytes());
    bytes
}

fn contents() -> Vec<Case> {
    let with = |catalog: &str| Paper::with(catalog, "");
    let signed_with = |catalog: &str| {
        let mut paper = with(catalog);
        paper.sign(&Pen::default());
        paper
    };
    vec![
        case("JavaScript", SinFirmas, "javascript", &with("/OpenAction<</S/JavaScript/JS(app.alert)>>")),
        case("action on opening", Confiable, "accion_al_abrir", &signed_with("/OpenAction<</S/JavaScript/JS(x)>>")),
        case("opens at a page", SinFirmas, "", &with("/OpenAction[3 0 R/Fit]")),
        case("launches a program", SinFirmas, "lanza_programa", &with("/OpenAction<</S/Launch/F(calc.exe)>>")),
        case("acts by itself", SinFirmas, "acciones_automaticas", &with("/AA<</WC<</S/Named/N/Print>>>>")),
        case("carries a file", SinFirmas, "archivo_adjunto", &with("/Names<</EmbeddedFiles<</Names[(a) 70 0 R]>>>>")),
        case("sends data", SinFirmas, "envia_datos", &with("/X<</S/SubmitForm/F(http://example.com)>>")),
        case("web link", SinFirmas, "enlace_externo", &with("/X<</S/URI/URI(http://example.com)>>")),
        case("XFA form", SinFirmas, "formulario_xfa", &with("/X<</XFA 70 0 R>>")),
        case("one key twice", SinFirmas, "clave_repetida", &with("/Lang(es)/Lang(qu)")),
        case(
            "signature outside the form",
            NoComprobable,
            "firma_fuera_del_formulario",
            &with("/X 70 0 R").clone().save(&[(70, "<</Type/Sig/ByteRange[0 1 2 3]/Contents<3000>>>".into())]).clone(),
        ),
    ]
}
