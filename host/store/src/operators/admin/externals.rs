use cairn_effects::event::FlowState;
use cairn_effects::external::operate::{self, Adoption};
use cairn_effects::external::{ExternalKey, token};
use cairn_effects::history::History;
use cairn_model::error::TaskError;
use cairn_model::id::FlowId;
use cairn_model::value::Digest;

use super::{Admin, Result};

/// The number of effects in the tokens of acts on objects of no flow: greater than that of any flow.
const OF_NO_FLOW: u32 = u32::MAX;

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
    /// Returns the token of the removal.
    ///
    /// # Errors
    /// `AdminRequired`; `FlowUnfinished`; [`StoreError::Elsewhere`](crate::StoreError::Elsewhere).
    pub fn begin_external_removal(&mut self, key: &ExternalKey, digest: Digest) -> Result<u64> {
        self.require_admin("remove objects outside the database")?;
        let row = self.view().standing_external(key)?;
        let effect = match row.and_then(|row| row.flow) {
            Some(flow) => self.effect_of_ended(flow, key)?,
            None => OF_NO_FLOW,
        };
        let act = self.rules(|rows| operate::begin_removal(rows, key, digest))?;
        Ok(token(effect, act))
    }

    /// Removes the row of an object that was removed.
    ///
    /// # Errors
    /// `AdminRequired`; `ExternalChanged` when it is not being removed; [`StoreError::Elsewhere`](crate::StoreError::Elsewhere).
    pub fn end_external_removal(&mut self, key: &ExternalKey) -> Result<()> {
        self.require_admin("remove objects outside the database")?;
        self.rules(|rows| operate::end_removal(rows, key))
    }

    /// Returns the number of the effect that made an object, if its flow is over.
    fn effect_of_ended(&self, flow: FlowId, key: &ExternalKey) -> Result<u32> {
        let view = self.view();
        let Some(history) = History::fold(&view.journal(flow)?, view.domains()) else {
            return Ok(OF_NO_FLOW);
        };
        let is_over = matches!(history.state, FlowState::Success | FlowState::Failure);
        if is_over && history.sleep.is_none() {
            let intent = history.act_on(key).map(|(intent, _)| intent.number);
            return Ok(intent.unwrap_or(OF_NO_FLOW));
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
