//! The platform's SOAP services over HTTP, under the names of both flavours. Every address answers the operations of
//! either: only the description (`?wsdl`) differs.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::get,
};
use http::{HeaderMap, Uri};

use super::{
    faults::Plan,
    relay::{self, Core},
    request::{Asked, Said},
    traffic::{self, Lado, Llamada},
};
use crate::{
    contract::{Flavour, Operation, cuo, entidad, iotramite, wsdl},
    domain::{Categoria, Contenido},
    http::{limits::Intake, server::Hangup},
    soap::{Limits, ReadError, capture::Sobre},
    store::{BlobWriter, Staged, StoreError},
    telemetry::Metrics,
    wsiotramite::binding::{self, Call, Reply},
};

/// Where the services are, as production names them.
pub const TRAMITE: &str = "/services/PcmIMgdTramite";
pub const ENTIDAD: &str = "/services/PcmIMgdEntidad";
pub const CUO: &str = "/services/PcmCuo";
/// As the platform's tests and its development name them.
const TRAMITE_TEST: [&str; 2] = ["/wsiopidetramite/IOTramite", "/services/PcmEnvioPrueba"];
const ENTIDAD_TEST: [&str; 2] = ["/wsentidad/Entidad", "/services/PcmEntidadPrueba"];

const OPERATIONS: [&str; 8] = [
    "recepcionarTramiteResponse",
    "cargoResponse",
    "consultarTramiteResponse",
    "getTipoDocumento",
    "getListaEntidad",
    "validarEntidad",
    "getCUO",
    "getCUOEntidad",
];

#[derive(Clone)]
pub struct Services {
    pub core: Arc<Core>,
    pub intake: Intake,
    pub metrics: Arc<Metrics>,
}

#[derive(Clone, Copy)]
pub enum Service {
    Tramite,
    Entidad,
    Cuo,
}

/// The services' routes.
pub fn router(services: Services) -> Router {
    let mut router = Router::new();
    for (path, service, template) in addresses() {
        let describe = move |uri: Uri, headers: HeaderMap| async move {
            if !binding::asks_wsdl(&uri) {
                return binding::plain(
                    http::StatusCode::OK,
                    "Servicio SOAP del simulador; su descripción está en ?wsdl.",
                );
            }
            match binding::callers_base(&headers, false) {
                Ok(base) => binding::wsdl_response(template, &base, uri.path()),
                Err(refusal) => *refusal,
            }
        };
        let call = move |State(services): State<Services>, request: Request| async move {
            services.call(service, request).await
        };
        router = router.route(path, get(describe).post(call));
    }
    router.with_state(services)
}

fn addresses() -> Vec<(&'static str, Service, &'static str)> {
    let mut all = vec![
        (TRAMITE, Service::Tramite, wsdl::iotramite(Flavour::Production)),
        (ENTIDAD, Service::Entidad, wsdl::entidad(Flavour::Production)),
        (CUO, Service::Cuo, wsdl::CUO),
    ];
    all.extend(TRAMITE_TEST.map(|path| (path, Service::Tramite, wsdl::iotramite(Flavour::Test))));
    all.extend(ENTIDAD_TEST.map(|path| (path, Service::Entidad, wsdl::entidad(Flavour::Test))));
    all
}

