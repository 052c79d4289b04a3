//! Objects outside the database, and the plans that name their providers.

use std::sync::Arc;

use cairn_effects::external::{ExternalKey, TABLE};
use cairn_effects::rows::{Cell, Column, Field as _, Kind};
use cairn_model::error::TaskError;
use cairn_model::id::FlowId;
use cairn_model::value::{Digest, Object, Value};

use super::View;
use crate::StoreError;
use crate::operators::components;
use crate::sql::Columns;

/// Conditions on objects outside the database; all that are set must hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExternalListing<'a> {
    /// Those of every project; else those of the caller's.
    pub all_projects: bool,
    /// Those of this provider.
    pub provider: Option<&'a str>,
    /// Those of this kind.
    pub kind: Option<&'a str>,
    /// Those in one of these states; empty for all.
    pub states: &'a [&'a str],
    /// Those after this one.
    pub after: Option<&'a ExternalKey>,
    /// The most rows to return.
    pub limit: usize,
}

/// A row of an object, as far as a comparison with its provider needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingExternal {
    /// The name of the object.
    pub id: String,
    /// Its project.
    pub project_id: String,
    /// Its state: see [`state`](cairn_effects::external::state).
    pub state: String,
    /// Grows with each act on it.
    pub token: i64,
    /// The flow that made it; `None` for one that was adopted, or whose flow was pruned.
    pub flow: Option<FlowId>,
    /// The digest of its provider's component.
    pub digest: String,
}

/// The columns that are shown, and how.
const COLUMNS: &[Column] = &[
    Column::new("provider", Kind::Text),
    Column::new("kind", Kind::Text),
    Column::new("id", Kind::Text),
    Column::new("state", Kind::Text),
    Column::new("project_id", Kind::Text),
    Column::new(FLOW, Kind::Blob),
    Column::new("task", Kind::Text),
    Column::new("spec", Kind::Json),
    Column::new("result", Kind::Json),
    Column::new("digest", Kind::Text),
    Column::new("token", Kind::Int),
    Column::new("created_at", Kind::Time),
    Column::new("updated_at", Kind::Time),
];

/// The column of the flow, which is shown as other ids of flows are.
const FLOW: &str = "flow";

/// The columns of [`StandingExternal`].
const STANDING: &str = "id, project_id, state, token, flow, digest";

