use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use hashlink::{DefaultHashBuilder, LinkedHashMap};

use super::fetch::{Fetched, Mark};
use super::table::{AnyRow, RowId, State, Table, WholeTable};

/// A dirty row: one that the open batch changed.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// The row in the database (before-image).
    base: State,
    now: State,
}

/// A dirty row of a batch: its state in the database, and its new state.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// The row.
    pub id: &'a RowId,
    /// The row in the database (before-image).
    pub base: Option<&'a dyn AnyRow>,
    /// The new state.
    pub now: Option<&'a dyn AnyRow>,
}

/// Rows that a committed batch wrote, kept while a fetch runs that may not have seen them.
struct Acknowledged {
    mark: Mark,
    rows: Changed,
    /// Held by each fetch that began between the acknowledgements of the previous batch and of this one.
    fetches: Arc<()>,
}

type Changed = HashMap<RowId, Pending, DefaultHashBuilder>;

/// A row's dirty state before an effect changed it, as an undo log entry.
pub(super) type Before = (RowId, Option<Pending>);

/// A guard that lives from the beginning of a fetch until its answers are no longer used.
#[derive(Debug)]
pub struct Fetching {
    epoch: u64,
    _under_way: Arc<()>,
}

/// An overlay over a database: the dirty rows of the open batch, and a cache of others. Rules read rows here, and a commit
/// writes the final state of each dirty row once.
///
/// A row stays here from its first change until the batch with its last change is acknowledged; the cache may drop other rows.
pub struct Overlay {
    pending: Changed,
    /// The keys of `pending` in the order of their first change.
    order: Vec<RowId>,
    cache: Cache,
    /// Tables that are kept whole.
    whole: HashMap<&'static str, WholeTable>,
    acknowledged: VecDeque<Acknowledged>,
    /// Grows whenever another process may have written.
    epoch: u64,
    /// Held by each fetch that began after the last batch was acknowledged and whose answers are still used.
    fetches: Arc<()>,
}

impl Overlay {
    /// Creates an empty overlay with a cache of `most` bytes.
    pub fn new(most: usize) -> Self {
        Self {
            pending: HashMap::default(),
            order: Vec::new(),
            cache: Cache::new(most),
            whole: HashMap::new(),
            acknowledged: VecDeque::new(),
            epoch: 0,
            fetches: Arc::default(),
        }
    }

    // ---- For effects -----------------------------------------------------------------------------------------------

    /// Returns the row as of the open batch; `None` when it is not in memory.
    pub(super) fn get(&mut self, id: &RowId) -> Option<State> {
        match self.pending.get(id) {
            Some(pending) => Some(pending.now.clone()),
            None => self.cache.get(id),
        }
    }

    pub(super) fn whole(&self, table: &Table) -> Option<WholeTable> {
        self.whole.get(table.name).cloned()
    }

    /// Changes a row whose state is known; returns its dirty state before, for [`take_back`](Self::take_back).
    pub(super) fn set(&mut self, id: RowId, base: State, now: State) -> Before {
        let found = self.pending.get(&id).cloned();
        match self.pending.get_mut(&id) {
            Some(pending) => pending.now = now,
            None => {
                self.order.push(id.clone());
                self.pending.insert(id.clone(), Pending { base, now });
            }
        }
        (id, found)
    }

    /// Returns the projects that own a dirty row, before and after its changes.
    pub(super) fn owners(&self, id: &RowId) -> impl Iterator<Item = super::cell::Text> {
        let pending = self.pending.get(id);
        let states = pending.map(|pending| [pending.base.clone(), pending.now.clone()]);
        let rows = states.into_iter().flatten().flatten();
        rows.filter_map(|row| row.owner())
    }

    /// Reverts changes, the last first.
    pub(super) fn take_back(&mut self, changes: impl DoubleEndedIterator<Item = Before>) {
        for (id, found) in changes.rev() {
            match found {
                Some(found) => drop(self.pending.insert(id, found)),
                None => {
                    self.pending.remove(&id);
                    self.order.pop();
                }
            }
        }
    }

    /// Merges the rows that a selection found in the database with the rows of its table that changed since.
    pub(super) fn select(
        &self,
        table: &Table,
        found: &[Arc<dyn AnyRow>],
        seen: Mark,
    ) -> Vec<Arc<dyn AnyRow>> {
        let changed = self.changed_since(seen, table);
        let found = found.iter();
        let unchanged = found.filter(|row| !changed.contains_key(&row.id()));
        let now = changed.values().filter_map(|change| change.now.clone());
        unchanged.cloned().chain(now).collect()
    }

    /// Returns the rows of a table that changed since the database was read: their state then, and their state now.
    pub(super) fn changes_since(&self, seen: Mark, table: &Table) -> Vec<(State, State)> {
        let changed = self.changed_since(seen, table).into_values();
        changed.map(|row| (row.base, row.now)).collect()
    }

    /// Returns the row as the last acknowledged batch left it that changed it since the database was read.
    pub(super) fn acknowledged_since(&self, seen: Mark, id: &RowId) -> Option<State> {
        let batches = self.acknowledged.iter().rev();
        let mut batches = batches.take_while(|batch| batch.mark > seen);
        let row = batches.find_map(|batch| batch.rows.get(id))?;
        Some(row.now.clone())
    }

