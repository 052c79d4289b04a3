//! Formats a flow's report for people.

use std::fmt::Write as _;

use cairn::history::History;
use cairn::net::{Fate, Left};
use cairn::report::{RollbackReport, SleepReport};
use cairn::{Diagnostic, Report, Value};

use crate::args::Format;
use crate::exit::{Exit, Failure};
use crate::output::{self, cell, printable};

/// Prints a flow's report: a few lines, or one document.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(report: &Report, format: Format) -> Result<(), Failure> {
    output::print(&self::format(report, format)?)
}

/// Prints the report of an operation that was just done. A closed pipe is an error here: its reader has not seen the report.
///
/// # Errors
/// When stdout cannot be written.
pub fn deliver(report: &Report, text: &str) -> Result<(), Failure> {
    output::write(text).map_err(|error| {
        let message = format!("stdout cannot be written: {error}: the report is lost");
        let help = format!("`cairn flow show {}` shows it", report.flow.id);
        Failure {
            exit: Exit::Host,
            diagnostic: Diagnostic::new(message).help(help),
        }
    })
}

/// Formats a flow's report: a few lines, or one document.
///
/// # Errors
/// None known.
pub fn format(report: &Report, format: Format) -> Result<String, Failure> {
    match format.is_json() {
        true => output::document_text(format, report),
        false => Ok(text(report)),
    }
}

/// Formats a flow's report as a few lines.
pub fn text(report: &Report) -> String {
    let flow = &report.flow;
    let mut text = String::new();
    line(
        &mut text,
        "flow",
        &format!("{}  {}  {}", flow.id, flow.name, flow.state),
    );
    if let Some(sleep) = &flow.sleep {
        line(&mut text, sleep_word(sleep), &asleep(sleep));
        if let Some(error) = &sleep.error {
            line(
                &mut text,
                "because",
                &format!("{}: {}", error.kind, error.message),
            );
        }
    }
    if flow.forward {
        line(
            &mut text,
            "forward",
            "it has passed its pivot: it is tried again until it succeeds, and cannot be rolled back",
        );
    }
    if report.pruned {
        line(
            &mut text,
            "pruned",
            "the flow's journal was removed; this is the report that its key keeps",
        );
    }
    if let Some(error) = &report.error {
        if let Some(task) = &error.task {
            line(&mut text, "task", task);
        }
        line(
            &mut text,
            "error",
            &format!("{}: {}", error.kind, error.message),
        );
        for violation in error.details["violations"].as_array().into_iter().flatten() {
            line(&mut text, "violation", &violated(violation));
        }
        let frames = error.details["backtrace"].as_array().into_iter().flatten();
        for frame in frames.filter_map(Value::as_str) {
            line(&mut text, "at", frame);
        }
        log(&mut text, &error.log);
    }
    if let Some(rollback) = &report.rollback {
        rolled_back(&mut text, rollback);
    }
    text
}

/// Returns the word before what a flow waits for.
fn sleep_word(sleep: &SleepReport) -> &'static str {
    match sleep.is_wait {
        true => "waits",
        false => "retries",
    }
}

/// Formats what a flow that sleeps waits for, and until when.
fn asleep(sleep: &SleepReport) -> String {
    if let (true, Some(name)) = (sleep.is_signalled, &sleep.signal) {
        return format!("{}  the signal {name} has come", sleep.task);
    }
    let signal = sleep.signal.as_ref();
    let signal = signal.map_or_else(String::new, |name| format!("  for the signal {name}"));
    let until = sleep.until.as_ref();
    let until = until.map_or_else(String::new, |until| format!("  until {until}"));
    format!("{}{signal}{until}", sleep.task)
}

/// Formats a violation: pointer, kind and message.
fn violated(violation: &Value) -> String {
    let of = |name: &str| violation[name].as_str().unwrap_or_default();
    let pointer = match of("pointer") {
        "" => "(the whole request)",
        pointer => pointer,
    };
    format!("{pointer}  {}: {}", of("kind"), of("message"))
}

fn rolled_back(text: &mut String, rollback: &RollbackReport) {
    line(text, "rollback", rollback.sentence());
    for task in &rollback.reverted {
        line(text, "reverted", task);
    }
    for failed in &rollback.failed {
        let why = failed
            .error
            .as_ref()
            .map_or_else(|| "not tried".to_owned(), ToString::to_string);
        line(text, "stuck", &format!("{}: {why}", failed.task));
        let error = failed.error.as_ref();
        error.into_iter().for_each(|error| log(text, &error.log));
    }
    if let Some(reason) = &rollback.accepted {
        line(text, "accepted", reason);
    }
    for left in &rollback.residue {
        let word = match left.why.as_ref().map(|why| why.fate) {
            Some(Fate::Kept) => "kept",
            Some(Fate::Sent) => "sent",
            Some(Fate::Unknown) => "unknown",
            _ => "left",
        };
        line(text, word, &residue(left));
    }
    if !rollback.undone.is_empty() {
        let changes = output::count(rollback.undone.len(), "change");
        line(text, "undone", &changes);
    }
}

/// Adds the end of a plugin's log.
fn log(text: &mut String, lines: &[String]) {
    for said in lines {
        line(text, "log", said);
    }
}

/// Adds the changes of a flow that succeeded, one per line.
pub fn made(text: &mut String, history: &History) {
    for left in history.account().left {
        let made = match left.why {
            Some(why) if why.fate == Fate::Sent => format!("message {}", left.id),
            _ => residue(&Left { why: None, ..left }),
        };
        line(text, "made", &made);
    }
}

/// Formats one change that is left: what it is, how it differs from before, and why.
fn residue(left: &Left) -> String {
    let of = left
        .project
        .as_ref()
        .map(|project| format!(" of {project}"))
        .unwrap_or_default();
    let change = match (&left.before, &left.after) {
        (Value::Null, after) => state(after),
        (_, Value::Null) => "gone".to_owned(),
        (before, after) => format!("{} -> {}", state(before), state(after)),
    };
    let why = left.why.as_ref().map_or_else(String::new, |why| {
        let task = why.task.as_deref().map(|task| format!("{task}: "));
        format!(" ({}{})", task.unwrap_or_default(), why.reason)
    });
    format!("{} {}{of}: {change}{why}", left.kind, left.id)
}

/// Formats the columns of a row, or an amount.
fn state(value: &Value) -> String {
    match value {
        Value::Object(columns) => {
            let columns: Vec<String> = columns
                .iter()
                .map(|(name, value)| format!("{name} {}", cell(value)))
                .collect();
            columns.join(", ")
        }
        other => cell(other),
    }
}

/// Adds one line under a word; `rest` is escaped, so that it stays one line.
pub fn line(text: &mut String, word: &str, rest: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{word:<9} {}", printable(rest));
}
