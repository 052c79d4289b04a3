//! Data on stdout, everything else on stderr. Text that others chose is escaped here, see [`cairn::printable`]: what is a line
//! of its own or a cell with [`printable`], all that is written with what keeps line feeds.

use std::borrow::Cow;
use std::error::Error as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::panic::PanicHookInfo;

use cairn::error::Diagnostic;
pub use cairn::printable::line as printable;
use cairn::value::{Object, Value};
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};
use comfy_table::{Table, presets};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::args::{Color, Format, Global, LogFormat, Output};
use crate::exit::Failure;

/// Writes lines of text for people. A reader that has seen enough is no error.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    print_as_is(&cairn::printable::lines(text))
}

/// Writes text that is all our own, such as a script, or escaped already. A reader that has seen enough is no error.
///
/// # Errors
/// When stdout cannot be written.
pub fn print_as_is(text: &str) -> Result<(), Failure> {
    match write_as_is(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::host(format!("stdout cannot be written: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes lines of text that must arrive.
///
/// # Errors
/// When stdout cannot be written, also because its reader is gone.
pub fn write(text: &str) -> io::Result<()> {
    write_as_is(&cairn::printable::lines(text))
}

fn write_as_is(text: &str) -> io::Result<()> {
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
    print_as_is(&format!("{}\n", json_text(value)?))
}

/// Writes a result as one JSON document, or as JSON lines where the format asks for them: a line for each element of a list.
///
/// # Errors
/// When stdout cannot be written.
pub fn document(format: Format, value: &impl Serialize) -> Result<(), Failure> {
    print_as_is(&document_text(format, value)?)
}

/// The text that [`document`] writes.
///
/// # Errors
/// None that is known: what is written has a form in JSON.
pub fn document_text(format: Format, value: &impl Serialize) -> Result<String, Failure> {
    match format.output() {
        Output::Table | Output::Json => Ok(json_text(value)? + "\n"),
        Output::Jsonl => json_lines(value),
    }
}

/// Writes JSON lines: one for each element of a list, or one.
///
/// # Errors
/// When stdout cannot be written.
pub fn print_json_lines(value: &impl Serialize) -> Result<(), Failure> {
    print_as_is(&json_lines(value)?)
}

fn json_lines(value: &impl Serialize) -> Result<String, Failure> {
    let value = serde_json::to_value(value).map_err(|error| Failure::host(error.to_string()))?;
    let rows = match &value {
        Value::Array(rows) => rows.as_slice(),
        other => std::slice::from_ref(other),
    };
    let line = |row: &Value| cairn::printable::json(&row.to_string()).into_owned() + "\n";
    Ok(rows.iter().map(line).collect())
}

/// The text of a JSON document on several lines, with the escapes of [`cairn::printable::json`].
///
/// # Errors
/// None that is known: what is written has a form in JSON.
pub fn json_text(value: &impl Serialize) -> Result<String, Failure> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::host(error.to_string()))?;
    Ok(match cairn::printable::json(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    })
}

/// Rows under their titles, in columns.
pub fn table(titles: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(titles.iter().map(|title| title.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
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
    if format.is_json() {
        document(format, object)
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
        other if format.is_json() => document(format, other),
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
        .map(|(name, value)| {
            let (name, value) = (printable(name), cell(value));
            format!("{name:width$}  {value}\n")
        })
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
        Value::String(text) => printable(text).into_owned(),
        other => printable(&other.to_string()).into_owned(),
    }
}

fn lines(text: &str) -> String {
    text.lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

/// Whether messages are coloured.
pub fn colors(global: &Global) -> bool {
    let for_people = global.log_format == LogFormat::Text && io::stderr().is_terminal();
    coloured(global.color, no_color(), for_people)
}

fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
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
        LogFormat::Text => say(colors(global), ERROR, &diagnostic.to_string()),
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
        LogFormat::Text => say(colors(global), WARNING, &printable(message)),
        LogFormat::Json => tracing::warn!("{message}"),
    }
}

/// Says what was done besides what was asked for.
pub fn note(global: &Global, message: &str) {
    match global.log_format {
        LogFormat::Text => say(colors(global), NOTE, &printable(message)),
        LogFormat::Json => tracing::info!("{message}"),
    }
}

/// Says what is wrong with the command line. What stands there may come from anybody, such as a name in a script's loop.
pub fn usage(mut error: clap::Error) {
    let shown = |text: &String| printable(text).into_owned();
    let context: Vec<(ContextKind, ContextValue)> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => Some((kind, ContextValue::String(shown(text)))),
            ContextValue::Strings(texts) => {
                let texts = texts.iter().map(shown).collect();
                Some((kind, ContextValue::Strings(texts)))
            }
            ContextValue::StyledStrs(texts) => {
                let texts = texts.iter().map(|text| shown(&text.to_string()).into());
                Some((kind, ContextValue::StyledStrs(texts.collect())))
            }
            _ => None,
        })
        .collect();
    for (kind, value) in context {
        error.insert(kind, value);
    }
    let mut text = error.render().ansi().to_string();
    if let Some(reason) = error.source().map(ToString::to_string) {
        text = text.replace(&reason, &printable(&reason));
    }
    // Without colours of its own: they could not be told from those of others.
    let text = StyledStr::from(text).to_string();
    let Some(text) = text.strip_prefix("error: ") else {
        // A page of help, for a command without arguments. Nobody is left to tell when this fails.
        let _ = error.print();
        return;
    };
    let for_people = io::stderr().is_terminal();
    say(
        coloured(Color::Auto, no_color(), for_people),
        ERROR,
        text.trim_end(),
    );
}

/// Says that a thread panicked, and where: what Rust says, escaped.
pub fn panicked(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let trace = std::backtrace::Backtrace::capture();
    let mut text = format!("thread {:?} panicked", thread.name().unwrap_or("<unnamed>"));
    if let Some(location) = info.location() {
        text += &format!(" at {location}");
    }
    let message = info.payload_as_str().unwrap_or("for no known reason");
    text += &format!(": {}", printable(message));
    if trace.status() == std::backtrace::BacktraceStatus::Captured {
        text += &format!("\n{trace}");
    }
    write_error(&cairn::printable::lines(&text));
}

/// Says what takes long, or is otherwise worth a line.
pub fn tell(message: &str) {
    write_error(&printable(message));
}

/// A word before a message, and its colour.
type Word = (&'static str, &'static str);

const ERROR: Word = ("error", "\x1b[1;31m");
const WARNING: Word = ("warning", "\x1b[1;33m");
const NOTE: Word = ("note", "\x1b[1;36m");

/// Writes a message, whose own lines stay.
fn say(colors: bool, (word, color): Word, message: &str) {
    let message = cairn::printable::lines(message);
    write_error(&match colors {
        true => format!("{color}{word}:\x1b[0m {message}"),
        false => format!("{word}: {message}"),
    });
}

/// Writes text that is escaped already, and ends its line, at once: other processes may write to the same terminal.
fn write_error(text: &str) {
    // Nobody is left to tell when this fails.
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Writes the log to stderr, an event a call, and escapes what it holds: as JSON, or as one line of text.
pub struct LogWriter {
    pub format: LogFormat,
}

impl io::Write for LogWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = text.trim_end_matches('\n');
        let escaped = match self.format {
            LogFormat::Text => printable(text),
            LogFormat::Json => cairn::printable::json(text),
        };
        io::stderr().write_all(format!("{escaped}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
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
            json!({"id": "long", "name": "x\u{1b}[2J\nforged"}),
        ];
        let rows: Vec<Object> = rows
            .iter()
            .filter_map(|row| row.as_object().cloned())
            .collect();
        assert_eq!(
            columns(&["id", "name"], &rows),
            "ID    NAME\na     -\nlong  x\\u{1b}[2J\\nforged\n"
        );
    }
}