    fn changed_since(&self, seen: Mark, table: &Table) -> HashMap<&RowId, Pending> {
        let mut changed: HashMap<&RowId, Pending> = HashMap::new();
        let acknowledged = self.acknowledged.iter().filter(|batch| batch.mark > seen);
        let rows = acknowledged.flat_map(|batch| &batch.rows);
        for (id, row) in rows.chain(self.pending.iter()) {
            if id.table != table {
                continue;
            }
            changed
                .entry(id)
                .and_modify(|known| known.now.clone_from(&row.now))
                .or_insert_with(|| row.clone());
        }
        changed
    }

    // ---- Fetches ---------------------------------------------------------------------------------------------------

    /// Begins a fetch: while the guard lives, the rows of acknowledged batches are kept.
    pub fn begin_fetch(&self) -> Fetching {
        Fetching {
            epoch: self.epoch,
            _under_way: Arc::clone(&self.fetches),
        }
    }

    /// Returns whether the fetched rows may be used: no other process can have written since.
    pub fn is_current(&self, fetching: &Fetching) -> bool {
        self.epoch == fetching.epoch
    }

    /// Adds the rows of a current fetch to the cache, except for rows that changed since.
    pub fn accept(&mut self, fetched: &Fetched) {
        for (id, row) in &fetched.rows {
            let is_newer = self.pending.contains_key(id)
                || self
                    .acknowledged
                    .iter()
                    .any(|batch| batch.mark > fetched.seen && batch.rows.contains_key(id));
            if !is_newer {
                self.cache.insert_unless_there(id, row);
            }
        }
        for (table, rows) in &fetched.whole {
            self.whole.insert(table.name, rows.clone());
        }
    }

    // ---- Batches ---------------------------------------------------------------------------------------------------

    /// Returns the dirty rows of the open batch, table by table, in the order of their first changes.
    pub fn written(&self) -> Vec<Written<'_>> {
        let rows = self.order.iter().filter_map(|id| {
            let pending = self.pending.get(id)?;
            Some(Written {
                id,
                base: pending.base.as_deref(),
                now: pending.now.as_deref(),
            })
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|row| row.id.table.name);
        rows
    }

    /// Returns whether there are dirty rows.
    pub fn has_changes(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Returns whether a row is dirty.
    pub fn is_pending(&self, id: &RowId) -> bool {
        self.pending.contains_key(id)
    }

    /// Records that the batch is committed, with the database at `mark`: dirty rows move to the cache.
    pub fn committed(&mut self, mark: Mark) {
        let rows = std::mem::take(&mut self.pending);
        for id in self.order.drain(..) {
            if let Some(row) = rows.get(&id) {
                self.cache.insert(id, row.now.clone());
            }
        }
        self.cache.shrink();
        let is_over = |batch: &Acknowledged| Arc::strong_count(&batch.fetches) == 1;
        while self.acknowledged.front().is_some_and(is_over) {
            self.acknowledged.pop_front();
        }
        if Arc::strong_count(&self.fetches) > 1 || !self.acknowledged.is_empty() {
            self.acknowledged.push_back(Acknowledged {
                mark,
                rows,
                fetches: std::mem::take(&mut self.fetches),
            });
        }
    }

    /// Shrinks the cache to its capacity. Until this is called, all fetched rows stay, however many there are.
    pub fn shrink(&mut self) {
        self.cache.shrink();
    }

    /// Drops all rows, after the batch was lost or another process has written.
    pub fn forget(&mut self) {
        self.epoch += 1;
        self.pending.clear();
        self.order.clear();
        self.cache.clear();
        self.whole.clear();
        self.acknowledged.clear();
    }
}

/// A cache of rows as the database has them, least recently used first.
struct Cache {
    rows: LinkedHashMap<RowId, (State, usize)>,
    size: usize,
    most: usize,
}

impl Cache {
    fn new(most: usize) -> Self {
        Self {
            rows: LinkedHashMap::new(),
            size: 0,
            most,
        }
    }

    fn get(&mut self, id: &RowId) -> Option<State> {
        let (state, _) = self.rows.to_back(id)?;
        Some(state.clone())
    }

    fn insert(&mut self, id: RowId, state: State) {
        let size = 128 + id.key.size() + state.as_ref().map_or(0, |row| row.size());
        self.size += size;
        if let Some((_, old)) = self.rows.insert(id, (state, size)) {
            self.size -= old;
        }
    }

    fn shrink(&mut self) {
        while self.size > self.most
            && self.rows.len() > 1
            && let Some((_, (_, size))) = self.rows.pop_front()
        {
            self.size -= size;
        }
    }

    fn insert_unless_there(&mut self, id: &RowId, state: &State) {
        if !self.rows.contains_key(id) {
            self.insert(id.clone(), state.clone());
        }
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.size = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    table! {
        /// A row of the tests.
        pub struct Tally in "tallies", called "tally" {
            key id;
            number: i64,
        }
    }

    #[test]
    fn what_was_acknowledged_is_remembered_for_fetches_that_began_before_and_no_longer() {
        let mut overlay = Overlay::new(1 << 20);
        let mut under_way = std::collections::VecDeque::new();
        for number in 0..100 {
            // There is always a running fetch, and none lasts longer than three batches.
            under_way.push_back(overlay.begin_fetch());
            let row = Tally {
                id: number.to_string().as_str().into(),
                number,
            };
            let row: Arc<dyn AnyRow> = Arc::new(row);
            overlay.set(row.id(), None, Some(row));
            overlay.committed(Mark(number));
            if under_way.len() > 2 {
                under_way.pop_front();
            }
            let known = overlay.acknowledged.len();
            assert!(known <= 4, "{known}");
            assert!(known >= under_way.len().min(2), "{known}");
        }
        under_way.clear();
        overlay.committed(Mark(100));
        assert_eq!(overlay.acknowledged.len(), 0);
    }
}
