use cairn_effects::event::FlowState;
use cairn_effects::external::operate::{self, Adoption};
use cairn_effects::external::{ExternalKey, OF_NO_FLOW, token};
use cairn_effects::history::History;
use cairn_model::error::TaskError;
use cairn_model::id::{FlowId, HostId};
use cairn_model::value::Digest;

use super::{Admin, Result};

impl Admin<'_> {
    /// Makes a row in the caller's project for an object outside the database that has none.
    ///
    /// # Errors
    /// `AdminRequired`; `ExternalExists`; [`StoreError::Elsewhere`](crate::StoreError::Elsewhere).
    pub fn adopt_external(&mut self, adoption: Adoption<'_>) -> Result<()> {
        self.require_admin("adopt objects outside the database")?;
        self.rules(|rows| operate::adopt(rows, adoption))
    }

    /// Notes durably that an object is about to be removed, whose flow is over, or which no flow made; makes a row for one that has none.
    /// `host` is this process, which is about to act. Returns the token of the removal.
    ///
    /// # Errors
    /// `AdminRequired`; `FlowUnfinished`; [`StoreError::Elsewhere`](crate::StoreError::Elsewhere).
    pub fn begin_external_removal(
        &mut self,
        key: &ExternalKey,
        digest: Digest,
        host: HostId,
    ) -> Result<u64> {
        self.require_admin("remove objects outside the database")?;
        if let Some(flow) = self.view().standing_external(key)?.and_then(|row| row.flow) {
            self.require_ended(flow, key)?;
        }
        let act = self.rules(|rows| operate::begin_removal(rows, key, digest, host))?;
        Ok(token(OF_NO_FLOW, act))
    }

    /// Removes the row of an object that `is_gone`; else records that the act on it is over.
    ///
    /// # Errors
    /// `AdminRequired`; `ExternalChanged` when it is not being removed; [`StoreError::Elsewhere`](crate::StoreError::Elsewhere).
    pub fn end_external_removal(&mut self, key: &ExternalKey, is_gone: bool) -> Result<()> {
        self.require_admin("remove objects outside the database")?;
        self.rules(|rows| operate::end_removal(rows, key, is_gone))
    }

    /// Refuses the removal of an object whose flow is not over.
    fn require_ended(&self, flow: FlowId, key: &ExternalKey) -> Result<()> {
        let view = self.view();
        let Some(history) = History::fold(&view.journal(flow)?, view.domains()) else {
            return Ok(());
        };
        let is_over = matches!(history.state, FlowState::Success | FlowState::Failure);
        if is_over && history.sleep.is_none() {
            return Ok(());
        }
        let state = history.state.as_str();
        let message = format!(
            "flow {flow} of the object `{}` is not over ({state}), and removes the object itself if it fails: `cairn flow rollback {flow}` \
             undoes it; with --accept REASON it ends, and leaves the object",
            key.id
        );
        Err(TaskError::new("FlowUnfinished", message)
            .with("flow", flow.to_string())
            .with("state", state)
            .into())
    }
}
