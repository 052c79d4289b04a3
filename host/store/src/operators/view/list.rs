use std::ops::Bound;

use cairn_effects::rows::Cell;
use cairn_model::value::Object;

use super::{Kind, Owner, View};
use crate::StoreError;

/// Conditions on rows of a kind; all that are set must hold.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// Rows of this project, and rows without a project if the kind shares those.
    pub project: Option<&'a str>,
    /// Includes soft-deleted rows.
    pub deleted: bool,
    /// Those in one of these states, of a kind that has a column `state`; empty for all.
    pub states: &'a [&'a str],
    /// Those with an id between these.
    pub ids: (Bound<&'a str>, Bound<&'a str>),
    /// The most rows to return.
    pub limit: usize,
}

impl Default for Listing<'_> {
    fn default() -> Self {
        Self {
            project: None,
            deleted: false,
            states: &[],
            ids: (Bound::Unbounded, Bound::Unbounded),
            limit: usize::MAX,
        }
    }
}

impl View<'_> {
    /// Returns rows of one kind, in order of their ids.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn page(&self, kind: &Kind, listing: Listing<'_>) -> Result<Vec<Object>, StoreError> {
        let mut conditions = vec!["TRUE".to_owned()];
        let mut parameters: Vec<Cell> = Vec::new();
        if let Some(live) = kind.live().filter(|_| !listing.deleted) {
            conditions.push(live.to_owned());
        }
        let mut compare = |column: &str, operator: &str, value: Cell| {
            parameters.push(value);
            format!("{column} {operator} ${}", parameters.len())
        };
        if let (Some(project), false) = (listing.project, kind.owner == Owner::Host) {
            let own = compare("project_id", "=", project.into());
            conditions.push(match kind.owner {
                Owner::ProjectOrEveryone => format!("(project_id IS NULL OR {own})"),
                Owner::Host | Owner::Project => own,
            });
        }
        if !listing.states.is_empty() {
            let states = listing.states.iter();
            let states: Vec<String> = states
                .map(|state| compare("state", "=", (*state).into()))
                .collect();
            conditions.push(format!("({})", states.join(" OR ")));
        }
        let (from, to) = listing.ids;
        for (bound, included, excluded) in [(from, ">=", ">"), (to, "<=", "<")] {
            let (operator, id) = match bound {
                Bound::Included(id) => (included, id),
                Bound::Excluded(id) => (excluded, id),
                Bound::Unbounded => continue,
            };
            conditions.push(compare("id", operator, id.into()));
        }
        let limit = i64::try_from(listing.limit).unwrap_or(i64::MAX);
        parameters.push(limit.into());
        let rest = format!(
            "WHERE {} ORDER BY id LIMIT ${}",
            conditions.join(" AND "),
            parameters.len()
        );
        self.select(kind, &rest, &parameters)
    }

    /// Returns all rows of one kind, in order of their ids; optionally of one project only, and optionally with soft-deleted rows.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn list(
        &self,
        kind: &Kind,
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
