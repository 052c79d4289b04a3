//! Finds flows that may be pruned, rows left over from pruned flows, and lapsed keys. Each read covers one page of rows, so that
//! other work does not wait long.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;

use cairn_effects::domain::Domains;
use cairn_effects::event::{Entry, FlowState};
use cairn_effects::rows::{Cell, Pruned as Pruning};
use cairn_model::clock::Timestamp;
use cairn_model::id::FlowId;

use super::View;
use crate::StoreError;
use crate::operators::idempotency::{self, Kept, KeyId};
use crate::sql::{Columns, Sql, SqlError};

/// Flows in a page, which are removed in one transaction.
const FLOWS_A_PAGE: usize = 256;

/// Rows of other tables in a page, which are removed in one transaction.
const ROWS_A_PAGE: usize = 1024;

/// The number of flows, rows and keys that pruning removed or would remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Flows, each with its journal.
    pub flows: usize,
    /// Closed rows of removed flows, table by table.
    #[serde(flatten, serialize_with = "by_name")]
    pub rows: Vec<PrunedRows>,
    /// Idempotency keys that have lapsed, whether or not their flows were removed.
    pub keys: usize,
    /// Operators' changes in the audit that were kept long enough.
    pub audit: usize,
    /// Flows that ended long ago and are kept because their rollback is incomplete, they are stuck, or their journal cannot be read.
    pub kept: usize,
    /// Flows that are left because a task of their project, at the host that owns it, takes long: they are removed another time.
    pub busy: usize,
}

/// A flow that may be removed as long as its journal's last row is the one that was found.
pub(in crate::operators) struct Prunable {
    pub(in crate::operators) flow: FlowId,
    pub(in crate::operators) project_id: String,
    /// Number of the first entry in the journal's last row; `None` without a journal.
    pub(in crate::operators) last: Option<i64>,
    /// The data that its idempotency keys keep of it; `None` when it has no key.
    pub(in crate::operators) kept: Option<Kept>,
}

/// The result of reading one page of rows.
pub(in crate::operators) struct Page<T, K> {
    pub(in crate::operators) found: Vec<T>,
    /// How many old flows of the page are kept.
    pub(in crate::operators) kept: usize,
    /// The key to continue after; `None` at the end.
    pub(in crate::operators) next: Option<K>,
}

/// Closed rows of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrunedRows {
    /// Their name in JSON.
    pub name: &'static str,
    /// The noun for one row.
    pub called: &'static str,
    /// The number of rows.
    pub count: usize,
}

fn by_name<S: serde::Serializer>(rows: &[PrunedRows], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(rows.iter().map(|rows| (rows.name, rows.count)))
}

/// A table with rows that belong to a flow and outlive it until they are closed.
#[derive(Clone, Copy)]
pub(in crate::operators) struct OfFlows {
    pub(in crate::operators) table: &'static str,
    /// The condition for a row to be closed.
    pub(in crate::operators) closed: &'static str,
    name: &'static str,
    called: &'static str,
}

impl OfFlows {
    /// Returns all such tables of some domains.
    pub(in crate::operators) fn all(domains: &Domains) -> Vec<Self> {
        let tables = domains.each_table();
        let closed = tables.filter_map(|table| match table.hooks.pruned {
            Pruning::Remove {
                closed,
                name,
                called,
            } => Some(Self {
                table: table.name,
                closed,
                name,
                called,
            }),
            Pruning::Stay | Pruning::Forget => None,
        });
        closed.collect()
    }

    pub(in crate::operators) const fn counted(self, count: usize) -> PrunedRows {
        PrunedRows {
            name: self.name,
            called: self.called,
            count,
        }
    }
}

