//! Who takes part in the demo: a simulated platform and two entities, each a whole daemon with its own data, and each
//! called the way its document system would call it.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use http::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    cli::{
        Failure,
        causes::in_spanish,
        client::Api,
        daemon::{Daemon, Overrides},
    },
    config::{Config, Entity, IdentityFile, PideUrls, Secret},
    exchange::{Actor, usuarios::NuevoUsuario},
    simulator::{self, Simulator},
    store::Rol,
    wsiotramite,
};

pub const MUNICIPALIDAD: (&str, &str) = ("20900000015", "MUNICIPALIDAD DISTRITAL DE EJEMPLO");
pub const GOBIERNO: (&str, &str) = ("20900000023", "GOBIERNO REGIONAL DE MUESTRA");

/// The automated agents that sign for them. Their keys are public: `fixtures/pki`.
const AGENTES: [(&str, &[u8]); 2] = [
    (MUNICIPALIDAD.0, include_bytes!("../../../fixtures/pki/agente-municipalidad.p12")),
    (GOBIERNO.0, include_bytes!("../../../fixtures/pki/agente-gobierno.p12")),
];
/// Whom both believe: who vouches for the agents, and who vouched for the oficio's author.
pub const ANCHORS: &str =
    concat!(include_str!("../../../fixtures/pki/chain.pem"), include_str!("../../../fixtures/oficio-raiz.pem"));
const AGENTES_PASSWORD: &str = include_str!("../../../fixtures/pki/password");

/// A person of each role.
pub const PEOPLE: [(&str, &str, Rol); 4] = [
    ("mesa", "ROSA ÑAHUI PÉREZ", Rol::MesaDePartes),
    ("operador", "LUIS CCORI HUAMÁN", Rol::Operador),
    ("auditora", "ELENA SALAZAR DÍAZ", Rol::Auditor),
    ("admin", "JULIO ROJAS TELLO", Rol::Admin),
];

/// One entity: its daemon, and its API with a key of its own.
pub struct Member {
    pub ruc: &'static str,
    pub name: &'static str,
    pub daemon: Daemon,
    pub api: Api,
    pub key: String,
}

pub struct Cast {
    pub simulator: Simulator,
    pub sender: Member,
    pub receiver: Member,
}

impl Cast {
    /// Starts all three; their data go below `folder`.
    pub async fn start(folder: &Path) -> Result<Self, Failure> {
        let options = simulator::Options { demora_cargo: Duration::from_secs(1), ..simulator::Options::default() };
        let simulator = Simulator::start(options).await.map_err(|error| Failure::Failed(error.to_string()))?;
        let urls = simulator.urls();
        let sender = Member::start(MUNICIPALIDAD, &folder.join("municipalidad"), &urls).await?;
        let receiver = Member::start(GOBIERNO, &folder.join("gobierno-regional"), &urls).await?;
        for member in [&sender, &receiver] {
            member.register(&simulator)?;
        }
        // What they fetched while starting did not have the two in it yet.
        for member in [&sender, &receiver] {
            let fetched = member.daemon.exchange().actualizar_directorio(&Actor::local()).await;
            fetched.map_err(|error| Failure::Failed(format!("no se pudo leer el directorio de entidades: {error}")))?;
        }
        Ok(Self { simulator, sender, receiver })
    }

    /// Lets a person of each role into both consoles; returns the password of all.
    pub async fn people(&self) -> Result<String, Failure> {
        let secret = self.sender.daemon.exchange().secret();
        let password: String = secret.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let password = format!("prueba-{password}");
        for member in [&self.sender, &self.receiver] {
            let ruc = crate::domain::Ruc::de_contraparte(member.ruc).map_err(|e| Failure::Failed(e.to_string()))?;
            for (cuenta, nombre, rol) in PEOPLE {
                let entidad = Some(ruc.clone()).filter(|_| rol == Rol::MesaDePartes);
                let nuevo = NuevoUsuario { cuenta: cuenta.into(), nombre: nombre.into(), rol, entidad };
                let given = Some(Zeroizing::new(password.clone()));
                let made = member.daemon.exchange().crear_usuario(&Actor::local(), nuevo, given).await;
                made.map_err(|error| Failure::Failed(format!("no se pudo crear a {cuenta}: {error}")))?;
            }
        }
        Ok(password)
    }