impl Services {
    pub async fn call(self, service: Service, request: Request) -> Response {
        let hangup = request.extensions().get::<Hangup>().cloned().unwrap_or_default();
        let mut call = match Call::accept(&self.intake, &OPERATIONS, request) {
            Ok(call) => call,
            Err(refusal) => return *refusal,
        };
        call.capture();
        let began = Instant::now();
        let read = match service {
            Service::Tramite => self.tramite(&mut call).await,
            Service::Entidad => entidad_asked(&mut call).await,
            Service::Cuo => cuo_asked(&mut call).await,
        };
        binding::count(&self.metrics, call.tolerated.iter().copied());
        let heard = call.captured();
        let mut seen = Llamada {
            n: 0,
            fecha: self.core.clock.now(),
            lado: Lado::Entrada,
            operacion: "ilegible",
            de: String::new(),
            a: String::new(),
            cuo: String::new(),
            codigo: None,
            fallas: Vec::new(),
            milisegundos: 0,
            pedido: heard.as_ref().map(|heard| traffic::text(heard, None)),
            respuesta: None,
        };
        let (said, plan) = match read {
            Ok(Read::Asked(asked)) => {
                let about = asked.about();
                seen.operacion = about.operacion.nombre();
                (seen.de, seen.a, seen.cuo) = (about.de, about.a, about.cuo);
                seen.pedido = heard.map(|heard| traffic::text(&heard, asked.documento()));
                self.attend(asked).await
            }
            Ok(Read::Failed(said)) => (said, Plan::default()),
            Err(error) => {
                seen.respuesta = Some(traffic::text(&Sobre::from(&error.fault().message()), None));
                self.core.traffic.add(seen);
                return call.answer(Err(error)).await;
            }
        };
        let reply = reply(&said, &plan).await;
        seen.fallas = plan.names();
        seen.milisegundos = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if plan.answers() {
            seen.codigo = said.words().0;
            seen.respuesta = Some(traffic::text(&Sobre::from(&reply.message), said.documento()));
        }
        self.core.traffic.add(seen);
        let response = call.answer(Ok(reply)).await;
        plan.send(response, hangup).await
    }

    /// Goes on to its end whether or not the caller waits for it, as the platform does.
    async fn attend(&self, asked: Asked) -> (Said, Plan) {
        let core = Arc::clone(&self.core);
        match self.core.tasks.spawn(async move { core.attend(asked).await }).await {
            Ok(attended) => attended,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    async fn tramite(&self, call: &mut Call) -> Result<Read, ReadError> {
        let limits = Limits::with_document(self.core.spool.document_bytes_max());
        let envelope = call.envelope(limits).await?;
        let mut sink = self.core.spool.writer();
        let incoming = iotramite::read(envelope, &mut sink).await?;
        Ok(Read::Asked(match incoming.request {
            iotramite::Request::Recepcionar(t) => match staged(t.contenido, sink).await {
                Ok(documento) => Asked::Recepcionar(t, documento),
                Err(error) => {
                    return Ok(Read::Failed(Said::Respuesta(Operation::Recepcionar, relay::our_fault(&error))));
                }
            },
            iotramite::Request::Cargo(c) => match staged(c.contenido, sink).await {
                Ok(documento) => Asked::Cargo(c, documento),
                Err(error) => return Ok(Read::Failed(Said::Respuesta(Operation::Cargo, relay::our_fault(&error)))),
            },
            iotramite::Request::Consultar(consulta) => Asked::Consultar(consulta),
            iotramite::Request::TipoDocumento => Asked::Tipos,
        }))
    }
}

/// What became of reading a request.
enum Read {
    Asked(Asked),
    /// It could not be kept; the answer says so.
    Failed(Said),
}

async fn entidad_asked(call: &mut Call) -> Result<Read, ReadError> {
    let incoming = entidad::read(call.envelope(Limits::SMALL).await?).await?;
    Ok(Read::Asked(match incoming.request {
        entidad::Request::Lista { categoria } => {
            Asked::Lista(categoria.and_then(|text| Categoria::try_from(text.parse::<u8>().ok()?).ok()))
        }
        entidad::Request::Validar { ruc } => Asked::Validar(ruc),
    }))
}

async fn cuo_asked(call: &mut Call) -> Result<Read, ReadError> {
    let cuo::Request { flavour, ruc, servicio } = cuo::read(call.envelope(Limits::SMALL).await?).await?.request;
    Ok(Read::Asked(Asked::Cuo { flavour, ruc, servicio }))
}

async fn reply(said: &Said, plan: &Plan) -> Reply {
    if plan.null() {
        return said.message().null().into();
    }
    let reader = match said.documento() {
        Some(documento) => super::spool::open(documento).await.map(Some),
        None => Ok(None),
    };
    match reader {
        Ok(reader) => Reply { message: said.message(), document: reader.map(relay::boxed) },
        Err(error) => Said::consulta(relay::our_fault(&error)).message().into(),
    }
}

async fn staged(contenido: Contenido, sink: BlobWriter) -> Result<Option<Staged>, StoreError> {
    match contenido {
        Contenido::Pdf { .. } => sink.finish().await.map(Some),
        _ => Ok(None),
    }
}
