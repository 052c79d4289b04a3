use cairn::flow::Provider;
use cairn::{Identity, externals};
use clap::Args;

use super::{Which, failed};
use crate::args::{Who, word};
use crate::exit::Failure;
use crate::session::Session;

/// Make a row for an object that has none, so that it belongs to a project
///
/// The project is that of the requester. No flow removes the object; `cairn external remove` does. Needs --admin.
#[derive(Args, Debug)]
pub struct Adopt {
    #[command(flatten)]
    which: Which,
    /// Reason, which is recorded
    #[arg(long, value_name = "TEXT", value_parser = word)]
    reason: String,
    #[command(flatten)]
    who: Who,
}

/// Remove an object whose flow is over, and its row
///
/// For orphans, for what a flow left that ended with `--accept`, and for adopted objects. Records that the object is about to be removed,
/// asks the provider to remove it, and removes the row when the provider says that the object is absent. May be repeated. Refused while
/// the object's flow is not over. Needs --admin.
#[derive(Args, Debug)]
pub struct Remove {
    #[command(flatten)]
    which: Which,
    /// Do it: there is no way back. `cairn external look` shows the object
    #[arg(long, required = true)]
    yes: bool,
    #[command(flatten)]
    who: Who,
}

impl Adopt {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let (requester, provider) = asked(session, &self.who, &self.which)?;
        let (key, store) = (self.which.key(), session.store()?);
        let adopted = externals::adopt(&*store, &requester, &provider, &key, &self.reason);
        let found = adopted.map_err(failed)?;
        session.note(&format!(
            "adopted for the project `{}`: it is {}",
            requester.project_id,
            found.as_str()
        ));
        Ok(())
    }
}

impl Remove {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let (requester, provider) = asked(session, &self.who, &self.which)?;
        let (key, store) = (self.which.key(), session.store()?);
        externals::remove(&*store, &requester, &provider, &key, None).map_err(failed)
    }
}

/// Returns who asks, and the provider of the object.
fn asked(session: &Session, who: &Who, which: &Which) -> Result<(Identity, Provider), Failure> {
    let requester = session.requester(who)?;
    let reader = session.reader()?;
    let provider = which.provider(session, &reader.view(&requester))?;
    Ok((requester, provider))
}
