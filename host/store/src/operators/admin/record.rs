//! Records what operators change, in the transaction of the change.

use cairn_model::id::FlowId;

use super::{Admin, Result};
use crate::StoreError;
use crate::audit_row::AuditRow;
use crate::operators::audit::Change;

/// How many rows that were kept long enough a new one removes at most.
const REMOVED: i64 = 100;

impl Admin<'_> {
    /// Records a change that this transaction makes, as asked for by its [requester](Self::requester). Removes some older changes that were
    /// kept long enough.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn record(&mut self, change: Change<'_>) -> Result<()> {
        let row = AuditRow {
            action: change.action.to_owned(),
            subject: change.subject.to_owned(),
            project_id: change.project_id.map(str::to_owned),
            reason: change.reason.or(self.reason()).map(str::to_owned),
            before: change.before,
            after: change.after,
            ..AuditRow::new(self.now(), self.requester())
        };
        self.execute(AuditRow::INSERT, &row.cells())?;
        self.prune_audit(REMOVED).map(drop)
    }

    /// Removes changes that were kept long enough, at most `most`, the oldest first; returns how many.
    pub(super) fn prune_audit(&mut self, most: i64) -> Result<usize, StoreError> {
        // Ids of both kinds are UUIDs that begin with the time.
        let before = FlowId::least_at(self.env().audit_kept_since()).to_string();
        let statement = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id < $1 ORDER BY id LIMIT $2)";
        self.execute(statement, &[before.as_str().into(), most.into()])
    }
}
