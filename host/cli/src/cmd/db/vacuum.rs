use bytesize::ByteSize;
use clap::Args;

use crate::args::Format;
use crate::exit::Failure;
use crate::output;
use crate::session::Session;

/// Shrink the database file: return the space of deleted rows to the file system
///
/// The database is rewritten in one transaction: a process that dies in the middle changes nothing. Others can read meanwhile, but not
/// write, so the command is refused (exit 6) while another process works on flows. It needs room for two copies of the new database:
/// one beside it, and one in the folder of temporary files, which SQLITE_TMPDIR names.
#[derive(Args, Debug)]
pub struct Vacuum {
    #[command(flatten)]
    format: Format,
}

impl Vacuum {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let vacuumed = session.file_store()?.vacuum()?;
        if self.format.is_json() {
            output::document(self.format, &vacuumed)?;
        } else {
            let size = |bytes| ByteSize(bytes).display().iec();
            output::print(&format!(
                "{} -> {}\n",
                size(vacuumed.before),
                size(vacuumed.after)
            ))?;
        }
        if !vacuumed.complete {
            session.warn(
                "another process still reads the old content, so the file has not shrunk: repeat the command when that process is done",
            );
        }
        Ok(())
    }
}
