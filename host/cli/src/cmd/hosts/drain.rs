use std::thread;
use std::time::{Duration, Instant};

use cairn::Diagnostic;
use cairn::id::{HostId, IdPrefix};
use cairn::store::hosts::{self, HostInfo};
use clap::Args;

use super::named;
use crate::exit::{Exit, Failure};
use crate::output::count;
use crate::session::Session;

/// The interval between two looks at the hosts.
const LOOK: Duration = Duration::from_millis(100);

/// Tell hosts to give back the projects that they own, and wait until they have
///
/// A host that drains claims no more projects. Its flows end, or rest until another host goes on with them. Then its process can be
/// stopped, for an upgrade or for other settings, without a pause for its projects. Exits with 6 if a host still owns something when the
/// time is over; it goes on draining.
#[derive(Args, Debug)]
pub struct Drain {
    /// The host, or the beginning of its id; may be repeated
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<IdPrefix>,
    /// All hosts
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// How long to wait until they own nothing more, or have ended [default: 60]
    #[arg(long, value_name = "SECONDS", default_value_t = 60, hide_default_value = true, value_parser = clap::value_parser!(u32).range(..=86_400))]
    wait: u32,
}

impl Drain {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let hosts = session.hosts()?;
        let listed = hosts.list()?;
        let chosen: Vec<HostId> = match self.all {
            true => {
                let at_work = listed.iter().filter(|host| !host.has_ended);
                at_work.map(|host| host.id).collect()
            }
            false => {
                let ids = self.ids.iter();
                let found = ids.map(|id| hosts::resolve(&listed, id).map(|host| host.id));
                found.collect::<Result<_, _>>()?
            }
        };
        let operator = session.operator();
        for id in &chosen {
            // A host that is gone owns nothing.
            hosts.drain(*id, &operator)?;
        }
        let until = Instant::now() + Duration::from_secs(self.wait.into());
        loop {
            let mut left = hosts.list()?;
            left.retain(|host| chosen.contains(&host.id) && owns(host));
            if left.is_empty() {
                session.note(&format!("drained: {}", count(chosen.len(), "host")));
                return Ok(Exit::Ok);
            }
            if Instant::now() >= until {
                return Err(not_drained(&left));
            }
            thread::sleep(LOOK);
        }
    }
}

fn owns(host: &HostInfo) -> bool {
    host.partitions != Some(0) || host.flows > 0
}

fn not_drained(left: &[HostInfo]) -> Failure {
    let hosts = left.iter().map(|host| {
        let expired = if host.has_expired() {
            ", its lease has expired"
        } else {
            ""
        };
        let owned = format!(
            "{} and {}",
            count(
                usize::try_from(host.partitions.unwrap_or_default()).unwrap_or(0),
                "partition"
            ),
            count(usize::try_from(host.flows).unwrap_or(0), "flow")
        );
        format!("{} owns {owned}{expired}", named(host))
    });
    let hosts: Vec<String> = hosts.collect();
    Failure {
        exit: Exit::Refused,
        diagnostic: Diagnostic::new(format!("not drained yet: {}", hosts.join("; "))).help(
            "they go on draining: wait longer with --wait, or stop the processes; `cairn host end` ends a host whose process is gone",
        ),
    }
}
