//! A run as a PDF for people who sign and file: every case with its verdict, failures with their explanation and the
//! messages that show them. Bookmarks lead to groups and to what fails. Drawn on `signing::sheet`.

use super::report::{Informe, Resultado, Veredicto};
use crate::{
    domain::lima,
    signing::sheet::{self, A4, About, Bookmark, Color, Element, Face, Op, Profile, Role, SheetError, Style},
};

const MARGIN: f32 = 56.0;
const ROOM: f32 = A4[0] - 2.0 * MARGIN;
const BOTTOM: f32 = A4[1] - 60.0;
/// Where the values of facts begin: behind the longest verdict, «CUMPLE CON TOLERANCIA».
const COLUMN: f32 = 132.0;
/// Lines of one text, and of one message.
const LINES_MAX: usize = 60;
const MESSAGE_LINES_MAX: usize = 30;
/// Pages of a report: beyond it nothing more is drawn, and the last says so.
const PAGES_MAX: usize = 400;

const INK: Color = [29, 36, 48];
const SOFT: Color = [91, 101, 116];

fn color(v: Veredicto) -> Color {
    match v {
        Veredicto::Cumple => [26, 127, 75],
        Veredicto::ConTolerancia => [122, 91, 0],
        Veredicto::NoCumple => [179, 38, 30],
        Veredicto::NoAplica | Veredicto::NoEjecutado => SOFT,
        Veredicto::Informativo => [31, 95, 174],
    }
}

/// Fills pages from the top.
struct Flow {
    pages: Vec<Vec<Element>>,
    page: Vec<Element>,
    y: f32,
    marks: Vec<Bookmark>,
    full: bool,
}

impl Flow {
    fn new() -> Self {
        Self { pages: Vec::new(), page: Vec::new(), y: MARGIN, marks: Vec::new(), full: false }
    }

    /// Makes room for so many points on this page, or begins the next.
    fn room(&mut self, points: f32) {
        if self.y + points > BOTTOM {
            self.turn();
        }
    }

    fn turn(&mut self) {
        if self.pages.len() + 1 >= PAGES_MAX {
            self.full = true;
            return;
        }
        self.pages.push(std::mem::take(&mut self.page));
        self.y = MARGIN;
    }

    /// A text in lines, across pages where it must be.
    fn text(&mut self, role: &Role, x: f32, style: Style, text: &str, lines_max: usize) {
        self.within(role, x, A4[0] - MARGIN - x, style, text, lines_max);
    }

    /// The same in a column so wide.
    fn within(&mut self, role: &Role, x: f32, room: f32, style: Style, text: &str, lines_max: usize) {
        let leading = style.size * 1.4;
        let lines = sheet::wrap(text, style.face, style.size, room, lines_max);
        let mut ops = Vec::new();
        for line in lines {
            if self.y + leading > BOTTOM && !self.full {
                if !ops.is_empty() {
                    self.page.push(Element { role: role.clone(), ops: std::mem::take(&mut ops) });
                }
                self.turn();
            }
            if self.full {
                return;
            }
            self.y += leading;
            ops.push(Op::Text { at: [x, self.y], style, text: line });
        }
        if !ops.is_empty() {
            self.page.push(Element { role: role.clone(), ops });
        }
    }

    fn heading(&mut self, level: u16, size: f32, color: Color, text: &str) {
        self.y += size * 0.7;
        self.room(size * 4.0);
        self.text(&Role::Heading(level), MARGIN, Style { face: Face::Bold, size, color }, text, 4);
        self.y += 3.0;
    }

    fn mark(&mut self, title: &str) {
        self.marks.push(Bookmark { title: title.to_owned(), page: self.pages.len(), y: (self.y - 4.0).max(0.0) });
    }

    /// A paragraph that begins with its name in bold.
    fn fact(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        self.room(24.0);
        let top = self.y;
        let small = |face, color| Style { face, size: 9.0, color };
        self.within(&Role::Paragraph, MARGIN, COLUMN - 8.0, small(Face::Bold, SOFT), name, 2);
        let after_name = self.y;
        self.y = top;
        self.text(&Role::Paragraph, MARGIN + COLUMN, small(Face::Regular, INK), value, LINES_MAX);
        self.y = self.y.max(if self.y < top { self.y } else { after_name });
    }

    fn message(&mut self, title: &str, message: &str) {
        let small = Style { face: Face::Bold, size: 8.0, color: SOFT };
        self.room(40.0);
        self.y += 3.0;
        self.text(&Role::Paragraph, MARGIN + 10.0, small, title, 1);
        let mono = Style { face: Face::Mono, size: 7.0, color: INK };
        let mut left = MESSAGE_LINES_MAX;
        for line in message.lines() {
            let pieces = sheet::wrap(line, mono.face, mono.size, ROOM - 10.0, left);
            left = left.saturating_sub(pieces.len());
            self.text(&Role::Paragraph, MARGIN + 10.0, mono, line, pieces.len());
            if left == 0 {
                self.text(&Role::Paragraph, MARGIN + 10.0, small, "… (entero en el informe HTML y JSON)", 1);
                break;
            }
        }
    }

    fn finish(mut self) -> (Vec<Vec<Element>>, Vec<Bookmark>) {
        self.pages.push(self.page);
        let total = self.pages.len();
        for (n, page) in self.pages.iter_mut().enumerate() {
            let style = Style { face: Face::Regular, size: 8.0, color: SOFT };
            let text = format!("Informe de conformidad · página {} de {total}", n + 1);
            let x = A4[0] - MARGIN - sheet::width(&text, style.face, style.size);
            let ops = vec![Op::Text { at: [x, A4[1] - 34.0], style, text }];
            page.push(Element { role: Role::Decoration, ops });
        }
        (self.pages, self.marks)
    }
}

