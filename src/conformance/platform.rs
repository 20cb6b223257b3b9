//! The platform as the suite plays it for an entity that sends: CUOs, directory, relaying to counterparts that answer as a
//! scenario scripts. Keeps every message as its bytes were. (`simulator` is the platform for people; here a case decides
//! each answer, and what is wrong in a request must be seen and not refused.)

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    case::Prepara,
    checks::Visto,
    envelope::{SOAP11, escapa},
    template::Cuos,
    wire::{self, Mensaje},
};
use crate::{
    contract::{self, Flavour},
    exchange::Clock,
    soap,
};

/// Connections at once and the largest body of a request, in bytes: together what strangers can make it hold at a time.
const CONNECTIONS_MAX: usize = 32;
const PEDIDO_BYTES_MAX: usize = 24 * 1024 * 1024;
/// Messages kept, all their bytes, those of one that is not for a counterpart, and how long a request may take to arrive.
const MENSAJES_MAX: usize = 10_000;
const MENSAJES_BYTES_MAX: usize = 256 * 1024 * 1024;
const SUELTO_BYTES_MAX: usize = 64 * 1024;
/// CUOs whose counterpart is remembered.
const CUOS_MAX: usize = 10_000;
const REQUEST: Duration = Duration::from_secs(60);
/// How long an answer is held back at most.
const RETENIDA: Duration = Duration::from_secs(30);

/// What the entity sent, and what it was told.
#[derive(Debug, Clone)]
pub struct Recibido {
    /// `cuo`, `lista`, `validar`, `tipos`, `recepcionar`, `consultar`, `cargo` or the unknown element's name.
    pub operacion: String,
    /// Of the counterpart in whose scenario it is.
    pub ruc: String,
    pub cuo: String,
    pub mensaje: Mensaje,
    pub respuesta: String,
    pub inicio: Timestamp,
    pub ms: u64,
}

#[derive(Default)]
struct Respuestas {
    recepcionar: VecDeque<String>,
    consultar: VecDeque<String>,
    cargo: VecDeque<String>,
    /// The PDF of a cargo that a consulta brings, encoded twice.
    cargo_pdf: String,
    asunto: String,
}

struct Estado {
    recibidos: Vec<Recibido>,
    /// Bytes of all of them, and how many there was no room for.
    bytes: usize,
    perdidos: usize,
    escenarios: BTreeMap<String, Respuestas>,
    /// The counterpart of each CUO.
    de_cuo: BTreeMap<String, String>,
    cuos: Cuos,
}

pub struct Plataforma {
    estado: Mutex<Estado>,
    llego: Notify,
    suelta: Notify,
    address: SocketAddr,
    /// As the entity is told to reach it.
    pub base: String,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
}

