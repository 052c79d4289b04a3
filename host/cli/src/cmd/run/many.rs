//! Runs many requests; prints one report per line as the flows end.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use cairn::flow_request::{self, Entered};
use cairn::host::ReadyPlan;
use cairn::store::view::Reader;
use cairn::{Diagnostic, Host, HostError, Identity, Manifest, Submission, value};

use super::lines::{self, Line};
use super::printer::{self, Origin, Outcome, Printed};
use super::traffic::{Ticket, Traffic};
use super::{Run, requested, tell_recovered};
use crate::envelope::Envelope;
use crate::exit::{Exit, Failure};
use crate::input::Input;
use crate::interrupt::Interrupt;
use crate::output::{self, count};
use crate::session::Session;

/// Interval between checks for a signal, and for a reader of the reports that is gone.
const LOOK: Duration = Duration::from_millis(50);

/// A request and its origin.
struct Asked {
    origin: Origin,
    entered: Entered,
}

/// Submits requests to the host.
struct Desk {
    host: Arc<Host>,
    plan: Arc<ReadyPlan>,
    action: Option<String>,
    requester: Identity,
    reader: Reader,
    printer: Sender<Outcome>,
    traffic: Arc<Traffic>,
    interrupted: Arc<AtomicBool>,
}

/// Runs the requests. Those in files are all checked before the first one runs, those of a stream one by one.
pub(super) fn run(run: Run, session: &Session, manifest: &Manifest) -> Result<Exit, Failure> {
    if run.key.is_some() {
        return Err(
            Diagnostic::new("one key cannot be used for several requests")
                .help("use --jsonl, where each request has a key of its own")
                .into(),
        );
    }
    let policy = session.policy()?;
    let requester = session.identity(&run.who, &policy);
    let planner = session.planner()?.policy(Arc::clone(&policy));
    let plan = session.plan(&planner, manifest, run.locked)?;
    let action = plan.action.as_deref();
    let mut asked = Vec::new();
    for (source, number) in run.inputs.iter().zip(1..) {
        let (key, request) = requested(Some(source), None)?;
        let entered = session.peek(&requester, |view| {
            let key = key.as_deref();
            Ok(flow_request::enter(
                &plan.name,
                action,
                &request,
                key,
                source.path(),
                view,
            )?)
        })?;
        asked.push(Asked {
            origin: match source {
                Input::File(path) => Origin::File(path.clone()),
                Input::Inline(_) => Origin::Argument(number),
            },
            entered,
        });
    }

    let mut builder = session
        .host(planner, policy)?
        .share(run.jsonl)
        .wake(run.jsonl);
    if let Some(workers) = run.workers {
        builder = builder.workers(workers.into());
    }
    let host = Arc::new(builder.build()?);
    if run.no_wait {
        host.leave_waiting();
    }
    tell_recovered(session, &host.recover(false)?);
    let traffic = Arc::<Traffic>::default();
    let interrupted = Arc::new(AtomicBool::new(false));
    let interrupt = Interrupt::with(&session.settings.global, {
        let (interrupted, traffic) = (Arc::clone(&interrupted), Arc::clone(&traffic));
        let host = Arc::downgrade(&host);
        move || {
            interrupted.store(true, Ordering::SeqCst);
            close(&traffic, &host, Host::stop);
        }
    })?;
    let (printer, outcomes) = channel();
    let json = run.jsonl || run.format.is_json();
    let total = (!run.jsonl).then_some(asked.len() as u64);
    let printing = printer::print(outcomes, json, total, {
        let (traffic, host) = (Arc::clone(&traffic), Arc::downgrade(&host));
        move || close(&traffic, &host, Host::drain)
    })?;
    let desk = Desk {
        plan: host.ready(&plan)?,
        action: plan.action.clone(),
        requester,
        reader: session.reader()?,
        host,
        printer,
        traffic: Arc::clone(&traffic),
        interrupted,
    };
    let taken = if run.jsonl {
        desk.take_stream()
    } else {
        desk.take_all(asked);
        Ok(())
    };
    let host = Arc::clone(&desk.host);
    if run.jsonl {
        host.leave_waiting();
    }
    desk.finish(&printing);
    session.settle(&host);
    drop(host);
    let printed = printing
        .join()
        .map_err(|_| Failure::host("the thread that prints panicked"));
    // Until the last report is written, a second signal ends the process.
    drop(interrupt);
    conclude(session, printed?, traffic.taken(), taken)
}

/// Takes no more requests, and calls `end` on the host if it still exists.
fn close(traffic: &Traffic, host: &Weak<Host>, end: impl Fn(&Host)) {
    traffic.close();
    // At once, because the desk may be waiting for room in the queue.
    if let Some(host) = host.upgrade() {
        end(&host);
    }
}

