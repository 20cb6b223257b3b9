//! The platform between simulated entities: it relays at once, late, twice or not at all, and loses or garbles answers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::chance::Chance;
use crate::{
    domain::{
        CargoTramite, Categoria, Consulta, Contenido, Cuo, Entidad, Falla, Ruc, Tramite,
        cargo::{Respuesta, RespuestaConsulta},
        entidad::TipoDocumento,
    },
    exchange::{Exchange, Platform, PlatformError, Sobres, retry::later},
    soap::sink::DocumentSink,
    store::BlobReader,
};

/// What may happen to a call (issue: the simulator's faults, as an entity sees them).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// No connection.
    Refused,
    /// It never arrived.
    LostBefore,
    /// It was done, the answer was lost.
    LostAfter,
    /// It arrives later, after the caller gave up.
    Late,
    /// It is delivered twice.
    Twice,
    /// Done or not, the answer means nothing.
    Garbled,
    /// The receiver's clerk answers and the cargo travels before the send is answered.
    AnsweredFirst,
}

const FAULTS: [Fault; 7] = [
    Fault::Refused,
    Fault::LostBefore,
    Fault::LostAfter,
    Fault::Late,
    Fault::Twice,
    Fault::Garbled,
    Fault::AnsweredFirst,
];

/// Longest time a late delivery is under way: longer than it takes to ask and to send again.
const LATE_MAX_S: u64 = 1800;

/// Something under way that arrives later.
pub enum Late {
    Tramite(Tramite, Vec<u8>),
    Cargo(CargoTramite, Vec<u8>),
}

/// What clerks do when a document arrived, told from within the network.
pub type Clerk = Arc<dyn Fn(Ruc, String) -> BoxFuture<'static, ()> + Send + Sync>;

