use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use cairn_model::value::{Object, Value};

use super::cell::{Cell, CellRef, Kind, Text, WrongCell};
use super::hooks::Hooks;
use crate::key::Key;

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name in the database, in changes and in look-ups.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

impl Column {
    /// A column of this name that holds values of this kind.
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind }
    }
}

/// Makes a row of the cells of all columns, which the function that it is given hands out in order.
pub type ReadRow = fn(&mut dyn FnMut() -> Cell) -> Result<Arc<dyn AnyRow>, WrongCell>;

/// What a table says about itself.
pub struct Table {
    /// Its name in the database.
    pub name: &'static str,
    /// All columns, the key first.
    pub columns: &'static [Column],
    /// How many columns the key has. They are texts.
    pub key: usize,
    /// An SQL condition that all rows meet that count; the others are as if they were not there. Written as in the index that
    /// serves the key: SQLite uses a partial index only for the very condition.
    pub alive: Option<&'static str>,
    /// The column that says when a row was last changed; no change names it.
    pub updated_at: Option<&'static str>,
    /// What one row is called in a message.
    pub noun: &'static str,
    /// What else the host has to know about its rows.
    pub hooks: Hooks,
    /// Makes a row.
    pub read: ReadRow,
    /// Makes an empty row.
    pub blank: fn() -> Box<dyn AnyRow>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.name == other.name
    }
}

impl Eq for Table {}

impl Table {
    /// The position of a column.
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.name == column)
    }
}

/// Names a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowId {
    /// Its table.
    pub table: &'static Table,
    /// Its key.
    pub key: Key,
}

impl RowId {
    /// The row of `R`'s table with this key.
    pub fn of<R: Row>(key: impl Into<Key>) -> Self {
        Self {
            table: R::TABLE,
            key: key.into(),
        }
    }
}

impl Hash for RowId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.table.name.hash(state);
        self.key.hash(state);
    }
}

/// A row of any table.
pub trait AnyRow: Any + Send + Sync {
    /// Its table.
    fn table(&self) -> &'static Table;

    /// The cell of a column, by its position. Panics when there is no such column.
    fn cell(&self, column: usize) -> CellRef<'_>;

    /// Sets a column, by its position.
    ///
    /// # Errors
    /// [`WrongCell`] when the column cannot hold it, or is not there.
    fn set(&mut self, column: usize, cell: Cell) -> Result<(), WrongCell>;

    /// A copy.
    fn copy(&self) -> Box<dyn AnyRow>;

    /// The row, as its own type can be made of it.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl dyn AnyRow {
    /// Names the row.
    pub fn id(&self) -> RowId {
        let table = self.table();
        let texts = (0..table.key).map(|column| match self.cell(column) {
            CellRef::Text(text) => Text::from(text),
            _ => Text::from(""),
        });
        RowId {
            table,
            key: Key(texts.collect()),
        }
    }

    /// Columns as a change names them.
    pub fn plain(&self, columns: &[&str]) -> Object {
        let table = self.table();
        let positions = columns.iter().filter_map(|name| table.position(name));
        positions
            .map(|at| {
                let column = table.columns[at];
                (column.name.to_owned(), self.cell(at).plain(column.kind))
            })
            .collect()
    }

    /// Columns as a look-up shows them.
    pub fn shown(&self, columns: &[&str]) -> Object {
        let table = self.table();
        let positions = columns.iter().filter_map(|name| table.position(name));
        positions
            .map(|at| {
                let column = table.columns[at];
                (column.name.to_owned(), self.cell(at).shown(column.kind))
            })
            .collect()
    }

    /// Sets the columns that a change names.
    ///
    /// # Errors
    /// The name of a column that cannot hold what is said of it, or is not there.
    pub fn set_plain(&mut self, columns: &Object) -> Result<(), String> {
        let table = self.table();
        for (name, value) in columns {
            let set = table.position(name).and_then(|at| {
                let cell = Cell::from_plain(value, table.columns[at].kind)?;
                self.set(at, cell).ok()
            });
            set.ok_or_else(|| name.clone())?;
        }
        Ok(())
    }

    /// The first column that is not what a change says it is: its name, and what it holds.
    pub fn differs(&self, expected: &Object) -> Option<(String, Value)> {
        let table = self.table();
        expected.iter().find_map(|(name, expected)| {
            let Some(at) = table.position(name) else {
                return Some((name.clone(), Value::Null));
            };
            let (cell, kind) = (self.cell(at), table.columns[at].kind);
            let is_same =
                Cell::from_plain(expected, kind).is_some_and(|expected| expected.borrow() == cell);
            (!is_same).then(|| (name.clone(), cell.plain(kind)))
        })
    }

    /// Bytes in memory, about.
    pub fn size(&self) -> usize {
        let cells = (0..self.table().columns.len()).map(|column| match self.cell(column) {
            CellRef::Null | CellRef::Int(_) => 8,
            CellRef::Text(text) => 32 + text.len(),
            CellRef::Blob(bytes) => 32 + bytes.len(),
        });
        64 + cells.sum::<usize>()
    }
}

