//! One operation of the API: its route, who may use it, what it takes and answers. The router and the document are both made
//! of these, so that neither has a route that the other has not.

use axum::{
    handler::Handler,
    routing::{self, MethodRouter},
};
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{
    http::{Code, Grupo},
    sgd::rest::Api,
};

/// Makes the schema of a type.
pub type Forma = fn(&mut SchemaGenerator) -> Schema;

/// What an answer consists of.
#[derive(Clone, Copy)]
pub enum Contenido {
    Json(Forma),
    /// A document.
    Pdf,
    /// Anything else that is no JSON: its type.
    Otro(&'static str),
    Nada,
}

/// What a request brings.
#[derive(Clone, Copy)]
pub struct Cuerpo {
    pub json: Forma,
    pub obligatorio: bool,
    /// The same as a form: the part that holds the file, and the schema of `datos`.
    pub formulario: Option<(&'static str, Forma)>,
    /// A request as it is pasted.
    pub ejemplo: &'static str,
}

pub struct Operacion {
    pub metodo: Method,
    pub ruta: &'static str,
    /// `None`: without a key.
    pub grupo: Option<Grupo>,
    pub hace: &'static str,
    pub detalle: &'static str,
    /// Parameters of the address, by name; the glossary knows them.
    pub parametros: &'static [&'static str],
    pub cuerpo: Option<Cuerpo>,
    pub respuestas: Vec<(u16, Contenido)>,
    /// Beside those that follow from the rest.
    pub fallas: &'static [Code],
    pub idempotente: bool,
    pub servicio: MethodRouter<Api>,
}

fn forma<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn nueva(metodo: Method, ruta: &'static str, hace: &'static str, servicio: MethodRouter<Api>) -> Operacion {
    Operacion {
        metodo,
        ruta,
        grupo: None,
        hace,
        detalle: "",
        parametros: &[],
        cuerpo: None,
        respuestas: Vec::new(),
        fallas: &[],
        idempotente: false,
        servicio,
    }
}

pub fn get<H: Handler<T, Api>, T: 'static>(ruta: &'static str, handler: H, hace: &'static str) -> Operacion {
    nueva(Method::GET, ruta, hace, routing::get(handler))
}

pub fn post<H: Handler<T, Api>, T: 'static>(ruta: &'static str, handler: H, hace: &'static str) -> Operacion {
    nueva(Method::POST, ruta, hace, routing::post(handler))
}

pub fn delete<H: Handler<T, Api>, T: 'static>(ruta: &'static str, handler: H, hace: &'static str) -> Operacion {
    nueva(Method::DELETE, ruta, hace, routing::delete(handler))
}

impl Operacion {
    pub fn detalle(self, detalle: &'static str) -> Self {
        Self { detalle, ..self }
    }

    pub fn parametros(self, parametros: &'static [&'static str]) -> Self {
        Self { parametros, ..self }
    }

    /// Takes JSON.
    pub fn toma<T: JsonSchema>(self, ejemplo: &'static str) -> Self {
        let cuerpo = Cuerpo { json: forma::<T>, obligatorio: true, formulario: None, ejemplo };
        Self { cuerpo: Some(cuerpo), ..self }
    }

    /// The body may be left out.
    pub fn opcional(self) -> Self {
        Self { cuerpo: self.cuerpo.map(|cuerpo| Cuerpo { obligatorio: false, ..cuerpo }), ..self }
    }

    /// Takes a form as well, with a file in `parte` and the rest in `datos`.
    pub fn o_formulario<D: JsonSchema>(self, parte: &'static str) -> Self {
        let formulario = Some((parte, forma::<D> as Forma));
        Self { cuerpo: self.cuerpo.map(|cuerpo| Cuerpo { formulario, ..cuerpo }), ..self }
    }

    pub fn responde<T: JsonSchema>(self, estado: u16) -> Self {
        self.con(estado, Contenido::Json(forma::<T>))
    }

    pub fn con(mut self, estado: u16, contenido: Contenido) -> Self {
        self.respuestas.push((estado, contenido));
        self
    }

    pub fn fallas(self, fallas: &'static [Code]) -> Self {
        Self { fallas, ..self }
    }

    /// Honours `Idempotency-Key`.
    pub fn idempotente(self) -> Self {
        Self { idempotente: true, ..self }
    }

    /// The part of the page it stands in.
    pub fn seccion(&self) -> &'static str {
        let rest = self.ruta.strip_prefix("/api/v1/").unwrap_or_default();
        match rest.split('/').next().unwrap_or_default() {
            "despachos" => "Despachos: lo que se envía",
            "recepciones" => "Recepciones: lo que llega",
            "eventos" | "estadisticas" => "Sucesos y estadísticas",
            "entidades" | "categorias" | "tipos-documento" => "Catálogos",
            "cola" | "salud" => "Cola y salud",
            "webhooks" => "Webhooks",
            "auditoria" => "Auditoría",
            "retencion" => "Conservación",
            "tablas" => "Tablas del componente",
            "admin" => "Administración",
            _ => "Servicio",
        }
    }

    /// A name that scripts generated from the document use.
    pub fn nombre(&self) -> String {
        let path = self.ruta.trim_start_matches("/api/v1").replace(['{', '}', '.'], "");
        let words = path.split(['/', '-']).filter(|word| !word.is_empty());
        std::iter::once(self.metodo.as_str().to_lowercase()).chain(words.map(Into::into)).collect::<Vec<_>>().join("_")
    }

    /// The names in the path.
    pub fn en_ruta(&self) -> impl Iterator<Item = &'static str> {
        self.ruta.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Every code it may answer with.
    pub fn codigos(&self) -> Vec<Code> {
        let mut codes = Vec::new();
        if self.grupo.is_some() {
            codes.extend([Code::ClaveRequerida, Code::PermisoInsuficiente, Code::DemasiadasPeticiones]);
        }
        if !self.parametros.is_empty() {
            codes.push(Code::ParametroNoValido);
        }
        if self.en_ruta().next().is_some() {
            codes.push(Code::NoExiste);
        }
        if self.cuerpo.is_some() {
            codes.extend([Code::JsonNoValido, Code::PeticionNoValida, Code::PeticionLenta, Code::PeticionGrande]);
            codes.extend([Code::TipoDeContenido, Code::CamposNoValidos, Code::ServicioOcupado]);
        }
        if self.cuerpo.is_some_and(|cuerpo| cuerpo.formulario.is_some()) {
            codes.push(Code::MultipartNoValido);
        }
        if self.grupo.is_some_and(Grupo::cambia) && self.metodo != Method::GET {
            codes.push(Code::EnMantenimiento);
        }
        if self.idempotente {
            codes.push(Code::IdempotencyKeyReused);
        }
        if self.grupo.is_some() {
            codes.extend([Code::ErrorInterno, Code::AlmacenNoDisponible]);
        }
        codes.extend(self.fallas);
        codes.sort_by_key(|code| (code.status().as_u16(), code.word()));
        codes.dedup();
        codes
    }
}
