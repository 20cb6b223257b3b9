//! Reading the command line, with help and complaints in Spanish.

use std::{ffi::OsString, process::ExitCode};

use clap::{
    Arg, ArgAction, Command, CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{Cli, output};

const HELP: &str = "{about-with-newline}\nUso: {usage}\n\n{all-args}{after-help}";

/// Why nothing is run.
pub enum End {
    /// Help or version was asked for.
    Shown(String),
    Wrong(String),
    /// A command was named without its order: its help says which there are.
    Incomplete(String),
}

impl End {
    pub fn print(self) -> ExitCode {
        match self {
            Self::Shown(text) => {
                output::say(text.trim_end());
                ExitCode::SUCCESS
            }
            Self::Incomplete(help) => {
                output::note(help.trim_end());
                ExitCode::from(2)
            }
            Self::Wrong(message) => {
                output::complain(&message);
                ExitCode::from(2)
            }
        }
    }
}

pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, End> {
    let matches = command().try_get_matches_from(arguments).map_err(|error| end(&error))?;
    Cli::from_arg_matches(&matches).map_err(|error| end(&error))
}

/// The command with its help in Spanish, all the way down.
pub fn command() -> Command {
    let version = Arg::new("version")
        .short('V')
        .long("version")
        .action(ArgAction::Version)
        .help("Muestra la versión")
        .help_heading("Opciones");
    spanish(Cli::command().disable_version_flag(true)).arg(version)
}

fn spanish(command: Command) -> Command {
    let help = Arg::new("help").short('h').long("help").action(ArgAction::Help).help("Muestra esta ayuda");
    let with_values =
        |arg: Arg| if arg.is_positional() { arg.help_heading("Argumentos") } else { arg.help_heading("Opciones") };
    let command = command
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .help_template(HELP)
        .subcommand_help_heading("Órdenes")
        .subcommand_value_name("ORDEN")
        .mut_args(with_values)
        .arg(help.help_heading("Opciones"));
    command.mut_subcommands(spanish)
}

fn end(error: &clap::Error) -> End {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => End::Shown(rendered(error)),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => End::Incomplete(rendered(error)),
        _ => End::Wrong(format!("{}\nPruebe con --help", complaint(error))),
    }
}

fn rendered(error: &clap::Error) -> String {
    // The one word of the usage line that cannot be set.
    error.render().to_string().replace("[OPTIONS]", "[OPCIONES]")
}

fn complaint(error: &clap::Error) -> String {
    let value = |kind| error.get(kind).map(list).unwrap_or_default();
    let (arg, given) = (value(ContextKind::InvalidArg), value(ContextKind::InvalidValue));
    // The most likely one comes last.
    let hint = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => format!("; ¿quiso decir «{text}»?"),
        Some(ContextValue::Strings(texts)) => {
            texts.last().map(|text| format!("; ¿quiso decir «{text}»?")).unwrap_or_default()
        }
        _ => String::new(),
    };
    match error.kind() {
        ErrorKind::UnknownArgument => format!("la opción «{arg}» no existe{}", hint(ContextKind::SuggestedArg)),
        ErrorKind::InvalidSubcommand => {
            let name = value(ContextKind::InvalidSubcommand);
            format!("la orden «{name}» no existe{}", hint(ContextKind::SuggestedSubcommand))
        }
        ErrorKind::MissingSubcommand => format!("falta la orden: {}", value(ContextKind::ValidSubcommand)),
        ErrorKind::MissingRequiredArgument => format!("falta {arg}"),
        ErrorKind::InvalidValue if given.is_empty() => format!("falta el valor de {arg}"),
        ErrorKind::InvalidValue => {
            let valid = value(ContextKind::ValidValue);
            format!("«{given}» no vale para {arg}: es uno de {valid}{}", hint(ContextKind::SuggestedValue))
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(|why| format!(": {}", reason(&why.to_string())));
            format!("«{given}» no vale para {arg}{}", why.unwrap_or_default())
        }
        ErrorKind::ArgumentConflict if arg == value(ContextKind::PriorArg) => format!("{arg} se da una sola vez"),
        ErrorKind::ArgumentConflict => format!("{arg} no va junto con {}", value(ContextKind::PriorArg)),
        ErrorKind::TooManyValues => format!("{arg} no lleva el valor «{given}»"),
        _ => error.render().to_string(),
    }
}

/// The standard library's words for values that it reads, in Spanish; our own readers say it themselves.
fn reason(said: &str) -> &str {
    match said {
        "invalid socket address syntax" => "se escribe IP:PUERTO",
        "number too large to fit in target type" => "es demasiado grande",
        "invalid digit found in string" | "cannot parse integer from empty string" => "debe ser un número entero",
        other => other,
    }
}

fn list(value: &ContextValue) -> String {
    match value {
        ContextValue::String(text) => text.clone(),
        ContextValue::Strings(texts) => texts.join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(line: &str) -> String {
        match parse(line.split(' ').map(OsString::from)) {
            Err(End::Wrong(message)) => message.lines().next().unwrap_or_default().to_owned(),
            Err(End::Shown(text)) => format!("shown: {text}"),
            Err(End::Incomplete(text)) => format!("incomplete: {}", text.lines().next().unwrap_or_default()),
            Ok(_) => "fine".to_owned(),
        }
    }

    #[test]
    fn complaints_are_in_spanish_and_name_what_was_meant() {
        for (line, expected) in [
            ("chasqui sirve", "la orden «sirve» no existe; ¿quiso decir «serve»?"),
            ("chasqui serve --confi x", "la opción «--confi» no existe; ¿quiso decir «--config»?"),
            ("chasqui serve --config", "falta el valor de --config <ARCHIVO>"),
            ("chasqui store verify --format xml", "«xml» no vale para --format <FORMATO>: es uno de text, json"),
            ("chasqui api-key revoke", "falta <ID>"),
            (
                "chasqui send a.pdf --to 20168999926 --wait abc",
                "«abc» no vale para --wait <SEGUNDOS>: debe ser un número entero",
            ),
            ("chasqui simulator --listen aquí", "«aquí» no vale para --listen <DIRECCIÓN>: se escribe IP:PUERTO"),
            ("chasqui store", "incomplete: El almacén de datos"),
            ("chasqui serve --config a --config b", "--config <ARCHIVO> se da una sola vez"),
            ("chasqui serve", "fine"),
        ] {
            assert_eq!(wrong(line), expected, "{line}");
        }
    }

    #[test]
    fn the_definitions_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn help_is_as_agreed() {
        let mut pages = String::new();
        for line in ["", "demo", "serve", "send", "api-key", "api-key create", "simulator", "store verify"] {
            let line = format!("chasqui {line} --help").replace("  ", " ");
            match parse(line.split(' ').map(OsString::from)) {
                Err(End::Shown(text)) => pages += &format!("$ {line}\n{text}\n"),
                _ => panic!("{line}"),
            }
        }
        insta::assert_snapshot!(pages);
    }
}
