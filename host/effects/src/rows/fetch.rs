use std::collections::BTreeMap;
use std::sync::Arc;

use super::cell::Cell;
use super::table::{AnyRow, RowId, State, Table, WholeTable};

/// How far a database has got: grows with every batch that changes rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub i64);

/// Rows of one table that meet a condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Select {
    /// The table's name.
    pub table: &'static str,
    /// The condition, in SQL; `$1` is the first of `parameters`.
    pub condition: &'static str,
    /// What the condition is about.
    pub parameters: Vec<Cell>,
}

/// Numbers of rows by group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// A query whose rows are the cells of a group, and last how many rows are in it; `$1` is the first of `parameters`.
    pub query: &'static str,
    /// What the query is about.
    pub parameters: Vec<Cell>,
}

/// Group -> number of rows.
pub type Counted = BTreeMap<Vec<Cell>, i64>;

/// What rules need of the database.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// Rows by their keys.
    pub rows: Vec<RowId>,
    /// Tables whole.
    pub whole: Vec<&'static Table>,
    /// Rows by conditions.
    pub selects: Vec<(&'static Table, Select)>,
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
