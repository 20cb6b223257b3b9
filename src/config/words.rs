//! What the TOML reader and serde complain of, in Spanish. Their own words are for programmers.

/// Why a text is no TOML. What is not known by its words is told without them: the place says where to look.
pub fn of_syntax(message: &str) -> String {
    let said = message.to_lowercase();
    let known = [
        ("duplicate key", "la clave está dos veces"),
        ("leading zero", "un número no empieza con cero"),
        ("unexpected sign", "sobra un signo"),
        ("comment", "un comentario tiene un carácter que no se admite"),
        ("escape", "la barra «\\» no va seguida de una letra de escape; en rutas use comillas simples"),
        ("missing value", "falta el valor después del signo ="),
        ("missing assignment", "falta el signo = entre la clave y su valor"),
        ("string values must be quoted", "los textos van entre comillas"),
        ("unquoted", "los textos van entre comillas"),
        ("string", "un texto no está bien escrito: ¿falta cerrar las comillas?"),
        ("unclosed array", "falta cerrar la lista con ]"),
        ("array", "la lista no está bien escrita: [ … ] con comas"),
        ("unclosed table", "falta cerrar la sección con ]"),
        ("table", "la sección no está bien escrita: [nombre]"),
        ("boolean", "se espera true o false"),
        ("date", "la fecha no está bien escrita"),
        ("time", "la hora no está bien escrita"),
        ("integer", "el número no está bien escrito"),
        ("float", "el número no está bien escrito"),
        ("number", "el número no está bien escrito"),
        ("key", "la clave no está bien escrita"),
        ("value", "el valor no está bien escrito: los textos van entre comillas"),
    ];
    let found = known.iter().find(|(words, _)| said.contains(words)).map(|(_, spanish)| *spanish);
    found.unwrap_or("hay algo que no se entiende").to_owned()
}

/// Why a value does not fit its key. Our own complaints pass as they are: they are Spanish already.
pub fn of_value(message: &str) -> String {
    if let Some((given, expected)) =
        message.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected "))
    {
        return format!("se espera {}, no {}", kind(expected), kind(given));
    }
    if let Some((given, expected)) =
        message.strip_prefix("invalid value: ").and_then(|rest| rest.split_once(", expected "))
    {
        return format!("el valor ({}) no está entre los que caben: {}", kind(given), kind(expected));
    }
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        let (given, expected) = rest.split_once("`, expected ").unwrap_or((rest, ""));
        let valid: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        return format!("«{given}» no es uno de: {}", valid.join(", "));
    }
    if let Some(name) = message.strip_prefix("missing field `") {
        return format!("falta «{}»", name.trim_end_matches('`'));
    }
    message.to_owned()
}

/// Why a JSON text is not what it should be, with its place.
pub fn of_json(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let what = match error.is_data() {
        true => of_value(said.rsplit_once(" at line ").map_or(said.as_str(), |(what, _)| what)),
        false => of_json_syntax(error).to_owned(),
    };
    match error.line() {
        0 => what,
        line => format!("línea {line}, columna {}: {what}", error.column()),
    }
}

/// Why a file of TOML is not what it should be, with its line and, for an unknown key, the one that was meant.
pub fn of_toml(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.lines().count().max(1) + usize::from(before.ends_with('\n'));
    let said = error.message();
    let quoted: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
    let what = match (said.starts_with("unknown field"), quoted.split_first()) {
        (true, Some((unknown, known))) => match super::nearest(unknown, known.iter().copied()) {
            Some(meant) => format!("la clave «{unknown}» no existe; ¿quiso decir «{meant}»?"),
            None => format!("la clave «{unknown}» no existe"),
        },
        _ if text.parse::<toml::Table>().is_err() => of_syntax(said),
        _ => of_value(said),
    };
    format!("línea {line}: {what}")
}

