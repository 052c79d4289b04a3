//! The outbox as the dispatcher of a host reads it: the messages of projects that this host owns.

use std::collections::BTreeMap;

use cairn_effects::outbox::Message;
use cairn_effects::rows::Cell;
use cairn_model::clock::Timestamp;
use cairn_model::id::HostId;

use super::session::Session;
use crate::StoreError;
use crate::deliver::{self, Outbox};
use crate::sql::Sql as _;

/// Reads messages beside the store.
pub(super) struct Beside {
    session: Session,
    /// The condition for a message to be of a partition that this host owns.
    mine: String,
}

impl Beside {
    pub(super) fn new(session: Session, host: HostId) -> Self {
        let host = host.0.simple();
        Self {
            session,
            mine: format!(
                "get_byte(sha256(convert_to(coalesce(o.project_id, ''), 'UTF8')), 0) IN
                 (SELECT id FROM partitions WHERE host = '\\x{host}'::bytea)"
            ),
        }
    }

    fn read(&self, statement: &str, cells: &[Cell]) -> Result<Vec<Vec<Cell>>, StoreError> {
        Ok(self.session.query(statement, cells)?)
    }
}

impl Outbox for Beside {
    /// Owning a partition is enough.
    fn claim(&mut self) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn due(&mut self, now: Timestamp, most: usize) -> Result<Vec<Message>, StoreError> {
        let read = |statement: &str, cells: &[Cell]| self.read(statement, cells);
        deliver::due(&read, &self.mine, now, most)
    }

    fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let read = |statement: &str, cells: &[Cell]| self.read(statement, cells);
        deliver::next_due(&read, &self.mine)
    }

    fn undelivered(&mut self) -> Result<BTreeMap<String, u64>, StoreError> {
        deliver::undelivered(&|statement, cells| self.read(statement, cells))
    }

    fn sending(&mut self) -> Result<u64, StoreError> {
        deliver::sending(&|statement, cells| self.read(statement, cells))
    }
}
