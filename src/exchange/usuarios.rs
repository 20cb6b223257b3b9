//! People of the console: made, found, let in, given another password, disabled. Of a password only its Argon2id is kept
//! (RFC 9106, second recommended option of OWASP: 19 MiB, two passes). Who signs in, and who was not let in, is on record.
//!
//! Sessions are not kept here: they belong to the process that serves the pages.

use std::net::IpAddr;

use argon2::{Algorithm, Argon2, Params, Version};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{Actor, Exchange, ExchangeError, RACES_MAX, administration::ACCESO, events};
use crate::{
    domain::{
        Id, Ruc, Sha256,
        validation::{Defecto, Motivo},
    },
    store::{Change, CommitError, Fact, Record, Rol, StoreError, UniqueKey, Usuario, record::Contrasena},
};

/// Shortest password, in characters.
pub const CONTRASENA_MIN: usize = 10;
/// Longest password, in bytes: more would only be work.
pub const CONTRASENA_BYTES_MAX: usize = 256;
/// Shortest and longest account, in characters.
pub const CUENTA_MIN: usize = 3;
pub const CUENTA_MAX: usize = 64;
/// Longest name of a person, in characters: as on a cargo (CONTRACT §4).
pub const NOMBRE_MAX: usize = 100;

/// What one hash takes.
const MEMORIA_KIB: u32 = 19 * 1024;
const PASADAS: u32 = 2;
const CARRILES: u32 = 1;
const SAL_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Hashes computed at once: each takes a processor and its memory.
static HASHING: Semaphore = Semaphore::const_new(2);

/// Characters of a made password: 32, without those that are taken for others.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const MADE_CHARS: usize = 16;

/// A person to be let in from now on.
#[derive(Debug, Clone)]
pub struct NuevoUsuario {
    pub cuenta: String,
    pub nombre: String,
    pub rol: Rol,
    /// The entity the person is limited to.
    pub entidad: Option<Ruc>,
}

/// What came of an attempt to sign in.
#[derive(Debug)]
pub enum Ingreso {
    Bien(Box<Usuario>),
    /// No such person, disabled, or another password: nobody is told which.
    NoCorresponde,
}

type Password = Zeroizing<String>;

