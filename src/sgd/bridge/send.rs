//! Documents that the SGD sends and corrects. The caller waits for the platform and may repeat everything: the same document
//! under the same number is sent once, and hears how it ended.
//!
//! A caller that is told «no» believes that nothing was sent, and may register the document anew: what is still waiting when
//! the caller's time is over is withdrawn, if it surely did not leave; if it may have, the answer says so.

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use super::{
    Bridge, Caller, Received,
    answer::{self, Failure},
    body::Body,
};
use crate::{
    domain::{Contenido, Despacho, Destinatario, EstadoDespacho, Persona},
    exchange::{ExchangeError, NuevoDespacho},
    sgd::rest::intake::Place,
    store::Staged,
};

const DOCUMENT: Place = Place { member: &["bpdfdoc"], part: "", annexes: None };

/// How often it decides again when another caller was first.
const RACES_MAX: usize = 4;

/// The codes of the existing bridge.
const SENT: &str = "0000";
const HAD_ARRIVED: &str = "0001";
const OTHER_DOCUMENT: &str = "E001";
const ALREADY_SENT: &str = "E002";
const STATE: &str = "E003";
const REFUSED: &str = "E004";

pub async fn send(State(bridge): State<Bridge>, caller: Caller, request: Request) -> Response {
    answered(handle(&bridge, &caller, request, false).await)
}

pub async fn correct(State(bridge): State<Bridge>, caller: Caller, request: Request) -> Response {
    answered(handle(&bridge, &caller, request, true).await)
}

