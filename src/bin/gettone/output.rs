//! What the program prints: the result on stdout and nothing else, everything else on stderr.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::arguments::Color;
use crate::failure::Failure;
pub use crate::table::Table;
use crate::table::{is_obeyed, visible};

/// The result of a command, for people and for programs.
pub struct Report {
    text: Text,
    json: String,
    /// Whether stdout gets JSON even without `--json`.
    pub is_json: bool,
    /// A remark for a person at a terminal.
    pub note: Option<String>,
}

enum Text {
    Plain(String),
    Table(Table),
}

impl Report {
    /// Returns a report of some lines. `text` ends with a line break, unless it is empty.
    pub fn text(text: impl Into<String>, json: &impl Serialize) -> Self {
        Self::new(Text::Plain(text.into()), json)
    }

    pub fn table(table: Table, json: &impl Serialize) -> Self {
        Self::new(Text::Table(table), json)
    }

    fn new(text: Text, json: &impl Serialize) -> Self {
        Self { text, json: to_json(json), is_json: false, note: None }
    }

    pub fn with_note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }
}

#[derive(Clone, Copy)]
struct Style(bool);

impl Style {
    fn bold(self, text: &str) -> String {
        if self.0 { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A warning on stderr, with `--json`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct WarningJson<'a> {
    warning: Warning<'a>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct Warning<'a> {
    message: &'a str,
}

/// Returns a value as one line of JSON.
fn to_json(value: &impl Serialize) -> String {
    // Cannot fail: these values have texts as keys, and numbers that JSON has.
    let json = serde_json::to_string(value).unwrap_or_default();
    // It has control characters beyond ASCII as they are, which a terminal would obey.
    let escaped = |character: char| match is_obeyed(character) {
        true => format!("\\u{:04x}", u32::from(character)),
        false => character.to_string(),
    };
    if json.contains(is_obeyed) { json.chars().map(escaped).collect() } else { json }
}

/// Returns the width of the terminal, as the environment or the terminal says it.
fn columns() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    said.or_else(own_columns).filter(|columns| *columns > 0).unwrap_or(80)
}

#[cfg(unix)]
fn own_columns() -> Option<usize> {
    rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col.into())
}

#[cfg(not(unix))]
fn own_columns() -> Option<usize> {
    None
}

/// Whether a question is open. Nothing is printed into its line.
pub static IS_ASKING: AtomicBool = AtomicBool::new(false);

/// The two streams, and how they are written.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub is_json: bool,
    pub is_quiet: bool,
    pub color: Color,
}

impl Output {
    fn style(self, is_terminal: bool) -> Style {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_off = std::env::var_os("CLICOLOR").is_some_and(|value| value == "0");
        Style(match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && !is_set("NO_COLOR") && !is_dumb && !is_off,
        })
    }

    /// Prints the result of a command.
    ///
    /// # Errors
    ///
    /// stdout cannot be written, for example because a disk is full. A reader that has gone away is not an error.
    pub fn print(self, report: &Report) -> Result<(), Failure> {
        let is_terminal = io::stdout().is_terminal();
        let text = match &report.text {
            _ if self.is_json || report.is_json => format!("{}\n", report.json),
            Text::Plain(text) => text.clone(),
            Text::Table(table) if is_terminal => table.padded(columns(), |header| self.style(true).bold(header)),
            Text::Table(table) => table.tabbed(),
        };
        self.stdout(text.as_bytes())?;
        if let Some(note) = report.note.as_ref().filter(|_| is_terminal && io::stderr().is_terminal()) {
            self.note(note);
        }
        Ok(())
    }

    /// Writes to stdout, in one piece.
    pub fn stdout(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::other(format!("cannot write the result to stdout: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Prints a remark on stderr, unless the program is to be quiet.
    pub fn note(self, text: &str) {
        if !self.is_quiet && !self.is_json {
            self.stderr(text);
        }
    }

    /// Prints a warning on stderr: the command succeeds, but something is wrong.
    pub fn warn(self, text: &str) {
        if self.is_json {
            self.stderr(&to_json(&WarningJson { warning: Warning { message: text } }));
        } else {
            self.stderr(&format!("{} {}", self.style(io::stderr().is_terminal()).bold("warning:"), visible(text)));
        }
    }

    /// Prints on stderr why the command failed.
    pub fn fail(self, failure: &Failure) {
        if self.is_json {
            self.stderr(&to_json(&failure.to_json()));
        } else {
            let failure = visible(&failure.to_string());
            self.stderr(&format!("{} {failure}", self.style(io::stderr().is_terminal()).bold("error:")));
        }
    }

    fn stderr(self, line: &str) {
        // There is nowhere left to say that stderr cannot be written.
        let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
    }
}
