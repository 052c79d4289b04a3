//! A flow's report as people read it.

use std::fmt::Write as _;

use cairn::error::Diagnostic;
use cairn::history::History;
use cairn::net::{Fate, Left};
use cairn::report::{Report, RollbackReport, Verdict};
use cairn::value::Value;

use crate::args::Format;
use crate::exit::{Exit, Failure};
use crate::output::{self, cell, printable};

/// Prints what happened to a flow: a few lines, or one document.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(report: &Report, format: Format) -> Result<(), Failure> {
    output::print(&self::format(report, format)?)
}

/// Prints the text of what was just done with a flow. Here a reader that is gone is an error: it has not seen the report.
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

/// What happened to a flow: a few lines, or one document.
///
/// # Errors
/// None that is known.
pub fn format(report: &Report, format: Format) -> Result<String, Failure> {
    match format.is_json() {
        true => output::document_text(format, report),
        false => Ok(text(report)),
    }
}

/// What happened to a flow, a few lines.
pub fn text(report: &Report) -> String {
    let flow = &report.flow;
    let mut text = String::new();
    line(
        &mut text,
        "flow",
        &format!("{}  {}  {}", flow.id, flow.name, flow.state),
    );
    if report.pruned {
        line(
            &mut text,
            "pruned",
            "the flow's journal is gone; this is what its key keeps",
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

/// One thing that is wrong with a request: where, its kind, and what.
fn violated(violation: &Value) -> String {
    let of = |name: &str| violation[name].as_str().unwrap_or_default();
    let pointer = match of("pointer") {
        "" => "(the whole)",
        pointer => pointer,
    };
    format!("{pointer}  {}: {}", of("kind"), of("message"))
}

fn rolled_back(text: &mut String, rollback: &RollbackReport) {
    let verdict = match rollback.verdict {
        Verdict::Clean => "clean: everything is as it was",
        Verdict::Kept => "kept: everything is as it was but for what reverted tasks keep",
        Verdict::Incomplete => "incomplete: not everything could be undone; it can be tried again",
        Verdict::Residue if rollback.accepted.is_some() => {
            "residue: not everything could be undone, and that was accepted"
        }
        Verdict::Residue if !rollback.messages.is_empty() => {
            "residue: messages have left, which cannot be taken back"
        }
        // Of a verdict that this program does not know, too.
        _ => "residue: some things could not be undone",
    };
    line(text, "rollback", verdict);
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
            _ => "left",
        };
        line(text, word, &residue(left));
    }
    if !rollback.undone.is_empty() {
        let changes = output::count(rollback.undone.len(), "change");
        line(text, "undone", &changes);
    }
}

/// How a plugin's log ends.
fn log(text: &mut String, lines: &[String]) {
    for said in lines {
        line(text, "log", said);
    }
}

/// Adds what a flow that succeeded made or changed, a line each.
pub fn made(text: &mut String, history: &History) {
    for left in history.account().left {
        let made = match left.why {
            Some(why) if why.fate == Fate::Sent => format!("message {}", left.id),
            _ => residue(&Left { why: None, ..left }),
        };
        line(text, "made", &made);
    }
}

/// One thing that is left: what it is, how it differs from before, and why.
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

/// The columns of a row, or an amount.
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

/// One line under a word, which it stays whatever `rest` holds.
pub fn line(text: &mut String, word: &str, rest: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{word:<9} {}", printable(rest));
}