pub struct Network {
    pub entities: Mutex<HashMap<String, Exchange>>,
    pub chance: Mutex<Chance>,
    /// Of a hundred calls, how many meet a fault.
    pub faults: Mutex<u64>,
    pub late: Mutex<Vec<(Timestamp, Late)>>,
    pub cuos: Mutex<u64>,
    pub clerk: Mutex<Option<Clerk>>,
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Network {
    fn entity(&self, ruc: &Option<String>) -> Option<Exchange> {
        self.entities.lock().unwrap().get(ruc.as_deref()?).cloned()
    }

    fn draw(&self) -> Option<Fault> {
        let mut chance = self.chance.lock().unwrap();
        chance.happens(*self.faults.lock().unwrap()).then(|| chance.pick(&FAULTS))
    }

    fn coin(&self) -> bool {
        self.chance.lock().unwrap().happens(50)
    }

    fn garbled(&self) -> Result<Respuesta, PlatformError> {
        match self.chance.lock().unwrap().below(8) {
            0 => Err(PlatformError::new(Falla::ErrorHttp, "HTTP 500")),
            1 => Err(PlatformError::new(Falla::PaginaWeb, "una página")),
            2 => Err(PlatformError::new(Falla::RespuestaVacia, "202 vacío")),
            3 => Err(PlatformError::new(Falla::FalloSoap, "fallo")),
            4 => Ok(Respuesta::default()),
            5 => Ok(Respuesta::nueva("9999", "?")),
            6 => Ok(Respuesta::nueva("-1", "error en el servicio de la entidad receptora")),
            _ => {
                let error = PlatformError::new(Falla::Ocupada, "HTTP 503");
                Err(PlatformError { retry_after: Some(Duration::from_secs(60)), ..error })
            }
        }
    }

    fn postpone(&self, what: Late) {
        let wait = self.chance.lock().unwrap().below(LATE_MAX_S) + 1;
        self.late.lock().unwrap().push((later((self.now)(), Duration::from_secs(wait)), what));
    }

    /// What is under way and has arrived by now.
    pub async fn arrive(&self, now: Timestamp) {
        loop {
            let next = {
                let mut late = self.late.lock().unwrap();
                late.iter().position(|(at, _)| *at <= now).map(|n| late.remove(n).1)
            };
            match next {
                Some(Late::Tramite(tramite, pdf)) => drop(self.deliver(&tramite, &pdf).await),
                Some(Late::Cargo(cargo, pdf)) => drop(self.deliver_cargo(&cargo, &pdf).await),
                None => return,
            }
        }
    }

    async fn deliver(&self, tramite: &Tramite, pdf: &[u8]) -> Respuesta {
        let Some(entity) = self.entity(&tramite.ruc_receptor) else { return Respuesta::nueva("-1", "caída") };
        let mut writer = entity.stage();
        writer.write(pdf).await.unwrap();
        entity.recibir(tramite, Some(writer.finish().await.unwrap()), None).await
    }

    async fn deliver_cargo(&self, cargo: &CargoTramite, pdf: &[u8]) -> Respuesta {
        let Some(entity) = self.entity(&cargo.ruc_destino) else { return Respuesta::nueva("-1", "caída") };
        let mut writer = entity.stage();
        writer.write(pdf).await.unwrap();
        entity.recibir_cargo(cargo, Some(writer.finish().await.unwrap()), None).await
    }
}

async fn whole(mut pdf: BlobReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = pdf.next().await.unwrap() {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

fn no_connection() -> PlatformError {
    PlatformError::new(Falla::SinConexion, "conexión rechazada")
}

fn timed_out() -> PlatformError {
    PlatformError::new(Falla::TiempoAgotado, "tiempo agotado")
}

#[async_trait]
impl Platform for Network {
    async fn cuo(&self, _: &Ruc) -> Result<Cuo, PlatformError> {
        match self.draw() {
            Some(Fault::Refused | Fault::LostBefore) => Err(no_connection()),
            Some(Fault::LostAfter | Fault::Garbled) => {
                *self.cuos.lock().unwrap() += 1;
                Err(timed_out())
            }
            _ => {
                let mut cuos = self.cuos.lock().unwrap();
                *cuos += 1;
                Ok(Cuo::parse(&format!("{cuos:010}")).unwrap())
            }
        }
    }

    async fn recepcionar(
        &self,
        tramite: &Tramite,
        documento: BlobReader,
        _: &mut Sobres,
    ) -> Result<Respuesta, PlatformError> {
        let pdf = whole(documento).await;
        match self.draw() {
            None => Ok(self.deliver(tramite, &pdf).await),
            Some(Fault::Refused) => Err(no_connection()),
            Some(Fault::LostBefore) => Err(timed_out()),
            Some(Fault::LostAfter) => {
                self.deliver(tramite, &pdf).await;
                Err(PlatformError::new(Falla::ConexionCortada, "conexión cortada"))
            }
            Some(Fault::Late) => {
                self.postpone(Late::Tramite(tramite.clone(), pdf));
                Err(timed_out())
            }
            Some(Fault::Twice) => {
                self.deliver(tramite, &pdf).await;
                Ok(self.deliver(tramite, &pdf).await)
            }
            Some(Fault::Garbled) => {
                if self.coin() {
                    self.deliver(tramite, &pdf).await;
                }
                self.garbled()
            }
            Some(Fault::AnsweredFirst) => {
                let answer = self.deliver(tramite, &pdf).await;
                let clerk = self.clerk.lock().unwrap().clone();
                if let (Some(clerk), Some(ruc), Some(cuo)) = (clerk, &tramite.ruc_receptor, &tramite.cuo) {
                    clerk(Ruc::de_contraparte(ruc).unwrap(), cuo.clone()).await;
                }
                if self.coin() { Ok(answer) } else { Err(timed_out()) }
            }
        }
    }

    async fn cargo(
        &self,
        cargo: &CargoTramite,
        documento: BlobReader,
        _: &mut Sobres,
    ) -> Result<Respuesta, PlatformError> {
        let pdf = whole(documento).await;
        match self.draw() {
            None | Some(Fault::AnsweredFirst) => Ok(self.deliver_cargo(cargo, &pdf).await),
            Some(Fault::Refused) => Err(no_connection()),
            Some(Fault::LostBefore) => Err(timed_out()),
            Some(Fault::LostAfter) => {
                self.deliver_cargo(cargo, &pdf).await;
                Err(PlatformError::new(Falla::ConexionCortada, "conexión cortada"))
            }
            Some(Fault::Late) => {
                self.postpone(Late::Cargo(cargo.clone(), pdf));
                Err(timed_out())
            }
            Some(Fault::Twice) => {
                let answer = self.deliver_cargo(cargo, &pdf).await;
                // A second cargo with other content must not take the first one's place.
                self.deliver_cargo(cargo, b"%PDF-1.7 another cargo").await;
                self.deliver_cargo(cargo, &pdf).await;
                Ok(answer)
            }
            Some(Fault::Garbled) => {
                if self.coin() {
                    self.deliver_cargo(cargo, &pdf).await;
                }
                self.garbled()
            }
        }
    }

    async fn consultar(
        &self,
        consulta: &Consulta,
        sink: &mut dyn DocumentSink,
        _: &mut Sobres,
    ) -> Result<RespuestaConsulta, PlatformError> {
        match self.draw() {
            Some(Fault::Refused | Fault::LostBefore) => return Err(no_connection()),
            Some(Fault::LostAfter | Fault::Late) => return Err(timed_out()),
            Some(Fault::Garbled) => {
                let respuesta = self.garbled()?;
                return Ok(RespuestaConsulta { respuesta, cargo: CargoTramite::default() });
            }
            _ => {}
        }
        let Some(entity) = self.entity(&consulta.ruc_receptor) else {
            let respuesta = Respuesta::nueva("-1", "caída");
            return Ok(RespuestaConsulta { respuesta, cargo: CargoTramite::default() });
        };
        let answered = entity.responder_consulta(consulta).await;
        let mut respuesta = answered.respuesta;
        if let Some(pdf) = answered.documento {
            sink.write(&whole(pdf).await).await.unwrap();
            respuesta.cargo.contenido = Contenido::Pdf { una_vez: false };
        }
        Ok(respuesta)
    }

    async fn validar_entidad(&self, _: &Ruc) -> Result<bool, PlatformError> {
        Ok(true)
    }

    async fn entidades(&self, _: Categoria) -> Result<Vec<Entidad>, PlatformError> {
        Ok(Vec::new())
    }

    async fn tipos_documento(&self) -> Result<Vec<TipoDocumento>, PlatformError> {
        Ok(Vec::new())
    }
}