/// What is wrong with a JSON text, in words; serde_json says it in English.
pub fn of_json_syntax(error: &serde_json::Error) -> &'static str {
    let said = error.to_string();
    let known = [
        ("EOF", "se acaba antes de tiempo"),
        ("expected `,` or", "tiene algo donde se espera una coma o el cierre: ¿falta una coma?"),
        ("trailing comma", "tiene una coma de más"),
        ("expected `:`", "no tiene los dos puntos entre un nombre y su valor"),
        ("key must be a string", "tiene un nombre sin comillas dobles"),
        ("control character", "tiene un salto de línea o un carácter de control dentro de un texto"),
        ("invalid escape", "tiene una barra «\\» que no es de un escape"),
        ("unicode", "tiene bytes que no son UTF-8 o un escape \\u incompleto"),
        ("surrogate", "tiene un escape \\u incompleto"),
        ("invalid number", "tiene un número mal escrito"),
        ("number out of range", "tiene un número demasiado grande"),
        ("trailing characters", "sigue después de su cierre"),
        ("recursion", "tiene demasiados niveles"),
        ("expected", "tiene algo que no es un valor: los textos van entre comillas dobles"),
    ];
    let found = known.iter().find(|(words, _)| said.contains(words)).map(|(_, spanish)| *spanish);
    found.unwrap_or("no se puede leer")
}

/// serde's names of kinds of values.
fn kind(words: &str) -> &str {
    let first = words.split([' ', '`']).next().unwrap_or_default();
    match first {
        "string" | "a" if words.contains("string") => "un texto entre comillas",
        "integer" => "un número entero",
        "floating" | "f32" | "f64" => "un número con decimales",
        "boolean" => "true o false",
        "a" if words.contains("boolean") => "true o false",
        "u8" | "u16" | "u32" | "u64" | "usize" => "un número entero no negativo",
        "i8" | "i16" | "i32" | "i64" | "isize" => "un número entero",
        "map" | "struct" => "una sección",
        "sequence" | "a" if words.contains("sequence") => "una lista",
        "" => "otro valor",
        _ if words.starts_with("struct") => "una sección",
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn what_is_wrong_is_told_in_spanish_with_its_line_and_column() {
        let refused = |text: &str| match parse("c.toml", text, &[], &|_| unreachable!()) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("it is wrong: {text}"),
        };
        let broken = [
            "environment = simulation\n",
            "environment = \"simulation\n",
            "environment \"simulation\"\n",
            "data_dir = \"a\"\ndata_dir = \"b\"\n",
            "[listen\nsoap = \"x\"\n",
            "data_dir = \"C:\\datos\"\n",
            "[retry]\nask_cargo = [\"1h\", \"2h\"\n",
            "[retry]\nworkers = 08\n",
            "[retry]\nworkers = \"muchos\"\n",
            "[retry]\nworkers = -1\n",
            "[retry]\nworkers = true\n",
            "[retry]\nask_cargo = 7\n",
            "environment = 7\n",
            "environment = \"produccion\"\n",
            "entity = 7\n",
            "[log]\nformat = \"xml\"\n",
            "= 7\n",
            "a = 1 b = 2\n",
            "data_dir =\n",
        ];
        for text in broken {
            let said = refused(text);
            println!("{said}");
            for english in ["expected", "invalid", "duplicate", "unexpected", "missing", "unknown", "string", "integer"]
            {
                assert!(!said.to_lowercase().contains(english), "{text}: {said}");
            }
            let place: Vec<&str> = said.splitn(4, ':').collect();
            assert!(place[1].trim().parse::<usize>().is_ok(), "{said}");
        }
        assert!(refused("data_dir = \"a\"\n  data_dir = \"b\"\n").starts_with("c.toml:2:3: "), "line and column");
    }

    #[test]
    fn other_files_are_complained_of_in_spanish_too() {
        let json = |text: &str| of_json(&serde_json::from_str::<crate::domain::Sha256>(text).unwrap_err());
        assert_eq!(json("\"ab"), "línea 1, columna 3: se acaba antes de tiempo");
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct One {
            #[allow(dead_code)]
            motivo: String,
        }
        let missing = serde_json::from_str::<One>("{}").unwrap_err();
        assert_eq!(of_json(&missing), "línea 1, columna 2: falta «motivo»");
        let toml = |text: &str| of_toml(text, &toml::from_str::<One>(text).unwrap_err());
        assert_eq!(toml("\nmotvo = 1\n"), "línea 2: la clave «motvo» no existe; ¿quiso decir «motivo»?");
        assert_eq!(toml("motivo = 1\n"), "línea 1: se espera un texto entre comillas, no un número entero");
        assert_eq!(toml("motivo = hola\n"), "línea 1: los textos van entre comillas");
        assert_eq!(toml(""), "línea 1: falta «motivo»");
    }
}
