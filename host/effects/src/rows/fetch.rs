use std::collections::BTreeMap;
use std::sync::Arc;

use super::scan::{Count, Counted, Select};
use super::table::{AnyRow, RowId, State, Table, WholeTable};

/// How far a database has got: grows with every batch that changes rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub i64);

/// What rules need of the database.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// Rows by their keys.
    pub rows: Vec<RowId>,
    /// Tables whole.
    pub whole: Vec<&'static Table>,
    /// Rows by conditions.
    pub selects: Vec<Select>,
    /// Numbers of rows.
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

/// What the database answered, all of it as one state of the database has it.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// How far the database had got.
    pub seen: Mark,
    /// Rows by their keys; none where there is none.
    pub rows: Vec<(RowId, State)>,
    /// Tables whole.
    pub whole: Vec<(&'static Table, WholeTable)>,
    /// Rows by conditions.
    pub selects: BTreeMap<Select, Vec<Arc<dyn AnyRow>>>,
    /// Numbers of rows.
    pub counts: BTreeMap<Count, Counted>,
}
