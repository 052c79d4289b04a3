//! Compares the objects that a provider lists with their rows.
//!
//! Flows go on meanwhile, so a difference between a list and rows that are read after it proves nothing: each is looked at again.

use std::collections::HashSet;

use cairn_effects::external::{ExternalKey, Presence, state};
use cairn_model::error::TaskError;
use cairn_model::value::Value;
use cairn_store::StoreError;
use cairn_store::view::{StandingExternal, View};
use serde_json::json;

use super::handle::{ask, traced};
use crate::flow::Provider;

/// Bounds of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most ids that it reads of a list.
    pub ids: usize,
    /// The most pages that it reads of a list.
    pub pages: usize,
    /// The most objects that it looks at.
    pub looks: usize,
    /// The most differences that it finds before it ends.
    pub differences: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            ids: 1_000_000,
            pages: 2_000,
            looks: 10_000,
            differences: 1_000,
        }
    }
}

/// How many rows are read at once.
const ROWS: usize = 1_000;

/// A kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The object has no row.
    Orphan,
    /// The row has no object.
    Lost,
}

impl Found {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "orphan",
            Self::Lost => "lost",
        }
    }
}

/// A difference between a provider's objects and their rows.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Its kind.
    pub found: Found,
    /// The name of the object.
    pub id: String,
    /// The row of an object that is lost.
    pub row: Option<StandingExternal>,
    /// What the provider says there is of the object; an error if it does not know.
    pub presence: Result<Presence, TaskError>,
}

/// The outcome of a scan.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// How many ids the provider listed.
    pub listed: usize,
    /// The differences, in the order of their ids.
    pub differences: Vec<Difference>,
    /// Whether the scan ended early, because there are more than [`Bounds::differences`].
    pub is_cut: bool,
}

impl Difference {
    /// Returns the word for what the provider says there is of the object.
    pub fn presence_word(&self) -> &'static str {
        self.presence.as_ref().map_or("unknown", Presence::as_str)
    }
}

impl Compared {
    /// Returns the document that operators are shown: what was compared, and the differences.
    pub fn document(&self, provider: &str, kind: &str) -> Value {
        let differences = self.differences.iter().map(|difference| {
            let row = difference.row.as_ref();
            json!({
                "difference": difference.found.as_str(),
                "id": difference.id,
                "project_id": row.map(|row| &row.project_id),
                "flow": row.and_then(|row| row.flow).map(|flow| flow.to_string()),
                "found": difference.presence_word(),
                "error": difference.presence.as_ref().err().map(ToString::to_string),
            })
        });
        json!({
            "provider": provider,
            "kind": kind,
            "listed": self.listed,
            "differences": differences.collect::<Vec<_>>(),
            "more": self.is_cut,
        })
    }
}

/// Why a scan failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The provider does not know its objects.
    #[error("the provider does not list its objects: {0}")]
    Unknown(TaskError),
    /// The list breaks the contract, or exceeds a bound.
    #[error("the list of the provider {0}")]
    List(String),
    /// A failure of the database, or the requester is no admin.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Compares all objects of a kind that a provider lists with the rows of all projects. Changes nothing. An object that is being made or
/// removed is no difference.
///
/// # Errors
/// [`ScanError`].
pub fn scan(
    view: &View<'_>,
    provider: &Provider,
    (name, kind): (&str, &str),
    bounds: Bounds,
) -> Result<Compared, ScanError> {
    view.require_admin("objects of all projects are compared for admins only")?;
    let mut scan = Scan {
        view,
        provider,
        name,
        kind,
        bounds,
        looks: 0,
        compared: Compared::default(),
    };
    let mut after = String::new();
    for _ in 0..bounds.pages {
        let page = scan.page(&after)?;
        let is_end = page.is_empty();
        scan.compare(&after, &page)?;
        if is_end || scan.compared.is_cut {
            return Ok(scan.compared);
        }
        after = page.into_iter().next_back().unwrap_or_default();
    }
    Err(ScanError::List(format!(
        "does not end within {} pages, which is the most",
        bounds.pages
    )))
}

