//! Every operation of the API, once: who may use it, what it takes and what it answers. The router and the OpenAPI document
//! are both made of this table.

use super::{
    anexos, api_keys, auditoria, decisions, despachos, directory, events, evidence, health, maintenance,
    openapi::{
        self,
        operation::{Contenido, Operacion, delete, get, post},
        schemas::{
            AnexoPedido, ClaveNueva, DatosDeDespacho, DespachoNuevo, ImportacionPedida, MantenimientoPedido, Motivo,
            MotivoObligatorio, NuevaObservada, NuevaRecepcionada, NuevoRegistro, OtraContrasena, PurgaPedida,
            Repeticion, UnoOVarios, UsuarioNuevo, Vivo,
        },
    },
    queue, recepciones, reload,
    reload::Reloaded,
    retention, statistics, tables, usuarios,
    view::{ApiKeyView, DespachoView, EntidadView, FactView, Items, RecepcionView},
    webhooks,
};
use crate::{
    http::{Code, Grupo, csv},
    sgd::{tables::ImportacionView, webhook::WebhookView},
};

/// The filters of both lists.
const FILTROS: &[&str] =
    &["limit", "cursor", "entidad", "estado", "cuo", "numero_registro", "ruc", "desde", "hasta", "q"];

const DESPACHO: &str = r#"{
  "numero_registro": "2026-000123", "destino": "20900001003",
  "unidad_remitente": "OFICINA DE TI", "usuario": "jperez",
  "remitente": {"tipo_documento": "1", "numero_documento": "40633367"},
  "destinatario": {"unidad": "GERENCIA MUNICIPAL", "nombre": "MARÍA QUISPE", "cargo": "GERENTE"},
  "tipo_documento": "01", "numero_documento": "OFICIO 001-2026-OTI",
  "asunto": "Remito información", "folios": 3,
  "documento": {"nombre": "oficio.pdf", "contenido": "JVBERi0xLjcK"}
}"#;
const CARGO: &str =
    r#"{"numero_registro": "E-2026-777", "unidad": "GERENCIA MUNICIPAL", "usuario": "ROSA ÑAHUI PÉREZ"}"#;
const OBSERVACION: &str = r#"{"numero_registro": "E-2026-777", "unidad": "GERENCIA MUNICIPAL", "usuario": "ROSA ÑAHUI PÉREZ", "observacion": "Falta el anexo 2"}"#;
const DERIVACION: &str = r#"{
  "numero_registro": "2026-000124", "destino": "20900001003",
  "unidad_remitente": "MESA DE PARTES", "usuario": "jperez",
  "remitente": {"tipo_documento": "1", "numero_documento": "40633367"},
  "destinatario": {"unidad": "GERENCIA MUNICIPAL", "nombre": "MARÍA QUISPE", "cargo": "GERENTE"},
  "tipo_documento": "01", "numero_documento": "OFICIO 002-2026-OTI", "asunto": "Derivo el documento recibido"
}"#;
const BLOQUEO: &str = r#"{"motivo": "Proceso 12-2026"}"#;
const MOTIVO: &str = r#"{"motivo": "Se envió por error"}"#;

/// What sending may meet beside wrong fields.
const AL_DESPACHAR: &[Code] =
    &[Code::ParametroNoValido, Code::EntidadNoPermitida, Code::Duplicado, Code::FirmasInsuficientes];
const AL_SUBSANAR: &[Code] = &[
    Code::ParametroNoValido,
    Code::Duplicado,
    Code::FirmasInsuficientes,
    Code::EstadoNoPermite,
    Code::SubsanacionEnCurso,
];
const ENTIDAD: &[Code] = &[Code::EntidadNoPermitida, Code::CamposNoValidos];

type Despacho = DespachoView<'static>;
type Recepcion = RecepcionView<'static>;
type Enviados = UnoOVarios<Despacho, Items<Despacho>>;

/// The operations of one group of roles.
fn de(grupo: Grupo, operaciones: Vec<Operacion>) -> impl Iterator<Item = Operacion> {
    operaciones.into_iter().map(move |operacion| Operacion { grupo: Some(grupo), ..operacion })
}

