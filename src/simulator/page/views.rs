//! What the pages show.

use std::fmt::Write;

use axum::response::Response;
use http::StatusCode;

use super::html::{page, t};
use crate::{
    domain::lima,
    simulator::{
        Comportamiento,
        counterpart::{Pendiente, Respondida},
        faults::Kind,
        registry::{Destino, Registrada},
        relay::Core,
        services,
        traffic::{Lado, Llamada},
        twin,
    },
};

/// Documents shown of each kind on the desk, and calls on the first page.
const SHOWN: usize = 50;
const CALLS_AT_HOME: usize = 12;

pub fn home(core: &Core) -> Response {
    let mut body = String::from(
        "<p>Esta plataforma existe solo en su máquina: entrega documentos y cargos entre las entidades registradas y las que \
         aquí se simulan.</p>\n",
    );
    let pending = core.counterparts.pendientes().len();
    if pending > 0 {
        let what =
            if pending == 1 { "Un documento espera".to_owned() } else { format!("{pending} documentos esperan") };
        writeln!(
            body,
            "<p class=\"tarjeta\">{what} respuesta en la <a href=\"/simulador/mesa\">mesa de partes</a> simulada.</p>"
        )
        .ok();
    }
    body.push_str("<h2>Últimos mensajes</h2>\n");
    body.push_str(&calls(&core.traffic.newest(CALLS_AT_HOME, None)));
    body.push_str("\n<h2>Entidades que se pueden alcanzar</h2>\n");
    body.push_str("<table class=\"lista\"><thead><tr><th>RUC<th>Nombre<th>Cómo</tr></thead><tbody>\n");
    for r in core.registry.all().into_iter().filter(|r| !matches!(r.destino, Destino::Ninguno)) {
        let how = match &r.destino {
            Destino::Servicio(url) => format!("su servicio: <code>{}</code>", t(url.as_str())),
            Destino::Contraparte(c) => t(c.responde.explicacion()),
            Destino::Ninguno => String::new(),
        };
        let (ruc, name) = (t(r.entidad.ruc.as_str()), t(&r.entidad.nombre));
        writeln!(
            body,
            "<tr><td data-n=\"RUC\"><code>{ruc}</code><td data-n=\"Nombre\">{name}<td data-n=\"Cómo\">{how}</tr>"
        )
        .ok();
    }
    body.push_str("</tbody></table>");
    page(StatusCode::OK, "Simulador de la plataforma", &body)
}

/// Calls as a table.
fn calls(all: &[Llamada]) -> String {
    if all.is_empty() {
        return "<p class=\"vacio\">Todavía no pasó ningún mensaje. Envíe un documento desde su sistema, o desde la <a \
                href=\"/simulador/mesa\">mesa de partes</a> simulada.</p>"
            .into();
    }
    let mut rows = String::new();
    for call in all {
        let way = match call.lado {
            Lado::Entrada => "entidad → plataforma",
            Lado::Salida => "plataforma → entidad",
        };
        let cuo = if call.cuo.is_empty() {
            "—".to_owned()
        } else {
            let cuo = t(&call.cuo);
            let digits: String = call.cuo.chars().filter(char::is_ascii_alphanumeric).collect();
            format!("<a href=\"/simulador/trafico?cuo={digits}\"><code>{cuo}</code></a>")
        };
        writeln!(
            rows,
            "<tr><td data-n=\"Hora\">{}<td data-n=\"Mensaje\"><a href=\"/simulador/trafico/{}\">{}</a><br><span \
             class=\"rotulo\">{way}</span><td data-n=\"CUO\">{cuo}<td data-n=\"De\"><code>{}</code><td data-n=\"Para\">\
             <code>{}</code><td data-n=\"Respuesta\">{}</tr>",
            lima::en_lima(call.fecha).strftime("%H:%M:%S"),
            call.n,
            t(call.operacion),
            dash(&call.de),
            dash(&call.a),
            outcome(call)
        )
        .ok();
    }
    format!(
        "<table class=\"lista\"><thead><tr><th>Hora<th>Mensaje<th>CUO<th>De<th>Para<th>Respuesta</tr></thead><tbody>\n{rows}\
         </tbody></table>"
    )
}

fn dash(text: &str) -> String {
    if text.is_empty() { "—".into() } else { t(text) }
}

fn outcome(call: &Llamada) -> String {
    let code = match call.codigo.as_deref().map(str::trim) {
        None => "<span class=\"mal\">sin código</span>".to_owned(),
        Some("0000") => "<span class=\"ok\">0000</span>".to_owned(),
        Some(code) => format!("<span class=\"mal\">{}</span>", t(code)),
    };
    let code = if matches!(call.operacion, "cuo" | "tipos" | "lista-entidades") && call.fallas.is_empty() {
        t(call.codigo.as_deref().unwrap_or("—"))
    } else {
        code
    };
    match call.fallas.as_slice() {
        [] => code,
        faults => format!("{code}<br><span class=\"rotulo\">falla pedida: {}</span>", t(&faults.join(", "))),
    }
}

