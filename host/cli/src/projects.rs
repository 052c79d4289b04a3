//! Operators' changes of many projects. Each is a transaction of its own, so that hosts hand over one project at a time.

use cairn::store::HostStore;
use cairn::store::admin::Admin;
use cairn::{Identity, StoreError};

use crate::exit::Failure;
use crate::output::count;
use crate::session::Session;

/// The projects that were left as they are.
#[derive(Default)]
pub struct Left {
    projects: usize,
    /// Why the first of them was.
    why: Option<StoreError>,
}

impl Left {
    /// Changes a project; `None` when its host does not hand it over in time.
    ///
    /// # Errors
    /// Those of `work`, after which no further project is to be changed.
    pub fn change<T>(
        &mut self,
        store: &dyn HostStore,
        operator: &Identity,
        work: impl FnOnce(&mut Admin<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match store.admin(operator, work) {
            Ok(done) => Ok(Some(done)),
            Err(error @ StoreError::Elsewhere { .. }) => {
                self.projects += 1;
                self.why.get_or_insert(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Ends the command, once it has told what it changed.
    ///
    /// # Errors
    /// The reason, when projects were left.
    pub fn finish(self, session: &Session) -> Result<(), Failure> {
        let Some(why) = self.why else { return Ok(()) };
        let left = count(self.projects, "project");
        session.note(&format!("left: {left}; run the command again"));
        Err(why.into())
    }
}
