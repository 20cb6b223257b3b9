//! `chasqui completions` and `chasqui man`: what a shell and `man` know of the commands, made of the commands themselves.

use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Failure, causes, output, usage};

#[derive(Args)]
pub struct Completions {
    /// Intérprete de órdenes: bash, zsh, fish, elvish o powershell
    #[arg(value_name = "INTÉRPRETE", hide_possible_values = true)]
    shell: Shell,
}

#[derive(Args)]
pub struct ManPages {
    /// Carpeta, que debe existir, donde se escribe una página por cada orden [si no se da: se muestra la de chasqui]
    #[arg(long, value_name = "CARPETA")]
    dir: Option<PathBuf>,
}

/// The words that the pages are made with, and ours.
const WORDS: [(&str, &str); 7] = [
    (".SH NAME\n", ".SH NOMBRE\n"),
    (".SH SYNOPSIS\n", ".SH SINOPSIS\n"),
    (".SH DESCRIPTION\n", ".SH DESCRIPCIÓN\n"),
    (".SH VERSION\n", ".SH VERSIÓN\n"),
    (".SH EXTRA\n", ".SH ADEMÁS\n"),
    ("[default: ", "[por omisión: "),
    ("Possible values:", "Valores:"),
];

impl Completions {
    pub fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut usage::command(), "chasqui", &mut script);
        output::say(String::from_utf8_lossy(&script).trim_end());
        Ok(())
    }
}

impl ManPages {
    pub fn run(&self) -> Result<(), Failure> {
        let pages = pages();
        let Some(dir) = &self.dir else {
            pages.iter().filter(|(name, _)| name == "chasqui.1").for_each(|(_, page)| output::say(page.trim_end()));
            return Ok(());
        };
        pages.iter().try_for_each(|(name, page)| write(&dir.join(name), page))
    }
}

fn write(file: &Path, page: &str) -> Result<(), Failure> {
    std::fs::write(file, page)
        .map_err(|error| Failure::Failed(format!("{}: {}", file.display(), causes::in_spanish(&error))))
}

/// Every page by its file's name: `chasqui.1`, `chasqui-queue-list.1`.
fn pages() -> Vec<(String, String)> {
    let mut command = usage::command();
    command.build();
    let mut pages = Vec::new();
    add(&command, &mut pages);
    pages
}

fn add(command: &Command, pages: &mut Vec<(String, String)>) {
    let man = Man::new(command.clone()).source(concat!("chasqui ", env!("CARGO_PKG_VERSION"))).manual("chasqui");
    let mut page = Vec::new();
    // Writing into memory does not fail.
    man.render(&mut page).ok();
    let page = String::from_utf8_lossy(&page).into_owned();
    pages.push((man.get_filename(), WORDS.iter().fold(page, |page, (theirs, ours)| page.replace(theirs, ours))));
    command.get_subcommands().filter(|inner| !inner.is_hide_set()).for_each(|inner| add(inner, pages));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_in_spanish_that_names_it() {
        let pages = pages();
        for (name, page) in &pages {
            let title = name.trim_end_matches(".1").replace('-', "\\-");
            assert!(page.contains(&format!(".SH NOMBRE\n{title} \\- ")), "{name}: {page}");
            for word in ["NAME\n", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "default:", "Possible"] {
                assert!(!page.contains(word), "{name}: {word}\n{page}");
            }
        }
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["chasqui.1", "chasqui-check.1", "chasqui-queue-list.1", "chasqui-api-key-create.1"] {
            assert!(names.contains(&name), "{name} of {names:?}");
        }
    }
}
