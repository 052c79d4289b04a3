//! What a flow is about, for lists: a row that it changed, as its domain names it.

use cairn_model::id::TaskId;
use cairn_model::value::Value;

use super::History;
use crate::effect::Change;

/// A row by which people know a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its kind, the noun of its table.
    pub kind: &'static str,
    /// Its [title](crate::rows::Hooks::title), from the change, or from the result of the task that made it; the last part of its key where
    /// neither says it.
    pub name: String,
}

/// How deep a title is looked for in a result.
const DEPTH: usize = 4;

impl History {
    /// Returns the first row with a [title](crate::rows::Hooks::title) that the flow changed, also if the change was undone; a row that it made
    /// precedes one that it found. `None` if there is none so far.
    pub fn subject(&self) -> Option<Subject> {
        let changes = || {
            let effects = self.effects.iter();
            effects.flat_map(|effect| {
                let changes = effect.applied.changes.iter();
                changes.map(|change| (effect.applied.call.task, change))
            })
        };
        let is_new = |change: &Change| matches!(change, Change::Row { before: None, .. });
        let made = changes().filter(|(_, change)| is_new(change));
        let mut all = made.chain(changes());
        all.find_map(|(task, change)| self.subject_of(task, change))
    }

    fn subject_of(&self, task: TaskId, change: &Change) -> Option<Subject> {
        let Change::Row {
            table,
            id,
            before,
            after,
        } = change
        else {
            return None;
        };
        let table = self.domains.tables().get(table)?;
        let title = table.hooks.title?;
        let last = id.0.last().map(|last| &**last).unwrap_or_default();
        let of_key = table.position(title).and_then(|at| id.0.get(at));
        let name = match of_key {
            Some(part) => text(part),
            None => {
                let columns = after.as_ref().or(before.as_ref());
                let column = columns.and_then(|columns| text(columns.get(title)?.as_str()?));
                // A change says what an inverse needs, not the whole row; the task that made the row may have returned it.
                let result = || self.task(task)?.result.as_ref();
                column.or_else(|| named(result()?, last, title, DEPTH))
            }
        };
        Some(Subject {
            kind: table.noun,
            name: name.unwrap_or_else(|| last.to_owned()),
        })
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.trim().is_empty())
}

/// Returns the title of the object in a value that has this id as a member.
fn named(value: &Value, id: &str, title: &str, depth: usize) -> Option<String> {
    let deeper = depth.checked_sub(1)?;
    match value {
        Value::Object(members) => {
            let is_it = members.values().any(|member| member == id);
            let title_of = || text(members.get(title)?.as_str()?);
            // An object may only refer to the row, and hold it further down.
            let own = is_it.then(title_of).flatten();
            own.or_else(|| {
                members
                    .values()
                    .find_map(|member| named(member, id, title, deeper))
            })
        }
        Value::Array(items) => items.iter().find_map(|item| named(item, id, title, deeper)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
