mod backup;
mod migrate;
mod parts;
mod restore;
mod vacuum;

use clap::Subcommand;

use crate::args::Format;
use crate::exit::{Exit, Failure};
use crate::output::{self, printable};
use crate::session::Session;

/// Check, back up, restore, migrate and shrink the database
#[derive(Debug, Subcommand)]
pub enum Db {
    /// Check the file's integrity and the digests of components, and print its schema version
    Check(Format),
    Backup(backup::Backup),
    Restore(restore::RestoreBackup),
    Migrate(migrate::Migrate),
    Vacuum(vacuum::Vacuum),
}

impl Db {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Check(format) => return check(session, format),
            Self::Backup(backup) => backup.run(session)?,
            Self::Restore(restore) => restore.run(session)?,
            Self::Migrate(migrate) => migrate.run(session)?,
            Self::Vacuum(vacuum) => vacuum.run(session)?,
        }
        Ok(Exit::Ok)
    }
}

/// Checks the database; a problem is [`Exit::Refused`].
fn check(session: &Session, format: Format) -> Result<Exit, Failure> {
    let check = session.any_reader()?.check()?;
    if format.is_json() {
        output::document(format, &check)?;
    } else {
        let mut text = format!(
            "schema version {} of {}\n",
            check.schema_version, check.newest_version
        );
        match check.problems.as_slice() {
            [] => text.push_str("no problem was found\n"),
            problems => problems
                .iter()
                .for_each(|problem| text += &format!("problem: {}\n", printable(problem))),
        }
        output::print(&text)?;
    }
    Ok(if check.problems.is_empty() {
        Exit::Ok
    } else {
        Exit::Refused
    })
}
