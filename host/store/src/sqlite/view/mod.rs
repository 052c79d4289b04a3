//! What operators read.

mod backup;
mod drift;
mod dump;
mod kind;
mod list;
mod prune;
mod quotas;
mod reader;
mod resolve;

pub use dump::{Dump, DumpedRow};
pub use kind::Kind;
pub use list::Listing;
pub(super) use prune::{OfFlows, Prunable};
pub use prune::{Pruned, PrunedRows};
pub use quotas::{Quota, QuotaUsage};
pub use reader::{DatabaseCheck, Reader};

use rusqlite::{Connection, OptionalExtension};

use cairn_effects::event::{Entry, FlowState, FlowSummary};
use cairn_effects::report::Report;
use cairn_effects::volumes::Settings;
use cairn_model::id::{FlowId, Identity};
use cairn_model::idempotency::Key;
use cairn_model::value::{Digest, Object, Value};

use super::row::{self, As, Columns};
use super::tx::{Fault, Tx, describe, scalar};
use super::{Sqlite, idempotency, lookup};
use crate::{Caller, StoreError};

impl Sqlite {
    /// Reads as `requester`, with what was written before.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn read<T>(
        &self,
        requester: &Identity,
        read: impl FnOnce(&View<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let caller = Caller {
            call: None,
            requester,
        };
        self.write(|writer| {
            writer.ledger.commit()?;
            let connection = &writer.ledger.backend.connection;
            read(&View {
                tx: Tx::new(connection, &writer.env, caller),
            })
        })
    }
}

/// Which flows are asked for; each condition that is set must hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowFilter {
    /// Those in this state.
    pub state: Option<FlowState>,
    /// Those whose rollback is incomplete, and not accepted.
    pub incomplete: bool,
    /// Those that cannot be recovered.
    pub stuck: bool,
    /// Those made before this one.
    pub before: Option<FlowId>,
    /// Those from one id to another, both included.
    pub ids: Option<(FlowId, FlowId)>,
}

/// What one caller may read.
pub struct View<'a> {
    pub(super) tx: Tx<'a>,
}