pub fn operaciones() -> Vec<Operacion> {
    let mut all: Vec<Operacion> = de(Grupo::Despachar, dispatching()).collect();
    all.extend(de(Grupo::Leer, reading_sent()));
    all.extend(de(Grupo::Leer, reading_received()));
    all.extend(de(Grupo::Responder, answering()));
    all.extend(de(Grupo::Leer, following()));
    all.extend(de(Grupo::Directorio, directory()));
    all.extend(de(Grupo::Operar, operation()));
    all.extend(de(Grupo::Auditar, auditing()));
    all.extend(de(Grupo::Administrar, administration()));
    all.extend(open());
    all
}

fn dispatching() -> Vec<Operacion> {
    vec![
        post("/api/v1/despachos", despachos::create, "Envía un documento")
            .detalle(
                "Responde 202 cuando el documento ya está guardado y en cola: desde ahí no se pierde. Con «destinos» \
                      se crea un despacho para cada uno y la respuesta es una lista.",
            )
            .parametros(&["esperar", "entidad"])
            .toma::<DespachoNuevo>(DESPACHO)
            .o_formulario::<DatosDeDespacho>("documento")
            .idempotente()
            .responde::<Enviados>(202)
            .fallas(AL_DESPACHAR),
        post("/api/v1/despachos/{id}/anular", decisions::withdraw, "Retira un despacho que aún no empezó a enviarse")
            .toma::<Motivo>(MOTIVO)
            .opcional()
            .responde::<Despacho>(200)
            .fallas(&[Code::EstadoNoPermite]),
        post("/api/v1/despachos/{id}/reintentar", decisions::retry, "Envía otra vez un fallido, o ya uno que espera")
            .responde::<Despacho>(202)
            .fallas(&[Code::EstadoNoPermite]),
        post(
            "/api/v1/despachos/{id}/consultar",
            decisions::ask,
            "Pregunta ahora al receptor; si ya hay cargo, lo trae",
        )
        .responde::<decisions::Told<'static>>(200)
        .fallas(&[Code::EstadoNoPermite, Code::PlataformaNoResponde]),
        post("/api/v1/despachos/{id}/subsanar", decisions::correct, "Envía el documento que corrige uno observado")
            .detalle("El cuerpo es el de un despacho nuevo; sin «destino» va a la misma entidad.")
            .parametros(&["esperar"])
            .toma::<DespachoNuevo>(DESPACHO)
            .o_formulario::<DatosDeDespacho>("documento")
            .idempotente()
            .responde::<Despacho>(202)
            .fallas(AL_SUBSANAR),
        post("/api/v1/recepciones/{id}/derivar", decisions::pass_on, "Envía un documento recibido a otra entidad")
            .detalle("El cuerpo es el de un despacho nuevo, sin el documento, que es el recibido.")
            .parametros(&["esperar"])
            .toma::<DatosDeDespacho>(DERIVACION)
            .idempotente()
            .responde::<Enviados>(202)
            .fallas(AL_DESPACHAR),
    ]
}

fn reading_sent() -> Vec<Operacion> {
    vec![
        get("/api/v1/despachos", despachos::list, "Lista lo enviado, de lo más nuevo a lo más antiguo")
            .detalle("Una página puede traer menos que «limit», incluso nada, y seguir en «next_cursor».")
            .parametros(FILTROS)
            .responde::<Items<Despacho>>(200)
            .fallas(ENTIDAD),
        get("/api/v1/despachos/{id}", despachos::show, "Muestra un despacho")
            .parametros(&["esperar"])
            .responde::<Despacho>(200),
        get("/api/v1/despachos/{id}/documento", despachos::document, "Descarga el documento enviado")
            .con(200, Contenido::Pdf)
            .fallas(&[Code::Purgado]),
        get("/api/v1/despachos/{id}/cargo", despachos::cargo, "Descarga el cargo; 404 mientras no llegue")
            .con(200, Contenido::Pdf)
            .fallas(&[Code::Purgado]),
        get("/api/v1/despachos/{id}/historial", despachos::history, "Todo lo que le pasó, en orden")
            .responde::<Items<FactView<'static>>>(200),
        get("/api/v1/despachos/{id}/evidencia", evidence::of_despacho, "Descarga el paquete que prueba el intercambio")
            .con(200, Contenido::Otro(evidence::TYPE)),
    ]
}

