//! Reads for operators.

mod counts;
mod dump;
mod externals;
mod find;
mod follow;
mod journals;
mod kind;
mod list;
mod prune;
mod resolve;
mod status;

pub use super::flows::{FlowFilter, FlowPage};
pub use crate::extent::Extent;
pub use crate::reader::Reader;
pub use crate::sqlite::DatabaseCheck;
pub use counts::{ErrorCount, FlowCounts, StateCount};
pub use dump::{Dump, DumpedRow};
pub use externals::{ExternalListing, StandingExternal};
pub use find::{Found, Match, Searched, Within};
pub use follow::{Reach, Stretch};
pub use kind::{CAST, Kind, Owner, SoftDelete};
pub use list::Listing;
pub(super) use prune::{OfFlows, Prunable};
pub use prune::{Pruned, PrunedRows};
pub use status::{
    Check, CheckResult, Finding, FindingKind, LateHost, MessageCounts, NamedFlow, Severity, Status,
};

use cairn_effects::domain::Domains;
use cairn_effects::event::{Entry, FlowSummary};
use cairn_effects::report::Report;
use cairn_effects::rows::{Cell, Services};
use cairn_model::clock::Timestamp;
use cairn_model::id::{FlowId, Identity};
use cairn_model::idempotency::Key;
use cairn_model::value::Digest;

use super::{Access, flows, idempotency, lookup};
use crate::batched::Batched;
use crate::sql::{Columns, Sql, SqlBackend};
use crate::{Caller, StoreError};

impl<B: SqlBackend> Batched<B> {
    /// Commits the open batch, then runs a read as `requester`.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn read<T>(
        &self,
        requester: &Identity,
        read: impl FnOnce(&View<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.try_read(requester, read)
    }

    /// Runs a read like [`read`](Self::read), with the reader's own error type.
    ///
    /// # Errors
    /// Those of `read`, and those of the store.
    pub fn try_read<T, E: From<StoreError>>(
        &self,
        requester: &Identity,
        read: impl FnOnce(&View<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let caller = Caller {
            call: None,
            requester,
        };
        self.write(|writer| {
            writer.ledger.commit()?;
            let sql = writer.ledger.backend.reading();
            read(&View(Access::new(sql, &writer.env, caller)))
        })
    }
}

/// Read access for one caller.
pub struct View<'a>(pub(crate) Access<'a>);

