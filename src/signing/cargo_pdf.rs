//! The cargo as a page: who received what from whom, when, under which number, and why it is observed if it is. It is kept
//! for years, so it says everything by itself: what the receiver filed, the document's digest, who signs.

use jiff::Timestamp;

use super::{
    drawing::{Drawing, HAIR, INK, MARGIN, SOFT, TINT, WIDTH},
    identity::Titular,
    sheet::{self, A4, About, Color, Face, Op, Role, SheetError, Style},
};
use crate::domain::{Cargo, Desenlace, EntidadPropia, Recepcion, entidad, lima};

/// Where the block at the foot of the page begins.
const FOOT: f32 = A4[1] - 150.0;
const QR_SIDE: f32 = 84.0;
const LOGO: [f32; 2] = [130.0, 46.0];

/// What a cargo's page is made from.
pub struct Page<'a> {
    pub recepcion: &'a Recepcion,
    /// Without its PDF, which is this.
    pub cargo: &'a Cargo,
    pub entidad: &'a EntidadPropia,
    /// PNG or JPEG.
    pub logo: Option<&'a [u8]>,
    pub firmante: &'a Titular,
    /// Who issued the signer's certificate.
    pub emisor: &'a str,
    pub at: Timestamp,
}

/// How much smaller the facts are set, and how many lines each may take, until all fit.
const TRIES: [(f32, usize); 7] = [(1.0, 12), (0.94, 12), (0.87, 12), (0.8, 8), (0.75, 3), (0.7, 2), (0.66, 1)];

/// The page as PDF/A. The same facts give the same page.
pub fn render(page: &Page<'_>) -> Result<Vec<u8>, SheetError> {
    let mut elements = Vec::new();
    for (scale, lines_max) in TRIES {
        let mut drawing = Drawing::one_page(scale, lines_max, page.accent());
        page.draw(&mut drawing)?;
        let fits = drawing.y <= FOOT - 12.0;
        elements = drawing.into_elements();
        if fits {
            break;
        }
    }
    let about = About {
        title: format!("{} – CUO {}", page.title(), page.recepcion.cuo),
        description: page.sentence(),
        author: page.entidad.nombre.clone(),
        at: page.at,
    };
    sheet::document(A4, &elements, &about)
}

/// What the QR code of a cargo holds: enough to find the exchange and to compare the document.
pub fn qr_text(recepcion: &Recepcion, cargo: &Cargo) -> String {
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    format!(
        "CUO {}\nRUC {}\nREGISTRO {} ({})\nSHA-256 {}",
        recepcion.cuo,
        recepcion.entidad,
        text(&cargo.numero_registro),
        text(&cargo.anio_registro),
        recepcion.documento.sha256
    )
}