struct Scan<'a> {
    view: &'a View<'a>,
    provider: &'a Provider,
    name: &'a str,
    kind: &'a str,
    bounds: Bounds,
    /// How many objects were looked at.
    looks: usize,
    compared: Compared,
}

impl Scan<'_> {
    /// Lists the next page.
    fn page(&mut self, after: &str) -> Result<Vec<String>, ScanError> {
        let external = &self.provider.external;
        let start = Some(after).filter(|after| !after.is_empty());
        let page = external
            .list(self.kind, start, &traced())
            .map_err(ScanError::Unknown)?;
        let mut last = after;
        for id in &page {
            if id.as_str() <= last {
                let message = format!("has `{id}` after `{last}`: it is not sorted, or repeats");
                return Err(ScanError::List(message));
            }
            last = id;
        }
        self.compared.listed += page.len();
        if self.compared.listed > self.bounds.ids {
            let message = format!("has more than {} ids, which is the most", self.bounds.ids);
            return Err(ScanError::List(message));
        }
        Ok(page)
    }

    /// Compares a page with the rows in its range, which are read after it; an empty page ends the list.
    fn compare(&mut self, after: &str, page: &[String]) -> Result<(), ScanError> {
        let to = page.last().map(String::as_str);
        let listed: HashSet<&str> = page.iter().map(String::as_str).collect();
        let mut with_row = HashSet::new();
        let mut lost = Vec::new();
        let mut from = after.to_owned();
        loop {
            let place = (self.name, self.kind);
            let rows = self.view.standing_externals(place, &from, to, ROWS)?;
            let Some(last) = rows.last() else { break };
            from.clone_from(&last.id);
            for row in rows {
                if let Some(id) = listed.get(row.id.as_str()) {
                    with_row.insert(*id);
                } else if row.state == state::MADE {
                    lost.push(row);
                }
            }
            self.look_for_lost(&mut lost)?;
            if self.compared.is_cut {
                return Ok(());
            }
        }
        for id in page {
            if !with_row.contains(id.as_str()) {
                self.look_at_orphan(id)?;
            }
            if self.compared.is_cut {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Looks at rows without a listed object.
    fn look_for_lost(&mut self, rows: &mut Vec<StandingExternal>) -> Result<(), ScanError> {
        for row in rows.drain(..) {
            if self.compared.is_cut {
                break;
            }
            let key = self.key(&row.id);
            let presence = self.look(&key)?;
            // It was made after its place in the list had passed.
            if matches!(presence, Ok(Presence::Whole(_) | Presence::Partial)) {
                continue;
            }
            let is_as_before = self.view.standing_external(&key)?.as_ref() == Some(&row);
            if is_as_before {
                let id = row.id.clone();
                self.note(Found::Lost, id, Some(row), presence);
            }
        }
        Ok(())
    }

    /// Looks at a listed object without a row.
    fn look_at_orphan(&mut self, id: &str) -> Result<(), ScanError> {
        let key = self.key(id);
        let presence = self.look(&key)?;
        // It was removed, and its row with it.
        if presence == Ok(Presence::Absent) {
            return Ok(());
        }
        if self.view.standing_external(&key)?.is_none() {
            self.note(Found::Orphan, id.to_owned(), None, presence);
        }
        Ok(())
    }

    /// Looks at an object whose row or whose place in the list is missing.
    fn look(&mut self, key: &ExternalKey) -> Result<Result<Presence, TaskError>, ScanError> {
        self.looks += 1;
        if self.looks > self.bounds.looks {
            let message = format!(
                "disagrees with what the provider says of single objects: {} were looked at, which is the most",
                self.bounds.looks
            );
            return Err(ScanError::List(message));
        }
        Ok(ask(self.provider, key))
    }

    fn note(
        &mut self,
        found: Found,
        id: String,
        row: Option<StandingExternal>,
        presence: Result<Presence, TaskError>,
    ) {
        let differences = &mut self.compared.differences;
        if differences.len() == self.bounds.differences {
            self.compared.is_cut = true;
            return;
        }
        differences.push(Difference {
            found,
            id,
            row,
            presence,
        });
    }

    fn key(&self, id: &str) -> ExternalKey {
        ExternalKey::new(self.name, self.kind, id)
    }
}
