//! Questions about a table that keys do not answer. Each is asked twice: in SQL of a database that knows it, and in Rust of rows in
//! memory. Both must say the same.

use std::any::Any;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use super::cell::Cell;
use super::table::{AnyRow, Row, RowId, State, Table};

/// Which rows of a table meet a condition.
pub struct Scan<R: Row> {
    /// Its name; no other scan has it.
    pub name: &'static str,
    /// The condition in SQL; `$1` is the first parameter. Flags are compared with `TRUE` and `FALSE`.
    pub condition: &'static str,
    /// The condition in Rust.
    pub holds: fn(&R, &[Cell]) -> bool,
}

/// Looks up a row of any table.
pub type LookUp<'a> = &'a dyn Fn(&RowId) -> State;

/// How many rows of a table there are, by group.
pub struct Tally<R: Row> {
    /// Its name; no other tally has it.
    pub name: &'static str,
    /// The query in SQL, whose rows are the cells of a group, and last how many rows are in it; `$1` is the first parameter.
    pub query: &'static str,
    /// The group of a row in Rust; `None` of one that does not count.
    pub group: fn(&R, &[Cell], LookUp<'_>) -> Option<Vec<Cell>>,
    /// Whether rules change what a row counts for. If not, what the database says needs no correction.
    pub changes: bool,
}

/// Group -> number of rows.
pub type Counted = BTreeMap<Vec<Cell>, i64>;

/// A [`Scan`] of any table.
pub trait AnyScan: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// The table.
    fn table(&self) -> &'static Table;

    /// The condition in SQL.
    fn condition(&self) -> &'static str;

    /// Whether a row of the table meets the condition.
    fn holds(&self, row: &dyn AnyRow, parameters: &[Cell]) -> bool;
}

/// A [`Tally`] of any table.
pub trait AnyTally: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// The table.
    fn table(&self) -> &'static Table;

    /// The query in SQL.
    fn query(&self) -> &'static str;

    /// The group of a row of the table.
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
            /// What is asked.
            pub of: &'static dyn $any,
            /// What it is about.
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
