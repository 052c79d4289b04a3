use std::ops::Bound;

use cairn_effects::rows::{Cell, CellRef, Field as _, Kind, Row as _};
use cairn_model::clock::Timestamp;
use cairn_model::error::TaskError;
use cairn_model::id::FlowId;
use cairn_model::value::{Object, Value};
use cairn_store::StoreError;
use cairn_store::view::View;
use serde_json::json;

use crate::rules::{Counter, Record, end_of};
use crate::settings::{Collection, Settings};

/// A query of records.
#[derive(Clone, Copy, Debug)]
pub struct RecordListing<'a> {
    /// The collection.
    pub collection: &'a str,
    /// The prefix of their keys.
    pub prefix: &'a str,
    /// The lower bound of their keys.
    pub after: Bound<&'a str>,
    /// The greatest number of records.
    pub limit: usize,
}

/// Queries of the records of the caller's project.
pub trait ReadRecords {
    /// Lists records in the order of their keys: published ones and those that a flow holds. `held` contains the flow and its pending
    /// change, or is null if no flow holds the record.
    ///
    /// # Errors
    /// `CollectionNotFound`; [`StoreError::Database`].
    fn records(&self, listing: RecordListing<'_>) -> Result<Vec<Object>, StoreError>;

    /// Shows the record of a key, as [`records`](Self::records) does.
    ///
    /// # Errors
    /// `CollectionNotFound`, `RecordNotFound`; [`StoreError::Database`].
    fn record(&self, collection: &str, key: &str) -> Result<Object, StoreError>;

    /// Lists the counters of a collection: their values, the pending additions of unfinished flows, and their bounds.
    ///
    /// # Errors
    /// `CollectionNotFound`; [`StoreError::Database`].
    fn counters(&self, collection: &str) -> Result<Vec<Object>, StoreError>;

    /// Lists records of all projects as [`records`](Self::records) does, ordered by project and key, after a project and a key.
    ///
    /// # Errors
    /// `CollectionNotFound`; `NotAuthorized` unless the caller is an admin; [`StoreError::Database`].
    fn records_of_all_projects(
        &self,
        collection: &str,
        prefix: &str,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Vec<Object>, StoreError>;
}

impl ReadRecords for View<'_> {
    fn records(&self, listing: RecordListing<'_>) -> Result<Vec<Object>, StoreError> {
        settings(self, listing.collection)?;
        let (from, after) = match listing.after {
            Bound::Unbounded => (listing.prefix, ">="),
            Bound::Included(key) => (key.max(listing.prefix), ">="),
            Bound::Excluded(key) if key < listing.prefix => (listing.prefix, ">="),
            Bound::Excluded(key) => (key, ">"),
        };
        let rest = format!("key {after} $3 AND key < $4 ORDER BY key LIMIT $5");
        let limit = i64::try_from(listing.limit).unwrap_or(i64::MAX);
        let end = end_of(listing.prefix);
        let more = [from.into(), end.as_str().into(), limit.into()];
        select(self, listing.collection, &rest, &more)
    }

    fn record(&self, collection: &str, key: &str) -> Result<Object, StoreError> {
        settings(self, collection)?;
        let found = select(self, collection, "key = $3", &[key.into()])?.pop();
        found.ok_or_else(|| {
            let project = &self.requester().project_id;
            let message = format!(
                "the collection `{collection}` of project `{project}` has no record `{key}`"
            );
            StoreError::Refused(TaskError::new("RecordNotFound", message))
        })
    }

    fn counters(&self, collection: &str) -> Result<Vec<Object>, StoreError> {
        let settings = settings(self, collection)?;
        let statement = "SELECT counter, number, pending_up, pending_down FROM record_counters
                         WHERE project_id = $1 AND collection = $2";
        let own = [
            self.requester().project_id.as_str().into(),
            collection.into(),
        ];
        let rows = self.query(statement, &own)?;
        let number = |row: &[Cell], at: usize| match row.get(at) {
            Some(Cell::Int(number)) => *number,
            _ => 0,
        };
        let counters = settings.counters.iter().map(|(name, bounds)| {
            let mut rows = rows.iter();
            let row =
                rows.find(|row| matches!(&row[..], [Cell::Text(text), ..] if **text == **name));
            let row = row.map_or(&[][..], Vec::as_slice);
            let counter = Counter {
                number: number(row, 1),
                pending_up: number(row, 2),
                pending_down: number(row, 3),
                ..Counter::default()
            };
            object(json!({
                "counter": name,
                "value": counter.published(),
                "pending_up": counter.pending_up,
                "pending_down": counter.pending_down,
                "min": (bounds.min != i64::MIN).then_some(bounds.min),
                "max": (bounds.max != i64::MAX).then_some(bounds.max),
            }))
        });
        Ok(counters.collect())
    }

    fn records_of_all_projects(
        &self,
        collection: &str,
        prefix: &str,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Vec<Object>, StoreError> {
        settings(self, collection)?;
        if !self.requester().is_admin {
            let message = "the records of all projects are shown to admins only";
            return Err(StoreError::Refused(TaskError::new(
                "NotAuthorized",
                message,
            )));
        }
        let mut condition = "collection = $1 AND key >= $2 AND key < $3".to_owned();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let end = end_of(prefix);
        let mut parameters = vec![
            collection.into(),
            prefix.into(),
            end.as_str().into(),
            limit.into(),
        ];
        if let Some((project, key)) = after {
            condition += " AND (project_id, key) > ($5, $6)";
            parameters.extend([project.into(), key.into()]);
        }
        condition += " ORDER BY project_id, key LIMIT $4";
        select_where(self, collection, &condition, &parameters)
    }
}

/// Returns the settings of a collection.
fn settings<'v>(view: &'v View<'_>, collection: &str) -> Result<&'v Collection, StoreError> {
    let settings = Settings::of(view.services());
    let found = settings.collection(collection);
    found.map_err(StoreError::Refused)
}

const COLUMNS: [&str; 9] = [
    "project_id",
    "key",
    "value",
    "version",
    "updated_at",
    "flow",
    "task",
    "pending",
    "pending_version",
];

/// Reads records of a collection of the caller's project; `rest` ends the condition, and its parameters begin with `$3`.
fn select(
    view: &View<'_>,
    collection: &str,
    rest: &str,
    more: &[Cell],
) -> Result<Vec<Object>, StoreError> {
    let condition = format!("project_id = $1 AND collection = $2 AND {rest}");
    let mut parameters = vec![
        view.requester().project_id.as_str().into(),
        collection.into(),
    ];
    parameters.extend_from_slice(more);
    select_where(view, collection, &condition, &parameters)
}

/// Reads records of a collection.
fn select_where(
    view: &View<'_>,
    collection: &str,
    condition: &str,
    parameters: &[Cell],
) -> Result<Vec<Object>, StoreError> {
    let (table, columns) = (Record::TABLE.name, COLUMNS.join(", "));
    let statement = format!("SELECT {columns} FROM {table} WHERE {condition}");
    let rows = view.query(&statement, parameters)?;
    Ok(rows.into_iter().map(|row| shown(collection, row)).collect())
}

fn shown(collection: &str, cells: Vec<Cell>) -> Object {
    let mut cells = cells.into_iter();
    let mut next = || cells.next().unwrap_or(Cell::Null);
    let document = |cell: Cell| cell.borrow().shown(Kind::Json);
    let (project, key) = (next(), next());
    let (value, version, updated_at) = (document(next()), next(), next());
    let (flow, task, pending, pending_version) = (next(), next(), next(), next());
    let held = FlowId::read(flow).map(|flow| {
        json!({
            "flow": flow.to_string(),
            "task": task.borrow().shown(Kind::Text),
            "removes": pending == Cell::Null,
            "value": document(pending.clone()),
            "version": pending_version.borrow().shown(Kind::Int),
        })
    });
    let is_published = version != Cell::Int(0);
    let updated_at = match updated_at.borrow() {
        CellRef::Int(time) if is_published => Value::from(Timestamp(time).to_string()),
        _ => Value::Null,
    };
    object(json!({
        "project_id": project.borrow().shown(Kind::Text),
        "collection": collection,
        "key": key.borrow().shown(Kind::Text),
        "value": value,
        "version": if is_published { version.borrow().shown(Kind::Int) } else { Value::Null },
        "updated_at": updated_at,
        "held": held,
    }))
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}
