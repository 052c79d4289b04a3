mod many;
mod one;

use std::path::PathBuf;

use cairn::host::Recovered;
use cairn::manifest::Manifest;
use clap::Args;

use crate::args::{Format, Who, word};
use crate::exit::{Exit, Failure};
use crate::input;
use crate::session::Session;

/// Run a flow, and roll it back when one of its tasks fails
///
/// What a process that died left behind is taken up first, as `cairn recover` does.
#[derive(Args, Debug)]
pub struct Run {
    /// The flow's manifest
    #[arg(value_name = "FLOW")]
    manifest: PathBuf,
    /// The request, a JSON object; - is stdin, and without it the request is {}. Repeated, each is a flow of its own
    #[arg(long = "input", short, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Read many requests from stdin, a JSON object a line, or {"request": {…}, "key": "…"}; print a report a line as the flows end
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
}

impl Run {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let manifest = Manifest::parse(
            &input::text(&self.manifest, "the manifest")?,
            &self.manifest,
        )?;
        if self.jsonl || self.inputs.len() > 1 {
            many::run(self, session, &manifest)
        } else {
            one::run(self, session, &manifest)
        }
    }
}

/// Says what was taken up, to whoever watches.
fn tell_recovered(session: &Session, recovered: &[Recovered]) {
    if recovered.is_empty() {
        return;
    }
    let stuck = recovered
        .iter()
        .filter(|flow| flow.outcome.is_err())
        .count();
    let mut message = format!(
        "took up {} that a process left behind",
        flows(recovered.len() - stuck)
    );
    if stuck > 0 {
        message += &format!(
            "; {} cannot be recovered, see `cairn flows list --stuck`",
            flows(stuck)
        );
    }
    session.warn(&message);
}

/// `1 flow`, `2 flows`.
fn flows(number: usize) -> String {
    format!("{number} flow{}", if number == 1 { "" } else { "s" })
}
