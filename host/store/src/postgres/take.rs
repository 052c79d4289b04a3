//! Takes projects, and the flows in them that hosts which are gone have left.

use cairn_effects::rows::Cell;
use cairn_model::id::FlowId;

use super::database::PostgresDatabase;
use super::link::LinkError;
use super::link::Sender as _;
use super::session::Session;
use crate::StoreError;
use crate::backend::Taken;
use crate::partitions::Partitions;
use crate::sql::Sql as _;

impl PostgresDatabase {
    /// Claims the partition of a project for this host.
    pub(super) fn claim(&mut self, part: u8) -> Result<(), StoreError> {
        let mut wanted = Partitions::default();
        wanted.insert(part);
        self.lease.claim(&self.session, &wanted, false)
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

    /// Takes over what hosts that are gone have left. A process that recovers everything, `stuck_too`, also ends hosts whose lease has
    /// expired: they may be live, after a time in which the server was away.
    pub(super) fn take_all(&mut self, stuck_too: bool) -> Result<Vec<FlowId>, StoreError> {
        let failed = |error: LinkError| StoreError::Database(error.to_string());
        self.lease.end_others(&self.session, stuck_too)?;
        let left = left(&self.session).map_err(failed)?;
        self.lease.claim(&self.session, &left, true)?;
        self.take_owned(stuck_too)
    }
}

/// Returns the partitions without an owner in which hosts that are gone have left flows, or messages to deliver.
fn left(session: &Session) -> Result<Partitions, LinkError> {
    let statement = "SELECT id FROM partitions WHERE host IS NULL
         AND (EXISTS (SELECT FROM flows WHERE flows.part = partitions.id AND flows.host IS NOT NULL)
              OR id IN (SELECT get_byte(sha256(convert_to(coalesce(project_id, ''), 'UTF8')), 0) FROM outbox WHERE state = 'sending'))";
    let rows = session.run(statement, &[])?.rows;
    let parts = rows.into_iter().flatten().filter_map(|cell| match cell {
        Cell::Int(part) => u8::try_from(part).ok(),
        _ => None,
    });
    Ok(parts.collect())
}
