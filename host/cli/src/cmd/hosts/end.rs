use cairn::Diagnostic;
use cairn::id::IdPrefix;
use cairn::store::hosts::{self, End as When, HostInfo};
use clap::Args;

use super::named;
use crate::exit::{Exit, Failure};
use crate::output::count;
use crate::session::Session;

/// End the lease of a host whose process is gone, so that other hosts take its flows over
///
/// Without --dead only a host is ended whose lease has expired, which other hosts also do themselves. A process that is alive after all
/// writes nothing more to the database: its next batch is refused. But what it does outside of the database, such as sending messages, is
/// not stopped, while other hosts continue its flows or roll them back.
///
/// A flow with an act outside the database that the host may be in is left as it is, with the verdict `unknown`, until the process is known to
/// be dead: `cairn host list` shows such a host until then, also when its lease is over. With --dead other hosts look at once what there is of
/// the object; if the process is alive after all, its act may leave an object that no row names.
#[derive(Args, Debug)]
pub struct End {
    /// The host, or the beginning of its id
    #[arg(value_name = "ID")]
    id: IdPrefix,
    /// Its process is dead, or its machine, as you know: end it although its lease has not expired, and go on with acts that it was in
    #[arg(long)]
    dead: bool,
}

impl End {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let hosts = session.hosts()?;
        let listed = hosts.list()?;
        let host = hosts::resolve(&listed, &self.id)?;
        let when = if self.dead { When::Dead } else { When::Expired };
        if host.has_ended && !self.dead {
            return Err(may_act(host));
        }
        // Another host may have ended it meanwhile.
        let is_gone = || -> Result<bool, Failure> {
            Ok(hosts.list()?.iter().all(|other| other.id != host.id))
        };
        if hosts.end(host.id, when, &session.operator())? || is_gone()? {
            let acts = match (when, host.acts) {
                (When::Dead, _) | (When::Expired, 0) => "",
                (When::Expired, _) => {
                    ": it may be in an act outside the database, whose flow goes on when its process is known to be dead"
                }
            };
            session.note(&format!("{} is ended{acts}", named(host)));
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

/// The error for a host without a lease that is not said to be dead.
fn may_act(host: &HostInfo) -> Failure {
    let acts = count(usize::try_from(host.acts).unwrap_or(0), "act");
    let message = format!(
        "the lease of {} was ended before, and its process may be alive: it may be in {acts} outside the database",
        named(host)
    );
    Failure {
        exit: Exit::Refused,
        diagnostic: Diagnostic::new(message).help(
            "their flows go on as soon as a host on its machine sees that the process has ended; if you know that it has, add --dead",
        ),
    }
}
