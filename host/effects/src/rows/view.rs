use std::collections::BTreeSet;
use std::sync::Arc;

use hashlink::LinkedHashSet;

use cairn_model::clock::Timestamp;
use cairn_model::error::TaskError;

use super::fetch::{Fetched, Wants};
use super::overlay::{Before, Fetching, Overlay};
use super::scan::{Count, Counted, Scan, Select, Tally};
use super::services::Services;
use super::table::{AnyRow, Row, RowId, State, typed};
use super::{Cell, CellRef, Text};
use crate::effect::{Caller, Change};
use crate::key::Key;

/// Why an effect or a look-up stopped early.
#[derive(Debug)]
pub enum Stop {
    /// A rule refused it. Only changes that were [kept](Rows::keep) stay.
    Refused(TaskError),
    /// It needs rows that are not in memory, and must run again once they are.
    Missing,
}

impl From<TaskError> for Stop {
    fn from(error: TaskError) -> Self {
        Self::Refused(error)
    }
}

/// The state that an effect keeps when it runs again for missing rows: its time, its new ids, the fetched answers.
#[derive(Debug)]
pub struct Draft {
    now: Timestamp,
    ids: Vec<Text>,
    /// How many of `ids` this run has used.
    used: usize,
    answers: Vec<(Fetching, Fetched)>,
    wants: Wants,
}

impl Draft {
    /// Creates the draft of an effect or look-up that is requested at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            ids: Vec::new(),
            used: 0,
            answers: Vec::new(),
            wants: Wants::default(),
        }
    }

    /// Returns the time of the request.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Takes what was missing in the last run; empty when nothing was.
    pub fn take_wants(&mut self) -> Wants {
        std::mem::take(&mut self.wants)
    }

    /// Adds a fetched answer.
    pub fn answered(&mut self, fetching: Fetching, fetched: Fetched) {
        self.answers.push((fetching, fetched));
    }
}

/// The interface of the rules of one effect or look-up: rows, the time, new ids, the caller.
pub struct Rows<'a> {
    overlay: &'a mut Overlay,
    draft: &'a mut Draft,
    by: Caller<'a>,
    /// The rows that the flow created or changed.
    made: &'a Made,
    services: &'a Services,
    log: Vec<Before>,
    /// The length of the part of `log` that stays when the effect is refused.
    kept: usize,
    changes: Vec<Change>,
    denied: Vec<(&'static str, String)>,
}

/// The rows that a flow created or changed, in order.
pub type Made = LinkedHashSet<RowId>;

/// What a run of rules recorded besides its answer; not committed yet.
#[derive(Debug, Default)]
pub struct RunRecord {
    /// Its changes, in order.
    pub changes: Vec<Change>,
    /// Rows of other projects or flows that the caller named: kind and id.
    pub denied: Vec<(&'static str, String)>,
}

impl<'a> Rows<'a> {
    /// Creates the interface for one run of the effect or look-up of `draft`.
    pub fn new(
        overlay: &'a mut Overlay,
        draft: &'a mut Draft,
        by: Caller<'a>,
        made: &'a Made,
        services: &'a Services,
    ) -> Self {
        draft.used = 0;
        // Drops answers that are stale, because another process may have written since.
        draft
            .answers
            .retain(|(fetching, _)| overlay.is_current(fetching));
        Self {
            overlay,
            draft,
            by,
            made,
            services,
            log: Vec::new(),
            kept: 0,
            changes: Vec::new(),
            denied: Vec::new(),
        }
    }

    /// Runs rules; their changes stay if they succeed, and are reverted otherwise except for those [kept](Self::keep).
    pub fn run<T>(
        mut self,
        rules: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> (Result<T, Stop>, RunRecord) {
        let result = rules(&mut self);
        let from = match &result {
            Ok(_) => self.log.len(),
            Err(Stop::Refused(_)) => self.kept,
            Err(Stop::Missing) => 0,
        };
        self.overlay.take_back(self.log.drain(from..));
        let mut done = RunRecord {
            changes: self.changes,
            denied: self.denied,
        };
        match &result {
            Ok(_) => {}
            Err(Stop::Refused(_)) => done.changes.clear(),
            Err(Stop::Missing) => done = RunRecord::default(),
        }
        (result, done)
    }

    // ---- Caller and time -------------------------------------------------------------------------------------------

    /// Returns the caller.
    pub fn by(&self) -> Caller<'a> {
        self.by
    }

    /// Returns the time of the request.
    pub fn now(&self) -> Timestamp {
        self.draft.now
    }

    /// Returns the services that the host's domains registered for their rules.
    pub fn services(&self) -> &'a Services {
        self.services
    }

