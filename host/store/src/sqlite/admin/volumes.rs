//! Volumes and snapshots that an operator adds or takes away, with the quota they are booked with.

use rusqlite::OptionalExtension;

use cairn_effects::volumes::operate;
use cairn_model::error::TaskError;
use cairn_model::id::FlowId;
use cairn_model::value::{Object, Value};

use super::{Admin, Result, not_found};

impl Admin<'_, '_> {
    /// Adds a volume that is there already, such as one to make others from, to the caller's project, and books its quota.
    ///
    /// # Errors
    /// `InvalidInput`, `OverQuota`; those of [`VolumeCreate`](cairn_effects::volumes::VolumeCreate).
    pub fn create_volume(&mut self, properties: Object) -> Result<Value> {
        self.rules(|rows| operate::create_volume(rows, properties.clone()))
    }

    /// Sets `status` or `host` of a volume, as its backend would.
    ///
    /// # Errors
    /// `VolumeNotFound`.
    pub fn update_volume(&mut self, id: &str, changes: Object) -> Result<Value> {
        self.rules(|rows| operate::update_volume(rows, id, changes.clone()))
    }

    /// Soft-deletes a volume, and gives back the quota that it is booked with: to the volume's project, whoever asks. A
    /// rollback of the flow that made it does not give that back again.
    ///
    /// # Errors
    /// `VolumeNotFound`; `VolumeInUse` when it has snapshots; `FlowUnfinished` while the flow that made it has not ended,
    /// since that flow may yet book the volume, or give its quota back.
    pub fn delete_volume(&mut self, id: &str) -> Result<()> {
        self.rules(|rows| operate::check_unused(rows, id))?;
        self.require_ended_flow(id)?;
        self.rules(|rows| operate::delete_volume(rows, id))
    }

    /// Refuses what would take a volume from under the flow that made it. A pruned flow has ended.
    fn require_ended_flow(&self, volume: &str) -> Result<()> {
        let unfinished: Option<([u8; 16], String)> = self
            .tx
            .connection
            .prepare_cached(
                "SELECT flows.id, flows.state FROM volumes JOIN flows ON flows.id = volumes.flow
                 WHERE volumes.id = ? AND flows.state NOT IN ('SUCCESS', 'FAILURE')",
            )?
            .query_row([volume], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((flow, state)) = unfinished else {
            return Ok(());
        };
        let flow = FlowId(uuid::Uuid::from_bytes(flow));
        let message = format!(
            "volume `{volume}` was made by flow {flow}, which has not ended ({state}): `cairn flows rollback {flow}` takes the \
             volume away, `cairn flows resume {flow}` finishes it"
        );
        Err(TaskError::new("FlowUnfinished", message)
            .with("flow", flow.to_string())
            .with("state", state)
            .into())
    }

    /// Adds a snapshot of a volume, to the volume's project, and books its quota there; returns it.
    ///
    /// # Errors
    /// `VolumeNotFound`, `OverQuota`.
    pub fn create_snapshot(
        &mut self,
        volume_id: &str,
        name: Option<&str>,
        status: &str,
    ) -> Result<Object> {
        self.rules(|rows| operate::create_snapshot(rows, volume_id, name, status))
    }

    /// Soft-deletes a snapshot, and gives back what was booked when it was made, whatever the settings say by now.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn delete_snapshot(&mut self, id: &str) -> Result<()> {
        let deleted = self.rules(|rows| operate::delete_snapshot(rows, id))?;
        deleted.ok_or_else(|| not_found("snapshot", id).into())
    }
}