impl Drop for Plataforma {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Plataforma {
    /// Listens; `prefijo`: what its CUOs begin with.
    pub async fn abrir(listen: SocketAddr, prefijo: String, clock: Arc<dyn Clock>) -> Result<Arc<Self>, String> {
        let failed =
            |e: std::io::Error| format!("no se puede escuchar en {listen}: {}", crate::config::causes::in_spanish(&e));
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut cuos = Cuos::new(prefijo);
        // The upper half of the run's numbers: those that the suite gives out itself are the lower one.
        cuos.desde(500);
        let estado = Estado {
            recibidos: Vec::new(),
            bytes: 0,
            perdidos: 0,
            escenarios: BTreeMap::new(),
            de_cuo: BTreeMap::new(),
            cuos,
        };
        let plataforma = Arc::new(Self {
            estado: Mutex::new(estado),
            llego: Notify::new(),
            suelta: Notify::new(),
            address,
            base: format!("http://{address}"),
            clock,
            stop: CancellationToken::new(),
        });
        let (weak, stop) = (Arc::downgrade(&plataforma), plataforma.stop.clone());
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let (Ok((stream, _)), Ok(place)) = (accepted, Arc::clone(&places).acquire_owned().await) else {
                    continue;
                };
                let Some(plataforma) = weak.upgrade() else { return };
                tokio::spawn(async move {
                    plataforma.atender(stream).await;
                    drop(place);
                });
            }
        });
        Ok(plataforma)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn estado(&self) -> MutexGuard<'_, Estado> {
        self.estado.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the counterpart `ruc` and the platform answer from now on.
    pub fn prepara(&self, ruc: &str, prepara: &Prepara, cargo_pdf: &str) {
        let queue = |list: &[String]| list.iter().cloned().collect::<VecDeque<_>>();
        let mut estado = self.estado();
        let escenario = estado.escenarios.entry(ruc.to_owned()).or_default();
        cargo_pdf.clone_into(&mut escenario.cargo_pdf);
        for (list, into) in [
            (&prepara.recepcionar, &mut escenario.recepcionar),
            (&prepara.consultar, &mut escenario.consultar),
            (&prepara.cargo, &mut escenario.cargo),
        ] {
            if !list.is_empty() {
                *into = queue(list);
            }
        }
    }

    /// A document sent by the counterpart `ruc` has this CUO: what comes back under it is its scenario's.
    pub fn nota_cuo(&self, cuo: &str, ruc: &str) {
        self.estado().de_cuo.insert(cuo.to_owned(), ruc.to_owned());
    }

    /// Lets a held answer go.
    pub fn suelta(&self) {
        self.suelta.notify_waiters();
    }

    /// The `n`th message of an operation in a scenario, or for `cuo` the one that was answered with `cuo`.
    pub fn mensaje(&self, operacion: &str, ruc: &str, n: usize, cuo: Option<&str>) -> Option<Recibido> {
        let estado = self.estado();
        let mut found = estado.recibidos.iter().filter(|r| r.operacion == operacion);
        match operacion {
            "cuo" => found.find(|r| cuo == Some(r.cuo.as_str())).cloned(),
            "lista" | "validar" | "tipos" => found.nth(n).cloned(),
            _ => found.filter(|r| r.ruc == ruc).nth(n).cloned(),
        }
    }

    /// How many messages of an operation came in a scenario.
    pub fn cuenta(&self, operacion: &str, ruc: &str) -> usize {
        self.estado().recibidos.iter().filter(|r| r.operacion == operacion && r.ruc == ruc).count()
    }

    /// Waits for [`Self::mensaje`], at most `total`.
    pub async fn aguarda(
        &self,
        operacion: &str,
        ruc: &str,
        n: usize,
        cuo: Option<&str>,
        total: Duration,
    ) -> Option<Recibido> {
        let wait = async {
            loop {
                let arrived = self.llego.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                if let Some(found) = self.mensaje(operacion, ruc, n, cuo) {
                    return found;
                }
                arrived.await;
            }
        };
        timeout(total, wait).await.ok()
    }

    async fn atender(&self, mut stream: TcpStream) {
        stream.set_nodelay(true).ok();
        let (inicio, began) = (self.clock.now(), Instant::now());
        let Ok(Ok(Some(mensaje))) = timeout(REQUEST, self.pedido(&mut stream)).await else { return };
        if !mensaje.linea.starts_with("POST ") {
            let wsdl = self.descripcion(&mensaje.linea);
            let status = if wsdl.is_some() { "200 OK" } else { "404 Not Found" };
            responder(&mut stream, status, "text/xml; charset=utf-8", &wsdl.unwrap_or_default()).await;
            return;
        }
        let visto = Visto::de(Some(mensaje.clone()));
        let (operacion, ruc, cuo) = self.lee(&visto);
        let answer = self.respuesta(&operacion, &ruc, &cuo, &visto);
        if answer.retiene {
            let recibido = Recibido {
                operacion: format!("{operacion}-en-curso"),
                ruc: ruc.clone(),
                cuo: cuo.clone(),
                mensaje: mensaje.clone(),
                respuesta: String::new(),
                inicio,
                ms: 0,
            };
            let released = self.suelta.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            self.guarda(recibido);
            timeout(RETENIDA, released).await.ok();
        }
        let cuo = if operacion == "cuo" { answer.cuo.clone() } else { cuo };
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let said = if answer.corta {
            "(la conexión se cerró sin responder)".to_owned()
        } else {
            format!("HTTP/1.1 {}\r\nContent-Type: {}\r\n\r\n{}", answer.status, answer.tipo, answer.cuerpo)
        };
        self.guarda(Recibido { operacion, ruc, cuo, mensaje, respuesta: said, inicio, ms });
        if !answer.corta {
            responder(&mut stream, answer.status, answer.tipo, &answer.cuerpo).await;
        }
    }

    async fn pedido(&self, stream: &mut TcpStream) -> Result<Option<Mensaje>, String> {
        let mut first = vec![0; 16 * 1024];
        let mut got = Vec::new();
        // Who asks whether to go on is told yes before the body is read.
        while wire::find(&got, b"\r\n\r\n").is_none() && got.len() < 128 * 1024 {
            let n = tokio::io::AsyncReadExt::read(stream, &mut first).await.map_err(|e| e.to_string())?;
            if n == 0 {
                return Ok(None);
            }
            got.extend_from_slice(first.get(..n).unwrap_or_default());
        }
        let head = String::from_utf8_lossy(&got).to_ascii_lowercase();
        if head.contains("expect: 100-continue") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|e| e.to_string())?;
        }
        wire::leer_hasta(stream, got, true, PEDIDO_BYTES_MAX).await
    }

    /// Keeps what concerns the run: anybody may reach this address.
    fn guarda(&self, recibido: Recibido) {
        let mut estado = self.estado();
        let size = recibido.mensaje.cuerpo.len() + recibido.respuesta.len();
        let general = matches!(recibido.operacion.as_str(), "cuo" | "lista" | "validar" | "tipos");
        let concerns = estado.escenarios.contains_key(&recibido.ruc) || general && size <= SUELTO_BYTES_MAX;
        if concerns && estado.recibidos.len() < MENSAJES_MAX && estado.bytes + size <= MENSAJES_BYTES_MAX {
            estado.bytes += size;
            estado.recibidos.push(recibido);
        } else if concerns {
            estado.perdidos += 1;
        }
        drop(estado);
        self.llego.notify_waiters();
    }

    /// How many messages there was no room for.
    pub fn perdidos(&self) -> usize {
        self.estado().perdidos
    }

    /// Operation, counterpart and CUO of a request.
    fn lee(&self, visto: &Visto) -> (String, String, String) {
        let name = visto.documento().and_then(wire::operacion).map(|o| o.local.clone()).unwrap_or_default();
        let field = |name: &str| visto.campo(name).unwrap_or_default().trim().to_owned();
        let operacion = match name.as_str() {
            "getCUO" | "getCUOEntidad" => "cuo",
            "getListaEntidad" => "lista",
            "validarEntidad" => "validar",
            "getTipoDocumento" => "tipos",
            "recepcionarTramiteResponse" => "recepcionar",
            "consultarTramiteResponse" => "consultar",
            "cargoResponse" => "cargo",
            other => other,
        };
        let (cuo, mut estado) = (field("vcuo"), self.estado());
        let mut ruc = field("vrucentrec");
        let known = estado.escenarios.contains_key(&ruc) && estado.de_cuo.len() < CUOS_MAX;
        if operacion == "recepcionar" && !cuo.is_empty() && known {
            estado.de_cuo.insert(cuo.clone(), ruc.clone());
        } else if let Some(known) = estado.de_cuo.get(&cuo) {
            ruc.clone_from(known);
        }
        (operacion.to_owned(), ruc, cuo)
    }

    fn descripcion(&self, linea: &str) -> Option<String> {
        let path = linea.split(' ').nth(1)?;
        if !path.to_ascii_lowercase().ends_with("?wsdl") {
            return None;
        }
        let address = format!("{}{}", self.base, path.split('?').next().unwrap_or_default());
        let wsdl = match path {
            p if p.contains("Cuo") => contract::wsdl::CUO,
            p if p.contains("IOTramite") => contract::wsdl::iotramite(Flavour::Test),
            p if p.contains("IMgdTramite") => contract::wsdl::iotramite(Flavour::Production),
            p if p.contains("IMgdEntidad") => contract::wsdl::entidad(Flavour::Production),
            _ => contract::wsdl::entidad(Flavour::Test),
        };
        Some(wsdl.replace(soap::wsdl::ADDRESS, &escapa(&address)))
    }

    fn respuesta(&self, operacion: &str, ruc: &str, cuo: &str, visto: &Visto) -> Respuesta {
        let mut estado = self.estado();
        let name = visto.documento().and_then(wire::operacion).map(|o| o.local.clone()).unwrap_or_default();
        let wrap = |namespace: &str, inner: &str| {
            Respuesta::xml(&format!("<n:{name}Response xmlns:n=\"{namespace}\">{inner}</n:{name}Response>"))
        };
        match operacion {
            "cuo" => {
                let cuo = estado.cuos.nuevo();
                let answer = wrap(contract::cuo::NAMESPACE, &format!("<return>{cuo}</return>"));
                Respuesta { cuo, ..answer }
            }
            "lista" => {
                let own = visto.campo("sidcatent").or_else(|| visto.campo("return")).map(str::trim) == Some("1");
                let row = |(n, ruc): (usize, &String)| {
                    format!(
                        "<return><sident>{n}</sident><sidpadent>0</sidpadent><vnoment>CONTRAPARTE DE PRUEBAS {n}</vnoment><vrucent>{ruc}</vrucent></return>"
                    )
                };
                let rows: String =
                    if own { estado.escenarios.keys().enumerate().map(row).collect() } else { String::new() };
                wrap(contract::entidad::NAMESPACE, &rows)
            }
            "validar" => wrap(contract::entidad::NAMESPACE, "<return>0000</return>"),
            "tipos" => {
                let row = |(code, name): (&str, &str)| {
                    format!(
                        "<return><ccodtipdoctra>{code}</ccodtipdoctra><vnomtipdoctra>{name}</vnomtipdoctra></return>"
                    )
                };
                wrap(contract::iotramite::NAMESPACE, &[("01", "OFICIO"), ("02", "CARTA")].map(row).concat())
            }
            "recepcionar" | "consultar" | "cargo" => {
                // Of whom nobody has heard nothing is kept.
                let mut nobody = Respuestas::default();
                let escenario = estado.escenarios.get_mut(ruc).unwrap_or(&mut nobody);
                if operacion == "recepcionar" {
                    escenario.asunto = visto.campo("vasu").unwrap_or_default().to_owned();
                }
                let queue = match operacion {
                    "recepcionar" => &mut escenario.recepcionar,
                    "consultar" => &mut escenario.consultar,
                    _ => &mut escenario.cargo,
                };
                let usual = if operacion == "consultar" { "P" } else { "0000" };
                let word = if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() };
                let word = word.unwrap_or_else(|| usual.to_owned());
                let pdf = escenario.cargo_pdf.clone();
                Respuesta::guion(operacion, &name, &word, cuo, &pdf, self.clock.now())
            }
            other => Respuesta::fault(&format!("la operación {other} no existe")),
        }
    }
}

