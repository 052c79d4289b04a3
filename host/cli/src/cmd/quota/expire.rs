use cairn::volumes::operator::{Expired, OperateVolumes as _, ReadVolumes as _};
use clap::Args;

use crate::args::Format;
use crate::exit::Failure;
use crate::output::{self, count};
use crate::projects::Left;
use crate::session::Session;

/// Roll back expired reservations of every project
///
/// Reservations of a flow that has not ended stay: the flow closes them, or the process that recovers it. Each project is changed in a
/// transaction of its own; one that its host does not hand over in time is left, and the exit is 6 then.
#[derive(Args, Debug)]
pub struct Expire {
    #[command(flatten)]
    format: Format,
}

impl Expire {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let operator = session.operator();
        let store = session.store()?;
        let projects = store.read(&operator, |view| view.expiring_projects())?;
        let (mut expired, mut left) = (Expired::default(), Left::default());
        for project in projects {
            let done = left.change(&*store, &operator, |admin| admin.expire_project(&project))?;
            expired += done.unwrap_or_default();
        }
        if self.format.is_json() {
            output::document(self.format, &expired)?;
        } else {
            output::print(&format!(
                "{} rolled back, {} left to flows that have not ended\n",
                count(expired.rolled_back, "reservation"),
                expired.kept
            ))?;
        }
        left.finish(session)
    }
}
