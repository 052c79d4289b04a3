//! Takes projects, and the flows in them that hosts which are gone have left.

use cairn_effects::rows::Cell;
use cairn_model::id::FlowId;

use super::database::PostgresDatabase;
use super::link::LinkError;
use super::shared;
use crate::StoreError;
use crate::backend::Taken;
use crate::partitions::Partitions;
use crate::sql::Sql as _;

impl PostgresDatabase {
    /// Claims the partition of a project for this host.
    pub(super) fn claim(&mut self, part: u8) -> Result<(), StoreError> {
        let mut wanted = Partitions::default();
        wanted.insert(part);
        let has_claimed = self.lease.claim(&self.session, &wanted, false)?;
        self.has_claimed_now(has_claimed);
        Ok(())
    }

    /// Notes whether partitions were claimed: rows in memory may be wrong, and hosts that are gone may have left flows in them.
    pub(super) fn has_claimed_now(&mut self, has_claimed: bool) {
        self.is_stale |= has_claimed;
        self.has_left_over |= has_claimed;
    }

    pub(super) fn taken(&mut self, flow: FlowId) -> Result<Taken, StoreError> {
        let statement = "SELECT host, part FROM flows WHERE id = $1";
        let found = self.session.query(statement, &[flow.into()])?;
        let Some([host, Cell::Int(part)]) = found.first().map(Vec::as_slice) else {
            return Ok(Taken::Unknown);
        };
        let own = self.lease.cell();
        let part = u8::try_from(*part).unwrap_or_default();
        if !self.lease.owned.contains(part) {
            match self.claim(part) {
                Err(StoreError::Elsewhere { pid, .. }) => return Ok(Taken::By(pid)),
                claimed => claimed?,
            }
        }
        if *host == Cell::Null {
            return Ok(Taken::Resting);
        }
        if *host != own {
            // The host that has it does not own its project any more, so it is gone.
            let statement = "UPDATE flows SET host = $1 WHERE id = $2";
            self.owners.push((statement, vec![own, flow.into()]));
        }
        Ok(Taken::Ours)
    }

    pub(super) fn take_all(&mut self, stuck_too: bool) -> Result<Vec<FlowId>, StoreError> {
        let failed = |error: LinkError| StoreError::Database(error.to_string());
        self.lease.end_gone(&self.session)?;
        let left = shared::left(&self.session).map_err(failed)?;
        let has_claimed = self.lease.claim(&self.session, &left, true)?;
        self.has_claimed_now(has_claimed);
        self.take_owned(stuck_too)
    }
}
