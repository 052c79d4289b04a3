use bytesize::ByteSize;
use clap::Args;

use crate::args::Format;
use crate::exit::Failure;
use crate::output;
use crate::session::Session;

/// Give the space of what was deleted back to the file system
///
/// The database is written anew, in one transaction: a process that dies in the middle changes nothing. Reading goes on meanwhile, but
/// nobody else can write, so it is refused (exit 6) while another process works on flows. It needs room for the new database twice:
/// beside it, and in the folder of temporary files, which SQLITE_TMPDIR names.
#[derive(Args, Debug)]
pub struct Vacuum {
    #[command(flatten)]
    format: Format,
}

impl Vacuum {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let vacuumed = session.store()?.vacuum()?;
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
                "another process reads the database as it was before: the file shrinks when that is done; ask again then",
            );
        }
        Ok(())
    }
}
