//! The platform's SOAP services over HTTP, under the names of both flavours. Every address answers the operations of
//! either: only the description (`?wsdl`) differs.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::get,
};
use http::{HeaderMap, Uri};

use super::relay::{self, Consultada, Core};
use crate::{
    contract::{self, Flavour, Operation, cuo, entidad, iotramite, wsdl},
    domain::{Categoria, Consulta, Contenido, Ruc},
    http::limits::Intake,
    soap::{Limits, ReadError},
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
enum Service {
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
            match binding::callers_base(&headers) {
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
    async fn call(self, service: Service, request: Request) -> Response {
        let mut call = match Call::accept(&self.intake, &OPERATIONS, request) {
            Ok(call) => call,
            Err(refusal) => return *refusal,
        };
        let result = match service {
            Service::Tramite => self.tramite(&mut call).await,
            Service::Entidad => self.entidad(&mut call).await,
            Service::Cuo => self.cuo(&mut call).await,
        };
        binding::count(&self.metrics, call.tolerated.iter().copied());
        call.answer(result).await
    }

    async fn tramite(&self, call: &mut Call) -> Result<Reply, ReadError> {
        let limits = Limits::with_document(self.core.spool.document_bytes_max());
        let envelope = call.envelope(limits).await?;
        let mut sink = self.core.spool.writer();
        let incoming = iotramite::read(envelope, &mut sink).await?;
        Ok(match incoming.request {
            iotramite::Request::Recepcionar(t) => {
                let respuesta = match staged(t.contenido, sink).await {
                    Ok(documento) => self.core.recepcionar(&t, documento).await,
                    Err(error) => relay::our_fault(&error),
                };
                iotramite::respuesta(Operation::Recepcionar, &respuesta).into()
            }
            iotramite::Request::Cargo(c) => {
                let respuesta = match staged(c.contenido, sink).await {
                    Ok(documento) => self.core.cargo(&c, documento).await,
                    Err(error) => relay::our_fault(&error),
                };
                iotramite::respuesta(Operation::Cargo, &respuesta).into()
            }
            iotramite::Request::Consultar(contract::Consulta { ruc_remitente, ruc_receptor, cuo }) => {
                self.consultar(&Consulta { ruc_remitente, ruc_receptor, cuo }).await
            }
            iotramite::Request::TipoDocumento => iotramite::respuesta_tipos_documento(&relay::tipos_documento()).into(),
        })
    }

    async fn consultar(&self, consulta: &Consulta) -> Reply {
        let Consultada { respuesta, documento } = self.core.consultar(consulta).await;
        let message = iotramite::respuesta_consulta(&respuesta, documento.as_ref().map(|d| d.bytes));
        let reader = match &documento {
            Some(documento) => super::spool::open(documento).await.map(Some),
            None => Ok(None),
        };
        match reader {
            Ok(reader) => Reply { message, document: reader.map(relay::boxed) },
            Err(error) => {
                let respuesta = relay::our_fault(&error);
                let answer = crate::domain::cargo::RespuestaConsulta { respuesta, ..Default::default() };
                iotramite::respuesta_consulta(&answer, None).into()
            }
        }
    }

    async fn entidad(&self, call: &mut Call) -> Result<Reply, ReadError> {
        let incoming = entidad::read(call.envelope(Limits::SMALL).await?).await?;
        let registry = &self.core.registry;
        Ok(match incoming.request {
            entidad::Request::Lista { categoria } => {
                let categoria = categoria.and_then(|text| Categoria::try_from(text.parse::<u8>().ok()?).ok());
                let entidades = categoria.map(|c| registry.category(c)).unwrap_or_default();
                entidad::respuesta_lista(&entidades).into()
            }
            entidad::Request::Validar { ruc } => {
                entidad::respuesta_validar(registry.find(ruc.as_deref()).is_some()).into()
            }
        })
    }

    async fn cuo(&self, call: &mut Call) -> Result<Reply, ReadError> {
        let asked = cuo::read(call.envelope(Limits::SMALL).await?).await?.request;
        let sound = asked.ruc.as_deref().is_some_and(|ruc| Ruc::de_contraparte(ruc).is_ok());
        let served = asked.servicio.as_deref() == Some(cuo::SERVICIO);
        // As a number no CUO can be: whoever asks wrongly must notice.
        let given = if sound && served { self.core.registry.cuo(self.core.clock.now()) } else { "-1".into() };
        Ok(cuo::respuesta(asked.flavour, &given).into())
    }
}

async fn staged(contenido: Contenido, sink: BlobWriter) -> Result<Option<Staged>, StoreError> {
    match contenido {
        Contenido::Pdf { .. } => sink.finish().await.map(Some),
        _ => Ok(None),
    }
}
