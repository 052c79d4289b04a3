//! Many requests: a report a line, as the flows end.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use cairn::Submission;
use cairn::error::Diagnostic;
use cairn::host::{Host, HostError, ReadyPlan};
use cairn::id::Identity;
use cairn::manifest::Manifest;
use cairn::report::Report;
use cairn::request;
use cairn::store::view::Reader;
use cairn::value::{self, Value};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{Run, flows, tell_recovered};
use crate::exit::{Exit, Failure};
use crate::input;
use crate::interrupt::Interrupt;
use crate::output::{self, printable};
use crate::session::Session;

/// Lines of stdin that are read ahead; what is read is not a flow yet.
const AHEAD: usize = 64;

/// The longest line of stdin, in bytes.
const MAX_LINE: u64 = 16 << 20;

/// Between two looks whether somebody interrupted.
const LOOK: Duration = Duration::from_millis(50);

/// Where a request comes from, for whoever reads the reports.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Origin {
    File(PathBuf),
    Line(u64),
}

/// A request and where it comes from.
struct Asked {
    origin: Origin,
    key: Option<String>,
    request: Value,
}

/// What came of one request.
type Outcome = (Origin, Option<String>, Result<Report, Failure>);

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

/// What requests are made into flows with.
struct Desk<'s> {
    session: &'s Session,
    host: Arc<Host>,
    plan: Arc<ReadyPlan>,
    action: Option<String>,
    requester: Identity,
    reader: Reader,
    printer: Sender<Outcome>,
    stopped: Arc<AtomicBool>,
}

/// Requests in files are all looked at before the first one runs; those of a stream as they come.
pub(super) fn run(run: Run, session: &Session, manifest: &Manifest) -> Result<Exit, Failure> {
    if run.key.is_some() {
        return Err(Diagnostic::new("one key cannot stand for several requests")
            .help("use --jsonl, where each request has a key of its own")
            .into());
    }
    let policy = session.policy()?;
    let requester = session.identity(&run.who, &policy);
    let planner = session.planner()?.policy(Arc::clone(&policy));
    let plan = session.plan(&planner, manifest, run.locked)?;
    let action = plan.action.as_deref();
    let mut asked = Vec::new();
    for path in &run.inputs {
        let (request, file) = input::request(Some(path))?;
        let request = session.peek(&requester, |view| {
            Ok(request::resolve(action, &request, file, view)?)
        })?;
        asked.push(Asked {
            origin: Origin::File(path.clone()),
            key: None,
            request,
        });
    }

    let mut builder = session.host(planner, policy)?;
    if let Some(workers) = run.workers {
        builder = builder.workers(workers.into());
    }
    let (host, recovered) = builder.open()?;
    let host = Arc::new(host);
    tell_recovered(session, &recovered);
    let stopped = Arc::new(AtomicBool::new(false));
    let interrupt = Interrupt::with(&session.settings.global, {
        let (stopped, host) = (Arc::clone(&stopped), Arc::clone(&host));
        move || {
            stopped.store(true, Ordering::SeqCst);
            // At once: whoever submits may wait until there is room in the queue.
            host.stop();
        }
    })?;
    let (printer, outcomes) = channel();
    let json = run.jsonl || run.format.json;
    let total = (!run.jsonl).then_some(asked.len() as u64);
    let printing = print(outcomes, json, total)?;
    let desk = Desk {
        session,
        plan: host.ready(&plan)?,
        action: plan.action.clone(),
        requester,
        reader: session.reader()?,
        host,
        printer,
        stopped,
    };
    if run.jsonl {
        desk.take_stream()?;
    }
    for asked in asked {
        if !desk.is_stopped() {
            desk.submit(asked);
        }
    }
    desk.finish(&printing);
    drop(interrupt);
    let printed = printing.join();
    printed.unwrap_or_else(|_| Err(Failure::host("the thread that prints panicked")))
}