fn reading_received() -> Vec<Operacion> {
    vec![
        get("/api/v1/recepciones", recepciones::list, "Lista lo recibido, de lo más nuevo a lo más antiguo")
            .detalle("Una página puede traer menos que «limit», incluso nada, y seguir en «next_cursor».")
            .parametros(FILTROS)
            .responde::<Items<Recepcion>>(200)
            .fallas(ENTIDAD),
        get("/api/v1/recepciones/{id}", recepciones::show, "Muestra una recepción").responde::<Recepcion>(200),
        get("/api/v1/recepciones/{id}/documento", recepciones::document, "Descarga el documento recibido")
            .con(200, Contenido::Pdf)
            .fallas(&[Code::Purgado]),
        get("/api/v1/recepciones/{id}/cargo", recepciones::cargo, "Descarga el cargo que se emitió")
            .con(200, Contenido::Pdf)
            .fallas(&[Code::Purgado]),
        get("/api/v1/recepciones/{id}/anexos/{sha256}", anexos::file, "Descarga un anexo que se trajo")
            .con(200, Contenido::Otro(anexos::TYPE))
            .fallas(&[Code::Purgado]),
        get("/api/v1/recepciones/{id}/historial", recepciones::history, "Todo lo que le pasó, en orden")
            .responde::<Items<FactView<'static>>>(200),
        get(
            "/api/v1/recepciones/{id}/evidencia",
            evidence::of_recepcion,
            "Descarga el paquete que prueba el intercambio",
        )
        .con(200, Contenido::Otro(evidence::TYPE)),
    ]
}