    /// Returns a new id: a UUID of version 7.
    pub fn new_id(&mut self) -> Text {
        let draft = &mut *self.draft;
        if draft.used == draft.ids.len() {
            let id = cairn_model::id::uuid();
            let mut text = uuid::Uuid::encode_buffer();
            draft
                .ids
                .push(Text::from(&*id.hyphenated().encode_lower(&mut text)));
        }
        draft.used += 1;
        Arc::clone(&draft.ids[draft.used - 1])
    }

    // ---- Reading ---------------------------------------------------------------------------------------------------

    /// Returns the row of `R`'s table with this key.
    ///
    /// # Errors
    /// [`Stop::Missing`] when it is not in memory.
    pub fn get<R: Row>(&mut self, key: impl Into<Key>) -> Result<Option<Arc<R>>, Stop> {
        let row = self.get_any(&RowId::of::<R>(key))?;
        Ok(row.as_ref().and_then(typed))
    }

    /// Returns a row of any table.
    ///
    /// # Errors
    /// [`Stop::Missing`] when it is not in memory.
    pub fn get_any(&mut self, id: &RowId) -> Result<State, Stop> {
        match self.known(id) {
            Some(state) => Ok(state),
            None => {
                self.draft.wants.rows.push(id.clone());
                Err(Stop::Missing)
            }
        }
    }

    /// Returns a row that is in memory. One that was fetched for this draft is, even if the cache has dropped it since: otherwise an effect
    /// whose rows do not fit into the cache together would never end.
    fn known(&mut self, id: &RowId) -> Option<State> {
        if let Some(state) = self.overlay.get(id) {
            return Some(state);
        }
        self.draft.answers.iter().rev().find_map(|(_, fetched)| {
            let (_, state) = fetched.rows.iter().find(|(found, _)| found == id)?;
            let changed = self.overlay.acknowledged_since(fetched.seen, id);
            Some(changed.unwrap_or_else(|| state.clone()))
        })
    }

    /// Requests rows that will be needed, so that the missing ones are fetched together.
    ///
    /// # Errors
    /// [`Stop::Missing`] when any is missing.
    pub fn prefetch(&mut self, ids: impl IntoIterator<Item = RowId>) -> Result<(), Stop> {
        for id in ids {
            if self.known(&id).is_none() {
                self.draft.wants.rows.push(id);
            }
        }
        self.fetch_missing()
    }

    fn fetch_missing(&self) -> Result<(), Stop> {
        match self.draft.wants.is_empty() {
            true => Ok(()),
            false => Err(Stop::Missing),
        }
    }

    /// Returns all rows of a table that is kept whole: one that operators change and flows do not.
    ///
    /// # Errors
    /// [`Stop::Missing`] when they are not in memory.
    pub fn whole<R: Row>(&mut self) -> Result<Vec<Arc<R>>, Stop> {
        let Some(rows) = self.overlay.whole(R::TABLE) else {
            self.draft.wants.whole.push(R::TABLE);
            return Err(Stop::Missing);
        };
        Ok(rows.iter().filter_map(typed).collect())
    }

    /// Returns the first row for which `is_it` is true, of a table that is kept whole.
    ///
    /// # Errors
    /// [`Stop::Missing`] when they are not in memory.
    pub fn find<R: Row>(&mut self, is_it: impl Fn(&R) -> bool) -> Result<Option<Arc<R>>, Stop> {
        let Some(rows) = self.overlay.whole(R::TABLE) else {
            self.draft.wants.whole.push(R::TABLE);
            return Err(Stop::Missing);
        };
        Ok(rows.iter().filter_map(typed::<R>).find(|row| is_it(row)))
    }

    /// Returns the rows of `R`'s table that a scan finds in the database, corrected by the rows that changed in memory.
    ///
    /// # Errors
    /// [`Stop::Missing`] when the database has not been queried.
    pub fn select<R: Row>(
        &mut self,
        scan: &'static Scan<R>,
        parameters: Vec<Cell>,
    ) -> Result<Vec<Arc<R>>, Stop> {
        let select = Select {
            of: scan,
            parameters,
        };
        let answers = self.draft.answers.iter().rev();
        let answer = answers
            .map(|(_, answer)| (answer.seen, answer.selects.get(&select)))
            .find_map(|(seen, rows)| Some((seen, rows?)));
        let Some((seen, found)) = answer else {
            self.draft.wants.selects.push(select);
            return Err(Stop::Missing);
        };
        let rows = self.overlay.select(R::TABLE, found, seen);
        let rows = rows.iter().filter_map(typed::<R>);
        Ok(rows
            .filter(|row| (scan.holds)(row, &select.parameters))
            .collect())
    }