impl View<'_> {
    fn connection(&self) -> &Connection {
        self.tx.connection
    }

    /// One row by its id, soft-deleted or not; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn find(&self, kind: Kind, id: &str) -> Result<Option<Object>, StoreError> {
        let (columns, table, ..) = kind.layout();
        let statement = row::select(columns, table, "WHERE id = ?");
        row::first(self.connection(), columns, &statement, [id]).map_err(failed)
    }

    /// Rows of one kind with this display name or name.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn named(&self, kind: Kind, name: &str) -> Result<Vec<Object>, StoreError> {
        let (columns, table, _, has_deleted) = kind.layout();
        let column = match kind {
            Kind::Volume | Kind::Snapshot => "display_name",
            _ => "name",
        };
        let alive = if has_deleted { "AND deleted = 0" } else { "" };
        let statement = row::select(columns, table, &format!("WHERE {column} = ? {alive}"));
        row::rows(self.connection(), columns, &statement, [name]).map_err(failed)
    }

    /// What is encrypted: the encryption of a volume type; `None` when it has none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn encryption(&self, volume_type_id: &str) -> Result<Option<Object>, StoreError> {
        const ENCRYPTION: Columns = &[
            ("provider", As::Plain),
            ("cipher", As::Plain),
            ("key_size", As::Plain),
            ("control_location", As::Plain),
        ];
        let statement = row::select(
            ENCRYPTION,
            "encryptions",
            "WHERE volume_type_id = ? AND deleted = 0",
        );
        row::first(self.connection(), ENCRYPTION, &statement, [volume_type_id]).map_err(failed)
    }

    /// A volume's metadata.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn metadata(&self, volume: &str) -> Result<Value, StoreError> {
        let text: Option<String> = scalar(
            self.connection(),
            "SELECT metadata FROM volumes WHERE id = ?",
            [volume],
        )
        .map_err(failed)?;
        Ok(text
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or(Value::Null))
    }

    /// Names of the zones that volumes may be placed in; every zone while there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn zones(&self) -> Result<Vec<String>, StoreError> {
        let names = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self
                .connection()
                .prepare("SELECT name FROM zones ORDER BY name")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        names().map_err(failed)
    }

    /// Flows, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn flows(&self, filter: FlowFilter, limit: usize) -> Result<Vec<FlowSummary>, StoreError> {
        lookup::flows(self.connection(), filter, limit).map_err(failed)
    }

    /// A flow's journal; empty for a flow that nobody knows.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when what was read is no journal, [`StoreError::Database`].
    pub fn journal(&self, flow: FlowId) -> Result<Vec<Entry>, StoreError> {
        lookup::journal(self.connection(), flow).map_err(|error| match error.sqlite_error() {
            Some(_) => failed(error),
            None => StoreError::Damaged {
                flow,
                reason: describe(&error),
            },
        })
    }

    /// The flow that was asked for with the same request under a key of the caller's project; `None` when the key is free, has
    /// lapsed, or stands for another request.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it cannot be read what was asked, [`StoreError::Database`].
    pub fn repeat_of(&self, key: &Key) -> Result<Option<FlowId>, StoreError> {
        let project = &self.tx.by.requester.project_id;
        let lapsed = self.tx.env.keys_lapse_before();
        let holder = idempotency::holder(self.connection(), project, key.text(), lapsed)?;
        let Some(holder) = holder.filter(|holder| holder.stands) else {
            return Ok(None);
        };
        let asked = idempotency::asked_under(self.connection(), &holder, self.tx.env.domains())?;
        Ok((asked == key.asked()).then_some(holder.flow))
    }

    /// Why a flow cannot be recovered; `None` of one that can, or is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn stuck(&self, flow: FlowId) -> Result<Option<String>, StoreError> {
        lookup::stuck(self.connection(), flow).map_err(failed)
    }

    /// What a key keeps of a flow that was pruned; `None` of one that was not.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Database`].
    pub fn kept_report(&self, flow: FlowId) -> Result<Option<Report>, StoreError> {
        idempotency::kept_report(self.connection(), flow)
    }

    /// A stored plan, as JSON.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn plan(&self, digest: Digest) -> Result<Option<String>, StoreError> {
        let statement = "SELECT body FROM plans WHERE digest = ?";
        scalar(self.connection(), statement, [digest.to_string()]).map_err(failed)
    }

    /// Whether the caller may see a row: of the caller's project or everybody's, or any for an admin; and not deleted.
    pub fn may_see(&self, kind: Kind, row: &Object) -> bool {
        let caller = self.tx.by.requester;
        match kind {
            Kind::Volume | Kind::Snapshot => {
                let owner = row.get("project_id").and_then(Value::as_str);
                let is_deleted = row.get("deleted") == Some(&Value::from(true));
                (caller.is_admin || owner == Some(&caller.project_id))
                    && (caller.read_deleted || !is_deleted)
            }
            Kind::Image => {
                let owner = row.get("project_id").and_then(Value::as_str);
                caller.is_admin || owner.is_none_or(|owner| owner == caller.project_id)
            }
            Kind::VolumeType => row.get("deleted") != Some(&Value::from(true)),
            Kind::QosSpecs | Kind::Cast | Kind::Reservation | Kind::Usage => true,
        }
    }

    /// Whether there is a type for volumes for which none is asked.
    pub fn has_default_volume_type(&self) -> bool {
        Settings::of(self.tx.env.domains().services())
            .default_volume_type
            .is_some()
    }

    /// Name of the type for volumes for which none is asked, where there is no such type.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn missing_default_volume_type(&self) -> Result<Option<&str>, StoreError> {
        let Some(name) = &Settings::of(self.tx.env.domains().services()).default_volume_type else {
            return Ok(None);
        };
        let found = lookup::volume_type(self.connection(), name).map_err(failed)?;
        Ok(found.is_none().then_some(name.as_str()))
    }

    /// Whether a row exists that `statement` finds.
    pub(super) fn exists(&self, statement: &str, id: &str) -> Result<bool, StoreError> {
        let found: Option<i64> = self
            .connection()
            .prepare_cached(statement)
            .and_then(|mut statement| statement.query_row([id], |row| row.get(0)).optional())
            .map_err(failed)?;
        Ok(found.is_some())
    }
}

pub(super) fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::Database(describe(&error))
}

pub(super) fn refused(fault: Fault) -> StoreError {
    match fault {
        Fault::Refused(error) => StoreError::Refused(error),
        Fault::Sqlite(error) => failed(error),
    }
}