async fn responder(stream: &mut TcpStream, status: &str, tipo: &str, cuerpo: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {tipo}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        cuerpo.len()
    );
    stream.write_all(head.as_bytes()).await.ok();
    stream.write_all(cuerpo.as_bytes()).await.ok();
    stream.shutdown().await.ok();
}

struct Respuesta {
    status: &'static str,
    tipo: &'static str,
    cuerpo: String,
    corta: bool,
    retiene: bool,
    cuo: String,
}

impl Respuesta {
    fn con(status: &'static str, tipo: &'static str, cuerpo: String) -> Self {
        Self { status, tipo, cuerpo, corta: false, retiene: false, cuo: String::new() }
    }

    fn xml(inner: &str) -> Self {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope xmlns:soapenv=\"{SOAP11}\"><soapenv:Body>{inner}\
             </soapenv:Body></soapenv:Envelope>"
        );
        Self::con("200 OK", "text/xml; charset=utf-8", text)
    }

    fn fault(text: &str) -> Self {
        let inner = format!(
            "<soapenv:Fault><faultcode>soapenv:Server</faultcode><faultstring>{}</faultstring></soapenv:Fault>",
            escapa(text)
        );
        Self { status: "500 Internal Server Error", ..Self::xml(&inner) }
    }

    /// The answer that a scenario's word stands for.
    fn guion(operacion: &str, name: &str, word: &str, cuo: &str, pdf: &str, now: Timestamp) -> Self {
        let answer = |inner: String| {
            let namespace = contract::iotramite::NAMESPACE;
            Self::xml(&format!("<n:{name}Response xmlns:n=\"{namespace}\"><return>{inner}</return></n:{name}Response>"))
        };
        let coded = |code: &str, text: &str| format!("<vcodres>{code}</vcodres><vdesres>{}</vdesres>", escapa(text));
        match word {
            "corta" => Self { corta: true, ..Self::xml("") },
            "202" => Self::con("202 Accepted", "text/xml", String::new()),
            "html" => Self::con("200 OK", "text/html", "<html><body>Bienvenido</body></html>".into()),
            "503" => {
                Self::con("503 Service Unavailable", "text/html", "<html><body>Fuera de servicio</body></html>".into())
            }
            "falta" => Self::fault("Error de la plataforma de pruebas"),
            "nulo" => answer(String::new()),
            "retiene" => Self { retiene: true, ..answer(coded("0000", "El documento se encuentra a disposición")) },
            "P" | "R" | "O" if operacion == "consultar" => {
                let at = crate::domain::lima::texto(now);
                let mut fields = coded("0000", "DATOS ENCONTRADOS") + &format!("<vcuo>{}</vcuo>", escapa(cuo));
                if word != "P" {
                    let year = at.get(..4).unwrap_or_default();
                    fields += &format!(
                        "<vnumregstd>P-000778</vnumregstd><vanioregstd>{year}</vanioregstd><vuniorgstd>MESA DE PARTES</vuniorgstd>\
                         <dfecregstd>{at}</dfecregstd><vusuregstd>ROSA ÑAHUI PÉREZ</vusuregstd><bcarstd>{pdf}</bcarstd>"
                    );
                }
                if word == "O" {
                    fields += "<vobs>Observación de prueba</vobs>";
                }
                answer(fields + &format!("<cflgest>{word}</cflgest>"))
            }
            _ => {
                let (code, text) = word.split_once(':').unwrap_or((
                    word,
                    match (operacion, word) {
                        ("recepcionar", "0000") => "El documento se encuentra a disposición para la recepción formal",
                        ("consultar", "0001") => "DATOS NO ENCONTRADOS",
                        ("cargo", "0000") => "RECEPCION DE CARGO EXITOSO",
                        _ => "Respuesta de la plataforma de pruebas",
                    },
                ));
                answer(coded(code, text))
            }
        }
    }
}
