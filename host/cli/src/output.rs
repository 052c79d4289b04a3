//! Writes results to stdout, as tables or JSON. Untrusted text is escaped here, see [`cairn::printable`]: single lines and cells with
//! [`printable`], which escapes line feeds, whole texts with a function that keeps them.

use std::borrow::Cow;
use std::io::{self, Write as _};

pub use cairn::printable::line as printable;
use cairn::{Object, Value};
use comfy_table::{Table, presets};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::args::{Format, Output};
use crate::exit::Failure;

/// Writes text for people, with its line feeds. A closed pipe is not an error.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    print_as_is(&cairn::printable::lines(text))
}

/// Writes text that is trusted, such as a script, or escaped already. A closed pipe is not an error.
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

/// Writes text that must arrive, with its line feeds.
///
/// # Errors
/// When stdout cannot be written; a closed pipe is an error, too.
pub fn write(text: &str) -> io::Result<()> {
    write_as_is(&cairn::printable::lines(text))
}

fn write_as_is(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Returns whether stdout is a pipe or socket whose reader is gone.
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

/// Writes a result as one JSON document, or as JSON lines if the format asks for them: one per element of a list.
///
/// # Errors
/// When stdout cannot be written.
pub fn document(format: Format, value: &impl Serialize) -> Result<(), Failure> {
    print_as_is(&document_text(format, value)?)
}

/// Returns the text that [`document`] writes.
///
/// # Errors
/// None known: every value that is printed can be serialized.
pub fn document_text(format: Format, value: &impl Serialize) -> Result<String, Failure> {
    match format.output() {
        Output::Table | Output::Json => Ok(json_text(value)? + "\n"),
        Output::Jsonl => json_lines(value),
    }
}

/// Writes JSON lines: one per element of a list, or one for any other value.
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

/// Formats a JSON document on several lines, with the escapes of [`cairn::printable::json`].
///
/// # Errors
/// None known: every value that is printed can be serialized.
pub fn json_text(value: &impl Serialize) -> Result<String, Failure> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::host(error.to_string()))?;
    Ok(match cairn::printable::json(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    })
}

/// Formats rows as a table with titles.
pub fn table(titles: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(titles.iter().map(|title| title.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    // Two spaces between columns, none before the first.
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    lines(&table.to_string())
}

/// Writes an object: one line per field, or one JSON document.
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

/// Writes a value; an object as [`object`] does.
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

/// Formats some columns of rows as a table.
pub fn columns(names: &[&str], rows: &[Object]) -> String {
    let cells = |row: &Object| {
        names
            .iter()
            .map(|name| cell(row.get(*name).unwrap_or(&Value::Null)))
            .collect()
    };
    table(names, rows.iter().map(cells))
}

/// Formats an object, one line per field.
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

/// Formats a number of things, whose noun takes an `s` in the plural.
pub fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// Formats a value for people.
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
