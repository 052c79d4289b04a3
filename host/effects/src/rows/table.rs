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
    /// The kind of its values.
    pub kind: Kind,
}

impl Column {
    /// Creates a column of this name and kind.
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind }
    }
}

/// Reads a row from the cells of all columns, which its argument returns in order.
pub type ReadRow = fn(&mut dyn FnMut() -> Cell) -> Result<Arc<dyn AnyRow>, WrongCell>;

/// The description of a table.
pub struct Table {
    /// Its name in the database.
    pub name: &'static str,
    /// All columns, the key first.
    pub columns: &'static [Column],
    /// The number of columns of the key, which are texts.
    pub key: usize,
    /// An SQL condition for live rows; other rows count as missing. Written as in the index of the key, because SQLite uses a
    /// partial index only for exactly its condition.
    pub alive: Option<&'static str>,
    /// The column with the time of a row's last change; changes do not list it.
    pub updated_at: Option<&'static str>,
    /// The noun for one row in messages.
    pub noun: &'static str,
    /// Other properties of its rows.
    pub hooks: Hooks,
    /// Reads a row.
    pub read: ReadRow,
    /// Creates an empty row.
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
    /// Returns the position of a column.
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.name == column)
    }
}

/// The identity of a row: its table and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowId {
    /// Its table.
    pub table: &'static Table,
    /// Its key.
    pub key: Key,
}

impl RowId {
    /// Returns the identity of the row of `R`'s table with this key.
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
    /// Returns its table.
    fn table(&self) -> &'static Table;

    /// Returns the cell of a column, by its position. Panics when there is no such column.
    fn cell(&self, column: usize) -> CellRef<'_>;

    /// Sets a column, by its position.
    ///
    /// # Errors
    /// [`WrongCell`] when the column cannot hold it or does not exist.
    fn set(&mut self, column: usize, cell: Cell) -> Result<(), WrongCell>;

    /// Copies the row.
    fn copy(&self) -> Box<dyn AnyRow>;

    /// Returns the row, for downcasting to its type.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl dyn AnyRow {
    /// Returns the row's identity.
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

    /// Returns columns as a change has them.
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

    /// Returns columns as a look-up shows them.
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

    /// Sets the columns of a change.
    ///
    /// # Errors
    /// The name of a column that cannot hold its value or does not exist.
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

    /// Returns the first column that differs from a change: its name and its value.
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

    /// Returns the project that owns the row; `None` for a row of the host.
    pub fn owner(&self) -> Option<Text> {
        let table = self.table();
        let column = table.hooks.owner.unwrap_or("project_id");
        match self.cell(table.position(column)?) {
            CellRef::Text(project) => Some(project.into()),
            _ => None,
        }
    }

    /// Returns its approximate size in memory, in bytes.
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

/// A row of a static type.
pub trait Row: AnyRow + Clone + Default {
    /// Its table.
    const TABLE: &'static Table;
}

/// The state of a row; `None` when it does not exist.
pub type State = Option<Arc<dyn AnyRow>>;

/// All rows of a table that is kept whole in memory.
pub type WholeTable = Arc<[Arc<dyn AnyRow>]>;

/// Downcasts a row; returns `None` when it is a row of another table.
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
