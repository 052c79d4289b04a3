//! Prints the outcome of each request on stdout, one per line.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::Duration;

use cairn::Report;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::traffic::Ticket;
use crate::exit::{Exit, Failure};
use crate::output::{self, printable};

/// Where a request comes from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Origin {
    File(PathBuf),
    Line(u64),
    /// A request on the command line, counted from 1 among all of them.
    Argument(u64),
}

/// The outcome of one request.
pub(super) struct Outcome {
    pub(super) origin: Origin,
    pub(super) key: Option<String>,
    pub(super) result: Result<Report, Failure>,
    /// Dropped when the report is written, which makes room for another request.
    pub(super) ticket: Option<Ticket>,
}

/// The sum of all outcomes.
#[derive(Debug)]
pub(super) struct Printed {
    /// The worst exit code of a request.
    pub(super) worst: Exit,
    /// How many were printed.
    pub(super) delivered: u64,
    /// How many could not be printed, and why the first one could not.
    pub(super) lost: Option<(u64, io::Error)>,
}

/// A line of the output.
#[derive(Serialize)]
struct Line<'r> {
    #[serde(flatten)]
    origin: &'r Origin,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'r str>,
    #[serde(flatten)]
    report: Option<&'r Report>,
    /// Why there is no report: nothing ran, or the host failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// Prints outcomes until the last sender is gone. Calls `broken` once when one cannot be printed; the rest are counted.
///
/// # Errors
/// When a thread cannot be started.
pub(super) fn print(
    outcomes: Receiver<Outcome>,
    json: bool,
    total: Option<u64>,
    broken: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<Printed>, Failure> {
    let bar = bar(total)?;
    std::thread::Builder::new()
        .name("cairn-printer".to_owned())
        .spawn(move || {
            let mut broken = Some(broken);
            let mut printed = Printed {
                worst: Exit::Ok,
                delivered: 0,
                lost: None,
            };
            for outcome in outcomes {
                if let Some(bar) = &bar {
                    bar.inc(1);
                }
                printed.add(&outcome, json);
                if printed.lost.is_some()
                    && let Some(broken) = broken.take()
                {
                    broken();
                }
                // Makes room for another request.
                drop(outcome.ticket);
            }
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
            printed
        })
        .map_err(|error| Failure::host(format!("a thread cannot be started: {error}")))
}

impl Printed {
    fn add(&mut self, outcome: &Outcome, json: bool) {
        let exit = match &outcome.result {
            Ok(report) => Exit::of(report),
            // The request was not started, so there is no outcome.
            Err(failure) if failure.exit == Exit::Interrupted => return,
            Err(failure) => failure.exit,
        };
        self.worst = self.worst.worse(exit);
        if let Some((lost, _)) = &mut self.lost {
            *lost += 1;
            return;
        }
        match outcome.line(json).and_then(|line| output::write(&line)) {
            Ok(()) => self.delivered += 1,
            Err(error) => self.lost = Some((1, error)),
        }
    }
}

impl Outcome {
    fn line(&self, json: bool) -> io::Result<String> {
        if !json {
            return Ok(format!("{}\n", printable(&self.brief())));
        }
        let failure = self.result.as_ref().err();
        let line = Line {
            origin: &self.origin,
            key: self.key.as_deref(),
            report: self.result.as_ref().ok(),
            failure: failure.map(|failure| failure.diagnostic.to_string()),
        };
        let line = serde_json::to_string(&line)?;
        Ok(format!("{}\n", cairn::printable::json(&line)))
    }

    /// Formats the outcome on one line, for people.
    fn brief(&self) -> String {
        let origin = match &self.origin {
            Origin::File(path) => path.display().to_string(),
            Origin::Line(number) => format!("line {number}"),
            Origin::Argument(number) => format!("input {number}"),
        };
        match &self.result {
            Ok(report) => {
                let error = report.error.as_ref();
                let error = error.map_or_else(String::new, |error| {
                    format!("  {}: {}", error.kind, error.message)
                });
                format!("{origin}  {}  {}{error}", report.flow.id, report.flow.state)
            }
            Err(failure) => format!("{origin}  not run: {}", failure.diagnostic.message),
        }
    }
}

/// Shows on a terminal how many flows have ended.
fn bar(total: Option<u64>) -> Result<Option<ProgressBar>, Failure> {
    if !io::stderr().is_terminal() {
        return Ok(None);
    }
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{spinner} {wide_bar} {pos}/{len} flows, {per_sec}",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {pos} flows, {per_sec}",
        ),
    };
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.map_err(|error| Failure::host(error.to_string()))?);
    bar.enable_steady_tick(Duration::from_millis(100));
    Ok(Some(bar))
}