impl View<'_> {
    /// Lists rows of objects outside the database, by provider, kind and id.
    ///
    /// # Errors
    /// `NotAuthorized` for all projects unless the caller is an admin; [`StoreError::Database`].
    pub fn externals(&self, listing: ExternalListing<'_>) -> Result<Vec<Object>, StoreError> {
        let mut conditions = Vec::new();
        let mut parameters: Vec<Cell> = Vec::new();
        let mut mark = |value: Cell| {
            parameters.push(value);
            format!("${}", parameters.len())
        };
        if listing.all_projects {
            self.require_admin("objects of all projects are shown to admins only")?;
            conditions.push("TRUE".to_owned());
        } else {
            let own = self.requester().project_id.as_str();
            conditions.push(format!("project_id = {}", mark(own.into())));
        }
        for (column, value) in [("provider", listing.provider), ("kind", listing.kind)] {
            if let Some(value) = value {
                conditions.push(format!("{column} = {}", mark(value.into())));
            }
        }
        if !listing.states.is_empty() {
            let states = listing.states.iter();
            let states: Vec<String> = states.map(|state| mark((*state).into())).collect();
            conditions.push(format!("state IN ({})", states.join(", ")));
        }
        if let Some(ExternalKey { provider, kind, id }) = listing.after {
            let [provider, kind, id] = [provider, kind, id].map(|part| mark((&**part).into()));
            conditions.push(format!("(provider, kind, id) > ({provider}, {kind}, {id})"));
        }
        let limit = mark(i64::try_from(listing.limit).unwrap_or(i64::MAX).into());
        let rest = format!(
            "{} ORDER BY provider, kind, id LIMIT {limit}",
            conditions.join(" AND ")
        );
        self.select_externals(&rest, &parameters)
    }

    /// Returns the row of an object of the caller's project, or of any one if the caller is an admin.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn external(&self, key: &ExternalKey) -> Result<Option<Object>, StoreError> {
        let caller = self.requester();
        let mut rest = "provider = $1 AND kind = $2 AND id = $3".to_owned();
        let key = [&key.provider, &key.kind, &key.id];
        let mut parameters = key.map(|part| Cell::from(&**part)).to_vec();
        if !caller.is_admin {
            rest += " AND project_id = $4";
            parameters.push(caller.project_id.as_str().into());
        }
        Ok(self.select_externals(&rest, &parameters)?.pop())
    }

    fn select_externals(&self, rest: &str, parameters: &[Cell]) -> Result<Vec<Object>, StoreError> {
        let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
        let (names, table) = (names.join(", "), TABLE.name);
        let statement = format!("SELECT {names} FROM {table} WHERE {rest}");
        let rows = self.query(&statement, parameters)?;
        let shown = |(column, cell): (&Column, Cell)| {
            let value = match column.name {
                FLOW => FlowId::read(cell).map_or(Value::Null, |flow| flow.to_string().into()),
                _ => cell.borrow().shown(column.kind),
            };
            (column.name.to_owned(), value)
        };
        let rows = rows.into_iter();
        Ok(rows
            .map(|cells| COLUMNS.iter().zip(cells).map(shown).collect())
            .collect())
    }

    /// Returns the row of an object, of any project, for a comparison with its provider.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn standing_external(
        &self,
        key: &ExternalKey,
    ) -> Result<Option<StandingExternal>, StoreError> {
        let statement = format!(
            "SELECT {STANDING} FROM externals WHERE provider = $1 AND kind = $2 AND id = $3"
        );
        let key = [&key.provider, &key.kind, &key.id].map(|part| (&**part).into());
        let found = self.query(&statement, &key)?;
        found.first().map(|row| standing(row)).transpose()
    }

    /// Returns rows of a provider's objects of a kind, of all projects, in the order of their ids: those after `after` and not after `to`,
    /// at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn standing_externals(
        &self,
        (provider, kind): (&str, &str),
        after: &str,
        to: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StandingExternal>, StoreError> {
        let mut parameters: Vec<Cell> = vec![
            provider.into(),
            kind.into(),
            after.into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let end = match to {
            Some(to) => {
                parameters.push(to.into());
                "AND id <= $5"
            }
            None => "",
        };
        let statement = format!(
            "SELECT {STANDING} FROM externals WHERE provider = $1 AND kind = $2 AND id > $3 {end} ORDER BY id LIMIT $4"
        );
        let found = self.query(&statement, &parameters)?;
        found.iter().map(|row| standing(row)).collect()
    }

    /// Returns the digest of the plan of a flow; `None` if the flow does not exist or has no plan.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn plan_of(&self, flow: FlowId) -> Result<Option<Digest>, StoreError> {
        let id = Cell::from(flow.cell());
        let found = self.query("SELECT plan FROM flows WHERE id = $1", &[id])?;
        let plan = found
            .first()
            .map(|row| Columns(row).optional_text(0))
            .transpose()?;
        Ok(plan.flatten().and_then(|digest| digest.parse().ok()))
    }

    /// Returns stored plans with their digests, as JSON, in the order of their digests: those after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn plans_after(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let statement = "SELECT digest, body FROM plans WHERE digest > $1 ORDER BY digest LIMIT $2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.query(statement, &[after.into(), limit.into()])?;
        let plan = |row: &Vec<Cell>| {
            let row = Columns(row);
            Ok((row.text(0)?, row.text(1)?))
        };
        rows.iter().map(plan).collect()
    }

    /// Reads a component and verifies its digest; `None` if there is none of this digest.
    ///
    /// # Errors
    /// [`StoreError::DamagedComponent`], [`StoreError::Database`].
    pub fn component(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        components::read(self.sql(), digest)
    }

    /// Refuses callers who are not admins.
    ///
    /// # Errors
    /// `NotAuthorized`.
    pub fn require_admin(&self, message: &str) -> Result<(), StoreError> {
        match self.requester().is_admin {
            true => Ok(()),
            false => Err(TaskError::new("NotAuthorized", message).into()),
        }
    }
}

fn standing(row: &[Cell]) -> Result<StandingExternal, StoreError> {
    let row = Columns(row);
    Ok(StandingExternal {
        id: row.text(0)?,
        project_id: row.text(1)?,
        state: row.text(2)?,
        token: row.int(3)?,
        flow: row.optional_flow(4)?,
        digest: row.text(5)?,
    })
}