impl fmt::Debug for dyn AnyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct(self.table().name);
        for (at, column) in self.table().columns.iter().enumerate() {
            shown.field(column.name, &self.cell(at));
        }
        shown.finish()
    }
}

/// A row as a type of its own.
pub trait Row: AnyRow + Clone + Default {
    /// Its table.
    const TABLE: &'static Table;
}

/// What a row is; `None` where there is none.
pub type State = Option<Arc<dyn AnyRow>>;

/// All rows of a table that is kept whole.
pub type WholeTable = Arc<[Arc<dyn AnyRow>]>;

/// Downcasts a row; `None` when it is another table's.
pub fn typed<R: Row>(row: &Arc<dyn AnyRow>) -> Option<Arc<R>> {
    Arc::clone(row).into_any().downcast().ok()
}

/// Declares the row of a table as a struct, and the table itself. The fields of the key come first; they are texts.
///
/// ```
/// use cairn_effects::rows::{Hooks, Row};
/// use cairn_effects::table;
///
/// const HOOKS: Hooks = Hooks {
///     flow: Some("flow"),
///     ..Hooks::NONE
/// };
///
/// table! {
///     /// A ticket.
///     pub struct Ticket in "tickets", called "ticket", with HOOKS {
///         key id;
///         subject: cairn_effects::rows::Text,
///         flow: Option<cairn_model::id::FlowId>,
///     }
/// }
///
/// assert_eq!(Ticket::TABLE.noun, "ticket");
/// ```
#[macro_export]
macro_rules! table {
    (
        $(#[$doc:meta])*
        pub struct $row:ident in $name:literal, called $noun:literal $(, where $alive:literal)? $(, touching $touched:literal)?
            $(, with $hooks:ident)? {
            key $($key:ident),+;
            $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        #[allow(missing_docs, reason = "named after the columns")]
        pub struct $row {
            $(pub $key: $crate::rows::Text,)+
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $crate::rows::Row for $row {
            const TABLE: &'static $crate::rows::Table = {
                static TABLE: $crate::rows::Table = $crate::rows::Table {
                    name: $name,
                    columns: &[
                        $($crate::rows::Column { name: stringify!($key), kind: $crate::rows::Kind::Text },)+
                        $($crate::rows::Column {
                            name: stringify!($field),
                            kind: <$type as $crate::rows::Field>::KIND,
                        },)*
                    ],
                    key: [$(stringify!($key)),+].len(),
                    alive: $crate::table!(@option $($alive)?),
                    updated_at: $crate::table!(@option $($touched)?),
                    noun: $noun,
                    hooks: $crate::table!(@hooks $($hooks)?),
                    read: |next| Ok(std::sync::Arc::new($row {
                        $($key: $crate::rows::Field::read(next())
                            .ok_or($crate::rows::WrongCell { column: stringify!($key) })?,)+
                        $($field: $crate::rows::Field::read(next())
                            .ok_or($crate::rows::WrongCell { column: stringify!($field) })?,)*
                    })),
                    blank: || Box::new($row::default()),
                };
                &TABLE
            };
        }

        impl $crate::rows::AnyRow for $row {
            fn table(&self) -> &'static $crate::rows::Table {
                <$row as $crate::rows::Row>::TABLE
            }

            #[allow(unused_assignments, reason = "the last column")]
            fn cell(&self, column: usize) -> $crate::rows::CellRef<'_> {
                let mut at = 0;
                $(if column == at { return $crate::rows::Field::cell(&self.$key); } at += 1;)+
                $(if column == at { return $crate::rows::Field::cell(&self.$field); } at += 1;)*
                panic!("the table {} has no column {column}", $name)
            }

            #[allow(unused_assignments, reason = "the last column")]
            fn set(
                &mut self,
                column: usize,
                cell: $crate::rows::Cell,
            ) -> Result<(), $crate::rows::WrongCell> {
                let mut at = 0;
                $(
                    if column == at {
                        let wrong = $crate::rows::WrongCell { column: stringify!($key) };
                        self.$key = $crate::rows::Field::read(cell).ok_or(wrong)?;
                        return Ok(());
                    }
                    at += 1;
                )+
                $(
                    if column == at {
                        let wrong = $crate::rows::WrongCell { column: stringify!($field) };
                        self.$field = $crate::rows::Field::read(cell).ok_or(wrong)?;
                        return Ok(());
                    }
                    at += 1;
                )*
                Err($crate::rows::WrongCell { column: "" })
            }

            fn copy(&self) -> Box<dyn $crate::rows::AnyRow> {
                Box::new(self.clone())
            }

            fn into_any(
                self: std::sync::Arc<Self>,
            ) -> std::sync::Arc<dyn std::any::Any + Send + Sync> {
                self
            }
        }
    };
    (@option $value:literal) => { Some($value) };
    (@option) => { None };
    (@hooks $hooks:ident) => { $hooks };
    (@hooks) => { $crate::rows::Hooks::NONE };
}
