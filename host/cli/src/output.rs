//! Data on stdout, everything else on stderr.

use std::io::{self, IsTerminal as _, Write as _};

use cairn::error::Diagnostic;
use cairn::value::{Object, Value};
use comfy_table::{Table, presets};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::args::{Color, Format, Global, LogFormat};
use crate::exit::Failure;

/// Writes data. A reader that has seen enough is no error.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    match write(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::host(format!("stdout cannot be written: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes data that must arrive.
///
/// # Errors
/// When stdout cannot be written, also because its reader is gone.
pub fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Says whether stdout is a pipe or socket whose reader is gone.
pub fn reader_is_gone() -> bool {
    let stdout = io::stdout();
    let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
    let answered = poll(&mut asked, Some(&Timespec::default()));
    answered.is_ok_and(|_| {
        asked[0]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::HUP)
    })
}

/// Writes one JSON document.
///
/// # Errors
/// When stdout cannot be written.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    print(&document(value)?)
}

/// The text of one JSON document.
///
/// # Errors
/// None that is known.
pub fn document(value: &impl Serialize) -> Result<String, Failure> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::host(error.to_string()))?;
    text.push('\n');
    Ok(text)
}

/// Rows under their titles, in columns.
pub fn table(titles: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(titles.iter().map(|title| title.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    // Cells stand apart by two spaces, and the first one at the margin.
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    lines(&table.to_string())
}

/// One object: a line a field, or one JSON document.
///
/// # Errors
/// When stdout cannot be written.
pub fn object(object: &Object, format: Format) -> Result<(), Failure> {
    if format.json {
        json(object)
    } else {
        print(&fields(object))
    }
}

/// [`object`], of a value that may be none.
///
/// # Errors
/// When stdout cannot be written.
pub fn value(value: &Value, format: Format) -> Result<(), Failure> {
    match value {
        Value::Object(fields) => object(fields, format),
        other => json(other),
    }
}

/// Some of the columns of rows.
pub fn columns(names: &[&str], rows: &[Object]) -> String {
    let cells = |row: &Object| {
        names
            .iter()
            .map(|name| cell(row.get(*name).unwrap_or(&Value::Null)))
            .collect()
    };
    table(names, rows.iter().map(cells))
}

/// One object, a line a field.
fn fields(object: &Object) -> String {
    let width = object.keys().map(String::len).max().unwrap_or(0);
    object
        .iter()
        .map(|(name, value)| format!("{name:width$}  {}\n", cell(value)))
        .collect()
}

/// So many of a noun that takes an `s`.
pub fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// A value as people read it.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    }
}

/// Text of somebody else's, which must not reach the terminal as a command.
pub fn printable(text: &str) -> String {
    let shown = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
}

fn lines(text: &str) -> String {
    text.lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

/// Whether messages are coloured.
pub fn colors(global: &Global) -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let for_people = global.log_format == LogFormat::Text && io::stderr().is_terminal();
    coloured(global.color, no_color, for_people)
}

/// `NO_COLOR` counts when it is not empty (no-color.org), and a flag comes before it.
const fn coloured(when: Color, no_color: bool, for_people: bool) -> bool {
    match when {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => for_people && !no_color,
    }
}

/// Says why the command did not do what it says.
pub fn error(global: &Global, diagnostic: &Diagnostic) {
    match global.log_format {
        LogFormat::Text => say(global, "error", "\x1b[1;31m", &diagnostic.to_string()),
        LogFormat::Json => tracing::error!(
            file = diagnostic
                .file
                .as_ref()
                .map(|file| file.display().to_string()),
            line = diagnostic.line,
            help = diagnostic.help,
            "{}",
            diagnostic.message
        ),
    }
}

/// Says what is not wrong but is hardly meant.
pub fn warning(global: &Global, message: &str) {
    match global.log_format {
        LogFormat::Text => say(global, "warning", "\x1b[1;33m", message),
        LogFormat::Json => tracing::warn!("{message}"),
    }
}

/// Says what was done besides what was asked for.
pub fn note(global: &Global, message: &str) {
    match global.log_format {
        LogFormat::Text => say(global, "note", "\x1b[1;36m", message),
        LogFormat::Json => tracing::info!("{message}"),
    }
}

fn say(global: &Global, word: &str, color: &str, message: &str) {
    let mut stderr = io::stderr().lock();
    // Nobody is left to tell when this fails.
    let _ = if colors(global) {
        writeln!(stderr, "{color}{word}:\x1b[0m {message}")
    } else {
        writeln!(stderr, "{word}: {message}")
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn colour_is_for_terminals_without_no_color_and_for_whoever_asks() {
        assert!(coloured(Color::Auto, false, true));
        assert!(!coloured(Color::Auto, true, true));
        assert!(!coloured(Color::Auto, false, false));
        assert!(coloured(Color::Always, true, false));
        assert!(!coloured(Color::Never, false, true));
    }

    #[test]
    fn a_list_is_aligned_and_has_no_blanks_at_its_ends() {
        let rows = [
            json!({"id": "a", "name": null}),
            json!({"id": "long", "name": "x\u{1b}[2J"}),
        ];
        let rows: Vec<Object> = rows
            .iter()
            .filter_map(|row| row.as_object().cloned())
            .collect();
        assert_eq!(
            columns(&["id", "name"], &rows),
            "ID    NAME\na     -\nlong  x\\u{1b}[2J\n"
        );
    }
}
