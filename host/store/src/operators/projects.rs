//! Operators' changes of many projects. Each is a transaction of its own, so that hosts hand over one project at a time.

use cairn_model::id::Identity;

use super::admin::Admin;
use crate::{HostStore, StoreError};

/// The projects that were left as they are.
#[derive(Debug, Default)]
pub struct Left {
    /// How many.
    pub projects: usize,
    /// Why the first of them was.
    pub why: Option<StoreError>,
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
}
