//! Removes flows that ended long ago.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use cairn_effects::domain::Domains;
use cairn_effects::rows::Pruned as Pruning;
use cairn_model::clock::Timestamp;
use cairn_model::id::Identity;
use serde_json::json;

use super::{Admin, Result};
use crate::batched::Batched;
use crate::operators::audit::Change;
use crate::operators::idempotency::{self, KeyId};
use crate::operators::view::{OfFlows, Prunable, Pruned};
use crate::partitions::partition_of;
use crate::sql::{Columns, Sql, SqlBackend, SqlError};
use crate::{Store as _, StoreError};

/// How many flows are looked for before they are removed, where the owner of each project hands it over for that.
const TOGETHER: usize = 4096;

/// How many of them are removed in one transaction.
const BITE: usize = 256;

/// How many changes of operators are removed from the audit in one transaction.
const ROWS: i64 = 1024;

/// The longest pause between two transactions.
const LONGEST_REST: Duration = Duration::from_millis(100);

impl<B: SqlBackend> Batched<B> {
    /// Removes the flows that ended, and had their last event, more than `older_than` ago: their rows and journals, and the
    /// closed rows of removed flows, where the hooks of their tables ask for it. Keeps plans with their components, other rows, messages that are ready, and
    /// flows whose rollback is incomplete or whose journal cannot be read. The idempotency key of a removed flow keeps its
    /// [short](cairn_effects::report::Report::short) report until the key lapses; lapsed keys are removed, whether or not their flows are. Operators' changes that were kept long enough are removed from
    /// the audit.
    ///
    /// Runs many short transactions with pauses between them, so that flows can run meanwhile. When a transaction fails, the earlier
    /// removals stay; calling this again continues.
    ///
    /// # Errors
    /// `AdminRequired`; [`StoreError::Database`] or [`StoreError::Lost`].
    pub fn prune_flows(
        &self,
        requester: &Identity,
        older_than: Duration,
    ) -> Result<Pruned, StoreError> {
        let before = self.admin(requester, |admin| {
            admin.require_admin("prune flows")?;
            admin.record(Change {
                action: "flow.prune",
                subject: "flows",
                after: json!({"older_than_seconds": older_than.as_secs()}),
                ..Change::default()
            })?;
            Ok(admin.access.now.before(older_than))
        })?;
        let mut pruned = Pruned::default();
        let mut from = None;
        let mut found = Vec::new();
        loop {
            let page = self.read(requester, |view| view.prunable(before, from))?;
            pruned.kept += page.kept;
            found.extend(page.found);
            from = page.next;
            match B::shared(self) {
                Some(_) if from.is_none() || found.len() >= TOGETHER => {
                    let found = std::mem::take(&mut found);
                    self.prune_owned(requester, found, &mut pruned)?;
                }
                Some(_) => {}
                None => {
                    let found = std::mem::take(&mut found);
                    pruned.flows +=
                        self.in_a_bite(requester, &found, |admin, flows| admin.prune(flows))?;
                }
            }
            if from.is_none() {
                break;
            }
        }
        for table in OfFlows::all(self.domains()) {
            let mut count = 0;
            let mut from = String::new();
            loop {
                let page = self.read(requester, |view| {
                    view.left_over(table, &from, &HashSet::new())
                })?;
                count += self.in_a_bite(requester, &page.found, |admin, ids| {
                    admin.remove_left_over(table, ids)
                })?;
                match page.next {
                    Some(next) => from = next,
                    None => break,
                }
            }
            pruned.rows.push(table.counted(count));
        }
        let mut from: Option<KeyId> = None;
        loop {
            let page = self.read(requester, |view| view.lapsed_keys(from.as_ref()))?;
            pruned.keys += self.in_a_bite(requester, &page.found, |admin, keys| {
                admin.remove_lapsed(keys)
            })?;
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        loop {
            let removed = self.admin(requester, |admin| admin.prune_audit(ROWS))?;
            pruned.audit += removed;
            if removed == 0 {
                return Ok(pruned);
            }
        }
    }

    /// Removes flows partition by partition: whoever owns one has rows in memory that this changes, and hands it over meanwhile.
    fn prune_owned(
        &self,
        requester: &Identity,
        found: Vec<Prunable>,
        pruned: &mut Pruned,
    ) -> Result<(), StoreError> {
        let mut parts: BTreeMap<u8, Vec<Prunable>> = BTreeMap::new();
        for flow in found {
            let part = partition_of(&flow.project_id);
            parts.entry(part).or_default().push(flow);
        }
        for flows in parts.values().flat_map(|flows| flows.chunks(BITE)) {
            let removed = self.in_a_bite(requester, flows, |admin, flows| {
                if let Some(first) = flows.first() {
                    admin.own(&first.project_id)?;
                }
                admin.prune(flows)
            });
            match removed {
                Ok(removed) => pruned.flows += removed,
                Err(StoreError::Elsewhere { .. }) => pruned.busy += flows.len(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes some rows in a transaction, then pauses for as long as that took, so that other processes can write.
    fn in_a_bite<T>(
        &self,
        requester: &Identity,
        rows: &[T],
        remove: impl FnOnce(&mut Admin<'_>, &[T]) -> Result<usize>,
    ) -> Result<usize, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let begun = Instant::now();
        let removed = self.admin(requester, |admin| remove(admin, rows))?;
        std::thread::sleep(begun.elapsed().min(LONGEST_REST));
        Ok(removed)
    }
}

impl Admin<'_> {
    /// Removes flows with their journals, unless they have changed since they were found; returns how many.
    fn prune(&mut self, flows: &[Prunable]) -> Result<usize> {
        let forget: Vec<String> = forget(self.access.env.domains()).collect();
        self.sql(|sql| prune(sql, flows, &forget))
    }

    /// Removes keys that have lapsed; returns how many.
    fn remove_lapsed(&mut self, keys: &[KeyId]) -> Result<usize> {
        let env = self.access.env;
        self.sql(|sql| {
            let mut removed = 0;
            for key in keys {
                removed += usize::from(idempotency::remove_lapsed(sql, env, key)?);
            }
            Ok(removed)
        })
    }

    /// Removes closed rows; returns how many.
    fn remove_left_over(&mut self, table: OfFlows, ids: &[String]) -> Result<usize> {
        let OfFlows { table, closed, .. } = table;
        let statement = format!("DELETE FROM {table} WHERE id = $1 AND {closed}");
        self.sql(|sql| {
            let mut removed = 0;
            for id in ids {
                removed += sql.execute(&statement, &[id.as_str().into()])?;
            }
            Ok(removed)
        })
    }
}

/// Removes flows with their journals, unless they have changed since they were found; returns how many. `forget` are the statements
/// that clear a flow's id in rows that stay.
fn prune(sql: &dyn Sql, flows: &[Prunable], forget: &[String]) -> Result<usize, SqlError> {
    let mut removed = 0;
    for Prunable {
        flow, last, kept, ..
    } in flows
    {
        let statement = "DELETE FROM flows WHERE id = $1 AND state IN ('SUCCESS', 'FAILURE')
                             AND (SELECT MAX(first) FROM journal WHERE flow = $1) IS NOT DISTINCT FROM $2
                         RETURNING updated_at";
        let gone = sql.returning(statement, &[(*flow).into(), (*last).into()])?;
        let Some(row) = gone.first() else { continue };
        removed += 1;
        if let Some(kept) = kept {
            let ended_at = Timestamp(Columns(row).int(0)?);
            idempotency::write_kept(sql, *flow, ended_at, kept)?;
        }
        let statements = [
            "DELETE FROM journal WHERE flow = $1",
            "DELETE FROM requests WHERE flow = $1",
        ];
        let forget = forget.iter().map(String::as_str);
        for statement in statements.into_iter().chain(forget) {
            sql.execute(statement, &[(*flow).into()])?;
        }
    }
    Ok(removed)
}

/// Returns the statements that clear a flow's id in rows that outlive it.
fn forget(domains: &Domains) -> impl Iterator<Item = String> {
    domains.each_table().filter_map(|table| {
        let flow = table.hooks.flow?;
        let forgets = table.hooks.pruned == Pruning::Forget;
        forgets.then(|| format!("UPDATE {} SET {flow} = NULL WHERE {flow} = $1", table.name))
    })
}
