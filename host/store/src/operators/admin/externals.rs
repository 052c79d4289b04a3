use cairn_effects::event::FlowState;
use cairn_effects::external::ExternalKey;
use cairn_effects::external::operate::{self, Adoption, BegunRemoval, OperatorsAct, RemovalEnd};
use cairn_effects::history::History;
use cairn_model::error::TaskError;
use cairn_model::id::FlowId;

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
    ///
    /// # Errors
    /// `AdminRequired`; `FlowUnfinished`; `Busy`; [`StoreError::Elsewhere`](crate::StoreError::Elsewhere).
    pub fn begin_external_removal(&mut self, act: &OperatorsAct<'_>) -> Result<BegunRemoval> {
        self.require_admin("remove objects outside the database")?;
        let found = self.view().standing_external(act.key)?;
        if let Some(flow) = found.and_then(|row| row.flow) {
            self.require_ended(flow, act.key)?;
        }
        self.rules(|rows| operate::begin_removal(rows, act))
    }

    /// Records how a removal that was begun has ended.
    ///
    /// # Errors
    /// `AdminRequired`; `ExternalChanged` when another act has begun since; [`StoreError::Elsewhere`](crate::StoreError::Elsewhere).
    pub fn end_external_removal(
        &mut self,
        act: &OperatorsAct<'_>,
        begun: &BegunRemoval,
        end: RemovalEnd,
    ) -> Result<()> {
        self.require_admin("remove objects outside the database")?;
        self.rules(|rows| operate::end_removal(rows, act, begun, end))
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