    pub async fn stop(self) -> Result<(), Failure> {
        let failed = |error: crate::store::StoreError| Failure::Failed(error.to_string());
        let (sender, receiver) = tokio::join!(self.sender.daemon.stop(), self.receiver.daemon.stop());
        self.simulator.shutdown().await;
        sender.and(receiver).map_err(failed)
    }
}

impl Member {
    async fn start((ruc, name): (&'static str, &'static str), data: &Path, pide: &PideUrls) -> Result<Self, Failure> {
        let mut config = configuration(ruc, name, data, pide);
        config.entity.iter_mut().try_for_each(|entity| identity(entity, data))?;
        config.trust.anchors = vec![anchors(data)?];
        let daemon = Daemon::start(&config, Overrides::default()).await;
        let daemon = daemon.map_err(|error| Failure::Failed(error.to_string()))?;
        // As its operator does, over the control socket; from here on it is called with that key and nothing else.
        let operator = Api::local(&config).await?;
        let wanted = json!({"nombre": format!("SGD de {name}"), "rol": "sgd", "entidad": ruc});
        let made = operator.call(Method::POST, "/api/v1/admin/api-keys", Some(&wanted)).await?;
        let key = made["clave"].as_str().unwrap_or_default().to_owned();
        let api = Api::network(&format!("http://{}", daemon.api), key.clone())?;
        Ok(Self { ruc, name, daemon, api, key })
    }

    fn register(&self, simulator: &Simulator) -> Result<(), Failure> {
        let ruc = crate::domain::Ruc::de_contraparte(self.ruc).map_err(|error| Failure::Failed(error.to_string()))?;
        let registered = simulator.register(&ruc, self.name, &self.service());
        registered.map_err(|error| Failure::Failed(error.to_string()))
    }

    /// Its `wsiotramite`.
    pub fn service(&self) -> String {
        format!("http://{}{}", self.daemon.soap, wsiotramite::PATH)
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.api.call(Method::POST, path, Some(body)).await
    }
}

/// Gives the entity its agent's identity, in a file beside its data.
fn identity(entity: &mut Entity, data: &Path) -> Result<(), Failure> {
    let Some((_, bytes)) = AGENTES.iter().find(|(ruc, _)| *ruc == entity.ruc) else { return Ok(()) };
    let file = data.with_extension("p12");
    let failed = |error: std::io::Error| Failure::Failed(format!("{}: {}", file.display(), in_spanish(&error)));
    std::fs::write(&file, bytes).map_err(failed)?;
    entity.identity = Some(IdentityFile { file, password: Some(Secret::new(AGENTES_PASSWORD.trim())) });
    Ok(())
}

fn anchors(data: &Path) -> Result<PathBuf, Failure> {
    let file = data.with_extension("pem");
    let written = std::fs::write(&file, ANCHORS);
    written.map_err(|error| Failure::Failed(format!("{}: {}", file.display(), in_spanish(&error))))?;
    Ok(file)
}

fn configuration(ruc: &str, name: &str, data: &Path, pide: &PideUrls) -> Config {
    let mut config = Config { data_dir: data.to_owned(), ..Config::default() };
    config.entity = vec![Entity { ruc: ruc.into(), name: name.into(), ..Entity::default() }];
    config.listen.soap = (Ipv4Addr::LOCALHOST, 0).into();
    config.listen.api = (Ipv4Addr::LOCALHOST, 0).into();
    config.pide.tramite_url = Some(pide.tramite.clone());
    config.pide.entidad_url = Some(pide.entidad.clone());
    config.pide.cuo_url = Some(pide.cuo.clone());
    config
}
