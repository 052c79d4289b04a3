use cairn_effects::event::FlowState;
use cairn_effects::external::operate::{self, Adoption, BegunRemoval, OperatorsAct, RemovalEnd};
use cairn_effects::external::{ExternalKey, state};
use cairn_effects::history::History;
use cairn_model::error::TaskError;
use cairn_model::id::FlowId;
use serde_json::json;

use super::{Admin, Result};
use crate::operators::audit::Change;

impl Admin<'_> {
    /// Makes a row in the caller's project for an object outside the database that has none.
    ///
    /// # Errors
    /// `AdminRequired`; `ExternalExists`; [`StoreError::Elsewhere`](crate::StoreError::Elsewhere).
    pub fn adopt_external(&mut self, adoption: Adoption<'_>) -> Result<()> {
        self.require_admin("adopt objects outside the database")?;
        self.rules(|rows| operate::adopt(rows, adoption))?;
        let ExternalKey { provider, kind, .. } = adoption.key;
        self.record(Change {
            action: "external.adopt",
            subject: &adoption.key.id,
            project_id: Some(&self.requester().project_id),
            reason: Some(adoption.reason),
            after: json!({"provider": &**provider, "kind": &**kind, "result": adoption.result}),
            ..Change::default()
        })
    }

    /// Notes durably that an object is about to be removed, whose flow is over, or which no flow made; makes a row for one that has none.
    ///
    /// # Errors
    /// `AdminRequired`; `FlowUnfinished`; `Busy`; [`StoreError::Elsewhere`](crate::StoreError::Elsewhere).
    pub fn begin_external_removal(&mut self, act: &OperatorsAct<'_>) -> Result<BegunRemoval> {
        self.require_admin("remove objects outside the database")?;
        let found = self.view().standing_external(act.key)?;
        if let Some(flow) = found.as_ref().and_then(|row| row.flow) {
            self.require_ended(flow, act.key)?;
        }
        let begun = self.rules(|rows| operate::begin_removal(rows, act))?;
        let ExternalKey { provider, kind, .. } = act.key;
        let shown =
            |state: Option<&str>| json!({"provider": &**provider, "kind": &**kind, "state": state});
        self.record(Change {
            action: "external.remove",
            subject: &act.key.id,
            project_id: found.as_ref().map(|row| &*row.project_id),
            before: shown(found.as_ref().map(|row| &*row.state)),
            after: shown(Some(state::REMOVING)),
            ..Change::default()
        })?;
        Ok(begun)
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