impl Desk<'_> {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Takes requests from stdin until it ends, or somebody interrupts.
    fn take_stream(&self) -> Result<(), Failure> {
        let lines = read_ahead()?;
        loop {
            match lines.recv_timeout(LOOK) {
                Ok(Ok((number, line))) => self.take_line(number, &line),
                Ok(Err(error)) => return Err(Failure::host(format!("stdin: {error}"))),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if self.is_stopped() {
                return Ok(());
            }
        }
    }

    fn take_line(&self, number: u64, line: &str) {
        let origin = Origin::Line(number);
        if line.trim().is_empty() {
            return;
        }
        let mut key = None;
        match self.read_line(line, &mut key) {
            Ok(request) => self.submit(Asked {
                origin,
                key,
                request,
            }),
            Err(failure) => self.tell((origin, key, Err(failure))),
        }
    }

    /// The request of a line. Its key is told as soon as it is known, for a line that is refused after that.
    fn read_line(&self, line: &str, known: &mut Option<String>) -> Result<Value, Failure> {
        let asked = value::parse(line)
            .map_err(|error| Diagnostic::new(format!("the line is no JSON: {error}")))?;
        let mut beside = None;
        let (key, request) = match asked {
            Value::Object(mut fields) if fields.contains_key("request") => {
                let request = fields.remove("request").unwrap_or_default();
                let key = fields.remove("key");
                beside = fields.keys().next().cloned();
                (key, request)
            }
            request => (None, request),
        };
        match key {
            None | Some(Value::Null) => {}
            Some(Value::String(key)) if !key.is_empty() => *known = Some(key),
            Some(_) => {
                return Err(Diagnostic::new("`key` must be text that is not empty").into());
            }
        }
        if let Some(other) = beside {
            let message = format!("beside `request` stands `{other}`");
            return Err(Diagnostic::new(message)
                .help("there is nothing but `key`")
                .into());
        }
        let view = self.reader.view(&self.requester);
        Ok(request::resolve(
            self.action.as_deref(),
            &request,
            None,
            &view,
        )?)
    }

    /// Hands a request to the host; waits while its queue is full.
    fn submit(&self, asked: Asked) {
        let Asked {
            origin,
            key,
            request,
        } = asked;
        let submission = Submission {
            plan: Arc::clone(&self.plan),
            requester: self.requester.clone(),
            request,
            key: key.clone(),
        };
        let (printer, asked) = (self.printer.clone(), (origin.clone(), key.clone()));
        let stopped = Arc::clone(&self.stopped);
        let submitted = self.host.submit_then(submission, move |report| {
            if report.as_ref().is_err_and(HostError::is_final) {
                stopped.store(true, Ordering::SeqCst);
            }
            // The printer ends after the last of us.
            let _ = printer.send((asked.0, asked.1, report.map_err(Failure::from)));
        });
        if let Err(error) = submitted {
            self.tell((origin, key, Err(error.into())));
        }
    }

    fn tell(&self, outcome: Outcome) {
        // The printer ends after the last of us.
        let _ = self.printer.send(outcome);
    }

    /// Waits until everything that was asked for has ended and is printed; stops it when somebody interrupts.
    fn finish<T>(self, printing: &JoinHandle<T>) {
        let Self {
            session,
            host,
            printer,
            stopped,
            ..
        } = self;
        // The printer ends when the last flow has told it how it ended.
        drop(printer);
        while !printing.is_finished() {
            if stopped.load(Ordering::SeqCst) {
                host.stop();
                if host.unfinished() == 0 {
                    session.warn("what was not started is left out: submit it again");
                    return;
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Reads lines in a thread of its own, which may stay behind when nobody writes to stdin any more.
fn read_ahead() -> Result<Receiver<io::Result<(u64, String)>>, Failure> {
    let (lines, ahead) = sync_channel(AHEAD);
    std::thread::Builder::new()
        .name("cairn-stdin".to_owned())
        .spawn(move || {
            let mut stdin = io::stdin().lock();
            for number in 1.. {
                let mut line = String::new();
                let mut limited = io::Read::take(&mut stdin, MAX_LINE + 1);
                let read = limited.read_line(&mut line).and_then(|read| {
                    if read as u64 > MAX_LINE {
                        let message = format!("line {number} has more than {MAX_LINE} bytes");
                        return Err(io::Error::other(message));
                    }
                    Ok(read)
                });
                let (read, ended) = match read {
                    Ok(0) => return,
                    Ok(_) => (Ok((number, line)), false),
                    Err(error) => (Err(error), true),
                };
                if lines.send(read).is_err() || ended {
                    return;
                }
            }
        })
        .map_err(|error| Failure::host(format!("a thread cannot be started: {error}")))?;
    Ok(ahead)
}

/// Prints what came of each request, and at the end says what it all comes to.
fn print(
    outcomes: Receiver<Outcome>,
    json: bool,
    total: Option<u64>,
) -> Result<JoinHandle<Result<Exit, Failure>>, Failure> {
    let bar = bar(total)?;
    std::thread::Builder::new()
        .name("cairn-printer".to_owned())
        .spawn(move || {
            let mut worst = Exit::Ok;
            let mut left_out = 0;
            for (origin, key, outcome) in outcomes {
                if let Some(bar) = &bar {
                    bar.inc(1);
                }
                let exit = match &outcome {
                    Ok(report) => Exit::of(report),
                    Err(failure) => failure.exit,
                };
                worst = worst.worse(exit);
                if matches!(&outcome, Err(failure) if failure.exit == Exit::Interrupted) {
                    left_out += 1;
                    continue;
                }
                let line = if json {
                    let line = Line {
                        origin: &origin,
                        key: key.as_deref(),
                        report: outcome.as_ref().ok(),
                        failure: outcome
                            .as_ref()
                            .err()
                            .map(|failure| failure.diagnostic.to_string()),
                    };
                    let line = serde_json::to_string(&line);
                    line.map_err(|error| Failure::host(error.to_string()))?
                } else {
                    brief(&origin, &outcome)
                };
                output::print(&format!("{line}\n"))?;
            }
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
            if left_out > 0 {
                tracing::info!("{} not started", flows(left_out));
            }
            Ok(worst)
        })
        .map_err(|error| Failure::host(format!("a thread cannot be started: {error}")))
}

/// One request on one line, for people.
fn brief(origin: &Origin, outcome: &Result<Report, Failure>) -> String {
    let origin = match origin {
        Origin::File(path) => path.display().to_string(),
        Origin::Line(number) => format!("line {number}"),
    };
    match outcome {
        Ok(report) => {
            let error = report.error.as_ref();
            let error = error.map_or_else(String::new, |error| {
                format!("  {}: {}", error.kind, printable(&error.message))
            });
            format!("{origin}  {}  {}{error}", report.flow.id, report.flow.state)
        }
        Err(failure) => format!("{origin}  not run: {}", failure.diagnostic.message),
    }
}

/// How many flows have ended, for somebody who watches a terminal.
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
