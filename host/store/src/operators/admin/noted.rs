//! Facts that operators' commands note for the status of the database.

use cairn_model::clock::Timestamp;

use super::Admin;
use crate::StoreError;
use crate::operators::facts;
use crate::operators::view::CheckResult;

impl Admin<'_> {
    /// Notes that a backup was made, as of `at`.
    ///
    /// # Errors
    /// `AdminRequired`; [`StoreError::Database`].
    pub fn note_backup(&mut self, at: Timestamp) -> Result<(), StoreError> {
        self.require_admin("note a backup")?;
        self.set_fact(facts::BACKUP, &at.to_string())
    }

    /// Notes the results of checks, for [`View::status`](crate::view::View::status).
    ///
    /// # Errors
    /// `AdminRequired`; [`StoreError::Database`].
    pub fn note_checks(&mut self, checks: &[CheckResult]) -> Result<(), StoreError> {
        self.require_admin("note the result of a check")?;
        for check in checks {
            self.set_fact(&CheckResult::fact(check.name), &check.noted())?;
        }
        Ok(())
    }

    /// Forgets the result of a check, as what it looked at was repaired: the next [`View::status`](crate::view::View::status) runs it again.
    ///
    /// # Errors
    /// `AdminRequired`; [`StoreError::Database`].
    pub fn forget_check(&mut self, name: &str) -> Result<(), StoreError> {
        self.require_admin("forget the result of a check")?;
        let fact = CheckResult::fact(name);
        self.execute(facts::REMOVE, &[fact.as_str().into()])?;
        Ok(())
    }

    fn set_fact(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        self.execute(facts::SET, &[name.into(), value.into()])?;
        Ok(())
    }
}
