mod lines;
mod many;
mod one;
mod printer;
mod traffic;

use std::path::PathBuf;

use cairn::host::Recovered;
use cairn::{Diagnostic, Manifest, Value, Verdict};
use clap::Args;

use crate::args::{Format, Placement, QuotaClass, Who, word};
use crate::envelope::Envelope;
use crate::exit::{Exit, Failure};
use crate::input::{self, Input};
use crate::session::Session;

pub(super) use one::Job;

/// Run a flow, and roll it back if one of its tasks fails
///
/// Flows of dead processes are recovered first, as by `cairn recover`.
///
/// A request is a JSON object, or {"request": {…}, "key": "…"}: an object with the field `request` is always such an envelope, whose
/// only other field is `key`. With --jsonl, a line that is not a request has a `failure` in its report, and the stream continues; a
/// slow reader of the reports slows the stream down. When stdout cannot be written any more, no more requests are taken, running flows
/// are finished, and the exit code is 1. SIGINT, SIGTERM and SIGHUP interrupt the running flows: the exit code is 5 if a flow was
/// interrupted or a line that was read was left out, and 0 if every line has its report.
#[derive(Args, Debug)]
pub struct Run {
    /// Manifest of the flow
    #[arg(value_name = "FLOW")]
    manifest: PathBuf,
    /// Request, a JSON object or {"request": {…}, "key": "…"}: a file, - for stdin, or the object itself [default: {}]. May be repeated; each request is a flow of its own
    #[arg(long = "input", short, value_name = "FILE|JSON")]
    inputs: Vec<Input>,
    /// Read requests from stdin, one per line; print one report per line as the flows end
    #[arg(long, conflicts_with_all = ["inputs", "key"])]
    jsonl: bool,
    /// Idempotency key: the same request under the same key returns the first one's report, and starts no new flow
    ///
    /// A key is kept until 30 days after its flow's end, or for the time `keep` of [idempotency] in cairn.toml, even if the flow
    /// is pruned.
    #[arg(long, value_name = "KEY", value_parser = word)]
    key: Option<String>,
    /// Leave flows that wait for a time or a signal asleep, with their report: the exit code is 5
    ///
    /// Without it, the end of each flow is waited for; in a stream, until the last request was read.
    #[arg(long)]
    no_wait: bool,
    /// Number of tasks that run at the same time, with many requests [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Refuse plugins that differ from the lock file beside the manifest: see `cairn plan --lock`
    #[arg(long)]
    locked: bool,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    placement: Placement,
    #[command(flatten)]
    quota_class: QuotaClass,
}

impl Run {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let manifest = Manifest::parse(
            &input::text(&self.manifest, "the manifest")?,
            &self.manifest,
            &session.settings.kinds,
        )?;
        if self.jsonl || self.inputs.len() > 1 {
            many::run(self, session, &manifest)
        } else {
            one::run(self, session, &manifest)
        }
    }
}

/// Reads a request, and its key from the command line or the envelope. The request is an empty object if there is no source.
///
/// # Errors
/// When it cannot be read, is not JSON, has two keys, or its envelope has another field.
fn requested(
    source: Option<&Input>,
    key: Option<String>,
) -> Result<(Option<String>, Value), Diagnostic> {
    let envelope = Envelope::open(input::request(source)?);
    let place = |problem: Diagnostic| match source {
        Some(source) => source.place(problem, None),
        None => problem,
    };
    let request = envelope.request.map_err(place)?;
    let key = match (key, envelope.key) {
        (Some(_), Some(_)) => {
            return Err(place(
                Diagnostic::new("the request has a key in its envelope, and --key names one too")
                    .help("remove one of them"),
            ));
        }
        (given, enveloped) => given.or(enveloped),
    };
    Ok((key, request))
}

/// Warns about the flows that were recovered.
fn tell_recovered(session: &Session, recovered: &[Recovered]) {
    if recovered.is_empty() {
        return;
    }
    let number = |is: fn(&Recovered) -> bool| recovered.iter().filter(|flow| is(flow)).count();
    let stuck = number(|flow| flow.outcome.is_err());
    let incomplete = number(|flow| matches!(flow.outcome, Ok((_, Some(Verdict::Incomplete)))));
    let mut message = format!(
        "recovered {} of dead processes",
        flows(recovered.len() - stuck)
    );
    if incomplete > 0 {
        message += &format!(
            "; the rollback of {} is incomplete, see `cairn flow list --incomplete`",
            flows(incomplete)
        );
    }
    if stuck > 0 {
        message += &format!(
            "; {} cannot be recovered, see `cairn flow list --stuck`",
            flows(stuck)
        );
    }
    session.warn(&message);
}

/// `1 flow`, `2 flows`.
fn flows(number: usize) -> String {
    format!("{number} flow{}", if number == 1 { "" } else { "s" })
}