pub fn traffic(all: &[Llamada], cuo: Option<&str>) -> Response {
    let mut body = format!(
        "<form method=\"get\" action=\"/simulador/trafico\"><label>CUO<input name=\"cuo\" maxlength=\"10\" value=\"{}\"></label>\
         <button>Buscar</button></form>\n",
        t(cuo.unwrap_or_default())
    );
    if let Some(cuo) = cuo {
        writeln!(body, "<p>Solo los del CUO <code>{}</code>. <a href=\"/simulador/trafico\">Ver todos</a></p>", t(cuo))
            .ok();
    }
    body.push_str(&calls(all));
    page(StatusCode::OK, "Mensajes que pasaron", &body)
}

pub fn call(call: &Llamada) -> Response {
    let (asked, answered) = match call.lado {
        Lado::Entrada => ("Lo que pidió la entidad", "Lo que respondió la plataforma"),
        Lado::Salida => ("Lo que entregó la plataforma", "Lo que respondió la entidad"),
    };
    let xml = |text: &Option<String>, none: &str| match text {
        Some(text) => format!("<pre>{}</pre>", t(text)),
        None => format!("<p class=\"vacio\">{none}</p>"),
    };
    let body = format!(
        "<dl><dt>Momento<dd>{}<dt>CUO<dd><code>{}</code><dt>De<dd><code>{}</code><dt>Para<dd><code>{}</code><dt>Código\
         <dd>{}<dt>Duración<dd>{} ms</dl>\n<h2>{asked}</h2>\n{}\n<h2>{answered}</h2>\n{}",
        t(&lima::momento_en_palabras(call.fecha)),
        dash(&call.cuo),
        dash(&call.de),
        dash(&call.a),
        outcome(call),
        call.milisegundos,
        xml(&call.pedido, "No se pudo leer."),
        xml(&call.respuesta, "No hubo respuesta que se pueda leer.")
    );
    page(StatusCode::OK, &format!("Mensaje {}: {}", call.n, call.operacion), &body)
}

pub fn desk(core: &Core, done: Option<&str>) -> Response {
    let mut body = String::new();
    if let Some(cuo) = done {
        let digits: String = cuo.chars().filter(char::is_ascii_alphanumeric).take(10).collect();
        writeln!(
            body,
            "<p class=\"tarjeta\" role=\"status\">Hecho. Lo que pasó con el CUO <code>{digits}</code> está en <a \
             href=\"/simulador/trafico?cuo={digits}\">sus mensajes</a>.</p>"
        )
        .ok();
    }
    body.push_str(&sending(&core.registry.all()));
    body.push_str("<h2>Documentos por responder</h2>\n");
    let pending = core.counterparts.pendientes();
    if pending.is_empty() {
        writeln!(
            body,
            "<p class=\"vacio\">Nada espera respuesta. Los documentos que se envíen a <code>{}</code> ({}) quedan aquí hasta que \
             usted los responda.</p>",
            Comportamiento::Calla.ruc(),
            t(Comportamiento::Calla.nombre())
        )
        .ok();
    }
    pending.iter().take(SHOWN).for_each(|one| body.push_str(&card(one)));
    if pending.len() > SHOWN {
        writeln!(body, "<p class=\"rotulo\">Y {} más.</p>", pending.len() - SHOWN).ok();
    }
    body.push_str("<h2>Documentos que enviaron las entidades simuladas</h2>\n");
    body.push_str(&sent(&core.counterparts.enviados()));
    page(StatusCode::OK, "Mesa de partes simulada", &body)
}

/// The form by which a counterpart sends.
fn sending(all: &[Registrada]) -> String {
    let option = |r: &Registrada| {
        format!("<option value=\"{0}\">{0} {1}</option>", t(r.entidad.ruc.as_str()), t(&r.entidad.nombre))
    };
    let of = |wanted: fn(&Destino) -> bool| all.iter().filter(|r| wanted(&r.destino)).map(option).collect::<String>();
    let from = of(|d| matches!(d, Destino::Contraparte(_)));
    let to = of(|d| matches!(d, Destino::Servicio(_)));
    if to.is_empty() {
        return "<p class=\"vacio\">Ninguna entidad está registrada con su servicio: inicie el simulador con la configuración de \
                chasqui, o con <code>--entity RUC=URL</code>.</p>\n"
            .into();
    }
    format!(
        "<h2>Enviar un documento</h2>\n<form method=\"post\" action=\"/simulador/mesa/enviar\">\
         <label>De<select name=\"de\">{from}</select></label><label>Para<select name=\"a\">{to}</select></label>\
         <label>Asunto<input name=\"asunto\" maxlength=\"500\"></label><label>CUO que subsana, si corrige uno observado<input \
         name=\"referencia\" maxlength=\"10\" inputmode=\"numeric\"></label><button>Enviar</button></form>\n"
    )
}