impl View<'_> {
    /// Returns what pruning would remove now: see [`Sqlite::prune_flows`](crate::Sqlite::prune_flows).
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn would_prune(&self, older_than: Duration) -> Result<Pruned, StoreError> {
        let before = self.0.now.before(older_than);
        let mut pruned = Pruned::default();
        let mut gone = HashSet::new();
        let mut from = None;
        loop {
            let page = self.prunable(before, from)?;
            pruned.kept += page.kept;
            gone.extend(page.found.iter().map(|flow| flow.flow));
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        pruned.flows = gone.len();
        for table in OfFlows::all(self.0.env.domains()) {
            let mut from = String::new();
            let mut count = 0;
            loop {
                let page = self.left_over(table, &from, &gone)?;
                count += page.found.len();
                match page.next {
                    Some(next) => from = next,
                    None => break,
                }
            }
            pruned.rows.push(table.counted(count));
        }
        let mut from = None;
        loop {
            let page = self.lapsed_keys(from.as_ref())?;
            pruned.keys += page.found.len();
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        let since = self.0.env.audit_kept_since();
        let statement = "SELECT count(*) FROM audit WHERE at < $1";
        let old = self.sql().query(statement, &[since.into()])?;
        let old = old.first().map(|row| Columns(row).int(0)).transpose()?;
        pruned.audit = usize::try_from(old.unwrap_or(0)).unwrap_or(0);
        Ok(pruned)
    }

    /// Returns the lapsed keys among the page of keys after `from`.
    pub(in crate::operators) fn lapsed_keys(
        &self,
        from: Option<&KeyId>,
    ) -> Result<Page<KeyId, KeyId>, StoreError> {
        let keys = idempotency::page(self.sql(), self.0.env, from, ROWS_A_PAGE)?;
        let next = next_page(&keys, ROWS_A_PAGE, |(key, _)| key.clone());
        let lapsed = keys.into_iter().filter(|(_, lapsed)| *lapsed);
        Ok(Page {
            found: lapsed.map(|(key, _)| key).collect(),
            kept: 0,
            next,
        })
    }

    /// Returns the flows that may be removed among the page of flows after `from`: they ended, their last event is before `before`,
    /// and their rollback is not incomplete.
    pub(in crate::operators) fn prunable(
        &self,
        before: Timestamp,
        from: Option<FlowId>,
    ) -> Result<Page<Prunable, FlowId>, StoreError> {
        prunable(self.sql(), before, from, self.0.env.domains())
    }

    /// Returns the closed rows, among the page of rows after the id `from`, whose flow does not exist or is in `gone`.
    pub(in crate::operators) fn left_over(
        &self,
        table: OfFlows,
        from: &str,
        gone: &HashSet<FlowId>,
    ) -> Result<Page<String, String>, StoreError> {
        Ok(left_over(self.sql(), table, from, gone)?)
    }
}

fn prunable(
    sql: &dyn Sql,
    before: Timestamp,
    from: Option<FlowId>,
    domains: &Domains,
) -> Result<Page<Prunable, FlowId>, StoreError> {
    let flows = flows_after(sql, from)?;
    let mut page = Page {
        found: Vec::new(),
        kept: 0,
        next: next_page(&flows, FLOWS_A_PAGE, |listed| listed.flow),
    };
    for listed in flows {
        let Listed {
            flow,
            project_id,
            state,
            updated,
        } = listed;
        let ended = FlowState::parse(&state)
            .filter(|state| matches!(state, FlowState::Success | FlowState::Failure));
        if ended.is_none() || updated >= before {
            continue;
        }
        // The flow's row is not updated for every event, so the journal's last entry is checked too.
        let last = last_row(sql, flow)?;
        let at = match &last {
            Some((_, entries)) => entries.as_ref().and_then(|entries| entries.last()),
            None => None,
        };
        if at.is_some_and(|entry| entry.at >= before) {
            continue;
        }
        let unreadable = matches!(last, Some((_, None)));
        if unreadable || is_unsettled(sql, flow)? {
            page.kept += 1;
            continue;
        }
        match idempotency::keep(sql, flow, domains) {
            Ok(kept) => page.found.push(Prunable {
                flow,
                project_id,
                last: last.map(|(first, _)| first),
                kept,
            }),
            Err(StoreError::Damaged { .. }) => page.kept += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(page)
}

/// A flow as the list has it.
struct Listed {
    flow: FlowId,
    project_id: String,
    state: String,
    /// The time of the row's last update.
    updated: Timestamp,
}

/// Returns a page of flows.
fn flows_after(sql: &dyn Sql, from: Option<FlowId>) -> Result<Vec<Listed>, SqlError> {
    // Every id comes after no bytes at all.
    let from = from.map_or(Cell::Blob([].into()), Cell::from);
    let statement =
        "SELECT id, project_id, state, updated_at FROM flows WHERE id > $1 ORDER BY id LIMIT $2";
    let rows = sql.query(statement, &[from, (FLOWS_A_PAGE as i64).into()])?;
    let flows = rows.iter().map(|row| {
        let row = Columns(row);
        Ok(Listed {
            flow: row.flow(0)?,
            project_id: row.text(1)?,
            state: row.text(2)?,
            updated: Timestamp(row.int(3)?),
        })
    });
    flows.collect()
}

/// Returns whether a flow that ended needs an operator: its rollback is incomplete, or it cannot be recovered.
fn is_unsettled(sql: &dyn Sql, flow: FlowId) -> Result<bool, SqlError> {
    let statement = "SELECT incomplete = TRUE OR stuck IS NOT NULL FROM flows WHERE id = $1";
    let rows = sql.query(statement, &[flow.into()])?;
    rows.first().map_or(Ok(false), |row| Columns(row).flag(0))
}

/// The last row of a flow's journal: the number of its first entry, and its entries if they can be read.
type LastRow = (i64, Option<Vec<Entry>>);

fn last_row(sql: &dyn Sql, flow: FlowId) -> Result<Option<LastRow>, SqlError> {
    let statement =
        "SELECT first, entries FROM journal WHERE flow = $1 ORDER BY first DESC LIMIT 1";
    let rows = sql.query(statement, &[flow.into()])?;
    let last = rows.first().map(|row| {
        let row = Columns(row);
        Ok((row.int(0)?, row.entries(1).ok()))
    });
    last.transpose()
}

fn left_over(
    sql: &dyn Sql,
    table: OfFlows,
    from: &str,
    gone: &HashSet<FlowId>,
) -> Result<Page<String, String>, SqlError> {
    let OfFlows { table, closed, .. } = table;
    let statement = format!(
        "SELECT id, flow, ({closed}), EXISTS (SELECT 1 FROM flows WHERE flows.id = {table}.flow)
         FROM {table} WHERE id > $1 ORDER BY id LIMIT $2"
    );
    let rows = sql.query(&statement, &[from.into(), (ROWS_A_PAGE as i64).into()])?;
    let rows = rows.iter().map(|row| {
        let row = Columns(row);
        Ok((
            row.text(0)?,
            row.optional_flow(1)?,
            row.flag(2)?,
            row.flag(3)?,
        ))
    });
    let rows = rows.collect::<Result<Vec<_>, SqlError>>()?;
    let next = next_page(&rows, ROWS_A_PAGE, |(id, ..)| id.clone());
    let left = rows.into_iter().filter(|(_, flow, closed, exists)| {
        *closed && flow.is_some_and(|flow| !exists || gone.contains(&flow))
    });
    Ok(Page {
        found: left.map(|(id, ..)| id).collect(),
        kept: 0,
        next,
    })
}

/// Returns the key of the last row, to continue after; `None` after a page that is not full, which is the last.
fn next_page<T, K>(rows: &[T], full: usize, key: impl Fn(&T) -> K) -> Option<K> {
    rows.last().filter(|_| rows.len() == full).map(key)
}
