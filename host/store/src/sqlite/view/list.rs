use std::ops::Bound;

use rusqlite::ToSql;

use cairn_model::value::Object;

use super::kind::Owner;
use super::{Kind, View, failed};
use crate::StoreError;
use crate::sqlite::row;

/// Which rows of a kind are asked for; each condition that is set must hold.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// This project's; of images, everyone's too.
    pub project: Option<&'a str>,
    /// Soft-deleted ones too.
    pub deleted: bool,
    /// Those in this state, of a kind that has a column `state`.
    pub state: Option<&'a str>,
    /// Those with an id between these.
    pub ids: (Bound<&'a str>, Bound<&'a str>),
    /// No more than this many.
    pub limit: usize,
}

impl Default for Listing<'_> {
    fn default() -> Self {
        Self {
            project: None,
            deleted: false,
            state: None,
            ids: (Bound::Unbounded, Bound::Unbounded),
            limit: usize::MAX,
        }
    }
}

impl View<'_> {
    /// Rows of one kind, in order of their ids.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn page(&self, kind: Kind, listing: Listing<'_>) -> Result<Vec<Object>, StoreError> {
        let (columns, table, owner, has_deleted) = kind.layout();
        let limit = i64::try_from(listing.limit).unwrap_or(i64::MAX);
        let mut conditions = vec!["1"];
        let mut values: Vec<&dyn ToSql> = Vec::new();
        if has_deleted && !listing.deleted {
            conditions.push("deleted = 0");
        }
        if let (Some(project), Some(condition)) = (&listing.project, of_project(owner)) {
            conditions.push(condition);
            values.push(project);
        }
        if let Some(state) = &listing.state {
            conditions.push("state = ?");
            values.push(state);
        }
        let (from, to) = &listing.ids;
        for (bound, included, excluded) in [(from, "id >= ?", "id > ?"), (to, "id <= ?", "id < ?")]
        {
            let (condition, id) = match bound {
                Bound::Included(id) => (included, id),
                Bound::Excluded(id) => (excluded, id),
                Bound::Unbounded => continue,
            };
            conditions.push(condition);
            values.push(id);
        }
        values.push(&limit);
        let rest = format!("WHERE {} ORDER BY id LIMIT ?", conditions.join(" AND "));
        let statement = row::select(columns, table, &rest);
        row::rows(self.connection(), columns, &statement, &*values).map_err(failed)
    }

    /// All rows of one kind, in order of their ids; of one project, and with soft-deleted ones, where that is asked for.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn list(
        &self,
        kind: Kind,
        project: Option<&str>,
        deleted: bool,
    ) -> Result<Vec<Object>, StoreError> {
        self.page(
            kind,
            Listing {
                project,
                deleted,
                ..Listing::default()
            },
        )
    }
}

/// The condition for a row to be one project's.
const fn of_project(owner: Owner) -> Option<&'static str> {
    match owner {
        Owner::Host => None,
        Owner::Project => Some("project_id = ?"),
        Owner::ProjectOrEveryone => Some("(project_id IS NULL OR project_id = ?)"),
    }
}
