use cairn::volumes::operator::OperateVolumes as _;
use clap::Args;

use crate::args::Format;
use crate::exit::Failure;
use crate::output::{self, count};
use crate::session::Session;

/// Roll back expired reservations of every project
///
/// Reservations of a flow that has not ended stay: the flow closes them, or the process that recovers it.
#[derive(Args, Debug)]
pub struct Expire {
    #[command(flatten)]
    format: Format,
}

impl Expire {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let operator = session.operator();
        let expired = session
            .store()?
            .admin(&operator, |admin| admin.expire_reservations())?;
        if self.format.is_json() {
            return output::document(self.format, &expired);
        }
        output::print(&format!(
            "{} rolled back, {} left to flows that have not ended\n",
            count(expired.rolled_back, "reservation"),
            expired.kept
        ))
    }
}
