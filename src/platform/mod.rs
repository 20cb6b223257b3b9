//! The client of the national platform: [`PlatformSoap`] is the [`Platform`] of the use cases over the SOAP services of
//! CONTRACT §2, in the production or the test flavour. Requests stream from the store, answers stream into it.
//!
//! One call is one attempt; what it could not learn is said in [`PlatformError`], never guessed. Also lends its
//! [`client::SoapClient`] to the simulator. May use `exchange`, `contract`, `soap` and what lies below; knows no route.

pub mod client;
mod route;
#[cfg(test)]
mod tests;
mod verdict;

use async_trait::async_trait;
use reqwest::Url;

pub use client::{ClientError, SoapClient, Timeouts};
pub use route::Route;

use crate::{
    config::{Config, PideUrls},
    contract::{Flavour, Operation, cuo, entidad, iotramite},
    domain::{
        Ambiente, CargoTramite, Categoria, Consulta, Cuo, Entidad, Falla, Ruc, Tramite,
        cargo::{Respuesta, RespuestaConsulta},
        entidad::TipoDocumento,
    },
    exchange::{Platform, PlatformError, Sobres},
    soap::{AnswerError, DocumentSink, Limits, capture::Sobre},
    store::BlobReader,
};

/// What a [`PlatformSoap`] is made of.
#[derive(Debug, Clone)]
pub struct Options {
    pub flavour: Flavour,
    pub urls: PideUrls,
    pub timeouts: Timeouts,
    /// Largest cargo taken from the answer to a consulta, in bytes, decoded.
    pub document_bytes_max: u64,
    pub route: Route,
}

impl Options {
    pub fn from_config(config: &Config) -> Self {
        let flavour = match config.environment {
            Ambiente::Production => Flavour::Production,
            Ambiente::Test | Ambiente::Simulation => Flavour::Test,
        };
        let timeouts = Timeouts { connect: config.pide.connect_timeout, total: config.pide.total_timeout };
        let document_bytes_max = config.limits.document_max.bytes();
        let route = Route::from_config(&config.pide);
        Self { flavour, urls: config.pide_urls(), timeouts, document_bytes_max, route }
    }
}

/// The platform over SOAP. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct PlatformSoap {
    client: SoapClient,
    flavour: Flavour,
    tramite: Url,
    entidad: Url,
    cuo: Url,
    limits: Limits,
}

impl PlatformSoap {
    pub fn new(options: &Options) -> Result<Self, ClientError> {
        let [tramite, entidad, cuo] = [&options.urls.tramite, &options.urls.entidad, &options.urls.cuo];
        let (tramite, entidad, cuo) =
            (client::parse_url(tramite)?, client::parse_url(entidad)?, client::parse_url(cuo)?);
        let https = [&tramite, &entidad, &cuo].iter().any(|url| url.scheme() == "https");
        Ok(Self {
            client: SoapClient::with_route(options.timeouts, https, &options.route)?,
            flavour: options.flavour,
            tramite,
            entidad,
            cuo,
            limits: Limits::with_document(options.document_bytes_max),
        })
    }
}

#[async_trait]
impl Platform for PlatformSoap {
    async fn cuo(&self, entidad: &Ruc) -> Result<Cuo, PlatformError> {
        let answer = self.client.send(&self.cuo, cuo::pedir(self.flavour, entidad), None).await?;
        let host = answer.host.clone();
        let text = answer.read(async |body, charset| cuo::read_respuesta(body, charset, self.flavour).await).await?;
        Cuo::parse(&text)
            .map_err(|error| PlatformError::new(Falla::RespuestaIlegible, format!("{host} no dio un CUO: {error}")))
    }

    async fn recepcionar(
        &self,
        tramite: &Tramite,
        documento: BlobReader,
        sobres: &mut Sobres,
    ) -> Result<Respuesta, PlatformError> {
        let outgoing = iotramite::recepcionar(self.flavour, tramite, Some(documento.bytes()));
        sobres.peticion = Some(Sobre::from(&outgoing.message));
        let answer = self.client.send(&self.tramite, outgoing, Some(Box::new(documento))).await?;
        answer
            .hear(&mut sobres.respuesta, async |body, charset| respuesta(body, charset, Operation::Recepcionar).await)
            .await
    }

    async fn cargo(
        &self,
        cargo: &CargoTramite,
        documento: BlobReader,
        sobres: &mut Sobres,
    ) -> Result<Respuesta, PlatformError> {
        let outgoing = iotramite::cargo(self.flavour, cargo, Some(documento.bytes()));
        sobres.peticion = Some(Sobre::from(&outgoing.message));
        let answer = self.client.send(&self.tramite, outgoing, Some(Box::new(documento))).await?;
        answer.hear(&mut sobres.respuesta, async |body, charset| respuesta(body, charset, Operation::Cargo).await).await
    }

    async fn consultar(
        &self,
        consulta: &Consulta,
        sink: &mut dyn DocumentSink,
        sobres: &mut Sobres,
    ) -> Result<RespuestaConsulta, PlatformError> {
        let outgoing = iotramite::consultar(self.flavour, consulta);
        sobres.peticion = Some(Sobre::from(&outgoing.message));
        let answer = self.client.send(&self.tramite, outgoing, None).await?;
        let read =
            answer.hear(&mut sobres.respuesta, async |body, charset| {
                match iotramite::read_respuesta_consulta(body, charset, self.limits, sink).await {
                    Err(AnswerError::Null) => Ok(RespuestaConsulta::default()),
                    other => other,
                }
            });
        read.await
    }

    async fn validar_entidad(&self, ruc: &Ruc) -> Result<bool, PlatformError> {
        let answer = self.client.send(&self.entidad, entidad::validar(self.flavour, ruc), None).await?;
        answer.read(async |body, charset| entidad::read_validar(body, charset).await).await
    }

    async fn entidades(&self, categoria: Categoria) -> Result<Vec<Entidad>, PlatformError> {
        let answer = self.client.send(&self.entidad, entidad::lista(self.flavour, categoria), None).await?;
        answer.read(async |body, charset| entidad::read_lista(body, charset, categoria).await).await
    }

    async fn tipos_documento(&self) -> Result<Vec<TipoDocumento>, PlatformError> {
        let answer = self.client.send(&self.tramite, iotramite::tipos_documento(self.flavour), None).await?;
        answer.read(async |body, charset| iotramite::read_tipos_documento(body, charset).await).await
    }
}

/// The answer to a document or a cargo. Null says nothing: it stays an answer without a code, which the use cases read as
/// unclear.
async fn respuesta<B: tokio::io::AsyncRead + Unpin + Send>(
    body: B,
    charset: Option<&str>,
    operation: Operation,
) -> Result<Respuesta, AnswerError> {
    match iotramite::read_respuesta(body, charset, operation).await {
        Err(AnswerError::Null) => Ok(Respuesta::default()),
        other => other,
    }
}
