//! `chasqui conformance`: the suite «MPV Pruebas» against any component.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::json;

use super::{
    Failure, Format, FormatOption, causes, client::Api, daemon::CONTROL_SOCKET, identities, output, programa, runtime,
};
use crate::{
    config::{Loaded, words},
    conformance::{
        case::{Catalogo, Lado},
        compare, html, junit,
        operator::Operador,
        pdf,
        platform::Plataforma,
        report::{Conclusion, Informe, Programa, Resultado},
        resume::Avance,
        runner::{Corrida, Opciones, Perfil, contraparte, pedido},
        target,
        terminal::{self, cuantos},
    },
    domain::Ruc,
    exchange::{Clock, SystemClock},
    signing::{Identity, cades},
};

/// Largest file of known deviations, of a key or a report, in bytes.
const ARCHIVO_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Subcommand)]
pub enum Conformance {
    /// Prueba un componente wsiotramite, sea o no chasqui, y dice en qué cumple
    Run(Box<Run>),
    /// Los casos: qué exige cada uno y de dónde sale
    List(List),
    /// De un informe en JSON hace los demás (HTML, PDF, JUnit), o lo compara con otro
    Report(Report),
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PerfilOpcion {
    Receptor,
    Emisor,
    Completo,
}

impl From<PerfilOpcion> for Perfil {
    fn from(opcion: PerfilOpcion) -> Self {
        match opcion {
            PerfilOpcion::Receptor => Self::Receptor,
            PerfilOpcion::Emisor => Self::Emisor,
            PerfilOpcion::Completo => Self::Completo,
        }
    }
}

#[derive(Args)]
pub struct Run {
    /// Dirección del componente, por ejemplo http://127.0.0.1:8080/wsiotramite/Tramite
    #[arg(long, value_name = "URL", required_unless_present = "resume")]
    target: Option<String>,
    /// RUC de la entidad del componente
    #[arg(long, value_name = "RUC", required_unless_present = "resume")]
    ruc: Option<String>,
    /// Qué se prueba: receptor, emisor o completo
    #[arg(long, value_name = "PERFIL", default_value = "receptor", hide_possible_values = true)]
    profile: PerfilOpcion,
    /// Solo los casos cuyo identificador empieza así, o los de este grupo; se repite
    #[arg(long, value_name = "CASO", value_delimiter = ',')]
    only: Vec<String>,
    /// Corre aunque lo que responde no parezca un wsiotramite
    #[arg(long)]
    force: bool,
    /// Solo dice qué haría; no envía nada
    #[arg(long)]
    dry_run: bool,
    /// También ataques y carga: solo contra un componente propio
    #[arg(long)]
    intrusive: bool,
    /// Desviaciones conocidas, con su motivo; docs/pruebas.md dice cómo se escriben
    #[arg(long, value_name = "ARCHIVO")]
    expected: Option<PathBuf>,
    /// RUC que figura como remitente en lo que se envía
    #[arg(long, value_name = "RUC")]
    sender: Option<String>,
    /// Dirección en la que la suite hace de plataforma para la entidad, por ejemplo 127.0.0.1:8090
    #[arg(long, value_name = "DIRECCIÓN")]
    platform: Option<SocketAddr>,
    /// API de un chasqui, para que la entidad despache y responda por sí sola
    #[arg(long, value_name = "URL", conflicts_with_all = ["send_command", "ask"])]
    api: Option<String>,
    /// Clave de la API, con el rol sgd [también en CHASQUI_API_KEY]
    #[arg(long, value_name = "CLAVE", env = "CHASQUI_API_KEY", hide_env = true)]
    api_key: Option<String>,
    /// Orden que hace actuar a la entidad; docs/pruebas.md dice qué recibe
    #[arg(long, value_name = "ORDEN", conflicts_with = "ask")]
    send_command: Option<String>,
    /// Pide a una persona lo que la entidad debe hacer, y espera
    #[arg(long)]
    ask: bool,
    /// Cuánto puede tardar una respuesta, en segundos
    #[arg(long, value_name = "SEGUNDOS", default_value_t = 30)]
    timeout: u64,
    /// Cuánto se espera a que la entidad actúe, en segundos [60, o 600 si actúa una persona]
    #[arg(long, value_name = "SEGUNDOS")]
    wait: Option<u64>,
    /// Carpeta donde se guardan el avance y los informes
    #[arg(long, value_name = "CARPETA", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Continúa la corrida de esta carpeta
    #[arg(long, value_name = "CARPETA")]
    resume: Option<PathBuf>,
    /// Acepta un certificado que nadie avala
    #[arg(long)]
    insecure: bool,
    /// La dirección es de producción y aun así se prueba; pide también --confirm
    #[arg(long)]
    production: bool,
    /// El nombre del servidor de producción, escrito otra vez
    #[arg(long, value_name = "SERVIDOR", requires = "production")]
    confirm: Option<String>,
    /// Configuración del chasqui de esta máquina que se prueba: el informe dice entonces qué programa y qué configuración eran
    #[arg(long, value_name = "ARCHIVO")]
    config: Option<PathBuf>,
    #[command(flatten)]
    sign: Sign,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct List {
    /// Solo los de este perfil: receptor, emisor o completo
    #[arg(long, value_name = "PERFIL", hide_possible_values = true)]
    profile: Option<PerfilOpcion>,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Report {
    /// El informe.json de una corrida
    #[arg(value_name = "INFORME")]
    file: PathBuf,
    /// Carpeta donde se escriben informe.html, informe.pdf e informe.xml (JUnit)
    #[arg(long, value_name = "CARPETA")]
    out: Option<PathBuf>,
    /// Otro informe, anterior, con el que se compara
    #[arg(long, value_name = "INFORME")]
    against: Option<PathBuf>,
    #[command(flatten)]
    sign: Sign,
    #[command(flatten)]
    format: FormatOption,
}

/// With what a report is signed.
#[derive(Args)]
struct Sign {
    /// Identidad (.p12 o PEM) con la que se firma el informe
    #[arg(long, value_name = "ARCHIVO")]
    identity: Option<PathBuf>,
    /// Archivo con la contraseña de la identidad
    #[arg(long, value_name = "ARCHIVO", requires = "identity")]
    password_file: Option<PathBuf>,
}

impl Conformance {
    pub fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Run(run) => run.run(),
            Self::List(list) => list.run(),
            Self::Report(report) => report.run(),
        }
    }
}

fn catalogo() -> Result<Catalogo, Failure> {
    Catalogo::incorporado().map_err(Failure::Failed)
}

fn leer_archivo(path: &Path) -> Result<String, Failure> {
    let unreadable =
        |e: &std::io::Error| Failure::Usage(format!("no se puede leer {}: {}", path.display(), causes::in_spanish(e)));
    let mut text = String::new();
    let file = File::open(path).map_err(|e| unreadable(&e))?;
    file.take(ARCHIVO_BYTES_MAX).read_to_string(&mut text).map_err(|e| unreadable(&e))?;
    Ok(text)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Desviaciones {
    #[serde(default)]
    desviacion: Vec<Desviacion>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Desviacion {
    caso: String,
    motivo: String,
}

/// Known deviations by their case; one of an unknown case is a mistake.
fn desviaciones(path: &Path, catalogo: &Catalogo) -> Result<BTreeMap<String, String>, Failure> {
    let text = leer_archivo(path)?;
    let wrong = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
    let read: Desviaciones = toml::from_str(&text).map_err(|e| wrong(words::of_toml(&text, &e)))?;
    let unknown = read.desviacion.iter().find(|d| !catalogo.casos.iter().any(|c| c.id == d.caso));
    if let Some(d) = unknown {
        return Err(wrong(format!("no hay un caso «{}»; véalos con: chasqui conformance list", d.caso)));
    }
    Ok(read.desviacion.into_iter().map(|d| (d.caso, d.motivo)).collect())
}

/// How long after the last scenario the suite listens for what must not come. Only a build for tests takes less.
fn calma() -> Duration {
    const CALMA: Duration = Duration::from_secs(40);
    let shorter = std::env::var("CHASQUI_TEST_CALM_MS").ok().filter(|_| cfg!(debug_assertions));
    shorter.and_then(|ms| ms.parse().ok()).map_or(CALMA, |ms| Duration::from_millis(ms).min(CALMA))
}

/// What CUOs of a run begin with: no real one does (`conformance::template`). `usado`: by the run that goes on, which gave
/// numbers with it that must not be given again.
fn prefijo_cuo(clock: &dyn Clock, usado: Option<&str>) -> String {
    let of = |seed: i64| format!("99{:05}", seed.rem_euclid(100_000));
    let seed = clock.now().as_second();
    Some(of(seed)).filter(|fresh| Some(fresh.as_str()) != usado).unwrap_or_else(|| of(seed + 1))
}

impl Run {
    fn run(&self) -> Result<(), Failure> {
        let catalogo = catalogo()?;
        runtime()?.block_on(self.corre(&catalogo))
    }

    async fn corre(&self, catalogo: &Catalogo) -> Result<(), Failure> {
        let reanudado = match &self.resume {
            Some(folder) => Some(Avance::reanuda(folder, &catalogo.sha256).map_err(Failure::Usage)?),
            None => None,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let opciones = self.opciones(catalogo, reanudado.as_ref().map(|(_, r)| &r.objetivo), Arc::clone(&clock))?;
        self.permitido(&opciones)?;
        let identidad = self.sign.identidad()?;
        let probado = match &self.config {
            Some(file) if !self.dry_run => {
                let loaded = crate::config::load(Some(file))?;
                Some((programa::en_marcha(&loaded).await?, loaded))
            }
            _ => None,
        };
        let plataforma = match self.platform {
            Some(listen) if !self.dry_run => {
                // A run that goes on must give no CUO a second time: here each gives its own. In a new one platform and
                // suite share the prefix, so that all that is left behind is found by it.
                let usado = reanudado.as_ref().map(|(_, r)| r.objetivo.prefijo_cuo.as_str());
                let prefijo = usado.map_or_else(|| opciones.prefijo_cuo.clone(), |_| prefijo_cuo(&*clock, usado));
                let opened = Plataforma::abrir(listen, prefijo, Arc::clone(&clock)).await;
                Some(opened.map_err(Failure::Failed)?)
            }
            _ => None,
        };
        let mut corrida = Corrida::nueva(catalogo, &opciones, plataforma, self.operador()?);
        if self.dry_run {
            ensayo(&corrida, reanudado.as_ref().map(|(_, r)| &r.hechos));
            return Ok(());
        }
        if opciones.perfil != Perfil::Emisor && !self.force {
            corrida.reconoce().await.map_err(Failure::Unreachable)?;
        }
        let (mut avance, inicio, hechos) = match reanudado {
            Some((avance, reanudado)) => {
                corrida.cuos.continua(reanudado.cuos);
                (Some(avance), reanudado.inicio, reanudado.hechos)
            }
            None => {
                let inicio = clock.now();
                let made = |out: &PathBuf| Avance::nuevo(out, inicio, &catalogo.sha256, &corrida.objetivo());
                (self.out.as_ref().map(made).transpose().map_err(Failure::Usage)?, inicio, BTreeMap::new())
            }
        };
        let mut lost = None;
        let mut avanza = |n: usize, total: usize, r: &_, cuos: u32| {
            output::note(&terminal::avance(n, total, r));
            if let Some(Err(why)) = avance.as_mut().map(|a| a.anota(cuos, r)) {
                lost.get_or_insert(why);
            }
        };
        let mut informe = corrida.correr(inicio, hechos, &mut avanza).await;
        if let Some((programa, loaded)) = probado {
            match sigue(&programa, &loaded, &informe).await {
                Ok(()) => informe.programa = Some(programa),
                Err(why) => output::note(&format!("chasqui: el informe no dice qué programa se probó: {why}")),
            }
        }
        if let Some(why) = lost {
            output::note(&format!("chasqui: el avance no se pudo guardar: {why}"));
        }
        if let Some(folder) = self.out.as_ref().or(self.resume.as_ref()) {
            guarda(folder, &informe, catalogo, identidad.as_ref())?;
        }
        match self.format.format {
            Format::Json => output::json(&informe)?,
            Format::Text => output::say(terminal::resumen(&informe).trim_end()),
        }
        match informe.resumen.conclusion {
            Conclusion::NoConforme => Err(Failure::Failed("el componente no es conforme".into())),
            Conclusion::Conforme | Conclusion::Incompleto => Ok(()),
        }
    }

    fn opciones(
        &self,
        catalogo: &Catalogo,
        antes: Option<&crate::conformance::report::Objetivo>,
        clock: Arc<dyn Clock>,
    ) -> Result<Opciones, Failure> {
        let other = |given: &Option<String>, before: &str| given.as_ref().is_some_and(|given| given != before);
        if let Some(o) = antes.filter(|o| other(&self.target, &o.url) || other(&self.ruc, &o.ruc)) {
            let why = format!("la corrida que continúa es de {} (RUC {}): no se da otro con --resume", o.url, o.ruc);
            return Err(Failure::Usage(why));
        }
        let url = antes.map(|o| o.url.clone()).or_else(|| self.target.clone()).unwrap_or_default();
        let (destino, ruta) = target::leer(&url, self.insecure).map_err(Failure::Usage)?;
        let ruc = antes.map(|o| o.ruc.clone()).or_else(|| self.ruc.clone()).unwrap_or_default();
        let remitente =
            antes.map(|o| o.remitente.clone()).or_else(|| self.sender.clone()).unwrap_or_else(|| contraparte(900));
        for given in [&ruc, &remitente] {
            Ruc::de_contraparte(given).map_err(|e| Failure::Usage(e.to_string()))?;
        }
        let esperados = match &self.expected {
            Some(path) => desviaciones(path, catalogo)?,
            None => BTreeMap::new(),
        };
        if let Some(unknown) = self.only.iter().find(|solo| !catalogo.casos.iter().any(|caso| pedido(caso, solo))) {
            let why = format!("no hay casos «{unknown}»; véalos con: chasqui conformance list");
            return Err(Failure::Usage(why));
        }
        Ok(Opciones {
            url,
            destino,
            ruta,
            ruc,
            remitente,
            perfil: match antes.map(|o| o.perfil.as_str()) {
                Some("receptor") => Perfil::Receptor,
                Some("emisor") => Perfil::Emisor,
                Some(_) => Perfil::Completo,
                None => self.profile.into(),
            },
            solo: antes.filter(|_| self.only.is_empty()).map_or_else(|| self.only.clone(), |o| o.solo.clone()),
            intrusivo: antes.map_or(self.intrusive, |o| o.intrusivo),
            espera: Duration::from_secs(self.timeout),
            espera_operador: Duration::from_secs(self.wait.unwrap_or(if self.ask { 600 } else { 60 })),
            calma: calma(),
            prefijo_cuo: antes.map_or_else(|| prefijo_cuo(&*clock, None), |o| o.prefijo_cuo.clone()),
            esperados,
            clock,
        })
    }

    /// A production address has to be meant twice, and is never attacked.
    fn permitido(&self, opciones: &Opciones) -> Result<(), Failure> {
        if !target::parece_produccion(&opciones.destino) {
            if target::puede_ser_produccion(&opciones.destino) {
                output::note(&format!(
                    "chasqui: {} es de la red interna y nada dice que sea de pruebas: si ahí atiende el servicio de producción, \
                     los documentos de prueba quedarán entre los verdaderos",
                    opciones.destino.host
                ));
            }
            return Ok(());
        }
        let host = &opciones.destino.host;
        if !self.production || self.confirm.as_deref() != Some(host.as_str()) {
            return Err(Failure::Usage(format!(
                "{host} parece un servidor de producción: los documentos de prueba quedarían entre los verdaderos. Pruebe \
                 contra el ambiente de desarrollo; si de veras es este, añada --production --confirm {host}"
            )));
        }
        if opciones.intrusivo {
            return Err(Failure::Usage("--intrusive no se admite contra un servidor de producción".into()));
        }
        Ok(())
    }

    fn operador(&self) -> Result<Operador, Failure> {
        if let Some(api) = &self.api {
            let key = self.api_key.clone().ok_or_else(|| {
                Failure::Usage("--api pide también --api-key; créela con: chasqui api-key create --role sgd".into())
            })?;
            return Operador::api(api, key).map_err(Failure::Usage);
        }
        if let Some(command) = &self.send_command {
            return Ok(Operador::Orden(command.clone()));
        }
        Ok(if self.ask {
            Operador::Persona(Box::new(|text| output::note(&format!(">>> {text}"))))
        } else {
            Operador::Nadie
        })
    }
}

impl Sign {
    fn identidad(&self) -> Result<Option<Identity>, Failure> {
        let read = |file: &PathBuf| identities::from_file(file, self.password_file.as_deref()).map_err(Failure::Usage);
        self.identity.as_ref().map(read).transpose()
    }
}

/// Writes the report in all its forms into a folder, signed if somebody is to sign.
fn guarda(folder: &Path, informe: &Informe, catalogo: &Catalogo, identidad: Option<&Identity>) -> Result<(), Failure> {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(|e| {
            Failure::Failed(format!("no se puede escribir {}: {}", path.display(), causes::in_spanish(&e)))
        })?;
        output::note(&format!("Informe: {}", path.display()));
        Ok::<(), Failure>(())
    };
    let failed = |e: &dyn std::fmt::Display| Failure::Failed(format!("el informe no se pudo hacer: {e}"));
    let name = |grupo: &str| catalogo.nombre_grupo(grupo).to_owned();
    let text = informe.a_json().map_err(|e| failed(&e))?;
    write("informe.json", text.as_bytes())?;
    write("informe.html", html::informe(informe, &name).as_bytes())?;
    write("informe.xml", junit::informe(informe, &name).as_bytes())?;
    write("informe.pdf", &pdf::informe(informe, &name).map_err(|e| failed(&e))?)?;
    if let Some(identity) = identidad {
        let digest = openssl::sha::sha256(text.as_bytes());
        let signed = cades::sign(identity, &digest, Some(SystemClock.now()), None).map_err(|e| failed(&e))?;
        write("informe.json.p7s", &signed.cms)?;
    }
    Ok(())
}

impl Report {
    fn run(&self) -> Result<(), Failure> {
        let catalogo = catalogo()?;
        let informe = lee_informe(&self.file)?;
        let identity = self.sign.identidad()?;
        if let Some(folder) = &self.out {
            std::fs::create_dir_all(folder).map_err(|e| {
                Failure::Failed(format!("no se puede crear {}: {}", folder.display(), causes::in_spanish(&e)))
            })?;
            guarda(folder, &informe, &catalogo, identity.as_ref())?;
        } else if identity.is_some() {
            return Err(Failure::Usage("--identity pide también --out, la carpeta donde queda lo firmado".into()));
        }
        let json = self.format.format == Format::Json;
        let Some(before) = &self.against else {
            if json {
                return output::json(&informe);
            }
            output::say(terminal::resumen(&informe).trim_end());
            return Ok(());
        };
        let found = compare::diferencias(&lee_informe(before)?, &informe);
        if json {
            output::json(&found)?;
        } else {
            output::say(compare::lineas(&found).trim_end());
        }
        let worse = found.iter().filter(|d| d.cambio == compare::Cambio::Empeora).count();
        if worse > 0 { Err(Failure::Failed(cuantos(worse, "caso empeora", "casos empeoran"))) } else { Ok(()) }
    }
}

fn lee_informe(path: &Path) -> Result<Informe, Failure> {
    let text = leer_archivo(path)?;
    Informe::de_json(&text).map_err(|e| {
        Failure::Usage(format!(
            "{} no es un informe de «chasqui conformance run»: {}",
            path.display(),
            words::of_json(&e)
        ))
    })
}

/// Whether what was tested is the daemon of this configuration, and still the same: it has what the suite sent.
async fn sigue(antes: &Programa, loaded: &Loaded, informe: &Informe) -> Result<(), String> {
    let told = |failure: Failure| failure.message().to_owned();
    if *antes != programa::en_marcha(loaded).await.map_err(told)? {
        return Err("el servicio cambió mientras la suite corría".into());
    }
    let api = Api::control(&loaded.config.data_dir.join(CONTROL_SOCKET)).map_err(told)?;
    let list =
        api.get(&format!("/api/v1/recepciones?ruc={}&limit=50", informe.objetivo.remitente)).await.map_err(told)?;
    let ours = |item: &serde_json::Value| {
        item["cuo"].as_str().is_some_and(|cuo| cuo.starts_with(&informe.objetivo.prefijo_cuo))
    };
    if list["items"].as_array().is_some_and(|items| items.iter().any(ours)) {
        return Ok(());
    }
    Err(format!("el servicio de --config no recibió lo que se envió a {}", informe.objetivo.url))
}

/// Tells what would run: all that was asked for and has not ended in the run that goes on.
fn ensayo(corrida: &Corrida<'_>, hechos: Option<&BTreeMap<String, Resultado>>) {
    let ended = |id: &str| hechos.is_some_and(|hechos| hechos.contains_key(id));
    let chosen = corrida.elegidos();
    let left: Vec<_> = chosen.iter().filter(|caso| !ended(&caso.id)).collect();
    for caso in &left {
        let attack = if caso.intrusivo { "  (intrusivo)" } else { "" };
        output::say(&format!("{:<20} {}{attack}", caso.id, caso.titulo));
    }
    let done = match hechos {
        Some(_) => format!("; {} ya terminaron", chosen.len() - left.len()),
        None => String::new(),
    };
    let total = corrida.catalogo.casos.len();
    output::say(&format!("{} por correr, de {total}{done}; nada se envió", cuantos(left.len(), "caso", "casos")));
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let catalogo = catalogo()?;
        let wanted = |lado: Lado| match self.profile {
            None | Some(PerfilOpcion::Completo) => true,
            Some(PerfilOpcion::Receptor) => lado == Lado::Receptor,
            Some(PerfilOpcion::Emisor) => lado == Lado::Emisor,
        };
        let casos: Vec<_> = catalogo.casos.iter().filter(|c| wanted(c.perfil)).collect();
        if self.format.format == Format::Json {
            let rows: Vec<_> = casos
                .iter()
                .map(|c| {
                    json!({"id": c.id, "grupo": c.grupo, "titulo": c.titulo, "exige": c.exige, "fuente": c.fuente,
                           "requisitos": c.requisitos, "severidad": c.severidad, "intrusivo": c.intrusivo})
                })
                .collect();
            return output::json(&rows);
        }
        for (id, nombre) in &catalogo.grupos {
            let of: Vec<_> = casos.iter().filter(|c| c.grupo == *id).collect();
            if of.is_empty() {
                continue;
            }
            output::say(&format!("\n{nombre} ({id}, {})", cuantos(of.len(), "caso", "casos")));
            for caso in of {
                let attack = if caso.intrusivo { "  (intrusivo)" } else { "" };
                output::say(&format!("  {:<20} {}{attack}", caso.id, caso.titulo));
                output::say(&format!("  {:<20} Se exige: {} ({})", "", caso.exige, caso.fuente));
            }
        }
        output::say(&format!("\n{}", cuantos(casos.len(), "caso", "casos")));
        Ok(())
    }
}
