//! Events in words, and in groups for the filter.

use std::collections::BTreeMap;
use std::str::FromStr;

use cairn::event::{Disposition, Event, LogLevel};
use cairn::{TaskId, Value};

use crate::ui::text;

/// Events that belong together, for the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Failures,
    Tasks,
    Effects,
    Acts,
    Waits,
    Checks,
    Logs,
    Flow,
}

impl Group {
    /// Every group, with its name in a URL and its words.
    pub(super) const ALL: [(Self, &'static str, &'static str); 8] = [
        (Self::Failures, "failures", "failures"),
        (Self::Tasks, "tasks", "calls and reverts"),
        (Self::Effects, "effects", "effects and undos"),
        (Self::Acts, "acts", "acts outside the database"),
        (Self::Waits, "waits", "waits and signals"),
        (Self::Checks, "checks", "policies and denials"),
        (Self::Logs, "logs", "logs"),
        (Self::Flow, "flow", "states of the flow"),
    ];

    /// Returns its name in a URL.
    pub(super) fn as_str(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(group, ..)| *group == self)
            .map_or("", |(_, name, _)| name)
    }
}

impl FromStr for Group {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut all = Self::ALL.iter();
        let found = all.find(|(_, name, _)| *name == text);
        found.map(|(group, ..)| *group).ok_or(())
    }
}

/// An event in words.
#[derive(Debug)]
pub(super) struct Said {
    /// Its name in the journal.
    pub event: String,
    pub task: Option<String>,
    pub details: String,
    group: Group,
    pub is_failure: bool,
}

impl Said {
    /// Returns whether it belongs to a group.
    pub(super) fn is_in(&self, group: Group) -> bool {
        match group {
            Group::Failures => self.is_failure,
            group => self.group == group,
        }
    }

    /// Returns whether it contains a text, which is in lower case.
    pub(super) fn has(&self, wanted: &str) -> bool {
        let has = |text: &str| text.to_lowercase().contains(wanted);
        wanted.is_empty()
            || has(&self.event)
            || has(&self.details)
            || self.task.as_deref().is_some_and(has)
    }
}

/// Returns whether an event may belong to a group, without putting it into words.
pub(super) fn may_be(group: Group, event: &Event) -> bool {
    match group {
        Group::Failures => is_failure(event),
        group => self::group(event) == group,
    }
}

fn is_failure(event: &Event) -> bool {
    match event {
        Event::Failed(_)
        | Event::TaskFailed { .. }
        | Event::RevertFailed { .. }
        | Event::Retried { .. }
        | Event::InDoubt { .. }
        | Event::Closed { .. }
        | Event::Denied { .. } => true,
        Event::Log { level, .. } | Event::CheckLog { level, .. } => *level == LogLevel::Error,
        _ => false,
    }
}

fn group(event: &Event) -> Group {
    match event {
        Event::Created { .. }
        | Event::State { .. }
        | Event::Reset
        | Event::Failed(_)
        | Event::Operated { .. }
        | Event::Accepted { .. } => Group::Flow,
        Event::Waits { .. } | Event::Sleeps { .. } | Event::Woke | Event::Signalled { .. } => {
            Group::Waits
        }
        Event::Applied(_) | Event::Undone { .. } => Group::Effects,
        Event::Settled { .. }
        | Event::Closed { .. }
        | Event::InDoubt { .. }
        | Event::Removing { .. }
        | Event::Removed { .. } => Group::Acts,
        Event::Denied { .. } | Event::WouldDeny { .. } => Group::Checks,
        Event::CheckLog { .. } | Event::Log { .. } => Group::Logs,
        _ => Group::Tasks,
    }
}

/// Puts an event into words: its name in the journal, and its members with the task's name instead of its id.
pub(super) fn said(event: &Event, names: &BTreeMap<TaskId, &str>) -> Said {
    let (name, mut details) = match serde_json::to_value(event) {
        Ok(Value::Object(object)) => object.into_iter().next().unwrap_or_default(),
        Ok(Value::String(name)) => (name, Value::Null),
        Ok(_) | Err(_) => (String::new(), Value::Null),
    };
    let task = |id: &Value| {
        let id: TaskId = id.as_str()?.parse().ok()?;
        names.get(&id).map(|name| (*name).to_owned())
    };
    let mut of = None;
    if let Some(members) = details.as_object_mut() {
        of = members.get("task").and_then(task);
        if of.is_some() {
            members.remove("task");
            members.remove("name");
        }
        if let Some(call) = members.remove("call") {
            of = call.get("task").and_then(task).or(of);
        }
    }
    Said {
        event: name.replace('_', " "),
        task: of,
        details: words(event, &details),
        group: group(event),
        is_failure: is_failure(event),
    }
}

/// Puts the members of an event into words; an error is written as the command line does.
fn words(event: &Event, details: &Value) -> String {
    let text = match event {
        Event::State { from, to } => format!("{from} → {to}"),
        Event::Failed(cause) => cause.to_string(),
        Event::Retried { error, .. }
        | Event::TaskFailed { error, .. }
        | Event::RevertFailed { error, .. }
        | Event::WouldDeny { error, .. } => error.to_string(),
        Event::Closed { number, error } | Event::InDoubt { number, error } => {
            format!("effect {number}: {error}")
        }
        Event::Undone { number } | Event::Removing { number } | Event::Removed { number } => {
            format!("effect {number}")
        }
        Event::Created {
            name, requester, ..
        } => format!(
            "{name}, asked for by {} of {}",
            requester.user_id, requester.project_id
        ),
        Event::Waits {
            signal, wake_at, ..
        } => {
            let signal = signal.as_ref().map(|name| format!("for the signal {name}"));
            let until = wake_at.map(|at| format!("until {at}"));
            signal
                .into_iter()
                .chain(until)
                .collect::<Vec<_>>()
                .join(", ")
        }
        Event::Sleeps { wake_at, .. } => format!("until {wake_at}"),
        Event::Signalled {
            name,
            payload,
            user_id,
        } => format!("{name}, from {user_id}: {payload}"),
        Event::Operated {
            operation,
            by,
            reason,
        } => {
            let reason = reason.as_ref().map(|reason| format!(": {reason}"));
            format!(
                "{operation}, by {} from {}{}",
                by.user_id,
                by.source,
                reason.unwrap_or_default()
            )
        }
        Event::Accepted { user_id, reason } => format!("by {user_id}: {reason}"),
        Event::Reverted { disposition, .. } => match disposition {
            Disposition::Undo => "its changes are undone".to_owned(),
            Disposition::Keep => "its changes are kept".to_owned(),
        },
        Event::Succeeded { result, .. } => result.to_string(),
        Event::Log { level, message, .. } | Event::CheckLog { level, message, .. } => {
            format!("{}: {message}", level_word(*level))
        }
        Event::Applied(applied) => {
            let changes = applied.changes.iter().map(|change| change.table());
            let changes: Vec<&str> = changes.collect();
            format!(
                "effect {}: {} ({})",
                applied.number,
                applied.effect,
                changes.join(", ")
            )
        }
        _ => match details {
            Value::Object(members) => {
                let members = members
                    .iter()
                    .map(|(name, value)| format!("{name} {}", text::cell(value)));
                members.collect::<Vec<_>>().join(", ")
            }
            _ => String::new(),
        },
    };
    text::brief(&text).into_owned()
}

/// Returns the word for a level.
pub(super) fn level_word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_events_of_its_own() {
        for (group, name, _) in Group::ALL {
            assert_eq!(name.parse(), Ok(group));
            assert_eq!(group.as_str(), name);
        }
    }
}
