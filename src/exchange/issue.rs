//! Makes the PDF of a cargo and signs it with the entity's identity, when the SGD gave none: a page of our own, or the
//! received document with a stamp. Signing is work for the processor and may wait for a timestamp: it is done off the
//! runtime's threads. A timestamp that cannot be had stops nothing; the fact says so.

use std::{
    collections::HashMap,
    fs::File,
    io::{Cursor, Read, Seek, SeekFrom, Write},
    sync::Arc,
};

use jiff::Timestamp;

use super::{Exchange, ExchangeError, Live};
use crate::{
    domain::{
        Cargo, Desenlace, EmisionCargo, EntidadPropia, Recepcion, Ruc, lima,
        validation::{Defecto, Motivo},
    },
    signing::{
        Identity,
        cades::Stamping,
        cargo_pdf::{self, Page},
        pades::{self, Corner, Done, Order, PageChoice, VisibleStamp},
        timestamp::Timestamper,
    },
    store::{Staged, StoreError},
};

/// A made cargo is read back in pieces of this many bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// How one of our entities issues its cargos.
#[derive(Clone)]
pub struct Emisor {
    pub modo: EmisionCargo,
    pub identidad: Option<Arc<Identity>>,
    /// PNG or JPEG.
    pub logo: Option<Arc<Vec<u8>>>,
}

/// How cargos are issued here. An entity that is not among them gives its own.
#[derive(Clone, Default)]
pub struct Emisores {
    pub por_ruc: HashMap<Ruc, Emisor>,
    pub sellador: Option<Arc<dyn Timestamper>>,
}

/// A cargo's PDF, and how it came about, for the record.
pub struct Emitido {
    pub pdf: Staged,
    pub nota: String,
}

impl Emisores {
    /// Why an entity's cargo cannot be made here, if it cannot.
    pub fn falta(&self, entidad: &Ruc) -> Option<Defecto> {
        let texto = match self.por_ruc.get(entidad) {
            Some(Emisor { modo: EmisionCargo::Dado, .. }) | None => {
                "Falta el PDF firmado del cargo: esta entidad da los suyos ya firmados"
            }
            Some(Emisor { identidad: None, .. }) => {
                "Falta el PDF firmado del cargo: la entidad no tiene identidad con que firmarlo aquí"
            }
            Some(_) => return None,
        };
        Some(Defecto { campo: "cargo.contenido", motivo: Motivo::NoEspecificado, texto, impide: true })
    }
}

impl Exchange {
    /// Whether and how this daemon makes the cargos of its entities.
    pub fn with_emisores(mut self, emisores: Emisores) -> Self {
        self.emisores = Live::new(emisores);
        self
    }

    /// Who signs for one of our entities, if anybody can.
    pub fn identidad(&self, entidad: &Ruc) -> Option<Arc<Identity>> {
        self.emisores.get().por_ruc.get(entidad)?.identidad.clone()
    }

    /// Who puts a time on what is signed here, if anybody does.
    pub fn sellador(&self) -> Option<Arc<dyn Timestamper>> {
        self.emisores.get().sellador.clone()
    }

    /// Makes and signs the PDF of a cargo.
    pub(super) async fn emitir(
        &self,
        recepcion: &Recepcion,
        cargo: &Cargo,
        now: Timestamp,
    ) -> Result<Emitido, ExchangeError> {
        let emisores = self.emisores.get();
        let emisor = emisores.por_ruc.get(&recepcion.entidad).cloned();
        let entidad = self.propia(&recepcion.entidad);
        let (Some(Emisor { modo, identidad: Some(identity), logo }), Some(entidad)) = (emisor, entidad) else {
            return Err(ExchangeError::Defectos(emisores.falta(&recepcion.entidad).into_iter().collect()));
        };
        let received = match modo {
            EmisionCargo::Sellado => Some(self.received(recepcion).await?),
            _ => None,
        };
        let making = Making {
            recepcion: recepcion.clone(),
            cargo: cargo.clone(),
            entidad,
            identity,
            logo,
            timestamper: emisores.sellador.clone(),
            now,
        };
        let made = tokio::task::spawn_blocking(move || match received {
            Some(file) => making.stamped(file),
            None => making.generated(),
        });
        let (file, nota) = made.await.map_err(|_| StoreError::Closed)??;
        Ok(Emitido { pdf: self.take_in(file).await?, nota })
    }

