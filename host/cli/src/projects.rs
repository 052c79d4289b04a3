//! Ends commands that change many projects.

use cairn::store::projects::Left;

use crate::exit::Failure;
use crate::output::count;
use crate::session::Session;

/// Ends the command, once it has told what it changed.
///
/// # Errors
/// The reason, when projects were left.
pub fn finish(left: Left, session: &Session) -> Result<(), Failure> {
    let Some(why) = left.why else { return Ok(()) };
    let left = count(left.projects, "project");
    session.note(&format!("left: {left}; run the command again"));
    Err(why.into())
}