    /// Returns the counts that a tally finds in the database, corrected by the rows that changed in memory.
    ///
    /// # Errors
    /// [`Stop::Missing`] when the database has not been queried.
    pub fn count<R: Row>(
        &mut self,
        tally: &'static Tally<R>,
        parameters: Vec<Cell>,
    ) -> Result<Counted, Stop> {
        let count = Count {
            of: tally,
            parameters,
        };
        let answers = self.draft.answers.iter().rev();
        let answer = answers
            .map(|(_, answer)| (answer.seen, answer.counts.get(&count)))
            .find_map(|(seen, groups)| Some((seen, groups?)));
        let Some((seen, groups)) = answer else {
            self.draft.wants.counts.push(count);
            return Err(Stop::Missing);
        };
        let mut groups = groups.clone();
        if !tally.changes {
            return Ok(groups);
        }
        for (base, now) in self.overlay.changes_since(seen, R::TABLE) {
            for (row, number) in [(base, -1), (now, 1)] {
                let row = row.as_ref().and_then(typed::<R>);
                // A tally whose groups change does not depend on rows of other tables.
                let group = row.and_then(|row| (tally.group)(&row, &count.parameters, &|_| None));
                if let Some(group) = group {
                    *groups.entry(group).or_default() += number;
                }
            }
        }
        Ok(groups)
    }

    /// Returns the existing rows of `R`'s table that this flow created or changed.
    ///
    /// # Errors
    /// [`Stop::Missing`] when one is not in memory.
    pub fn of_flow<R: Row>(&mut self) -> Result<Vec<Arc<R>>, Stop> {
        let made = self.made;
        let ids = made.iter().filter(|id| id.table == R::TABLE);
        let mut rows = Vec::new();
        for id in ids {
            match self.known(id) {
                Some(state) => rows.extend(state.as_ref().and_then(typed::<R>)),
                None => self.draft.wants.rows.push(id.clone()),
            }
        }
        self.fetch_missing()?;
        Ok(rows)
    }

    // ---- Changing --------------------------------------------------------------------------------------------------

    /// Inserts a row under a new key.
    pub fn insert<R: Row>(&mut self, row: R) -> Arc<R> {
        let row = Arc::new(row);
        let any: Arc<dyn AnyRow> = Arc::clone(&row) as _;
        self.set(any.id(), None, Some(any));
        row
    }

    /// Replaces a row that was read with a changed one.
    pub fn update<R: Row>(&mut self, old: &Arc<R>, new: R) -> Arc<R> {
        let (old, new): (Arc<dyn AnyRow>, _) = (Arc::clone(old) as _, Arc::new(new));
        let any: Arc<dyn AnyRow> = Arc::clone(&new) as _;
        self.set(any.id(), Some(old), Some(any));
        new
    }

    /// Removes a row that was read.
    pub fn remove<R: Row>(&mut self, old: &Arc<R>) {
        let old: Arc<dyn AnyRow> = Arc::clone(old) as _;
        self.set(old.id(), Some(old), None);
    }

    /// Changes a row of any table whose state is known.
    pub fn set(&mut self, id: RowId, old: State, new: State) {
        let before = self.overlay.set(id, old, new);
        self.log.push(before);
    }

    /// Adds to counters of an existing row: column -> amount.
    ///
    /// # Errors
    /// The table's own when the row does not exist or a counter cannot hold the sum; [`Stop::Missing`].
    pub fn count_by<'c>(
        &mut self,
        id: &RowId,
        by: impl IntoIterator<Item = (&'c str, i64)>,
    ) -> Result<(), Stop> {
        let table = id.table;
        let found = self.get_any(id)?;
        let moved = found.as_ref().and_then(|row| {
            let mut row = row.copy();
            for (column, by) in by {
                let at = table.position(column)?;
                let CellRef::Int(number) = row.cell(at) else {
                    return None;
                };
                row.set(at, Cell::Int(number.checked_add(by)?)).ok()?;
            }
            if let Some(at) = table.updated_at.and_then(|column| table.position(column)) {
                row.set(at, Cell::Int(self.draft.now.0)).ok()?;
            }
            Some(row)
        });
        let Some(moved) = moved else {
            return Err((table.hooks.out_of_range)(&id.key).into());
        };
        self.set(id.clone(), found, Some(moved.into()));
        Ok(())
    }

    /// Marks the changes so far as a repair, which stays when the effect is refused.
    pub fn keep(&mut self) {
        self.kept = self.log.len();
    }

    // ---- Recording -------------------------------------------------------------------------------------------------

    /// Records a change for the journal.
    pub fn note(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Returns the changes recorded so far, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Returns the projects that own the rows changed so far.
    pub fn owners(&self) -> BTreeSet<Text> {
        let ids = self.log.iter().map(|(id, _)| id);
        ids.flat_map(|id| self.overlay.owners(id)).collect()
    }

    /// Records that the caller named a row of another project or flow.
    pub fn deny(&mut self, kind: &'static str, id: impl Into<String>) {
        self.denied.push((kind, id.into()));
    }
}