impl Page<'_> {
    fn observed(&self) -> bool {
        self.cargo.desenlace == Desenlace::Observado
    }

    fn accent(&self) -> Color {
        if self.observed() { [156, 87, 0] } else { [20, 92, 74] }
    }

    fn title(&self) -> &'static str {
        if self.observed() { "Cargo de observación" } else { "Cargo de recepción" }
    }

    fn sentence(&self) -> String {
        let outcome = if self.observed() {
            "lo observa por el motivo que aquí se indica"
        } else {
            "lo deja registrado como aquí se indica"
        };
        format!(
            "{} hace constar que recibió de {}, por la plataforma de interoperabilidad del Estado, el documento que se \
             describe, y que {outcome}.",
            self.entidad.nombre, self.recepcion.remitente.nombre
        )
    }

    fn draw(&self, d: &mut Drawing) -> Result<(), SheetError> {
        self.head(d)?;
        self.registration(d);
        if self.observed() {
            self.observation(d);
        }
        self.filing(d);
        self.document(d);
        self.foot(d);
        Ok(())
    }

    fn head(&self, d: &mut Drawing) -> Result<(), SheetError> {
        d.fill([0.0, 0.0, A4[0], 6.0], d.accent);
        let mut left = MARGIN;
        if let Some(bytes) = self.logo {
            let (width, height) = sheet::image_size(bytes)?;
            #[allow(clippy::cast_precision_loss)] // pixels, a few thousand
            let (width, height) = (width as f32, height as f32);
            let scale = (LOGO[0] / width).min(LOGO[1] / height);
            let area = [MARGIN, 34.0, width * scale, height * scale];
            let words = format!("Logotipo de {}", self.entidad.nombre);
            d.element(Role::Figure(words), vec![Op::Image { area, bytes: bytes.to_vec() }]);
            left += width * scale + 14.0;
        }
        d.y = 48.0;
        let room = A4[0] - MARGIN - left;
        d.text(Role::Paragraph, left, room, Face::Bold, 11.5, INK, &self.entidad.nombre, 3);
        d.text(
            Role::Paragraph,
            left,
            room,
            Face::Regular,
            8.5,
            SOFT,
            &format!("RUC {} · Mesa de partes", self.entidad.ruc),
            1,
        );
        d.y = d.y.max(LOGO[1] + 34.0) + 4.0;
        d.fill([MARGIN, d.y, WIDTH, 0.7], HAIR);
        d.y += 38.0;
        d.text(Role::Heading(1), MARGIN, WIDTH, Face::Bold, 23.0, d.accent, self.title(), 1);
        d.y += 1.0;
        d.text(Role::Paragraph, MARGIN, WIDTH, Face::Regular, 10.0, INK, &self.sentence(), d.lines_max.clamp(4, 7));
        d.y += 4.0;
        Ok(())
    }

    /// What is looked for first: the number, and when.
    fn registration(&self, d: &mut Drawing) {
        const HEIGHT: f32 = 58.0;
        let top = d.y;
        d.fill([MARGIN, top, WIDTH, HEIGHT], TINT);
        d.fill([MARGIN, top, 3.5, HEIGHT], d.accent);
        let number = self.cargo.numero_registro.as_deref().unwrap_or("—");
        let year = self.cargo.anio_registro.as_deref().unwrap_or("—");
        let when = self.cargo.fecha_registro.unwrap_or(self.at);
        let left = MARGIN + 18.0;
        let column = 186.0;
        d.y = top + 18.0;
        d.text(Role::Name, left, column, Face::Regular, 8.0, SOFT, &format!("N.º de registro · año {year}"), 1);
        d.y = top + 42.0;
        d.text(Role::Value, left, column, Face::Bold, 19.0, INK, number, 1);
        d.y = top + 18.0;
        let (left, column) = (left + column + 14.0, WIDTH - column - 50.0);
        d.text(Role::Name, left, column, Face::Regular, 8.0, SOFT, "Fecha y hora de registro", 1);
        d.y = top + 35.0;
        let (day, hour) = (lima::en_lima(when).date(), lima::en_lima(when).strftime("%H:%M:%S").to_string());
        let words = format!("{}, a las {hour} (hora de Lima)", lima::dia_en_palabras(day));
        d.text(Role::Value, left, column, Face::Bold, 10.5, INK, &words, 2);
        d.y = top + HEIGHT + 20.0;
    }

    fn observation(&self, d: &mut Drawing) {
        let text = self.cargo.observacion.as_deref().unwrap_or("—");
        let how = format!(
            "Para subsanarla, envíe un nuevo documento que cite el CUO {} como referencia.",
            self.recepcion.cuo
        );
        let (left, room) = (MARGIN + 18.0, WIDTH - 34.0);
        let lines = sheet::wrap(text, Face::Regular, 10.5, room, 6).len();
        #[allow(clippy::cast_precision_loss)] // six at most
        let height = 48.0 + lines as f32 * 10.5 * 1.4;
        let top = d.y - 6.0;
        d.fill([MARGIN, top, WIDTH, height], [253, 245, 230]);
        d.fill([MARGIN, top, 3.5, height], d.accent);
        d.y = top + 18.0;
        d.text(Role::Heading(2), left, room, Face::Bold, 10.5, d.accent, "Observación", 1);
        d.text(Role::Paragraph, left, room, Face::Regular, 10.5, INK, text, 6);
        d.text(Role::Paragraph, left, room, Face::Regular, 8.5, SOFT, &how, 2);
        d.y = top + height + 22.0;
    }

    fn filing(&self, d: &mut Drawing) {
        let (recepcion, cargo) = (self.recepcion, self.cargo);
        d.heading("Registro");
        d.fact("CUO", &recepcion.cuo.to_string());
        if let Some(reference) = &recepcion.cuo_referencia {
            d.fact("CUO de referencia", reference);
        }
        d.fact("Pasa a la unidad", cargo.unidad.as_deref().unwrap_or("—"));
        d.fact("Registrado por", cargo.usuario.as_deref().unwrap_or("—"));
        d.fact("Recibido", &lima::momento_en_palabras(recepcion.recibido_en));
        d.fact("Se considera presentado", &format!("el {}", lima::dia_en_palabras(recepcion.fecha_presentacion)));
        d.y += 9.0;
    }

    fn document(&self, d: &mut Drawing) {
        let r = self.recepcion;
        d.heading("Documento recibido");
        d.fact("Remitente", &format!("{} (RUC {})", r.remitente.nombre, r.remitente.ruc));
        d.fact("Unidad remitente", &r.remitente.unidad);
        d.fact("Documento", &document_name(r));
        if let Some(date) = r.fecha_documento {
            d.fact("Fecha del documento", &lima::dia_en_palabras(lima::en_lima(date).date()));
        }
        d.fact("Asunto", &r.asunto);
        d.fact(
            "Destinatario",
            &format!("{}, {} ({})", r.destinatario.nombre, r.destinatario.cargo, r.destinatario.unidad),
        );
        let pages = r.folios.map_or_else(|| "sin indicar".to_owned(), |folios| folios.to_string());
        d.fact("Folios", &pages);
        if !r.anexos.is_empty() {
            let names: Vec<&str> = r.anexos.iter().map(|anexo| anexo.nombre.as_str()).collect();
            d.fact("Anexos", &format!("{}: {}", names.len(), names.join(", ")));
        }
        d.fact("Archivo", &format!("{} ({} bytes)", r.documento.nombre, thousands(r.documento.bytes)));
        d.digest("Huella SHA-256", r.documento.sha256.as_str());
    }

    /// How to check the page, and who signs it.
    fn foot(&self, d: &mut Drawing) {
        let end = d.y;
        d.fill([MARGIN, FOOT, WIDTH, 0.7], HAIR);
        let words =
            "Código QR con el CUO, el RUC de la entidad, el número de registro y la huella SHA-256 del documento";
        let at = [MARGIN, FOOT + 16.0];
        let qr = Op::Qr { at, side: QR_SIDE, text: qr_text(self.recepcion, self.cargo) };
        d.element(Role::Figure(words.into()), vec![qr]);
        let (left, room) = (MARGIN + QR_SIDE + 18.0, WIDTH - QR_SIDE - 18.0);
        let scale = std::mem::replace(&mut d.scale, 1.0);
        d.y = FOOT + 25.0;
        d.text(Role::Heading(2), left, room, Face::Bold, 9.5, INK, "Firma digital", 1);
        let signer = format!(
            "Este cargo lleva la firma digital de {}, con certificado emitido por {}. La firma está en el archivo: se \
             comprueba abriéndolo con un programa que verifique firmas de PDF; una impresión no la contiene.",
            self.firmante.nombre, self.emisor
        );
        d.text(Role::Paragraph, left, room, Face::Regular, 8.3, INK, &signer, 4);
        d.y += 5.0;
        d.text(Role::Heading(2), left, room, Face::Bold, 9.5, INK, "Comprobación del documento", 1);
        let check = "La huella SHA-256 identifica al documento recibido: un archivo con la misma huella es, byte por byte, el \
                     que se recibió. El código QR la contiene, con el CUO y el número de registro.";
        d.text(Role::Paragraph, left, room, Face::Regular, 8.3, INK, check, 3);
        d.scale = scale;
        let note = format!("Cargo electrónico · CUO {}", self.recepcion.cuo);
        let style = Style { face: Face::Regular, size: 7.5, color: SOFT };
        let page = "Página 1 de 1";
        let right = A4[0] - MARGIN - sheet::width(page, style.face, style.size);
        let ops =
            [(MARGIN, note), (right, page.to_owned())].map(|(x, text)| Op::Text { at: [x, A4[1] - 26.0], style, text });
        d.element(Role::Decoration, ops.into());
        d.y = end;
    }
}

