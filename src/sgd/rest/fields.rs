//! Reads a request's JSON member by member and says everything that is wrong with it at once: members nobody knows, with
//! the nearest known name, and values of the wrong kind. Whether a value is acceptable is for `exchange` to say.

use serde_json::{Map, Value};

use crate::{
    config,
    http::{FieldError, Problem},
};

/// One object of a request.
pub struct Fields {
    path: String,
    members: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// `known` are the names this object may have.
    pub fn new(members: Map<String, Value>, known: &[&str]) -> Self {
        Self::at(String::new(), members, known)
    }

    fn at(path: String, members: Map<String, Value>, known: &[&str]) -> Self {
        let mut fields = Self { path, members, errors: Vec::new() };
        let unknown: Vec<String> = fields.members.keys().filter(|k| !known.contains(&k.as_str())).cloned().collect();
        for name in unknown {
            let nearest = config::nearest(&name, known.iter().copied()).unwrap_or_default();
            fields.wrong(&name, "campo_desconocido", format!("El campo no existe; ¿quiso decir «{nearest}»?"));
        }
        fields
    }

    pub fn wrong(&mut self, name: &str, code: &str, detail: impl Into<String>) {
        let field = self.name(name);
        self.errors.push(FieldError::new(field, code, detail));
    }

    fn name(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    pub fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    pub fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            _ => {
                self.wrong(name, "no_valido", "Debe ser un texto");
                None
            }
        }
    }

    pub fn integer(&mut self, name: &str) -> Option<i64> {
        let number = self.take(name)?.as_i64();
        if number.is_none() {
            self.wrong(name, "no_valido", "Debe ser un número entero");
        }
        number
    }

    pub fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let list = match self.take(name)? {
            Value::Array(list) => list,
            _ => Vec::from([Value::Null]),
        };
        let texts: Option<Vec<String>> = list.into_iter().map(|v| v.as_str().map(str::to_owned)).collect();
        if texts.is_none() {
            self.wrong(name, "no_valido", "Debe ser una lista de textos");
        }
        texts
    }

    /// Reads an object inside this one. `read` is not called if it is absent.
    pub fn object<T: Default>(&mut self, name: &str, known: &[&str], read: impl FnOnce(&mut Self) -> T) -> T {
        match self.take(name) {
            None => T::default(),
            Some(Value::Object(members)) => self.inner(self.name(name), members, known, read),
            Some(_) => {
                self.wrong(name, "no_valido", "Debe ser un objeto");
                T::default()
            }
        }
    }

    /// Reads each object of a list.
    pub fn objects<T>(&mut self, name: &str, known: &[&str], mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let list = match self.take(name) {
            None => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.wrong(name, "no_valido", "Debe ser una lista de objetos");
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for (n, item) in list.into_iter().enumerate() {
            let path = format!("{}[{n}]", self.name(name));
            match item {
                Value::Object(members) => found.push(self.inner(path, members, known, &mut read)),
                _ => self.errors.push(FieldError::new(path, "no_valido", "Debe ser un objeto")),
            }
        }
        found
    }

    fn inner<T>(
        &mut self,
        path: String,
        members: Map<String, Value>,
        known: &[&str],
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mut inner = Self::at(path, members, known);
        let value = read(&mut inner);
        self.errors.append(&mut inner.errors);
        value
    }

    /// The end: everything found wrong, if anything.
    pub fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::fields(self.errors)) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value, known: &[&str]) -> Fields {
        let Value::Object(members) = value else { panic!("an object") };
        Fields::new(members, known)
    }

    fn wrong(fields: Fields) -> Vec<String> {
        fields.finish().unwrap_err().errors().iter().map(|e| format!("{} {}: {}", e.field, e.code, e.detail)).collect()
    }

    #[test]
    fn everything_wrong_is_said_at_once_with_its_path() {
        let mut read = fields(
            json!({"asunto": 5, "folio": 1, "folios": "3", "remitente": {"dni": "1"}, "destinos": [1],
                   "anexos": [{"nombre": "a"}, {"nombre": 1}, "b"], "usuario": null}),
            &["asunto", "folios", "remitente", "destinos", "anexos", "usuario"],
        );
        assert_eq!(read.text("asunto"), None);
        assert_eq!(read.integer("folios"), None);
        assert_eq!(read.texts("destinos"), None);
        assert_eq!(read.text("usuario"), None);
        read.object("remitente", &["numero_documento"], |r| r.text("numero_documento"));
        let names = read.objects("anexos", &["nombre"], |a| a.text("nombre"));
        assert_eq!(names, [Some("a".to_owned()), None]);
        assert_eq!(
            wrong(read),
            [
                "folio campo_desconocido: El campo no existe; ¿quiso decir «folios»?",
                "asunto no_valido: Debe ser un texto",
                "folios no_valido: Debe ser un número entero",
                "destinos no_valido: Debe ser una lista de textos",
                "remitente.dni campo_desconocido: El campo no existe; ¿quiso decir «numero_documento»?",
                "anexos[1].nombre no_valido: Debe ser un texto",
                "anexos[2] no_valido: Debe ser un objeto",
            ]
        );
    }
}
