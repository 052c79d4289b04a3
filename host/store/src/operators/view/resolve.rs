//! Resolves an id, a prefix of an id, or a name to a row.

use std::ops::Bound;

use cairn_model::error::TaskError;
use cairn_model::id::{FlowId, IdPrefix};
use cairn_model::value::{Object, Value};

use super::{FlowFilter, Kind, Listing, SoftDelete, View};
use crate::StoreError;

/// How many matches an error names.
const NAMED: usize = 4;

impl View<'_> {
    /// Returns the row of `kind` that has this id, or else this name. Rows that the caller may not see count as missing. For
    /// operations that change a row.
    ///
    /// # Errors
    /// `NotFound`; `NotUnique` when several have the name.
    pub fn resolve_visible(&self, kind: &Kind, id_or_name: &str) -> Result<Object, StoreError> {
        if let Some(found) = self.exactly(kind, id_or_name)? {
            return Ok(found);
        }
        let noun = kind.noun;
        let mut message = format!("there is no {noun} `{id_or_name}`");
        if let [only] = self.beginning_with(kind, id_or_name)?.as_slice() {
            message += &format!("; if `{}` is meant, write the whole id", id(only));
        }
        Err(not_found(message))
    }

    /// Resolves a row like [`resolve_visible`](Self::resolve_visible), and also by a prefix of its id that no other visible row has:
    /// see [`IdPrefix`]. For operations that only show a row.
    ///
    /// # Errors
    /// The same; also `NotUnique`, with some of the ids, when several ids begin with it.
    pub fn resolve_shortened(&self, kind: &Kind, id_or_name: &str) -> Result<Object, StoreError> {
        if let Some(found) = self.exactly(kind, id_or_name)? {
            return Ok(found);
        }
        let noun = kind.noun;
        let mut found = self.beginning_with(kind, id_or_name)?;
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                found.push(last);
                let ids: Vec<&str> = found.iter().map(id).collect();
                Err(ambiguous(noun, id_or_name, &ids))
            }
            (None, _) => Err(not_found(format!("there is no {noun} `{id_or_name}`"))),
        }
    }

    /// Returns the flow whose id begins with this. A whole id is returned without checking that the flow exists.
    ///
    /// # Errors
    /// `FlowNotFound`; `NotUnique`, with some of the ids, when there are several.
    pub fn resolve_flow(&self, prefix: &IdPrefix) -> Result<FlowId, StoreError> {
        if let Some(id) = prefix.whole() {
            return Ok(FlowId(id));
        }
        let (lowest, highest) = prefix.range();
        let filter = FlowFilter {
            ids: Some((FlowId(lowest), FlowId(highest))),
            ..FlowFilter::default()
        };
        let found = self.flows(filter, NAMED + 1)?;
        match found.as_slice() {
            [] => {
                let message = format!("no flow's id begins with `{prefix}`");
                Err(TaskError::new("FlowNotFound", message).into())
            }
            [only] => Ok(only.id),
            several => {
                let ids: Vec<String> = several.iter().map(|flow| flow.id.to_string()).collect();
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                Err(ambiguous("flow", &prefix.to_string(), &ids))
            }
        }
    }

    /// Returns the visible row with this id, or else with this name.
    fn exactly(&self, kind: &Kind, id_or_name: &str) -> Result<Option<Object>, StoreError> {
        let found = self.find(kind, id_or_name)?;
        if let Some(found) = found.filter(|row| self.may_see(kind, row)) {
            return Ok(Some(found));
        }
        let mut found = self.named(kind, id_or_name)?;
        found.retain(|row| self.may_see(kind, row));
        match (found.pop(), found.is_empty()) {
            (row, true) => Ok(row),
            (_, false) => {
                let noun = kind.noun;
                let message =
                    format!("several are called `{id_or_name}`: name the {noun} by its id");
                Err(TaskError::new("NotUnique", message).into())
            }
        }
    }

    /// Returns visible rows whose id begins with this, up to one more than an error names. Returns none for a text that cannot begin an id.
    fn beginning_with(&self, kind: &Kind, text: &str) -> Result<Vec<Object>, StoreError> {
        let Ok(prefix) = text.parse::<IdPrefix>() else {
            return Ok(Vec::new());
        };
        let caller = self.requester();
        let (lowest, highest) = prefix.range();
        let (lowest, highest) = (lowest.to_string(), highest.to_string());
        self.page(
            kind,
            Listing {
                project: (!caller.is_admin).then_some(caller.project_id.as_str()),
                deleted: caller.read_deleted && kind.deletion == SoftDelete::Readable,
                ids: (Bound::Included(&lowest), Bound::Included(&highest)),
                limit: NAMED + 1,
                ..Listing::default()
            },
        )
    }
}

fn id(row: &Object) -> &str {
    row.get("id").and_then(Value::as_str).unwrap_or_default()
}

fn not_found(message: String) -> StoreError {
    TaskError::new("NotFound", message).into()
}

fn ambiguous(noun: &str, prefix: &str, ids: &[&str]) -> StoreError {
    let more = if ids.len() > NAMED { ", …" } else { "" };
    let ids = &ids[..ids.len().min(NAMED)];
    let message = format!(
        "several {noun}s have an id that begins with `{prefix}`: {}{more}; write more of it",
        ids.join(", ")
    );
    TaskError::new("NotUnique", message).into()
}
