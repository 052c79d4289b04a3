use cairn::Sqlite;
use clap::Args;

use crate::args::Format;
use crate::exit::Failure;
use crate::output;
use crate::session::Session;

/// Migrate the database to the newest version of the schema
///
/// Commands that write to the database do so themselves. Make a backup first: an older program cannot read a newer schema.
#[derive(Args, Debug)]
pub struct Migrate {
    #[command(flatten)]
    format: Format,
}

impl Migrate {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        session.require_database()?;
        let migrated = Sqlite::migrate(session.settings.db.path(), &session.domains(None)?)?;
        if self.format.is_json() {
            return output::document(self.format, &migrated);
        }
        let (from, to) = (migrated.from, migrated.to);
        output::print(&if from == to {
            format!("schema version {to}: it is the newest already\n")
        } else {
            format!("schema version {from} -> {to}\n")
        })
    }
}