/// A document that waits, with its two buttons.
fn card(one: &Pendiente) -> String {
    format!(
        "<section class=\"tarjeta\"><h3>{}</h3><dl><dt>CUO<dd><a href=\"/simulador/trafico?cuo={digits}\"><code>{}</code></a>\
         <dt>Para<dd>{} (<code>{}</code>)<dt>De<dd>{}<dt>Asunto<dd>{}<dt>Documento<dd>{} bytes, SHA-256 <code>{}</code></dl>\
         <form method=\"post\" action=\"/simulador/mesa/responder\"><input type=\"hidden\" name=\"ruc\" value=\"{}\"><input \
         type=\"hidden\" name=\"cuo\" value=\"{}\"><label>Observación, si lo observa<input name=\"observacion\" \
         maxlength=\"250\"></label><button name=\"accion\" value=\"recepcionar\">Recepcionar</button><button class=\"otro\" \
         name=\"accion\" value=\"observar\">Observar</button></form></section>\n",
        t(&one.numero),
        t(&one.cuo),
        t(&one.nombre),
        t(&one.ruc),
        t(&one.remitente),
        t(&one.asunto),
        one.bytes,
        t(one.sha256.as_str()),
        t(&one.ruc),
        t(&one.cuo),
        digits = one.cuo.chars().filter(char::is_ascii_alphanumeric).collect::<String>()
    )
}

fn sent(all: &[Respondida]) -> String {
    if all.is_empty() {
        return "<p class=\"vacio\">Aún no enviaron ninguno.</p>\n".into();
    }
    let mut rows = String::new();
    for one in all.iter().take(SHOWN) {
        let state = match one.estado.as_deref() {
            None => "sin cargo todavía".to_owned(),
            Some("R") => "<span class=\"ok\">recepcionado</span>".to_owned(),
            Some("O") => "<span class=\"mal\">observado</span>".to_owned(),
            Some(other) => t(other),
        };
        let digits: String = one.cuo.chars().filter(char::is_ascii_alphanumeric).collect();
        writeln!(
            rows,
            "<tr><td data-n=\"CUO\"><a href=\"/simulador/trafico?cuo={digits}\"><code>{}</code></a><td data-n=\"De\"><code>{}\
             </code><td data-n=\"Cargo\">{state}<td data-n=\"Registro\">{}</tr>",
            t(&one.cuo),
            t(&one.ruc),
            dash(one.numero.as_deref().unwrap_or_default())
        )
        .ok();
    }
    format!(
        "<table class=\"lista\"><thead><tr><th>CUO<th>De<th>Cargo<th>N.º de registro</tr></thead><tbody>\n{rows}</tbody></table>\n"
    )
}

/// Addresses of the services, and the faults there are.
pub async fn help() -> Response {
    let mut body = String::from("<h2>Servicios SOAP</h2>\n<ul>\n");
    for path in [services::CUO, services::ENTIDAD, services::TRAMITE] {
        writeln!(body, "<li><a href=\"{path}?wsdl\"><code>{path}</code></a></li>").ok();
    }
    writeln!(body, "</ul>\n<h2>Los mismos en JSON (POST)</h2>\n<ul>\n{}</ul>", twin::addresses()).ok();
    body.push_str(
        "<h2>Para programas (JSON)</h2>\n<ul>\n<li><a href=\"/simulador/mensajes\"><code>/simulador/mensajes</code></a>: \
         lo que pasó, por CUO</li>\n<li><a href=\"/simulador/entidades\"><code>/simulador/entidades</code></a>: el directorio; \
         con POST se registra una entidad</li>\n<li><a href=\"/simulador/operaciones\"><code>/simulador/operaciones</code></a>: \
         cada operación con las fallas que sufrió</li>\n<li><a href=\"/simulador/raiz.pem\"><code>/simulador/raiz.pem</code></a>: \
         el certificado raíz con que se firman los cargos simulados</li>\n</ul>\n<h2>Fallas que se pueden pedir</h2>\n<p>En <a \
         href=\"/simulador/fallas\"><code>/simulador/fallas</code></a> (GET, PUT, DELETE) o con <code>chasqui simulator --faults \
         ARCHIVO</code>.</p>\n<table class=\"lista\"><thead><tr><th>Falla<th>Qué pasa</tr></thead><tbody>\n",
    );
    for form in Kind::TODAS.map(Kind::form) {
        writeln!(
            body,
            "<tr><td data-n=\"Falla\"><code>{}</code><td data-n=\"Qué pasa\">{}</tr>",
            t(form.nombre),
            t(form.explicacion)
        )
        .ok();
    }
    body.push_str("</tbody></table>");
    page(StatusCode::OK, "Servicios y fallas", &body)
}
