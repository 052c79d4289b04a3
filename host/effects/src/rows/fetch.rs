use std::collections::BTreeMap;
use std::sync::Arc;

use super::scan::{Count, Counted, Select};
use super::table::{AnyRow, RowId, State, Table, WholeTable};

/// A high-water mark of a database, which grows with every batch that changes rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub i64);

/// Rows, selections and counts that rules need from the database.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// Rows by their keys.
    pub rows: Vec<RowId>,
    /// Whole tables.
    pub whole: Vec<&'static Table>,
    /// Rows by conditions.
    pub selects: Vec<Select>,
    /// Counts of rows.
    pub counts: Vec<Count>,
}

impl Wants {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.whole.is_empty()
            && self.selects.is_empty()
            && self.counts.is_empty()
    }
}

/// The database's answer to [`Wants`], from one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The mark of the snapshot.
    pub seen: Mark,
    /// Rows by their keys; `None` for a missing row.
    pub rows: Vec<(RowId, State)>,
    /// Whole tables.
    pub whole: Vec<(&'static Table, WholeTable)>,
    /// Rows by conditions.
    pub selects: BTreeMap<Select, Vec<Arc<dyn AnyRow>>>,
    /// Counts of rows.
    pub counts: BTreeMap<Count, Counted>,
}