impl Exchange {
    /// Makes a person. Without a password one is made, which is returned: this is the only time it can be read, and the person
    /// must choose another.
    pub async fn crear_usuario(
        &self,
        actor: &Actor,
        nuevo: NuevoUsuario,
        contrasena: Option<Password>,
    ) -> Result<(Option<Password>, Usuario), ExchangeError> {
        let NuevoUsuario { cuenta, nombre, rol, entidad } = nuevo;
        let (cuenta, nombre) = (cuenta.trim().to_lowercase(), nombre.trim().to_owned());
        let mut defectos = judge(&cuenta, &nombre, rol, entidad.as_ref());
        defectos.extend(contrasena.as_ref().and_then(|given| weak(given, &cuenta)));
        if !defectos.is_empty() {
            return Err(ExchangeError::Defectos(defectos));
        }
        if let Some(ruc) = entidad.as_ref().filter(|ruc| self.propia(ruc).is_none()) {
            return Err(ExchangeError::EntidadAjena(ruc.clone()));
        }
        let (made, contrasena) = self.made_or_given(contrasena).await?;
        let now = self.now();
        let id = self.id(now);
        let usuario = Usuario {
            id,
            version: 1,
            cuenta,
            nombre,
            rol,
            entidad,
            contrasena,
            creado_en: now,
            deshabilitado_en: None,
        };
        let change = Change {
            facts: vec![persona(&usuario, events::USUARIO_CREADO, actor, now, None)],
            records: vec![Record::Usuario(Box::new(usuario.clone()))],
            ..Change::default()
        };
        match self.store.commit(change).await {
            Ok(_) => Ok((made, usuario)),
            Err(CommitError::Exists { key: UniqueKey::Usuario { .. }, .. }) => {
                Err(ExchangeError::Defectos(vec![defecto(
                    "cuenta",
                    Motivo::NoValido,
                    "Ya hay una persona con esa cuenta",
                )]))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub async fn usuarios(&self) -> Result<Vec<Usuario>, StoreError> {
        self.store.usuarios().await
    }

    /// Gives a person another password, and lets a disabled one in again. Sessions of before end.
    pub async fn restablecer_usuario(
        &self,
        actor: &Actor,
        id: Id,
        contrasena: Option<Password>,
    ) -> Result<(Option<Password>, Usuario), ExchangeError> {
        let known = self.store.usuario(id).await?.ok_or(ExchangeError::NoExiste)?;
        if let Some(defecto) = contrasena.as_ref().and_then(|given| weak(given, &known.cuenta)) {
            return Err(ExchangeError::Defectos(vec![defecto]));
        }
        let (made, contrasena) = self.made_or_given(contrasena).await?;
        let changed = self.change_usuario(id, events::USUARIO_RESTABLECIDO, actor, |usuario| {
            usuario.contrasena = contrasena.clone();
            usuario.deshabilitado_en = None;
        });
        Ok((made, changed.await?))
    }

    /// A person chooses another password, having said the present one.
    pub async fn cambiar_contrasena(
        &self,
        id: Id,
        actual: Password,
        nueva: Password,
    ) -> Result<Usuario, ExchangeError> {
        let known = self.store.usuario(id).await?.ok_or(ExchangeError::NoExiste)?;
        if nueva == actual {
            let texto = "La contraseña nueva es la misma que tiene: elija otra";
            return Err(ExchangeError::Defectos(vec![defecto("nueva", Motivo::NoValido, texto)]));
        }
        if let Some(found) = weak(&nueva, &known.cuenta) {
            return Err(ExchangeError::Defectos(vec![Defecto { campo: "nueva", ..found }]));
        }
        if !matches(&known.contrasena, actual).await? {
            let texto = "La contraseña actual no es esa";
            return Err(ExchangeError::Defectos(vec![defecto("actual", Motivo::NoValido, texto)]));
        }
        let contrasena = self.hashed(nueva, false).await?;
        let actor = Actor::usuario(id);
        self.change_usuario(id, events::USUARIO_CONTRASENA, &actor, |usuario| usuario.contrasena = contrasena.clone())
            .await
    }

    /// From the next request on, the person is not let in. Disabling again is no error.
    pub async fn deshabilitar_usuario(&self, actor: &Actor, id: Id) -> Result<Usuario, ExchangeError> {
        let known = self.store.usuario(id).await?.ok_or(ExchangeError::NoExiste)?;
        if known.deshabilitado_en.is_some() {
            return Ok(known);
        }
        let now = self.now();
        self.change_usuario(id, events::USUARIO_DESHABILITADO, actor, |usuario| usuario.deshabilitado_en = Some(now))
            .await
    }

    /// Whether this is the password of this account; either way it takes as long, and is on record. `desde` is where the
    /// caller is.
    pub async fn ingresar(
        &self,
        cuenta: &str,
        contrasena: Password,
        desde: Option<IpAddr>,
    ) -> Result<Ingreso, ExchangeError> {
        let known = match contrasena.len() {
            0..=CONTRASENA_BYTES_MAX => self.store.usuario_by_cuenta(&cuenta.trim().to_lowercase()).await?,
            _ => None,
        };
        let Some(usuario) = known else {
            // As long as with somebody who exists.
            let somebody = Contrasena {
                memoria_kib: MEMORIA_KIB,
                pasadas: PASADAS,
                carriles: CARRILES,
                sal: "00".repeat(SAL_BYTES),
                hash: Sha256::from_digest(&[0; HASH_BYTES]),
                provisional: false,
            };
            matches(&somebody, Password::new("nadie".into())).await?;
            self.tell_stranger(desde).await?;
            return Ok(Ingreso::NoCorresponde);
        };
        let right = matches(&usuario.contrasena, contrasena).await? && usuario.deshabilitado_en.is_none();
        let tipo = if right { events::SESION_INICIADA } else { events::SESION_RECHAZADA };
        self.tell_session(&usuario, tipo, desde).await?;
        Ok(if right { Ingreso::Bien(Box::new(usuario)) } else { Ingreso::NoCorresponde })
    }

    /// A person left.
    pub async fn salir(&self, usuario: &Usuario, desde: Option<IpAddr>) -> Result<(), ExchangeError> {
        self.tell_session(usuario, events::SESION_CERRADA, desde).await
    }

    async fn tell_session(&self, usuario: &Usuario, tipo: &str, desde: Option<IpAddr>) -> Result<(), ExchangeError> {
        let detalle = desde.map(|address| format!("Desde {address}"));
        let fact = persona(usuario, tipo, &Actor::usuario(usuario.id), self.now(), detalle);
        self.store.commit(Change { facts: vec![fact], ..Change::default() }).await?;
        Ok(())
    }

    /// Somebody tried an account that does not exist. Its name is not told: people type passwords there by mistake.
    async fn tell_stranger(&self, desde: Option<IpAddr>) -> Result<(), ExchangeError> {
        let from = desde.map_or_else(String::new, |address| format!(", desde {address}"));
        let fact = Fact {
            at: self.now(),
            tipo: events::SESION_RECHAZADA.into(),
            actor: "desconocido".into(),
            entidad: None,
            sujeto: ACCESO,
            cuo: None,
            estado: None,
            detalle: Some(format!("Con una cuenta que no existe{from}")),
            documentos: Vec::new(),
            sobres: Vec::new(),
        };
        self.store.commit(Change { facts: vec![fact], ..Change::default() }).await?;
        Ok(())
    }

    async fn change_usuario(
        &self,
        id: Id,
        tipo: &str,
        actor: &Actor,
        change: impl Fn(&mut Usuario),
    ) -> Result<Usuario, ExchangeError> {
        for _ in 0..RACES_MAX {
            let mut usuario = self.store.usuario(id).await?.ok_or(ExchangeError::NoExiste)?;
            usuario.version += 1;
            change(&mut usuario);
            let facts = vec![persona(&usuario, tipo, actor, self.now(), None)];
            let records = vec![Record::Usuario(Box::new(usuario.clone()))];
            match self.store.commit(Change { facts, records, ..Change::default() }).await {
                Ok(_) => return Ok(usuario),
                Err(CommitError::Stale(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(CommitError::Stale(id).into())
    }

    async fn made_or_given(&self, given: Option<Password>) -> Result<(Option<Password>, Contrasena), ExchangeError> {
        match given {
            Some(given) => Ok((None, self.hashed(given, false).await?)),
            None => {
                let made = made(&self.ids.secret());
                Ok((Some(made.clone()), self.hashed(made, true).await?))
            }
        }
    }

    async fn hashed(&self, password: Password, provisional: bool) -> Result<Contrasena, ExchangeError> {
        let sal: String = self.ids.secret().iter().take(SAL_BYTES).map(|byte| format!("{byte:02x}")).collect();
        let mut contrasena = Contrasena {
            memoria_kib: MEMORIA_KIB,
            pasadas: PASADAS,
            carriles: CARRILES,
            sal,
            hash: Sha256::from_digest(&[0; HASH_BYTES]),
            provisional,
        };
        contrasena.hash = hash(&contrasena, password).await?;
        Ok(contrasena)
    }
}

/// `abcd-efgh-…`: 80 bits that can be read aloud.
fn made(secret: &[u8; 32]) -> Password {
    let mut text = String::new();
    for (n, byte) in secret.iter().take(MADE_CHARS).enumerate() {
        if n > 0 && n % 4 == 0 {
            text.push('-');
        }
        text.extend(LETTERS.get(usize::from(byte % 32)).map(|letter| char::from(*letter)));
    }
    Password::new(text)
}

async fn matches(known: &Contrasena, password: Password) -> Result<bool, ExchangeError> {
    let found = hash(known, password).await?;
    let pairs = found.as_str().bytes().zip(known.hash.as_str().bytes());
    // Every byte is looked at, wherever the first difference is.
    Ok(pairs.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0)
}

/// Off the runtime's threads, and few at once.
async fn hash(how: &Contrasena, password: Password) -> Result<Sha256, ExchangeError> {
    let failed = |what: String| ExchangeError::Estado(format!("no se pudo comprobar la contraseña: {what}"));
    let _turn = HASHING.acquire().await.map_err(|_| StoreError::Closed)?;
    let params = Params::new(how.memoria_kib, how.pasadas, how.carriles, Some(HASH_BYTES));
    let params = params.map_err(|error| failed(error.to_string()))?;
    let sal = how.sal.clone();
    let computed = tokio::task::spawn_blocking(move || {
        let mut out = [0; HASH_BYTES];
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon.hash_password_into(password.as_bytes(), sal.as_bytes(), &mut out).map(|()| Sha256::from_digest(&out))
    });
    let computed = computed.await.map_err(|_| StoreError::Closed)?;
    computed.map_err(|error| failed(error.to_string()))
}

fn defecto(campo: &'static str, motivo: Motivo, texto: &'static str) -> Defecto {
    Defecto { campo, motivo, texto, impide: true }
}

fn judge(cuenta: &str, nombre: &str, rol: Rol, entidad: Option<&Ruc>) -> Vec<Defecto> {
    let mut defectos = Vec::new();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-@".contains(c);
    match cuenta.chars().count() {
        0 => defectos.push(defecto("cuenta", Motivo::NoEspecificado, "Diga con qué cuenta ingresará la persona")),
        CUENTA_MIN..=CUENTA_MAX if cuenta.chars().all(allowed) => {}
        _ => defectos.push(defecto(
            "cuenta",
            Motivo::NoValido,
            "La cuenta tiene de 3 a 64 letras sin tilde, números, puntos, guiones o @",
        )),
    }
    match nombre.chars().count() {
        0 => defectos.push(defecto("nombre", Motivo::NoEspecificado, "Diga el nombre de la persona")),
        n if n > NOMBRE_MAX || nombre.chars().any(char::is_control) => {
            defectos.push(defecto("nombre", Motivo::Excede, "El nombre excede los 100 caracteres o no es un texto"));
        }
        _ => {}
    }
    if rol == Rol::Sgd {
        let texto = "El rol «sgd» es de un sistema, no de una persona: cree una clave de la API";
        defectos.push(defecto("rol", Motivo::NoValido, texto));
    }
    if rol == Rol::MesaDePartes && entidad.is_none() {
        let texto = "Una persona de mesa de partes es siempre de una entidad: elija su entidad";
        defectos.push(defecto("entidad", Motivo::NoEspecificado, texto));
    }
    defectos
}

fn weak(password: &str, cuenta: &str) -> Option<Defecto> {
    let texto = match password.chars().count() {
        n if n < CONTRASENA_MIN => "La contraseña debe tener 10 caracteres o más: sirve una frase corta",
        _ if password.len() > CONTRASENA_BYTES_MAX => "La contraseña es demasiado larga: hasta 256 bytes",
        _ if password.to_lowercase().contains(cuenta) => "La contraseña no debe contener la cuenta",
        _ => return None,
    };
    Some(defecto("contrasena", Motivo::NoValido, texto))
}

fn persona(usuario: &Usuario, tipo: &str, actor: &Actor, at: Timestamp, detalle: Option<String>) -> Fact {
    Fact {
        at,
        tipo: tipo.into(),
        actor: actor.0.clone(),
        entidad: usuario.entidad.clone(),
        sujeto: usuario.id,
        cuo: None,
        estado: None,
        detalle,
        documentos: Vec::new(),
        sobres: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::tests::world::World;

    fn password(text: &str) -> Password {
        Password::new(text.into())
    }

    fn rosa(cuenta: &str) -> NuevoUsuario {
        NuevoUsuario { cuenta: cuenta.into(), nombre: "Rosa Ñahui".into(), rol: Rol::Auditor, entidad: None }
    }

    async fn enters(world: &World, cuenta: &str, text: &str) -> bool {
        matches!(world.exchange.ingresar(cuenta, password(text), None).await.unwrap(), Ingreso::Bien(_))
    }

    #[tokio::test]
    async fn a_person_enters_with_the_password_and_with_no_other_and_it_is_on_record() {
        let world = World::new().await;
        let given = password("un caballo correcto");
        let (made, usuario) = world.exchange.crear_usuario(&Actor::local(), rosa(" Rosa "), Some(given)).await.unwrap();
        assert!(made.is_none() && usuario.cuenta == "rosa");
        let stored = serde_json::to_string(&usuario).unwrap();
        assert!(!stored.contains("caballo"), "{stored}");
        assert!(enters(&world, "ROSA", "un caballo correcto").await);
        assert!(!enters(&world, "rosa", "un caballo incorrecto").await);
        assert!(!enters(&world, "nadie", "un caballo correcto").await);
        let told = world.exchange.store().facts_of(usuario.id).await.unwrap();
        let told: Vec<&str> = told.iter().map(|at| at.fact.tipo.as_str()).collect();
        assert_eq!(told, ["usuario.creado", "sesion.iniciada", "sesion.rechazada"]);
        world.exchange.deshabilitar_usuario(&Actor::local(), usuario.id).await.unwrap();
        assert!(!enters(&world, "rosa", "un caballo correcto").await);
    }

    #[tokio::test]
    async fn a_made_password_is_provisional_until_another_is_chosen() {
        let world = World::new().await;
        let (made, usuario) = world.exchange.crear_usuario(&Actor::local(), rosa("rosa"), None).await.unwrap();
        let made = made.unwrap();
        assert!(usuario.contrasena.provisional && made.len() == 19, "{made:?}");
        let change = |from: &str, to: &str| {
            let exchange = world.exchange.clone();
            let (from, to) = (password(from), password(to));
            async move { exchange.cambiar_contrasena(usuario.id, from, to).await }
        };
        assert!(change("otra cosa", "una frase nueva").await.is_err(), "the present one was not said");
        assert!(change(&made, "corta").await.is_err());
        assert!(change(&made, "rosa-rosa-rosa").await.is_err(), "it contains the account");
        let chosen = change(&made, "una frase nueva").await.unwrap();
        assert!(!chosen.contrasena.provisional && chosen.version == 2);
        assert!(enters(&world, "rosa", "una frase nueva").await && !enters(&world, "rosa", &made).await);
    }

    #[tokio::test]
    async fn accounts_that_cannot_be_are_refused_with_all_that_is_wrong() {
        let world = World::new().await;
        let wrong = NuevoUsuario { cuenta: "ñ".into(), nombre: " ".into(), rol: Rol::MesaDePartes, entidad: None };
        let refused = world.exchange.crear_usuario(&Actor::local(), wrong, Some(password("x"))).await;
        let Err(ExchangeError::Defectos(found)) = refused else { panic!("{refused:?}") };
        let fields: Vec<&str> = found.iter().map(|d| d.campo).collect();
        assert_eq!(fields, ["cuenta", "nombre", "entidad", "contrasena"]);
        world.exchange.crear_usuario(&Actor::local(), rosa("rosa"), None).await.unwrap();
        let again = world.exchange.crear_usuario(&Actor::local(), rosa("ROSA"), None).await;
        assert!(matches!(again, Err(ExchangeError::Defectos(found)) if found[0].campo == "cuenta"));
    }
}