/// The report as PDF/A.
pub fn informe(informe: &Informe, nombre_grupo: &dyn Fn(&str) -> String) -> Result<Vec<u8>, SheetError> {
    let mut flow = Flow::new();
    cabeza(informe, &mut flow);
    let mut group = "";
    for caso in &informe.casos {
        if caso.grupo != group {
            group = &caso.grupo;
            let name = nombre_grupo(group);
            flow.y += 8.0;
            flow.room(80.0);
            flow.mark(&name);
            flow.heading(2, 13.0, INK, &name);
        }
        resultado(caso, &mut flow);
    }
    if flow.full {
        flow.y = BOTTOM - 20.0;
    }
    let (pages, marks) = flow.finish();
    let pages: Vec<&[Element]> = pages.iter().map(Vec::as_slice).collect();
    let about = About {
        title: format!("Informe de conformidad: {}", informe.resumen.conclusion.texto()),
        description: format!("MPV Pruebas contra {}", informe.objetivo.url),
        author: "chasqui".into(),
        at: informe.fin,
    };
    sheet::pages(A4, &pages, &marks, &about, Profile::Accessible)
}

fn cabeza(informe: &Informe, flow: &mut Flow) {
    let (o, r) = (&informe.objetivo, &informe.resumen);
    flow.mark("Resumen");
    let style = Style { face: Face::Regular, size: 10.0, color: SOFT };
    flow.text(&Role::Paragraph, MARGIN, style, "MPV Pruebas", 1);
    flow.heading(1, 20.0, INK, &format!("Informe de conformidad: {}", r.conclusion.texto()));
    flow.fact("Componente", &o.url);
    flow.fact("RUC", &o.ruc);
    flow.fact("Perfil", &format!("{}{}", o.perfil, if o.intrusivo { ", con ataques y carga" } else { "" }));
    flow.fact("Inicio", &lima::momento_en_palabras(informe.inicio));
    flow.fact("Fin", &lima::momento_en_palabras(informe.fin));
    flow.fact("Plataforma", o.plataforma.as_deref().unwrap_or("no se hizo de plataforma"));
    flow.fact("Actuó por la entidad", &o.operador);
    flow.fact("CUO de prueba", &format!("los que empiezan con {}", o.prefijo_cuo));
    flow.fact("Casos (SHA-256)", &informe.catalogo_sha256);
    flow.fact("chasqui", &informe.chasqui);
    if let Some(programa) = &informe.programa {
        flow.fact(
            "Se probó",
            &format!("chasqui {}, programa con SHA-256 {}", programa.version, programa.binario_sha256),
        );
    }
    for v in Veredicto::TODOS {
        flow.fact(v.texto(), &r.cuenta(v).to_string());
    }
    if r.esperados > 0 {
        flow.fact("Desviaciones conocidas", &r.esperados.to_string());
    }
    for (why, count) in super::terminal::razones(informe) {
        flow.fact("No ejecutado", &format!("{count}: {why}"));
    }
}

fn resultado(r: &Resultado, flow: &mut Flow) {
    let title = format!("{}  {}  {}", r.veredicto.texto(), r.id, r.titulo);
    let fails = r.veredicto == Veredicto::NoCumple;
    flow.y += 4.0;
    flow.room(if fails { 90.0 } else { 44.0 });
    if fails {
        flow.mark(&format!("NO CUMPLE: {} {}", r.id, r.titulo));
    }
    flow.heading(3, 9.5, color(r.veredicto), &title);
    flow.fact("Se exige", &format!("{} ({}; severidad {})", r.exige, r.fuente, r.severidad.texto()));
    if let Some(fallo) = &r.fallo {
        flow.fact("Se encontró", &fallo.encontrado.join("; "));
        flow.fact("Significa", &fallo.significa);
        flow.fact("Causa probable", fallo.causa.as_deref().unwrap_or_default());
        flow.fact("Remedio", &fallo.remedio);
    }
    flow.fact("Desviación conocida", r.esperado.as_deref().unwrap_or_default());
    flow.fact("Notas", &r.notas.join("; "));
    if matches!(r.veredicto, Veredicto::NoCumple | Veredicto::ConTolerancia) {
        for e in &r.evidencia {
            flow.message(&format!("{}: pedido", e.paso), &e.pedido);
            flow.message(&format!("{}: respuesta ({} ms)", e.paso, e.milisegundos), &e.respuesta);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::report::samples, *};

    #[test]
    fn a_report_of_any_length_is_drawn_with_bookmarks_to_what_fails() {
        let mut casos: Vec<Resultado> =
            (0..120).map(|n| samples::resultado(&format!("CASO-{n}"), Veredicto::Cumple)).collect();
        let mut failed = samples::resultado("FALLA-1", Veredicto::NoCumple);
        failed.evidencia[0].respuesta = "<a>línea larga</a> ".repeat(2_000);
        casos.push(failed);
        let pdf = informe(&samples::informe(casos), &str::to_owned).unwrap();
        assert!(pdf.starts_with(b"%PDF") && memchr::memmem::find(&pdf, b"/Outlines").is_some());
        let empty = informe(&samples::informe(Vec::new()), &str::to_owned).unwrap();
        assert!(empty.starts_with(b"%PDF"));
    }
}