/// `OFICIO N.º 001-2026`, with its type in front unless the number names it.
fn document_name(r: &Recepcion) -> String {
    let types = entidad::tipos_documento_conocidos();
    let kind = types.into_iter().find(|known| known.codigo == r.tipo_documento.trim());
    match kind {
        Some(kind) if !r.numero_documento.to_uppercase().contains(&kind.nombre) => {
            format!("{} {}", kind.nombre, r.numero_documento)
        }
        _ => r.numero_documento.clone(),
    }
}

/// `1 234 567`
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{a0}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use jiff::civil::{date, time};

    use super::*;
    use crate::{
        domain::{Anexo, Cuo, Destinatario, Documento, EstadoRecepcion, Ruc, Sha256, recepcion::Remitente},
        signing::{
            pades::{self, Order},
            pdf::Pdf,
            samples,
        },
    };

    fn at(text: &str) -> Timestamp {
        lima::leer(text).unwrap()
    }

    fn recepcion() -> Recepcion {
        Recepcion {
            id: uuid::Uuid::from_u128(1),
            version: 1,
            entidad: Ruc::de_contraparte("20900000023").unwrap(),
            cuo: Cuo::parse("0000000019").unwrap(),
            cuo_referencia: None,
            remitente: Remitente {
                ruc: Ruc::de_contraparte("20900000015").unwrap(),
                nombre: "MUNICIPALIDAD DISTRITAL DE EJEMPLO".into(),
                unidad: "OFICINA DE TECNOLOGÍAS DE LA INFORMACIÓN".into(),
                tipo_documento: "1".into(),
                numero_documento: "40633367".into(),
            },
            destinatario: Destinatario {
                unidad: "UNIDAD DE GESTIÓN DOCUMENTAL".into(),
                nombre: "MARÍA ELENA ÑAUPARI GÜERE".into(),
                cargo: "JEFA".into(),
            },
            tipo_documento: "01".into(),
            numero_documento: "OFICIO N.º 001-2026-MDE/OTI".into(),
            fecha_documento: Some(at("2026-11-20T09:00:00")),
            asunto: "Intercambio de documentos electrónicos entre nuestras entidades y plan de trabajo para la marcha blanca"
                .into(),
            folios: Some(2),
            documento: Documento {
                nombre: "oficio.pdf".into(),
                bytes: 92_840,
                sha256: Sha256::parse(&"8f3a".repeat(16)).unwrap(),
                firmas: None,
            },
            anexos: vec![Anexo::from("cronograma.xlsx")],
            url_anexos: None,
            advertencias: Vec::new(),
            visto_en: None,
            huella: Sha256::parse(&"ab".repeat(32)).unwrap(),
            estado: EstadoRecepcion::Pendiente,
            recibido_en: at("2026-11-20T17:42:05"),
            fecha_presentacion: date(2026, 11, 23),
            numero_registro: None,
            anio_registro: None,
            cargo: None,
            anexos_traidos: Vec::new(),
            cargo_entregado_en: None,
            ultimo_error: None,
            bloqueo: None,
            purga: None,
            actualizado_en: at("2026-11-20T17:42:05"),
        }
    }

    fn cargo(observacion: Option<&str>) -> Cargo {
        Cargo {
            desenlace: if observacion.is_some() { Desenlace::Observado } else { Desenlace::Recepcionado },
            numero_registro: Some("2026-004517".into()),
            anio_registro: Some("2026".into()),
            fecha_registro: Some(at("2026-11-23T08:31:12")),
            unidad: Some("UNIDAD DE GESTIÓN DOCUMENTAL".into()),
            usuario: Some("Rosa Ñahui Quispe".into()),
            observacion: observacion.map(str::to_owned),
            documento: None,
        }
    }

    fn page(recepcion: &Recepcion, cargo: &Cargo, nombre: &str, logo: Option<&[u8]>) -> Vec<u8> {
        let identity = samples::persona();
        let entidad =
            EntidadPropia { ruc: recepcion.entidad.clone(), nombre: nombre.into(), cierre: time(16, 30, 0, 0) };
        let (firmante, emisor) = (identity.titular(), identity.emisor());
        let at = at("2026-11-23T08:31:12");
        render(&Page { recepcion, cargo, entidad: &entidad, logo, firmante, emisor: &emisor, at }).unwrap()
    }

    const NAME: &str = "GOBIERNO REGIONAL DE MUESTRA";

    #[test]
    fn it_is_one_tagged_page_of_pdf_a_in_spanish_the_same_each_time() {
        let made = page(&recepcion(), &cargo(None), NAME, None);
        assert_eq!(made, page(&recepcion(), &cargo(None), NAME, None));
        let mut pdf = Pdf::open(Cursor::new(&made)).unwrap();
        assert_eq!(pdf.page_count().unwrap().number(), 1);
        let (_, catalog) = pdf.catalog().unwrap();
        assert_eq!(catalog.get("Lang").unwrap().as_bytes(), Some(b"es-PE".as_slice()));
        assert!(catalog.get("StructTreeRoot").is_some() && catalog.get("OutputIntents").is_some());
        let holds = |text: &str| memchr::memmem::find(&made, text.as_bytes()).is_some();
        assert!(holds("<pdfaid:part>2</pdfaid:part>") && holds("<pdfaid:conformance>A</pdfaid:conformance>"));
        assert!(holds("<pdfuaid:part>1</pdfuaid:part>"));
    }

    /// The longest texts of CONTRACT §4, and longer ones, as lenient reception keeps them, stay on the page.
    #[test]
    fn the_longest_texts_stay_above_the_foot_of_the_one_page() {
        let long = |n: usize| "PALABRA LARGUÍSIMA ".repeat(n / 19 + 1).chars().take(n).collect::<String>();
        for factor in [1, 20] {
            let mut r = recepcion();
            (r.asunto, r.remitente.nombre, r.remitente.unidad) =
                (long(500 * factor), long(250 * factor), long(250 * factor));
            r.destinatario =
                Destinatario { unidad: long(150 * factor), nombre: long(100 * factor), cargo: long(100 * factor) };
            (r.numero_documento, r.documento.nombre) = (long(100 * factor), long(200 * factor));
            r.anexos = vec![Anexo::from(long(100).as_str()); 30];
            r.cuo_referencia = Some("0000000018".into());
            let mut c = cargo(Some(&long(250)));
            (c.unidad, c.usuario) = (Some(long(250)), Some(long(100)));
            let identity = samples::persona();
            let entidad = EntidadPropia { ruc: r.entidad.clone(), nombre: long(250), cierre: time(16, 30, 0, 0) };
            let p = Page {
                recepcion: &r,
                cargo: &c,
                entidad: &entidad,
                logo: None,
                firmante: identity.titular(),
                emisor: &identity.emisor(),
                at: at("2026-11-23T08:31:12"),
            };
            let (scale, lines_max) = TRIES[TRIES.len() - 1];
            let mut d = Drawing::one_page(scale, lines_max, p.accent());
            p.draw(&mut d).unwrap();
            assert!(d.y <= FOOT, "{}", d.y);
            let mut pdf = Pdf::open(Cursor::new(render(&p).unwrap())).unwrap();
            assert_eq!(pdf.page_count().unwrap().number(), 1);
        }
    }

    #[test]
    fn its_code_is_enough_to_find_the_exchange_and_to_compare_the_document() {
        let text = qr_text(&recepcion(), &cargo(None));
        let digest = "8f3a".repeat(16);
        assert_eq!(text, format!("CUO 0000000019\nRUC 20900000023\nREGISTRO 2026-004517 (2026)\nSHA-256 {digest}"));
    }

    #[test]
    fn the_entitys_logo_stands_on_the_page_and_what_is_no_image_is_refused() {
        let shield = include_bytes!("../../fixtures/escudo.png");
        let made = page(&recepcion(), &cargo(None), NAME, Some(shield));
        assert!(made.len() > page(&recepcion(), &cargo(None), NAME, None).len());
        assert_eq!(Pdf::open(Cursor::new(&made)).unwrap().page_count().unwrap().number(), 1);
        assert_eq!(sheet::image_size(shield).unwrap(), (160, 120));
        assert!(sheet::image_size(b"GIF89a").is_err());
    }

    #[test]
    fn it_is_signed_like_any_other_file() {
        let made = page(&recepcion(), &cargo(Some("Falta el anexo 2.")), NAME, None);
        let order = Order { at: at("2026-11-23T08:31:12"), ..Order::default() };
        let mut out = Vec::new();
        pades::sign(Cursor::new(&made), &mut out, &samples::persona(), &order).unwrap();
        assert!(out.len() > made.len());
    }
}
