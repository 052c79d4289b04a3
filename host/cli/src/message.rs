//! Writes errors, warnings, notes and the log to stderr, escaped.

use std::error::Error as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::panic::PanicHookInfo;

use cairn::Diagnostic;
use cairn::printable::line as printable;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};

use crate::args::{Color, Global, LogFormat};

/// Returns whether messages are coloured.
pub fn colors(global: &Global) -> bool {
    let for_people = global.log_format == LogFormat::Text && io::stderr().is_terminal();
    coloured(global.color, no_color(), for_people)
}

fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Decides on colours: a flag overrides `NO_COLOR`, which counts if it is not empty (no-color.org).
const fn coloured(when: Color, no_color: bool, for_people: bool) -> bool {
    match when {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => for_people && !no_color,
    }
}

/// Prints why the command failed.
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

/// Prints a warning.
pub fn warning(global: &Global, message: &str) {
    match global.log_format {
        LogFormat::Text => say(colors(global), WARNING, &printable(message)),
        LogFormat::Json => tracing::warn!("{message}"),
    }
}

/// Prints a note about something that was done in addition.
pub fn note(global: &Global, message: &str) {
    match global.log_format {
        LogFormat::Text => say(colors(global), NOTE, &printable(message)),
        LogFormat::Json => tracing::info!("{message}"),
    }
}

/// Prints what is wrong with the command line, whose arguments may be untrusted, such as a name in a script's loop.
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
    // Without clap's colours, which could not be told from escape codes in arguments.
    let text = StyledStr::from(text).to_string();
    let Some(text) = text.strip_prefix("error: ") else {
        // The help for a command without arguments. A failure to print it cannot be reported.
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

/// Prints that a thread panicked, and where, like Rust's own message, but escaped.
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

/// Prints a line without a prefix, such as on a step that takes long.
pub fn tell(message: &str) {
    write_error(&printable(message));
}

/// Prefix of a message, and its colour.
type Word = (&'static str, &'static str);

const ERROR: Word = ("error", "\x1b[1;31m");
const WARNING: Word = ("warning", "\x1b[1;33m");
const NOTE: Word = ("note", "\x1b[1;36m");

/// Writes a message with a prefix; its line feeds are kept.
fn say(colors: bool, (word, color): Word, message: &str) {
    let message = cairn::printable::lines(message);
    write_error(&match colors {
        true => format!("{color}{word}:\x1b[0m {message}"),
        false => format!("{word}: {message}"),
    });
}

/// Writes escaped text and a line feed in one call, because other processes may write to the same terminal.
fn write_error(text: &str) {
    // A failure to write to stderr cannot be reported.
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Writes the log to stderr, one event per call, escaped: as JSON, or as one line of text.
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

    #[test]
    fn colour_is_for_terminals_without_no_color_and_where_it_is_asked_for() {
        assert!(coloured(Color::Auto, false, true));
        assert!(!coloured(Color::Auto, true, true));
        assert!(!coloured(Color::Auto, false, false));
        assert!(coloured(Color::Always, true, false));
        assert!(!coloured(Color::Never, false, true));
    }
}
