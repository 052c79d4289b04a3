use cairn::volumes::operator::expire_reservations;
use clap::Args;

use crate::args::Format;
use crate::exit::Failure;
use crate::output::{self, count};
use crate::projects;
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
        let done = expire_reservations(&*store, &operator, None, None)?;
        let expired = done.expired;
        if self.format.is_json() {
            output::document(self.format, &expired)?;
        } else {
            output::print(&format!(
                "{} rolled back, {} left to flows that have not ended\n",
                count(expired.rolled_back, "reservation"),
                expired.kept
            ))?;
        }
        projects::finish(done.left, session)
    }
}
