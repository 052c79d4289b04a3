//! Queries on a table other than by key. Each is written twice: in SQL, for the database, and in Rust, for rows in memory. Both must
//! give the same answer.

use std::any::Any;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use super::cell::Cell;
use super::table::{AnyRow, Row, RowId, State, Table};

/// A selection of the rows of a table that meet a condition.
pub struct Scan<R: Row> {
    /// Its unique name among scans.
    pub name: &'static str,
    /// The condition in SQL; `$1` is the first parameter. Flags are compared with `TRUE` and `FALSE`.
    pub condition: &'static str,
    /// The condition in Rust.
    pub holds: fn(&R, &[Cell]) -> bool,
}

/// Looks up a row of any table.
pub type LookUp<'a> = &'a dyn Fn(&RowId) -> State;

/// A count of the rows of a table, by group.
pub struct Tally<R: Row> {
    /// Its unique name among tallies.
    pub name: &'static str,
    /// The query in SQL, whose rows are the cells of a group and then its count; `$1` is the first parameter.
    pub query: &'static str,
    /// The group of a row in Rust; `None` for a row that does not count.
    pub group: fn(&R, &[Cell], LookUp<'_>) -> Option<Vec<Cell>>,
    /// Whether rules change the group of rows. If not, the database's answer needs no correction.
    pub changes: bool,
}

/// Group -> number of rows.
pub type Counted = BTreeMap<Vec<Cell>, i64>;

/// A [`Scan`] of any table.
pub trait AnyScan: Send + Sync {
    /// Returns its name.
    fn name(&self) -> &'static str;

    /// Returns the table.
    fn table(&self) -> &'static Table;

    /// Returns the condition in SQL.
    fn condition(&self) -> &'static str;

    /// Returns whether a row of the table meets the condition.
    fn holds(&self, row: &dyn AnyRow, parameters: &[Cell]) -> bool;
}

/// A [`Tally`] of any table.
pub trait AnyTally: Send + Sync {
    /// Returns its name.
    fn name(&self) -> &'static str;

    /// Returns the table.
    fn table(&self) -> &'static Table;

    /// Returns the query in SQL.
    fn query(&self) -> &'static str;

    /// Returns the group of a row of the table.
    fn group(
        &self,
        row: &dyn AnyRow,
        parameters: &[Cell],
        look_up: LookUp<'_>,
    ) -> Option<Vec<Cell>>;
}

impl<R: Row> AnyScan for Scan<R> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn table(&self) -> &'static Table {
        R::TABLE
    }

    fn condition(&self) -> &'static str {
        self.condition
    }

    fn holds(&self, row: &dyn AnyRow, parameters: &[Cell]) -> bool {
        let row: &dyn Any = row;
        row.downcast_ref()
            .is_some_and(|row| (self.holds)(row, parameters))
    }
}

impl<R: Row> AnyTally for Tally<R> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn table(&self) -> &'static Table {
        R::TABLE
    }

    fn query(&self) -> &'static str {
        self.query
    }

    fn group(
        &self,
        row: &dyn AnyRow,
        parameters: &[Cell],
        look_up: LookUp<'_>,
    ) -> Option<Vec<Cell>> {
        let row: &dyn Any = row;
        (self.group)(row.downcast_ref()?, parameters, look_up)
    }
}

macro_rules! asked {
    ($(#[$doc:meta])* $name:ident, $any:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name {
            /// The query.
            pub of: &'static dyn $any,
            /// Its parameters.
            pub parameters: Vec<Cell>,
        }

        impl $name {
            fn key(&self) -> (&'static str, &[Cell]) {
                (self.of.name(), &self.parameters)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.key() == other.key()
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.key().cmp(&other.key())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{:?}", self.of.name(), self.parameters)
            }
        }
    };
}

asked! {
    /// A scan with its parameters.
    Select, AnyScan
}

asked! {
    /// A tally with its parameters.
    Count, AnyTally
}
