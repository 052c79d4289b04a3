//! What an entry of a journal has to do with a text.

use cairn_effects::domain::Domains;
use cairn_effects::effect::Change;
use cairn_effects::event::Event;
use cairn_effects::rows::Key;
use cairn_model::value::{Object, Value};

/// Returns what an event has to do with a text; `None` if the text is no whole string in it.
pub(super) fn reason(event: &Event, text: &str, domains: &Domains) -> Option<String> {
    match event {
        Event::Created { requester, key, .. } => {
            if requester.request_id == text {
                return Some("its request id".to_owned());
            }
            let trace = requester.trace.map(|trace| trace.trace_id.to_string());
            if trace.as_deref() == Some(text) {
                return Some("its trace".to_owned());
            }
            if key.as_deref() == Some(text) {
                return Some("its idempotency key".to_owned());
            }
            named(event, text).then(|| "named in its request".to_owned())
        }
        Event::Applied(applied) => {
            let mut changes = applied.changes.iter();
            let of_change = changes.find_map(|change| of_change(change, text, domains));
            let of_effect =
                || named(event, text).then(|| format!("named in effect {}", applied.effect));
            of_change.or_else(of_effect)
        }
        Event::Denied { kind, id, .. } if id == text => Some(format!("was denied {kind} {id}")),
        event => {
            let written = serde_json::to_value(event).ok()?;
            is_in(&written, text).then(|| match &written {
                Value::Object(object) => {
                    let kind = object.keys().next().map_or("", String::as_str);
                    format!("named in event {kind}")
                }
                _ => "named in an event".to_owned(),
            })
        }
    }
}

/// Returns what a change of a row has to do with a text.
fn of_change(change: &Change, text: &str, domains: &Domains) -> Option<String> {
    let noun = |table: &str| {
        let mut tables = domains.each_table();
        let known = tables.find(|known| known.name == table);
        known.map_or_else(|| table.to_owned(), |table| table.noun.to_owned())
    };
    let is_key = |key: &Key| key.0.iter().any(|part| **part == *text);
    let has = |columns: &Option<Object>| {
        let mut columns = columns.iter().flatten();
        columns.any(|(_, value)| is_in(value, text))
    };
    match change {
        Change::Row {
            table,
            id,
            before,
            after,
        } => {
            let did = match (before, after) {
                (None, _) => "made",
                (Some(_), None) => "removed",
                (Some(_), Some(_)) => "changed",
            };
            let noun = noun(table);
            match (is_key(id), has(before) || has(after)) {
                (true, _) => Some(format!("{did} {noun} {id}")),
                (false, true) => Some(format!("{did} {noun} {id}, which names it")),
                (false, false) => None,
            }
        }
        Change::Count { table, key, .. } => {
            is_key(key).then(|| format!("changed counters of {} {key}", noun(table)))
        }
        Change::Elsewhere(change) => of_change(change, text, domains),
        _ => None,
    }
}

fn named(event: &Event, text: &str) -> bool {
    serde_json::to_value(event).is_ok_and(|written| is_in(&written, text))
}

/// Returns whether a text is a whole string in a value; keys of objects do not count.
fn is_in(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string == text,
        Value::Array(values) => values.iter().any(|value| is_in(value, text)),
        Value::Object(object) => object.values().any(|value| is_in(value, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
