use std::collections::HashMap;
use std::sync::Arc;

use hashlink::{DefaultHashBuilder, LinkedHashMap};

use super::fetch::{Fetched, Mark};
use super::table::{AnyRow, RowId, Table, WholeTable};

/// What a row is; `None` where there is none.
pub type State = Option<Arc<dyn AnyRow>>;

/// A row that the open batch changed.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// What the database holds.
    base: State,
    now: State,
}

/// One row of a batch: what the database holds, and what it is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// The row.
    pub id: &'a RowId,
    /// What the database holds.
    pub base: Option<&'a dyn AnyRow>,
    /// What it is to hold.
    pub now: Option<&'a dyn AnyRow>,
}

/// Rows that a batch wrote, kept for as long as a fetch is under way that may not have seen them.
struct Acknowledged {
    mark: Mark,
    rows: Vec<(RowId, Pending)>,
}

/// How an effect found a row before it changed it.
pub(super) type Before = (RowId, Option<Pending>);

/// A fetch from its beginning until its answers are used no more.
pub struct Fetching {
    epoch: u64,
    _under_way: Arc<()>,
}

impl Fetching {
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Rows over a database: those that the open batch changed, and a cache of others. The rules look at rows here, and a commit
/// writes the final state of each changed row once.
///
/// A row is here from its first change until the batch with its last change is acknowledged; the cache may drop what is not.
pub struct Overlay {
    pending: HashMap<RowId, Pending, DefaultHashBuilder>,
    /// Those of `pending` in the order of their first change.
    order: Vec<RowId>,
    cache: Cache,
    /// Tables that are kept whole.
    whole: HashMap<&'static str, WholeTable>,
    acknowledged: Vec<Acknowledged>,
    /// Grows whenever somebody else may have written.
    epoch: u64,
    /// Held by each fetch that is under way, or whose answers are still used.
    fetches: Arc<()>,
}

impl Overlay {
    /// An overlay that knows nothing, with a cache of `most` bytes.
    pub fn new(most: usize) -> Self {
        Self {
            pending: HashMap::default(),
            order: Vec::new(),
            cache: Cache::new(most),
            whole: HashMap::new(),
            acknowledged: Vec::new(),
            epoch: 0,
            fetches: Arc::default(),
        }
    }

    // ---- What effects ask ------------------------------------------------------------------------------------------

    /// The row as the open batch has it; `None` when it is not in memory.
    pub(super) fn get(&mut self, id: &RowId) -> Option<State> {
        match self.pending.get(id) {
            Some(pending) => Some(pending.now.clone()),
            None => self.cache.get(id),
        }
    }

    pub(super) fn whole(&self, table: &Table) -> Option<WholeTable> {
        self.whole.get(table.name).cloned()
    }

    /// Changes a row whose state is known, and says how it was found.
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

    /// Takes changes back, the last first.
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

    /// The rows that the database found, as they are now: those that changed since replace what it found, or come to it.
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

    /// The rows of a table that changed since the database was looked at: what it saw, and what they are.
    pub(super) fn changes_since(&self, seen: Mark, table: &Table) -> Vec<(State, State)> {
        let changed = self.changed_since(seen, table).into_values();
        changed.map(|row| (row.base, row.now)).collect()
    }

    fn changed_since(&self, seen: Mark, table: &Table) -> HashMap<&RowId, Pending> {
        let mut changed: HashMap<&RowId, Pending> = HashMap::new();
        let acknowledged = self.acknowledged.iter().filter(|batch| batch.mark > seen);
        let rows = acknowledged.flat_map(|batch| batch.rows.iter().map(|(id, row)| (id, row)));
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

    /// Begins to fetch: what is acknowledged while the guard lives is remembered.
    pub fn begin_fetch(&self) -> Fetching {
        Fetching {
            epoch: self.epoch,
            _under_way: Arc::clone(&self.fetches),
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether what was fetched may be used: nobody else may have written since.
    pub fn is_current(&self, fetching: &Fetching) -> bool {
        self.epoch == fetching.epoch
    }

    /// Takes in rows of a fetch that is current. Those that changed since are left alone.
    pub fn accept(&mut self, fetched: &Fetched) {
        for (id, row) in &fetched.rows {
            let is_newer = self.pending.contains_key(id)
                || self.acknowledged.iter().any(|batch| {
                    batch.mark > fetched.seen && batch.rows.iter().any(|(known, _)| known == id)
                });
            if !is_newer {
                self.cache.insert_unless_there(id, row);
            }
        }
        for (table, rows) in &fetched.whole {
            self.whole.insert(table.name, rows.clone());
        }
    }

    // ---- Batches ---------------------------------------------------------------------------------------------------

    /// What the open batch changed, table by table, in the order of the first changes.
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

    /// The batch is in the database, which has got to `mark` by it.
    pub fn committed(&mut self, mark: Mark) {
        let rows = self.order.drain(..);
        let pending = &mut self.pending;
        let rows: Vec<_> = rows.filter_map(|id| pending.remove_entry(&id)).collect();
        for (id, row) in &rows {
            self.cache.insert(id.clone(), row.now.clone());
        }
        if Arc::strong_count(&self.fetches) > 1 {
            self.acknowledged.push(Acknowledged { mark, rows });
        } else {
            self.acknowledged.clear();
        }
    }

    /// Forgets everything: the batch was lost, or somebody else has written.
    pub fn forget(&mut self) {
        self.epoch += 1;
        self.pending.clear();
        self.order.clear();
        self.cache.clear();
        self.whole.clear();
        self.acknowledged.clear();
    }
}

/// Rows that are as the database has them, the least recently used first.
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
        // A key's texts are those of its row, or few.
        let size = 128 + state.as_ref().map_or(64, |row| row.size());
        self.size += size;
        if let Some((_, old)) = self.rows.insert(id, (state, size)) {
            self.size -= old;
        }
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