impl<'a> View<'a> {
    pub(crate) fn sql(&self) -> &'a dyn Sql {
        self.0.sql
    }

    /// Returns the caller who reads.
    pub fn requester(&self) -> &'a Identity {
        self.0.by.requester
    }

    /// Returns the time when this view was created.
    pub fn now(&self) -> Timestamp {
        self.0.now
    }

    /// Returns the domains, whose tables flows may change.
    pub fn domains(&self) -> &'a Domains {
        self.0.env.domains()
    }

    /// Returns the services that the store's domains registered, such as an operator's settings.
    pub fn services(&self) -> &'a Services {
        self.domains().services()
    }

    /// Runs a statement of portable SQL that only reads, and returns its rows. Parameters are named `$1`, `$2`, …; the statement must
    /// use each. Flags are compared with `TRUE` and `FALSE`, and read as 0 or 1.
    ///
    /// # Errors
    /// [`StoreError::Database`]; also when the statement is wrong, writes, or names other parameters, and for a number with a
    /// fraction or a text that is not UTF-8, which a cell cannot hold.
    pub fn query(
        &self,
        statement: &str,
        parameters: &[Cell],
    ) -> Result<Vec<Vec<Cell>>, StoreError> {
        Ok(self.sql().query(statement, parameters)?)
    }

    /// Returns whether a table has a column. A database that is opened for reading may have an older schema.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn has_column(&self, table: &str, column: &str) -> Result<bool, StoreError> {
        let columns = self.sql().columns(table)?;
        Ok(columns.iter().any(|known| known == column))
    }

    /// Runs several reads on one snapshot of the database: in the open transaction if there is one, else in a new one.
    ///
    /// # Errors
    /// Those of `read`; [`StoreError::Database`].
    pub fn consistently<T>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut read = Some(read);
        let mut result = None;
        self.sql().consistently(&mut || {
            if let Some(read) = read.take() {
                result = Some(read(self));
            }
        })?;
        result.unwrap_or_else(|| Err(StoreError::Database("the database ran no read".to_owned())))
    }

    /// Returns flows, newest first. For conditions that no index knows it looks at all flows if need be.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn flows(
        &self,
        filter: FlowFilter<'_>,
        limit: usize,
    ) -> Result<Vec<FlowSummary>, StoreError> {
        Ok(flows::flows(self.sql(), self.now(), filter, limit)?)
    }

    /// Returns a page of flows, newest first. Unlike [`flows`](Self::flows) it takes little time whatever the conditions: for those that no index
    /// knows, such as a name or a user, it looks at the newest 5,000 flows (of each state, where the filter is about states or a project), and
    /// [`FlowPage::next`] goes on behind them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn flow_page(&self, filter: FlowFilter<'_>, limit: usize) -> Result<FlowPage, StoreError> {
        Ok(flows::page(self.sql(), self.now(), filter, limit)?)
    }

    /// Returns a flow as lists show it; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn flow(&self, id: FlowId) -> Result<Option<FlowSummary>, StoreError> {
        Ok(flows::flow(self.sql(), id)?)
    }

    /// Reads a flow's journal; it is empty for an unknown flow.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it cannot be decoded, [`StoreError::Database`].
    pub fn journal(&self, flow: FlowId) -> Result<Vec<Entry>, StoreError> {
        lookup::journal(self.sql(), flow).map_err(|error| error.of(flow))
    }

    /// Returns the flow that was created for the same request under a key of the caller's project; `None` when the key is free,
    /// has lapsed, or belongs to another request.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the first request cannot be read, [`StoreError::Database`].
    pub fn repeat_of(&self, key: &Key) -> Result<Option<FlowId>, StoreError> {
        let project = &self.0.by.requester.project_id;
        let lapsed = self.0.env.keys_lapse_before();
        let holder = idempotency::holder(self.sql(), project, key.text(), lapsed)?;
        let Some(holder) = holder.filter(|holder| holder.stands) else {
            return Ok(None);
        };
        let asked = idempotency::asked_under(self.sql(), &holder, self.0.env.domains())?;
        Ok((asked == key.asked()).then_some(holder.flow))
    }

    /// Returns why a flow cannot be recovered; `None` for a flow that can or does not exist.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn stuck(&self, flow: FlowId) -> Result<Option<String>, StoreError> {
        Ok(lookup::stuck(self.sql(), flow)?)
    }

    /// Returns the report that a key keeps of a pruned flow; `None` for a flow that was not pruned.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Database`].
    pub fn kept_report(&self, flow: FlowId) -> Result<Option<Report>, StoreError> {
        idempotency::kept_report(self.sql(), flow)
    }

    /// Returns whether a plan is stored.
    pub(crate) fn has_plan(&self, digest: Digest) -> Result<bool, StoreError> {
        let statement = "SELECT 1 FROM plans WHERE digest = $1";
        let digest = digest.to_string();
        let found = self.sql().query(statement, &[digest.as_str().into()])?;
        Ok(!found.is_empty())
    }

    /// Returns a stored plan, as JSON.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn plan(&self, digest: Digest) -> Result<Option<String>, StoreError> {
        let statement = "SELECT body FROM plans WHERE digest = $1";
        let rows = self
            .sql()
            .query(statement, &[digest.to_string().as_str().into()])?;
        Ok(rows.first().map(|row| Columns(row).text(0)).transpose()?)
    }
}