    /// The received document in a file without a name.
    async fn received(&self, recepcion: &Recepcion) -> Result<File, ExchangeError> {
        let mut reader = self.store.open_document(&recepcion.documento.sha256).await?;
        let mut file = tempfile::tempfile().map_err(StoreError::Io)?;
        while let Some(piece) = reader.next().await? {
            let written = tokio::task::spawn_blocking(move || file.write_all(&piece).map(|()| file));
            file = written.await.map_err(|_| StoreError::Closed)?.map_err(StoreError::Io)?;
        }
        Ok(file)
    }

    async fn take_in(&self, mut file: File) -> Result<Staged, ExchangeError> {
        let mut writer = self.stage();
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = Vec::with_capacity(PIECE_BYTES);
                let read = Read::by_ref(&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece);
                read.map(|_| (file, piece))
            });
            let (rest, piece) = read.await.map_err(|_| StoreError::Closed)?.map_err(StoreError::Io)?;
            if piece.is_empty() {
                return Ok(writer.finish().await?);
            }
            writer.write(&piece).await?;
            file = rest;
        }
    }
}

/// All that making a cargo takes.
struct Making {
    recepcion: Recepcion,
    cargo: Cargo,
    entidad: EntidadPropia,
    identity: Arc<Identity>,
    logo: Option<Arc<Vec<u8>>>,
    timestamper: Option<Arc<dyn Timestamper>>,
    now: Timestamp,
}

impl Making {
    fn generated(&self) -> Result<(File, String), ExchangeError> {
        let page = Page {
            recepcion: &self.recepcion,
            cargo: &self.cargo,
            entidad: &self.entidad,
            logo: self.logo.as_ref().map(|logo| logo.as_slice()),
            firmante: self.identity.titular(),
            emisor: &self.identity.emisor(),
            at: self.now,
        };
        let made = cargo_pdf::render(&page).map_err(|error| refused(&error))?;
        self.sign(Cursor::new(made), None)
    }

    fn stamped(&self, received: File) -> Result<(File, String), ExchangeError> {
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        let cargo = &self.cargo;
        let when = cargo.fecha_registro.unwrap_or(self.now);
        let mut lines = vec![
            format!("N.º de registro {} de {}", text(&cargo.numero_registro), text(&cargo.anio_registro)),
            format!("Registrado el {}", lima::en_lima(when).strftime("%d/%m/%Y %H:%M:%S")),
            format!("CUO {} · pasa a {}", self.recepcion.cuo, text(&cargo.unidad)),
            format!("Registró: {}", text(&cargo.usuario)),
        ];
        lines.extend(cargo.observacion.as_ref().map(|observacion| format!("OBSERVADO: {observacion}")));
        let title = match cargo.desenlace {
            Desenlace::Recepcionado => "Cargo de recepción, firmado digitalmente por",
            Desenlace::Observado => "Cargo de observación, firmado digitalmente por",
        };
        let stamp = VisibleStamp {
            page: PageChoice::First,
            corner: Corner::TopRight,
            title: Some(title.into()),
            lines,
            qr: Some(cargo_pdf::qr_text(&self.recepcion, cargo)),
        };
        self.sign(received, Some(&stamp))
    }

    fn sign(&self, input: impl Read + Seek, stamp: Option<&VisibleStamp>) -> Result<(File, String), ExchangeError> {
        let reason = match self.cargo.desenlace {
            Desenlace::Recepcionado => "Cargo de recepción",
            Desenlace::Observado => "Cargo de observación",
        };
        let order = Order {
            at: self.now,
            reason: Some(reason),
            stamp,
            timestamper: self.timestamper.as_deref(),
            ..Order::default()
        };
        let mut file = tempfile::tempfile().map_err(StoreError::Io)?;
        let done = pades::sign(input, &mut file, &self.identity, &order).map_err(|error| refused(&error))?;
        file.seek(SeekFrom::Start(0)).map_err(StoreError::Io)?;
        Ok((file, self.note(&done)))
    }

    fn note(&self, done: &Done) -> String {
        let signer = self.identity.titular();
        // A fact holds nobody's name; the certificate in the cargo does.
        let who = if signer.dni.is_some() { "una persona de la entidad" } else { &signer.nombre };
        let mut note = format!("Cargo firmado aquí por {who} ({})", done.level());
        if let Stamping::Failed(error) = &done.stamping {
            tracing::warn!(entidad = %self.recepcion.entidad, %error, "a cargo was signed without its timestamp");
            note.push_str(&format!("; sin sello de tiempo: {error}"));
        }
        note
    }
}

fn refused(error: &dyn std::fmt::Display) -> ExchangeError {
    ExchangeError::SinCargo(format!("no se pudo hacer el cargo: {error}. Dé usted el PDF firmado, o corrija la causa"))
}
