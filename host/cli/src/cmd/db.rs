mod backup;
mod migrate;
mod move_to;
mod parts;
mod release;
mod restore;
mod vacuum;

use cairn::store::Copied;
use clap::Subcommand;

use crate::args::Format;
use crate::exit::{Exit, Failure};
use crate::output::{self, printable};
use crate::session::Session;

/// Check, back up, restore, migrate, move and shrink the database
#[derive(Debug, Subcommand)]
pub enum Db {
    /// Check the file's integrity and the digests of components, and print its schema version
    Check(Format),
    Backup(backup::Backup),
    Restore(restore::RestoreBackup),
    Release(release::Release),
    Move(move_to::Move),
    Migrate(migrate::Migrate),
    Vacuum(vacuum::Vacuum),
}

impl Db {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Check(format) => return check(session, format),
            Self::Backup(backup) => backup.run(session)?,
            Self::Restore(restore) => restore.run(session)?,
            Self::Release(release) => release.run(session)?,
            Self::Move(to) => to.run(session)?,
            Self::Migrate(migrate) => migrate.run(session)?,
            Self::Vacuum(vacuum) => vacuum.run(session)?,
        }
        Ok(Exit::Ok)
    }
}

/// Checks the database; a problem is [`Exit::Refused`].
fn check(session: &Session, format: Format) -> Result<Exit, Failure> {
    let reader = session.any_reader()?;
    let check = reader.check()?;
    if let Some(since) = reader.view(&session.operator()).held()? {
        session.note(&format!(
            "the database was restored at {since} and is held until `cairn db release`"
        ));
    }
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

/// Warns of components that were copied as they were, damaged.
fn warn_of_damage(session: &Session, copied: &Copied) {
    for problem in &copied.damaged {
        session.warn(&format!(
            "{problem}; it was copied as it is, and a flow that uses this component stores it again"
        ));
    }
}
