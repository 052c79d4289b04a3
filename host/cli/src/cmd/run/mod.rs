mod lines;
mod many;
mod one;
mod printer;
mod traffic;

use std::path::PathBuf;

use cairn::error::Diagnostic;
use cairn::host::Recovered;
use cairn::manifest::Manifest;
use cairn::report::Verdict;
use cairn::value::Value;
use clap::Args;

use crate::args::{Format, Placement, QuotaClass, Who, word};
use crate::envelope::Envelope;
use crate::exit::{Exit, Failure};
use crate::input::{self, Input};
use crate::session::Session;

pub(super) use one::Job;

/// Run a flow, and roll it back when one of its tasks fails
///
/// What a process that died left behind is taken up first, as `cairn recover` does.
///
/// A request is a JSON object, or {"request": {…}, "key": "…"}: an object with the key `request` is always such an envelope, and
/// nothing but `key` stands beside it. A line of --jsonl that is no request has a `failure` in its report, and the stream goes on;
/// when the reader of the reports is slow, no more lines are read than fit in memory. When stdout cannot be written any more, no
/// more requests are taken, flows that run are finished, and the exit code is 1. SIGINT, SIGTERM and SIGHUP interrupt the
/// flows that run: exit 5 when a flow was interrupted, or a line that was read was left out; 0 when every line has its report.
#[derive(Args, Debug)]
pub struct Run {
    /// The flow's manifest
    #[arg(value_name = "FLOW")]
    manifest: PathBuf,
    /// The request, a JSON object or {"request": {…}, "key": "…"}: a file, - for stdin, or the object itself; without it the request is {}. Repeated, each is a flow of its own
    #[arg(long = "input", short, value_name = "FILE|JSON")]
    inputs: Vec<Input>,
    /// Read many requests from stdin, a line each; print a report a line as the flows end
    #[arg(long, conflicts_with_all = ["inputs", "key"])]
    jsonl: bool,
    /// The same request under the same key gives the first one's report, and nothing is done twice
    ///
    /// A key is kept until its flow has ended and for `keep` of [idempotency] in cairn.toml after that, 30 days unless set,
    /// also when the flow is pruned meanwhile.
    #[arg(long, value_name = "KEY", value_parser = word)]
    key: Option<String>,
    /// How many tasks run at the same moment, where there are many requests [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Refuse plugins that are not as the lock file beside the manifest has them: see `cairn plan --lock`
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

/// The request in a document, and the key it is made under: that of the command line, or of its envelope. An empty object when there is
/// none.
///
/// # Errors
/// When it cannot be read, is no JSON, has a key twice, or something stands beside it.
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
                    .help("take one of them away"),
            ));
        }
        (given, enveloped) => given.or(enveloped),
    };
    Ok((key, request))
}

/// Says what was taken up, to whoever watches.
fn tell_recovered(session: &Session, recovered: &[Recovered]) {
    if recovered.is_empty() {
        return;
    }
    let number = |is: fn(&Recovered) -> bool| recovered.iter().filter(|flow| is(flow)).count();
    let stuck = number(|flow| flow.outcome.is_err());
    let incomplete = number(|flow| matches!(flow.outcome, Ok((_, Some(Verdict::Incomplete)))));
    let mut message = format!(
        "took up {} that a process left behind",
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