fn answered(outcome: Result<(&'static str, String), Failure>) -> Response {
    match outcome {
        Ok((estado, text)) => answer::done(estado, text),
        Err(failure) => failure.into_response(),
    }
}

/// What one request asks for.
struct Asked {
    nuevo: NuevoDespacho,
    pdf: Option<Staged>,
    numero: String,
    /// The number of the observed document that it corrects.
    corrige: Option<String>,
}

async fn handle(
    bridge: &Bridge,
    caller: &Caller,
    request: Request,
    correcting: bool,
) -> Result<(&'static str, String), Failure> {
    let asked = read(bridge.receive(request, &DOCUMENT).await?, correcting)?;
    for _ in 0..RACES_MAX {
        let known = match asked.numero.as_str() {
            "" => None,
            numero => holder(bridge, caller, numero, &asked.nuevo.destinos).await?,
        };
        match known {
            Some(known) if !over(&known) => return repeated(bridge, caller, &asked, known).await,
            Some(known) => {
                if let Some(arrived) = found_after_all(bridge, caller, &known).await? {
                    return repeated(bridge, caller, &asked, arrived).await;
                }
                match make(bridge, caller, &asked, Some(&known)).await? {
                    Some(made) => return outcome(bridge, caller, made, SENT).await,
                    None => continue,
                }
            }
            None => match make(bridge, caller, &asked, None).await? {
                Some(made) => return outcome(bridge, caller, made, SENT).await,
                None => continue,
            },
        }
    }
    Err(Failure::new(OTHER_DOCUMENT, "Ese número se está enviando en este momento: espere y repita la petición"))
}

fn read(received: Received, correcting: bool) -> Result<Asked, Failure> {
    let Received { members, contenido, pdf } = received;
    let body = Body::new(members);
    let text = |name: &str| body.text(name);
    let some = |name: &str| text(name).unwrap_or_default();
    let corrige =
        text("vnumregstdref").map(|text| text.trim().to_owned()).filter(|text| correcting && !text.is_empty());
    if correcting && corrige.is_none() {
        return Err(Failure::new(STATE, "Falta vnumregstdref: el número del documento observado que se subsana"));
    }
    let nuevo = NuevoDespacho {
        numero_registro: text("vnumregstd"),
        destinos: text("vrucentrec").into_iter().collect(),
        unidad_remitente: text("vuniorgrem"),
        codigo_unidad_remitente: text("vcoduniorgrem"),
        usuario: text("vusureg"),
        remitente: Persona { tipo_documento: some("ctipdociderem"), numero_documento: some("vnumdociderem") },
        destinatario: Destinatario { unidad: some("vuniorgdst"), nombre: some("vnomdst"), cargo: some("vnomcardst") },
        tipo_documento: text("ccodtipdoc"),
        numero_documento: text("vnumdoc"),
        // As the existing bridge has it: the moment it comes.
        fecha_documento: None,
        asunto: text("vasu"),
        folios: body.integer("snumfol"),
        nombre_documento: text("vnomdoc"),
        contenido: if body.has("bpdfdoc") { contenido } else { Contenido::Ausente },
        anexos: body.texts("lstanexos", "vnomdoc"),
        archivos: Vec::new(),
        url_anexos: text("vurldocanx").filter(|url| !url.trim().is_empty()),
        referencia: None,
        reemplaza: None,
    };
    let numero = some("vnumregstd").trim().to_owned();
    Ok(Asked { nuevo, pdf, numero, corrige })
}

/// Nothing more will come of it by itself.
fn over(despacho: &Despacho) -> bool {
    matches!(despacho.estado, EstadoDespacho::Fallido | EstadoDespacho::Anulado)
}

/// The despacho that has the number: that of the same destination if there is one, and of these one that is under way or was
/// sent rather than one that failed or was withdrawn. A number that went to several arrives at each or not.
async fn holder(
    bridge: &Bridge,
    caller: &Caller,
    numero: &str,
    destinos: &[String],
) -> Result<Option<Despacho>, Failure> {
    let mut found = bridge.sent_as(caller, numero).await?;
    let best = |despacho: &Despacho| (there(destinos, despacho), !over(despacho));
    let mut at = None;
    for (n, despacho) in found.iter().enumerate() {
        if at.is_none_or(|(_, known)| best(despacho) > known) {
            at = Some((n, best(despacho)));
        }
    }
    Ok(at.map(|(n, _)| found.swap_remove(n)))
}

fn there(destinos: &[String], despacho: &Despacho) -> bool {
    destinos.iter().any(|destino| destino.trim() == despacho.destino.as_str())
}

/// Whether a failed one arrived all the same: the receiver is asked before anything is sent in its place (CONTRACT §7).
async fn found_after_all(bridge: &Bridge, caller: &Caller, known: &Despacho) -> Result<Option<Despacho>, Failure> {
    let numero = &known.numero_registro;
    let unknown = |why: String| {
        let what =
            format!("El documento {numero} ya se intentó enviar y no se sabe si llegó ({why}). No se envió otra vez");
        Failure::unexpected(what)
    };
    // Only the present CUO can be asked for.
    if known.cuos_inciertos.iter().any(|cuo| known.cuo.as_ref() != Some(cuo)) {
        return Err(unknown("se envió antes con otro CUO, sin respuesta clara".into()));
    }
    if known.intentos == 0 || known.cuo.is_none() {
        return Ok(None);
    }
    let asked = bridge.exchange().consultar(Some(caller.entidad()), known.id).await;
    let (told, after) = asked.map_err(|error| unknown(Failure::from(error).error))?;
    match told.codigo() {
        "0000" if !over(&after) => Ok(Some(after)),
        // What the receiver has under that CUO is not this document.
        "0000" if after.cuo.as_ref().is_some_and(|cuo| after.cuo_rechazado(cuo)) => Ok(None),
        // It is this document, and the record cannot say so any more: what is left of a purged one changes no more.
        "0000" => Err(Failure::new(
            ALREADY_SENT,
            format!("El documento {numero} ya se envió: la entidad {} lo tiene. No se envió otra vez", known.destino),
        )),
        "0001" => Ok(None),
        codigo => Err(unknown(format!("la entidad receptora respondió «{codigo} {}»", told.descripcion()))),
    }
}

/// Hands the document over. `None`: another caller was first, look again.
async fn make(
    bridge: &Bridge,
    caller: &Caller,
    asked: &Asked,
    failed: Option<&Despacho>,
) -> Result<Option<Despacho>, Failure> {
    let (exchange, entidad) = (bridge.exchange(), caller.entidad());
    let nuevo = NuevoDespacho { reemplaza: failed.map(|failed| failed.id), ..asked.nuevo.clone() };
    let (actor, pdf) = (caller.actor(), asked.pdf.clone());
    let made = match &asked.corrige {
        None => exchange.despachar(&actor, entidad, &nuevo, pdf, None).await.map(|made| made.into_iter().next()),
        Some(corrige) => {
            let observed = observed(bridge, caller, corrige, &asked.nuevo.destinos).await?;
            exchange.subsanar(&actor, Some(entidad), observed.id, &nuevo, pdf, None).await.map(Some)
        }
    };
    match made {
        Ok(made) => Ok(made),
        Err(ExchangeError::Duplicado { .. }) => Ok(None),
        Err(
            error @ (ExchangeError::Estado(_)
            | ExchangeError::SubsanacionEnCurso { .. }
            | ExchangeError::YaSubsanado { .. }),
        ) => Err(Failure::new(STATE, Failure::from(error).error)),
        Err(error) => Err(refusal(error)),
    }
}

/// The receiver refuses wrong fields with these words; here they are found before it is asked.
pub fn refusal(error: ExchangeError) -> Failure {
    match error {
        ExchangeError::Defectos(found) => {
            Failure::new(REFUSED, found.iter().map(|defecto| defecto.texto).collect::<Vec<_>>().join("; "))
        }
        ExchangeError::Firmas(why) => Failure::new(REFUSED, why),
        other => other.into(),
    }
}

/// The document that a correction names; where it went to several entities, the one to the correction's.
async fn observed(bridge: &Bridge, caller: &Caller, numero: &str, destinos: &[String]) -> Result<Despacho, Failure> {
    let mut found = bridge.sent_as(caller, numero).await?;
    let stated = destinos.iter().map(|destino| destino.trim()).find(|destino| !destino.is_empty());
    if let Some(stated) = stated {
        found.retain(|despacho| despacho.destino.as_str() == stated);
    }
    if found.is_empty() {
        let to = stated.map(|stated| format!(" enviado a la entidad {stated}")).unwrap_or_default();
        return Err(Failure::new(STATE, format!("No se encontró el documento {numero}{to} (vnumregstdref)")));
    }
    let at = found.iter().position(|despacho| despacho.estado == EstadoDespacho::Observado);
    Ok(found.swap_remove(at.unwrap_or(0)))
}

/// The number is somebody's: the same document's, whose outcome is told, or another's.
async fn repeated(
    bridge: &Bridge,
    caller: &Caller,
    asked: &Asked,
    known: Despacho,
) -> Result<(&'static str, String), Failure> {
    let (numero, destino) = (&known.numero_registro, &known.destino);
    if same(asked, &known) {
        if !corrects(bridge, caller, asked.corrige.as_deref(), &known).await? {
            let what = match &asked.corrige {
                None => {
                    format!("El número {numero} es de un documento que subsana a otro, y vnumregstdref no lo nombra")
                }
                Some(corrige) => format!("El número {numero} es de un documento que no subsana al {corrige}"),
            };
            return Err(Failure::new(STATE, what));
        }
        return outcome(bridge, caller, known, HAD_ARRIVED).await;
    }
    if known.estado.en_curso() {
        let what = format!("El número {numero} es de otro documento, que se está enviando a la entidad {destino}");
        return Err(Failure::new(OTHER_DOCUMENT, what));
    }
    let what = format!("El número {numero} es de un documento que ya se envió a la entidad {destino}");
    Err(Failure::new(ALREADY_SENT, what))
}

fn same(asked: &Asked, known: &Despacho) -> bool {
    let text = |stated: &Option<String>, known: &str| stated.as_deref().unwrap_or_default().trim() == known;
    let nuevo = &asked.nuevo;
    asked.pdf.as_ref().is_some_and(|pdf| pdf.sha256 == known.documento.sha256)
        && there(&nuevo.destinos, known)
        && text(&nuevo.tipo_documento, &known.tipo_documento)
        && text(&nuevo.numero_documento, &known.numero_documento)
        && text(&nuevo.asunto, &known.asunto)
}

/// Whether a despacho corrects what the request says: the document under that number, or none.
async fn corrects(bridge: &Bridge, caller: &Caller, numero: Option<&str>, known: &Despacho) -> Result<bool, Failure> {
    let (Some(numero), Some(referencia)) = (numero, &known.cuo_referencia) else {
        return Ok(numero.is_none() && known.cuo_referencia.is_none());
    };
    let found = bridge.sent_as(caller, numero).await?;
    Ok(found.iter().any(|despacho| despacho.cuo.as_ref() == Some(referencia)))
}

/// Waits for the end, and says it. `code` is that of a document that arrived.
async fn outcome(
    bridge: &Bridge,
    caller: &Caller,
    despacho: Despacho,
    code: &'static str,
) -> Result<(&'static str, String), Failure> {
    let numero = despacho.numero_registro.clone();
    // The document is on record and the worker goes on with it, whatever fails here.
    let unknown = |failure: Failure| undecided(&numero, Some(&failure.error));
    let waited = bridge.api.settled(vec![despacho], caller.0.wait).await.map_err(|problem| unknown(problem.into()))?;
    let Some(mut despacho) = waited.into_iter().next() else { return Err(undecided(&numero, None)) };
    if despacho.estado.en_curso() {
        let motivo = "La plataforma no respondió mientras el SGD esperaba";
        let withdrawn = bridge.exchange().retirar(&caller.actor(), Some(caller.entidad()), despacho.id, motivo).await;
        despacho = withdrawn.map_err(|error| unknown(error.into()))?;
        if over(&despacho) {
            let what =
                "La plataforma no respondió a tiempo: el documento no se envió y nada quedó pendiente. Repita el envío";
            return Err(Failure::unexpected(why(what, despacho.ultimo_error.as_deref())));
        }
    }
    match despacho.estado {
        EstadoDespacho::Pendiente | EstadoDespacho::Enviando | EstadoDespacho::PorConfirmar => {
            Err(undecided(&numero, despacho.ultimo_error.as_deref()))
        }
        EstadoDespacho::Fallido => {
            let why = despacho.ultimo_error.clone();
            Err(Failure::new(REFUSED, why.unwrap_or_else(|| "La entidad receptora no aceptó el documento".into())))
        }
        EstadoDespacho::Anulado => Err(Failure::unexpected(format!("El documento {numero} fue anulado"))),
        EstadoDespacho::Enviado
        | EstadoDespacho::Recepcionado
        | EstadoDespacho::Observado
        | EstadoDespacho::Subsanado => Ok((code, disposicion(bridge, &despacho, code).await)),
    }
}

/// The document is on record and may arrive, or have arrived.
fn undecided(numero: &str, error: Option<&str>) -> Failure {
    let what = format!(
        "Todavía no se sabe si el documento {numero} llegó: se le sigue preguntando a la entidad receptora. No lo envíe con otro \
         número; repita la petición con este"
    );
    Failure::unexpected(why(&what, error))
}

fn why(what: &str, error: Option<&str>) -> String {
    match error {
        Some(error) => format!("{what}. Último error: {error}"),
        None => what.to_owned(),
    }
}

/// What the platform says of a document that arrived (CONTRACT §6). It arrived, also where its entity's name cannot be read.
async fn disposicion(bridge: &Bridge, despacho: &Despacho, code: &str) -> String {
    let synchronised = if code == HAD_ARRIVED { " (sincronizado)" } else { "" };
    let cuo = despacho.cuo.as_ref().map(ToString::to_string).unwrap_or_default();
    let nombre = super::directory::name_of(bridge, &despacho.destino).await.ok().flatten();
    let nombre = nombre.unwrap_or_else(|| despacho.destino.to_string());
    format!(
        "El documento{synchronised} N° CUO {cuo} se encuentra a disposición para la recepción formal de la entidad destinataria \
         {nombre} en los horarios de atención de su Mesa de Partes."
    )
}
