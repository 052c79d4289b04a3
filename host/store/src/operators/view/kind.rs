//! Kinds of rows that operators can see, and reading rows of any kind.

use cairn_effects::rows::{Cell, Column, Kind as Holds};
use cairn_model::value::{Object, Value};

use super::View;
use crate::StoreError;

/// A kind of rows that operators can see. Its table has the column `id`.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The table.
    pub table: &'static str,
    /// The noun for one row in messages.
    pub noun: &'static str,
    /// The columns that are shown, and how.
    pub columns: &'static [Column],
    /// The owner of the rows.
    pub owner: Owner,
    /// The column that holds a row's name; `None` when rows have no names.
    pub name: Option<&'static str>,
    /// How rows are deleted.
    pub deletion: SoftDelete,
}

/// The owner of a table's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// They belong to no project; every caller may see them.
    Host,
    /// They belong to the project in the column `project_id`, and are shown to that project and to admins.
    Project,
    /// As [`Project`](Self::Project), but rows without a project are shown to every caller.
    ProjectOrEveryone,
}

/// How rows of a table are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoftDelete {
    /// The row is removed: there is no column `deleted`.
    Never,
    /// The row stays with `deleted` set. Callers that read deleted rows can look it up by its id or name.
    Readable,
    /// The row stays with `deleted` set. It appears only in lists that ask for deleted rows.
    Hidden,
}

/// Messages to other services.
pub static CAST: Kind = Kind {
    table: "outbox",
    noun: "message",
    columns: &[
        Column::new("id", Holds::Text),
        Column::new("state", Holds::Text),
        Column::new("topic", Holds::Text),
        Column::new("method", Holds::Text),
        Column::new("arguments", Holds::Json),
        Column::new("created_at", Holds::Time),
        Column::new("project_id", Holds::Text),
        Column::new("context", Holds::Json),
        Column::new("attempts", Holds::Int),
        Column::new("due_at", Holds::Time),
        Column::new("last_error", Holds::Text),
    ],
    owner: Owner::Host,
    name: None,
    deletion: SoftDelete::Never,
};

impl Kind {
    /// Returns the condition for a row to be live; `None` when every row is.
    pub(super) fn live(&self) -> Option<&'static str> {
        (self.deletion != SoftDelete::Never).then_some("deleted = FALSE")
    }
}

impl View<'_> {
    /// Returns one row by its id, soft-deleted or not; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn find(&self, kind: &Kind, id: &str) -> Result<Option<Object>, StoreError> {
        Ok(self.select(kind, "WHERE id = $1", &[id.into()])?.pop())
    }

    /// Returns the rows of a kind that have this name and are not deleted.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn named(&self, kind: &Kind, name: &str) -> Result<Vec<Object>, StoreError> {
        let Some(column) = kind.name else {
            return Ok(Vec::new());
        };
        let live = kind.live().unwrap_or("TRUE");
        let rest = format!("WHERE {column} = $1 AND {live}");
        self.select(kind, &rest, &[name.into()])
    }

    /// Returns whether the caller may see a row.
    pub fn may_see(&self, kind: &Kind, row: &Object) -> bool {
        let caller = self.requester();
        let project = row.get("project_id").and_then(Value::as_str);
        let is_own = project == Some(&caller.project_id);
        let is_shared = match kind.owner {
            Owner::Host => true,
            Owner::Project => false,
            Owner::ProjectOrEveryone => project.is_none(),
        };
        let is_deleted = row.get("deleted") == Some(&Value::from(true));
        let is_shown = match kind.deletion {
            SoftDelete::Never => true,
            SoftDelete::Readable => caller.read_deleted || !is_deleted,
            SoftDelete::Hidden => !is_deleted,
        };
        is_shown && (caller.is_admin || is_own || is_shared)
    }

    /// Reads the shown columns of a kind; `rest` follows the table's name in the statement.
    pub(super) fn select(
        &self,
        kind: &Kind,
        rest: &str,
        parameters: &[Cell],
    ) -> Result<Vec<Object>, StoreError> {
        let names: Vec<&str> = kind.columns.iter().map(|column| column.name).collect();
        let statement = format!("SELECT {} FROM {} {rest}", names.join(", "), kind.table);
        let rows = self.query(&statement, parameters)?;
        let objects = rows.into_iter().map(|cells| {
            let columns = kind.columns.iter().zip(cells);
            columns
                .map(|(column, cell)| (column.name.to_owned(), cell.borrow().shown(column.kind)))
                .collect()
        });
        Ok(objects.collect())
    }
}
