//! Reads a request's JSON as the existing bridge does: a number where a text is wanted is one, a text of digits where a
//! number is wanted too, and what nobody knows is passed over.

use serde_json::{Map, Value};

pub struct Body(Map<String, Value>);

impl Body {
    pub fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// Whether the member is there at all, empty or not.
    pub fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    pub fn text(&self, name: &str) -> Option<String> {
        text(self.0.get(name)?)
    }

    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.0.get(name)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The member `inner` of each object in a list.
    pub fn texts(&self, name: &str, inner: &str) -> Vec<Option<String>> {
        let list = self.0.get(name).and_then(Value::as_array);
        list.into_iter().flatten().map(|one| one.get(inner).and_then(text)).collect()
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_texts_stand_for_each_other_and_other_shapes_for_nothing() {
        let Value::Object(members) = json!({
            "vnumregstd": 123, "snumfol": "4", "vasu": ["x"], "vobs": null,
            "lstanexos": [{"vnomdoc": "a"}, {"otro": 1}, "b"], "vurldocanx": ""
        }) else {
            panic!("an object")
        };
        let body = Body::new(members);
        assert_eq!((body.text("vnumregstd").as_deref(), body.integer("snumfol")), (Some("123"), Some(4)));
        assert_eq!((body.text("vasu"), body.text("falta"), body.integer("vasu")), (None, None, None));
        assert!(!body.has("vobs") && body.has("vurldocanx"));
        assert_eq!(body.texts("lstanexos", "vnomdoc"), [Some("a".to_owned()), None, None]);
        assert!(body.texts("vasu2", "vnomdoc").is_empty());
    }
}