/// Returns the exit code of the run. Every request that was read has a report, or is counted on stderr.
fn conclude(
    session: &Session,
    printed: Printed,
    taken: u64,
    stream: Result<(), Failure>,
) -> Result<Exit, Failure> {
    let Printed {
        worst,
        delivered,
        lost,
    } = printed;
    let (lost, error) = lost.map_or((0, None), |(lost, error)| (lost, Some(error)));
    let left_out = taken.saturating_sub(delivered + lost);
    if left_out > 0 {
        session.warn(&format!(
            "left out: {}, read but not started; submit again the requests without a report",
            count(left_out as usize, "request")
        ));
    }
    if let Some(error) = error {
        let lost = count(lost as usize, "report");
        let message = format!("stdout cannot be written: {error}; not delivered: {lost}");
        return Err(Failure {
            exit: Exit::Host,
            diagnostic: Diagnostic::new(message)
                .help("the flows themselves have ended: `cairn flow list` shows them"),
        });
    }
    stream?;
    Ok(match left_out {
        0 => worst,
        _ => worst.worse(Exit::Interrupted),
    })
}

impl Desk {
    /// Takes requests from stdin until it ends, a signal comes, or the reader of the reports is gone.
    fn take_stream(&self) -> Result<(), Failure> {
        let lines = lines::read_ahead(Arc::clone(&self.traffic))?;
        while !self.traffic.is_closed() {
            match lines.recv_timeout(LOOK) {
                Ok(Ok(line)) => self.take_line(line),
                Ok(Err(error)) => return Err(Failure::host(format!("stdin: {error}"))),
                Err(RecvTimeoutError::Timeout) if output::reader_is_gone() => {
                    close(&self.traffic, &Arc::downgrade(&self.host), Host::drain);
                    let error = io::Error::from(io::ErrorKind::BrokenPipe);
                    return Err(Failure::host(format!(
                        "stdout cannot be written: {error}: no more requests are taken"
                    )));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }

    fn take_line(&self, line: Line) {
        let origin = Origin::Line(line.number);
        let (key, entered) = match line.text {
            Ok(text) => self.read_line(&text),
            Err(problem) => (None, Err(problem.into())),
        };
        match entered {
            Ok(entered) => self.submit(Asked { origin, entered }, line.ticket),
            Err(failure) => self.tell(Outcome {
                origin,
                key,
                result: Err(failure),
                ticket: Some(line.ticket),
            }),
        }
    }

    /// Parses a line to its key, which is returned even if the line is refused, and its request.
    fn read_line(&self, line: &str) -> (Option<String>, Result<Entered, Failure>) {
        let document = match value::parse(line) {
            Ok(document) => document,
            Err(error) => {
                let problem = Diagnostic::new(value::refused("the line", &error));
                return (None, Err(problem.into()));
            }
        };
        let Envelope { key, request } = Envelope::open(document);
        let view = self.reader.view(&self.requester);
        let entered = request.map_err(Failure::from).and_then(|request| {
            let (flow, action) = (self.plan.name(), self.action.as_deref());
            let key = key.as_deref();
            Ok(flow_request::enter(
                flow, action, &request, key, None, &view,
            )?)
        });
        (key, entered)
    }

    /// Submits requests that were read before; once no more are taken, the rest is left out.
    fn take_all(&self, asked: Vec<Asked>) {
        for asked in asked {
            // Their text is in memory already.
            if let Some(ticket) = self.traffic.admit(0) {
                self.submit(asked, ticket);
            }
        }
    }

    /// Submits a request; waits while the host's queue is full.
    fn submit(&self, asked: Asked, ticket: Ticket) {
        let Asked { origin, entered } = asked;
        let key = entered.key.as_ref().map(|key| key.text().to_owned());
        let submission = Submission {
            plan: Arc::clone(&self.plan),
            requester: self.requester.clone(),
            request: entered.request,
            key: entered.key,
        };
        let (printer, asked) = (self.printer.clone(), (origin.clone(), key.clone()));
        let traffic = Arc::clone(&self.traffic);
        let submitted = self.host.submit_then(submission, move |report| {
            let (origin, key) = asked;
            if report.as_ref().is_err_and(HostError::is_final) {
                traffic.close();
            }
            // Cannot fail: the printer lives as long as a sender.
            let _ = printer.send(Outcome {
                origin,
                key,
                result: report.map_err(Failure::from),
                ticket: Some(ticket),
            });
        });
        if let Err(error) = submitted {
            self.tell(Outcome {
                origin,
                key,
                result: Err(error.into()),
                ticket: None,
            });
        }
    }

    fn tell(&self, outcome: Outcome) {
        // Cannot fail: the printer lives as long as a sender.
        let _ = self.printer.send(outcome);
    }

    /// Waits until every request has ended and its report is printed. Once no more requests are taken, returns when no flow runs in this
    /// process: requests that wait for flows of other processes are dropped with the host.
    fn finish<T>(self, printing: &JoinHandle<T>) {
        let Self {
            host,
            printer,
            traffic,
            interrupted,
            reader,
            ..
        } = self;
        // The last connection that closes copies and removes the log, which a read-only one cannot.
        drop(reader);
        // The printer ends when the last flow has sent its outcome.
        drop(printer);
        while !printing.is_finished() {
            if interrupted.load(Ordering::SeqCst) {
                // A flow may have started since the last stop.
                host.stop();
            }
            if traffic.is_closed() && host.unfinished() == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
