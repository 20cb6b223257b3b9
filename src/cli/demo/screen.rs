//! What the demo shows: numbered steps, facts under them, a spinner while it waits. Plain where nobody looks on.

use std::{
    io::{IsTerminal, stderr, stdout},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::output::say;

/// Width of the names of facts, in characters.
const NAME: usize = 13;

pub struct Screen {
    color: bool,
    /// While something is waited for.
    spinner: Option<ProgressBar>,
    steps: u32,
    /// What the present step is called, for a failure to name it.
    step: String,
    checks: u32,
}

impl Screen {
    pub fn new() -> Self {
        let color = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { color, spinner: None, steps: 0, step: String::new(), checks: 0 }
    }

    pub fn title(&self, title: &str, explanation: &str) {
        say("");
        say(&self.paint("1", title));
        say(explanation);
        say("");
    }

    /// Columns at the beginning: who takes part.
    pub fn part(&self, role: &str, name: &str, place: &str) {
        let role = self.paint("2", &format!("{role:<12}"));
        say(&format!("   {role} {name:<38} {place}"));
    }

    pub fn step(&mut self, text: &str) {
        self.steps += 1;
        self.step = text.to_owned();
        say("");
        say(&format!("{}  {}", self.paint("1", &self.steps.to_string()), self.paint("1", text)));
    }

    /// Something that holds.
    pub fn fact(&self, name: &str, value: &str) {
        let mark = self.paint("32", "✓");
        say(&format!("   {mark} {name:<NAME$} {value}"));
    }

    /// More about the fact above.
    pub fn more(&self, value: &str) {
        say(&format!("     {:<NAME$} {value}", ""));
    }

    pub fn line(&self, text: &str) {
        say(text);
    }

    pub fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    pub fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Shows what is being waited for, until [`Self::arrived`].
    pub fn waiting(&mut self, what: &str) {
        let spinner = spinner().with_message(what.to_owned());
        spinner.enable_steady_tick(Duration::from_millis(90));
        self.spinner = Some(spinner);
    }

    pub fn arrived(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }

    /// Counts one check.
    pub fn checked(&mut self) {
        self.checks += 1;
    }

    pub fn checks(&self) -> u32 {
        self.checks
    }

    /// The step under way.
    pub fn current(&self) -> &str {
        &self.step
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn spinner() -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("   {spinner} {msg} ({elapsed})");
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

/// A number with its thousands apart: `79 070`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + 4);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A time people can compare: `38 ms`, `1.2 s`.
pub fn span(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (79_070, "79 070"), (1_234_567, "1 234 567")] {
            assert_eq!(thousands(n), text);
        }
        assert_eq!(span(Duration::from_millis(38)), "38 ms");
        assert_eq!(span(Duration::from_millis(1_240)), "1.2 s");
    }
}