fn answering() -> Vec<Operacion> {
    vec![
        post("/api/v1/recepciones/{id}/registrar", recepciones::file, "Anota con qué número lo registró el SGD")
            .toma::<NuevoRegistro>(r#"{"numero_registro": "E-2026-777"}"#)
            .responde::<Recepcion>(200)
            .fallas(&[Code::EstadoNoPermite]),
        post(
            "/api/v1/recepciones/{id}/anexos/traer",
            anexos::fetch,
            "Descarga un anexo de donde el documento dice que están",
        )
        .detalle(
            "Sin «url» es la dirección de «url_anexos»; si es una página, la respuesta 422 trae sus enlaces, cada uno para \
             pedirlo en «url». Se guarda aparte, sin abrirlo. No se llama a redes internas ni se sigue a otro servidor.",
        )
        .toma::<AnexoPedido>(r#"{"url": "https://sgd.entidad.gob.pe/anexos/1"}"#)
        .opcional()
        .responde::<Recepcion>(200)
        .fallas(&[Code::EstadoNoPermite]),
        post("/api/v1/recepciones/{id}/recepcionar", recepciones::accept, "Emite el cargo de recepción")
            .detalle(
                "El PDF firmado va en «cargo»; sin él, chasqui lo hace y lo firma con la identidad de la entidad. Se \
                      entrega al remitente hasta que lo acepte.",
            )
            .toma::<NuevaRecepcionada>(CARGO)
            .o_formulario::<NuevaRecepcionada>("cargo")
            .responde::<Recepcion>(200)
            .fallas(&[Code::EstadoNoPermite, Code::FirmasInsuficientes]),
        post("/api/v1/recepciones/{id}/observar", recepciones::object, "Observa el documento: el cargo dice por qué")
            .toma::<NuevaObservada>(OBSERVACION)
            .o_formulario::<NuevaObservada>("cargo")
            .responde::<Recepcion>(200)
            .fallas(&[Code::EstadoNoPermite, Code::FirmasInsuficientes]),
    ]
}

fn following() -> Vec<Operacion> {
    vec![
        get("/api/v1/eventos", events::page, "Lo que pasó desde un cursor")
            .detalle("Con «Accept: text/event-stream» llega en el momento, y tras un corte sigue con «Last-Event-ID».")
            .parametros(&["desde", "limit", "entidad"])
            .responde::<Items<FactView<'static>>>(200)
            .con(200, Contenido::Otro("text/event-stream"))
            .fallas(&[Code::EntidadNoPermitida, Code::ServicioOcupado]),
        get("/api/v1/estadisticas", statistics::count, "Cuántos documentos, cómo terminaron y cuánto tardó su cargo")
            .detalle(
                "De los últimos 30 días si no se dicen otros, por el día en que se crearon, y como están ahora. Con \
                      «Accept: text/csv» es una tabla para hojas de cálculo.",
            )
            .parametros(&["desde", "hasta", "entidad", "por"])
            .responde::<statistics::Counted>(200)
            .con(200, Contenido::Otro(csv::TYPE))
            .fallas(ENTIDAD),
        get("/api/v1/cola", queue::list, "Las entregas en marcha, en espera y detenidas, cada una explicada")
            .parametros(&["limit", "cursor"])
            .responde::<Items<queue::TrabajoView<'static>>>(200),
        get("/api/v1/cola/{id}", queue::show, "Muestra una entrega").responde::<queue::TrabajoView<'static>>(200),
    ]
}

fn directory() -> Vec<Operacion> {
    vec![
        get("/api/v1/entidades", directory::entities, "Las entidades de la plataforma")
            .parametros(&["categoria"])
            .responde::<directory::Dated<EntidadView<'static>>>(200),
        get("/api/v1/entidades/{ruc}", directory::entity, "Muestra una entidad").responde::<EntidadView<'static>>(200),
        get("/api/v1/categorias", directory::categories, "Las categorías de entidades")
            .responde::<Items<directory::Named<u8, String>>>(200),
        get("/api/v1/tipos-documento", directory::document_types, "Los tipos de documento")
            .responde::<directory::Dated<directory::Named<String, String>>>(200),
    ]
}

fn operation() -> Vec<Operacion> {
    vec![
        post("/api/v1/cola/{id}/reintentar", queue::retry, "Intenta ahora una entrega")
            .toma::<MotivoObligatorio>(r#"{"motivo": "La entidad confirmó que ya atiende"}"#)
            .responde::<queue::TrabajoView<'static>>(202)
            .fallas(&[Code::EstadoNoPermite]),
        post("/api/v1/cola/{id}/descartar", queue::discard, "Abandona una entrega para siempre")
            .toma::<MotivoObligatorio>(MOTIVO)
            .con(204, Contenido::Nada)
            .fallas(&[Code::EstadoNoPermite]),
        get("/api/v1/salud", queue::health, "Cómo están la plataforma, las demás entidades, los webhooks y las tablas")
            .responde::<queue::SaludView>(200),
        get("/api/v1/salud/textos", queue::texts, "Lo que dijeron otros y el catálogo no conoce")
            .detalle("De todo el servicio: con una clave que no sea de una entidad.")
            .responde::<Items<queue::TextoView<'static>>>(200)
            .fallas(&[Code::EntidadNoPermitida]),
        get("/api/v1/webhooks", webhooks::list, "Cómo va cada webhook").responde::<Items<WebhookView>>(200),
        get("/api/v1/webhooks/{nombre}", webhooks::show, "Cómo va un webhook").responde::<WebhookView>(200),
        post("/api/v1/webhooks/{nombre}/ping", webhooks::ping, "Prueba un webhook").responde::<webhooks::Ping>(200),
        post("/api/v1/webhooks/{nombre}/repetir", webhooks::again, "Avisa otra vez lo que ya se avisó")
            .toma::<Repeticion>(r#"{"desde": "2026-11-21T09:30:00-05:00"}"#)
            .responde::<WebhookView>(202),
        post("/api/v1/entidades/actualizar", directory::refresh, "Pide la lista de entidades a la plataforma")
            .responde::<directory::Fetched>(200)
            .fallas(&[Code::PlataformaNoResponde]),
    ]
}

fn auditing() -> Vec<Operacion> {
    vec![
        get("/api/v1/auditoria", auditoria::list, "El registro de auditoría, asiento por asiento")
            .parametros(&["limit", "cursor", "tipo", "actor", "sujeto", "cuo", "desde", "hasta"])
            .responde::<Items<auditoria::AsientoView<'static>>>(200),
        get("/api/v1/auditoria/checkpoint", auditoria::latest, "El último punto de control firmado")
            .responde::<auditoria::PuntoView<'static>>(200)
            .fallas(&[Code::NoExiste]),
        post("/api/v1/auditoria/checkpoint", auditoria::checkpoint, "Firma un punto de control ahora")
            .responde::<auditoria::PuntoView<'static>>(201)
            .fallas(&[Code::NoExiste, Code::EstadoNoPermite]),
        post("/api/v1/despachos/{id}/bloquear", retention::hold_despacho, "Impide que se purgue, venza cuando venza")
            .toma::<MotivoObligatorio>(BLOQUEO)
            .responde::<Despacho>(200)
            .fallas(&[Code::EstadoNoPermite]),
        post("/api/v1/despachos/{id}/desbloquear", retention::lift_despacho, "Levanta el bloqueo")
            .toma::<MotivoObligatorio>(BLOQUEO)
            .responde::<Despacho>(200)
            .fallas(&[Code::EstadoNoPermite]),
        post(
            "/api/v1/recepciones/{id}/bloquear",
            retention::hold_recepcion,
            "Impide que se purgue, venza cuando venza",
        )
        .toma::<MotivoObligatorio>(BLOQUEO)
        .responde::<Recepcion>(200)
        .fallas(&[Code::EstadoNoPermite]),
        post("/api/v1/recepciones/{id}/desbloquear", retention::lift_recepcion, "Levanta el bloqueo")
            .toma::<MotivoObligatorio>(BLOQUEO)
            .responde::<Recepcion>(200)
            .fallas(&[Code::EstadoNoPermite]),
        get("/api/v1/retencion/bloqueos", retention::held, "Los intercambios bloqueados")
            .parametros(&["limit", "cursor"])
            .responde::<Items<retention::IntercambioView<'static>>>(200),
        get("/api/v1/retencion/plan", retention::plan, "Qué se purgaría ahora y qué se dejaría, y por qué")
            .detalle("No cambia nada. Si son muchos viene una parte, y «next_cursor» dice con qué seguir.")
            .parametros(&["cursor"])
            .responde::<retention::PlanView>(200),
        get("/api/v1/retencion/certificados", retention::certificates, "Lo que queda de lo purgado")
            .parametros(&["limit", "cursor"])
            .responde::<Items<retention::IntercambioView<'static>>>(200),
        get("/api/v1/retencion/certificados/{id}", retention::certificate, "El certificado de una purga, para leer")
            .responde::<retention::CertificadoView<'static>>(200),
    ]
}

fn administration() -> Vec<Operacion> {
    vec![
        get("/api/v1/admin/api-keys", api_keys::list, "Las claves, sin decirlas")
            .responde::<Items<ApiKeyView<'static>>>(200),
        post("/api/v1/admin/api-keys", api_keys::create, "Crea una clave; es la única vez que se puede leer")
            .toma::<ClaveNueva>(r#"{"nombre": "SGD principal", "rol": "sgd", "entidad": "20900000015"}"#)
            .responde::<ApiKeyView<'static>>(201)
            .fallas(&[Code::EntidadNoPermitida]),
        get("/api/v1/admin/usuarios", usuarios::list, "Las personas de la consola")
            .responde::<Items<usuarios::UsuarioView<'static>>>(200),
        post("/api/v1/admin/usuarios", usuarios::create, "Crea una persona de la consola")
            .detalle("Sin «contrasena» se crea una provisional, que solo se puede leer en esta respuesta.")
            .toma::<UsuarioNuevo>(
                r#"{"cuenta": "rnahui", "nombre": "ROSA ÑAHUI PÉREZ", "rol": "mesa_de_partes", "entidad": "20900000015"}"#,
            )
            .responde::<usuarios::UsuarioView<'static>>(201)
            .fallas(&[Code::EntidadNoPermitida]),
        post("/api/v1/admin/usuarios/{id}/restablecer", usuarios::reset, "Da otra contraseña a una persona")
            .detalle("«id» puede ser también la cuenta. Sus sesiones terminan; si estaba deshabilitada vuelve a entrar.")
            .toma::<OtraContrasena>("{}")
            .opcional()
            .responde::<usuarios::UsuarioView<'static>>(200),
        post("/api/v1/admin/usuarios/{id}/deshabilitar", usuarios::disable, "Impide que una persona entre")
            .responde::<usuarios::UsuarioView<'static>>(200),
        post("/api/v1/admin/reload", reload::reload, "Lee otra vez la configuración y dice qué cambió")
            .detalle("Lo mismo que SIGHUP. Con una clave que no sea de una entidad.")
            .responde::<Reloaded>(200)
            .fallas(&[Code::ConfiguracionNoValida, Code::EstadoNoPermite]),
        get("/api/v1/admin/mantenimiento", maintenance::show, "Si el servicio está en mantenimiento")
            .responde::<maintenance::MantenimientoView>(200),
        post("/api/v1/admin/mantenimiento", maintenance::begin, "Pone el servicio en mantenimiento")
            .detalle(
                "La plataforma y el SGD reciben 503 con Retry-After, nada se despacha, y lo que hay se puede leer. Sigue tras un \
                 reinicio; termina al llegar «hasta» o con DELETE. Con una clave que no sea de una entidad.",
            )
            .toma::<MantenimientoPedido>(r#"{"motivo": "Cambio de disco", "hasta": "2026-11-21T18:00:00-05:00"}"#)
            .responde::<maintenance::MantenimientoView>(200)
            .fallas(&[Code::EstadoNoPermite]),
        delete("/api/v1/admin/mantenimiento", maintenance::end, "Termina el mantenimiento")
            .responde::<maintenance::MantenimientoView>(200),
        delete("/api/v1/admin/api-keys/{id}", api_keys::revoke, "Revoca una clave")
            .responde::<ApiKeyView<'static>>(200),
        get("/api/v1/tablas/{nombre}/importacion", tables::plan, "Qué se traería de las tablas de un sistema anterior")
            .detalle("No cambia nada. Si son muchas filas viene una parte, y «next_cursor» dice con qué seguir.")
            .parametros(&["cursor"])
            .responde::<ImportacionView>(200)
            .fallas(&[Code::EstadoNoPermite, Code::ParametroNoValido]),
        post("/api/v1/tablas/{nombre}/importar", tables::import, "Trae lo que un sistema anterior dejó en sus tablas")
            .detalle("Por partes: «next_cursor» dice con qué seguir. Lo que ya está no se repite.")
            .toma::<ImportacionPedida>("{}")
            .opcional()
            .responde::<ImportacionView>(200)
            .fallas(&[Code::EstadoNoPermite, Code::ParametroNoValido]),
        post("/api/v1/retencion/purgar", retention::purge, "Purga lo que venció, por partes")
            .detalle("No se puede deshacer: véalo antes en el plan. Con «corrida» y «cursor» sigue una que no terminó.")
            .toma::<PurgaPedida>("{}")
            .opcional()
            .responde::<retention::CorridaView>(200)
            .fallas(&[Code::EstadoNoPermite, Code::ParametroNoValido]),
    ]
}

/// What needs no key.
fn open() -> Vec<Operacion> {
    vec![
        get("/healthz", health::alive, "Si el servicio vive").responde::<Vivo>(200),
        get("/readyz", health::ready, "Si puede trabajar y, si no, por qué (503)")
            .responde::<health::Answer>(200)
            .responde::<health::Answer>(503),
        get("/metrics", health::metrics, "Métricas para Prometheus (OpenMetrics)")
            .con(200, Contenido::Otro(crate::telemetry::metrics::CONTENT_TYPE)),
        get("/api/openapi.json", openapi::document, "Este documento (OpenAPI 3.1)")
            .con(200, Contenido::Otro("application/json")),
        get("/api/docs", openapi::page, "Esta página").con(200, Contenido::Otro("text/html; charset=utf-8")),
        get("/api/docs/estilo.css", openapi::style, "Su hoja de estilo")
            .con(200, Contenido::Otro("text/css; charset=utf-8")),
    ]
}
