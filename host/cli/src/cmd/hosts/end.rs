use cairn::Diagnostic;
use cairn::id::IdPrefix;
use cairn::store::hosts::{self, End as When};
use clap::Args;

use super::named;
use crate::exit::{Exit, Failure};
use crate::session::Session;

/// End the lease of a host whose process is gone, so that other hosts take its flows over
///
/// Without --dead only a host is ended whose lease has expired, which other hosts also do themselves. A process that is alive after all
/// writes nothing more to the database: its next batch is refused. But what it does outside of the database, such as sending messages, is
/// not stopped, while other hosts continue its flows or roll them back.
#[derive(Args, Debug)]
pub struct End {
    /// The host, or the beginning of its id
    #[arg(value_name = "ID")]
    id: IdPrefix,
    /// End it although its lease has not expired: you know that its process is dead, or its machine
    #[arg(long)]
    dead: bool,
}

impl End {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let hosts = session.hosts()?;
        let listed = hosts.list()?;
        let host = hosts::resolve(&listed, &self.id)?;
        let when = if self.dead { When::Dead } else { When::Expired };
        // Another host may have ended it meanwhile.
        let is_gone = || -> Result<bool, Failure> {
            Ok(hosts.list()?.iter().all(|other| other.id != host.id))
        };
        if hosts.end(host.id, when)? || is_gone()? {
            session.note(&format!("{} is ended", named(host)));
            return Ok(());
        }
        let message = format!(
            "the lease of {} has not expired: its process may be alive",
            named(host)
        );
        Err(Failure {
            exit: Exit::Refused,
            diagnostic: Diagnostic::new(message).help(
                "wait until the lease expires; if you know that the process is dead, add --dead; `cairn host drain` ends one that is alive",
            ),
        })
    }
}
