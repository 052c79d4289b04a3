//! The events of a flow, newest first, and what its plugins logged.

use std::collections::BTreeMap;
use std::str::FromStr;

use cairn::event::{Disposition, Entry, Event, LogLevel};
use cairn::{TaskId, Value};
use maud::{Markup, html};

use super::query::FlowQuery;
use crate::ui::text::{self, Lines, Text};

/// The most events, and the most log messages, on a page.
pub(super) const PAGE: usize = 200;

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
    const ALL: [(Self, &'static str, &'static str); 8] = [
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
struct Said {
    /// Its name in the journal.
    event: String,
    task: Option<String>,
    details: String,
    group: Group,
    is_failure: bool,
}

/// Returns the names of a flow's tasks. A reset forgets tasks that a journal still names.
pub(super) fn names(journal: &[Entry]) -> BTreeMap<TaskId, &str> {
    let named = journal.iter().filter_map(|entry| match &entry.event {
        Event::Started { task, name, .. }
        | Event::Replayed { task, name }
        | Event::Waits { task, name, .. } => Some((*task, name.as_str())),
        _ => None,
    });
    named.collect()
}

/// Shows a page of events that the query chooses.
pub(super) fn section(
    journal: &[Entry],
    names: &BTreeMap<TaskId, &str>,
    query: &FlowQuery,
    path: &str,
) -> Markup {
    let end = query.before.unwrap_or(usize::MAX).min(journal.len() + 1);
    let wanted = query.text.as_deref().unwrap_or_default().to_lowercase();
    let numbered = journal
        .iter()
        .enumerate()
        .map(|(at, entry)| (at + 1, entry));
    let older = numbered.rev().skip_while(|(number, _)| *number >= end);
    let fitting = older.filter_map(|(number, entry)| {
        if query
            .events
            .is_some_and(|group| !may_be(group, &entry.event))
        {
            return None;
        }
        let said = said(&entry.event, names);
        let fits = query.events.is_none_or(|group| said.is_in(group)) && said.has(&wanted);
        fits.then_some((number, entry, said))
    });
    let mut shown: Vec<_> = fitting.take(PAGE + 1).collect();
    let has_older = shown.len() > PAGE;
    shown.truncate(PAGE);
    let last = shown.last().map(|(number, ..)| *number);
    html! {
        div #events {
            @if query.before.is_some() {
                p { a href=(query.with(path, "before", "", "events")) { "Newest events" } }
            }
            @if shown.is_empty() {
                p { "No event fits." }
            } @else {
                div.wide tabindex="0" role="region" aria-label="Table of events" {
                    table.events {
                        caption.quiet {
                            (text::count(journal.len(), "event")) " in all; the newest first"
                        }
                        thead { tr {
                            th scope="col" { "#" } th scope="col" { "At" } th scope="col" { "Event" }
                            th scope="col" { "Task" } th scope="col" { "Details" }
                        } }
                        tbody {
                            @for (number, entry, said) in &shown {
                                tr.failed[said.is_failure] {
                                    td.num { (number) }
                                    td { (text::clock(entry.at)) }
                                    td { (name(said)) }
                                    td.of { @if let Some(task) = &said.task { (Text(task)) } }
                                    td.words { (Text(&said.details)) }
                                }
                            }
                        }
                    }
                }
            }
            @if has_older && let Some(last) = last {
                p { a href=(query.with(path, "before", &last.to_string(), "events")) { "Older events" } }
            }
        }
    }
}

/// Shows the form that chooses events. It stands outside of what is replaced while the page is live.
pub(super) fn filter(query: &FlowQuery, path: &str) -> Markup {
    html! {
        form.filter action={ (path) "#events" } method="get" aria-label="Filter events" {
            @for (name, value) in query.besides(&["events", "text", "before"]) {
                input type="hidden" name=(name) value=(text::attribute(&value));
            }
            label { "Events " select name="events" {
                option value="" { "all" }
                @for (group, name, words) in Group::ALL {
                    option value=(name) selected[query.events == Some(group)] { (words) }
                }
            } }
            label { "with " input type="search" name="text" maxlength="200" data-filter
                value=[query.text.as_deref().map(text::attribute)]; }
            button { "Filter" }
            @if query.events.is_some() || query.text.is_some() {
                a href={ (path) (text::query(query.besides(&["events", "text", "before"]))) "#events" } { "All" }
            }
        }
    }
}

fn name(said: &Said) -> Markup {
    html! {
        @if said.is_failure {
            strong.bad { span.sign aria-hidden="true" { "✗" } " " (said.event) }
        } @else {
            (said.event)
        }
    }
}

impl Said {
    fn is_in(&self, group: Group) -> bool {
        match group {
            Group::Failures => self.is_failure,
            group => self.group == group,
        }
    }

    fn has(&self, wanted: &str) -> bool {
        let has = |text: &str| text.to_lowercase().contains(wanted);
        wanted.is_empty()
            || has(&self.event)
            || has(&self.details)
            || self.task.as_deref().is_some_and(has)
    }
}

/// Returns whether an event may belong to a group, without putting it into words.
fn may_be(group: Group, event: &Event) -> bool {
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
fn said(event: &Event, names: &BTreeMap<TaskId, &str>) -> Said {
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

fn level_word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    }
}

/// A message that was logged.
struct Logged<'e> {
    number: usize,
    entry: &'e Entry,
    of: &'e str,
    level: LogLevel,
    message: std::borrow::Cow<'e, str>,
}

/// Shows what plugins logged: the newest messages, in order.
pub(super) fn logs(
    journal: &[Entry],
    names: &BTreeMap<TaskId, &str>,
    query: &FlowQuery,
    path: &str,
) -> Markup {
    let end = query.logs.unwrap_or(usize::MAX);
    let numbered = journal
        .iter()
        .enumerate()
        .map(|(at, entry)| (at + 1, entry));
    let older = numbered.rev().skip_while(|(number, _)| *number >= end);
    let messages = older.filter_map(|(number, entry)| {
        let (of, level, message) = match &entry.event {
            Event::Log {
                task,
                level,
                message,
            } => (
                names.get(task).copied().unwrap_or("-"),
                *level,
                message.into(),
            ),
            Event::CheckLog {
                plugin,
                level,
                message,
            } => (&**plugin, *level, message.into()),
            Event::WouldDeny { policy, error } => {
                let message = format!("would have denied: {error}");
                (&**policy, LogLevel::Warn, message.into())
            }
            _ => return None,
        };
        Some(Logged {
            number,
            entry,
            of,
            level,
            message,
        })
    });
    let mut shown: Vec<Logged<'_>> = messages.take(PAGE + 1).collect();
    let has_older = shown.len() > PAGE;
    shown.truncate(PAGE);
    let last = shown.last().map(|logged| logged.number);
    shown.reverse();
    html! {
        section #logs aria-labelledby="logs-title" {
            h2 #logs-title { "Logs" }
            @if has_older && let Some(last) = last {
                p { a href=(query.with(path, "logs", &last.to_string(), "logs")) { "Older messages" } }
            }
            @if shown.is_empty() { p { "No plugin has logged anything." } }
            @else {
                div.wide tabindex="0" role="region" aria-label="Table of messages" {
                    table.logs {
                        caption.quiet { (text::count(shown.len(), "message")) ", the newest last" }
                        thead { tr {
                            th scope="col" { "At" } th scope="col" { "Level" } th scope="col" { "Task" } th scope="col" { "Message" }
                        } }
                        tbody { @for logged in &shown { (message(logged)) } }
                    }
                }
            }
            @if query.logs.is_some() {
                p { a href=(query.with(path, "logs", "", "logs")) { "Newest messages" } }
            }
        }
    }
}

fn message(logged: &Logged<'_>) -> Markup {
    let is_error = logged.level == LogLevel::Error;
    html! {
        tr.failed[is_error] {
            td { (text::clock(logged.entry.at)) }
            td {
                @if is_error { strong.bad { span.sign aria-hidden="true" { "✗" } " error" } }
                @else { (level_word(logged.level)) }
            }
            td.of { (Text(logged.of)) }
            td.message { (Lines(&logged.message)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples::Journal;
    use cairn::TaskError;

    fn page(journal: &Journal, query: &FlowQuery) -> String {
        let names = names(&journal.entries);
        section(&journal.entries, &names, query, "/ui/flows/x").into_string()
    }

    fn long() -> Journal {
        let mut journal = Journal::new("sizes");
        journal.at(1).started("one", 1);
        for number in 0..997 {
            journal.log("one", LogLevel::Info, &format!("line {number}"));
        }
        journal.failed("one", TaskError::new("Broken", "it broke"));
        journal
    }

    fn numbers(page: &str) -> Vec<usize> {
        let cells = page.split("<tr").skip(2);
        let number = |row: &str| {
            row.split("\"num\">")
                .nth(1)?
                .split('<')
                .next()?
                .parse()
                .ok()
        };
        cells.filter_map(number).collect()
    }

    #[test]
    fn the_newest_two_hundred_are_shown_and_older_ones_on_demand() {
        let journal = long();
        let first = page(&journal, &FlowQuery::default());
        let newest = numbers(&first);
        assert_eq!((newest.len(), newest[0]), (200, journal.entries.len()));
        let link = format!("before={}#events", newest[199]);
        assert!(first.contains(&link), "{link}");
        let query = FlowQuery {
            before: Some(newest[199]),
            ..FlowQuery::default()
        };
        let older = numbers(&page(&journal, &query));
        assert_eq!((older.len(), older[0]), (200, newest[199] - 1));
    }

    #[test]
    fn events_are_filtered_by_kind_and_text() {
        let journal = long();
        let failures = FlowQuery {
            events: Some(Group::Failures),
            ..FlowQuery::default()
        };
        assert_eq!(numbers(&page(&journal, &failures)).len(), 2);
        let text = FlowQuery {
            text: Some("LINE 99".to_owned()),
            ..FlowQuery::default()
        };
        // 99, and 990 to 996.
        assert_eq!(numbers(&page(&journal, &text)).len(), 8);
        let none = FlowQuery {
            text: Some("nowhere".to_owned()),
            ..FlowQuery::default()
        };
        assert!(page(&journal, &none).contains("No event fits."));
    }

    #[test]
    fn every_group_has_events_of_its_own() {
        for (group, name, _) in Group::ALL {
            assert_eq!(name.parse(), Ok(group));
            assert_eq!(group.as_str(), name);
        }
    }

    #[test]
    fn a_failure_has_a_sign() {
        let page = page(&long(), &FlowQuery::default());
        let row = page
            .split("<tr")
            .find(|row| row.contains("task failed"))
            .unwrap();
        assert!(row.contains("✗") && row.contains("<strong"), "{row}");
        assert!(row.contains("Broken: it broke"), "{row}");
    }

    #[test]
    fn logs_are_in_order_and_bounded() {
        let journal = long();
        let names = names(&journal.entries);
        let page = logs(&journal.entries, &names, &FlowQuery::default(), "/x").into_string();
        assert_eq!(page.matches("<td class=\"message\"").count(), 200);
        let (first, last) = (
            page.find("line 797").unwrap(),
            page.find("line 996").unwrap(),
        );
        assert!(first < last);
    }

    #[test]
    fn a_hostile_message_is_text() {
        let mut journal = Journal::new("sizes");
        journal.at(1).started("<i>", 1);
        journal.log(
            "<i>",
            LogLevel::Error,
            "<script>alert(1)</script>\u{1b}[2J\u{202e}\nnext",
        );
        let names = names(&journal.entries);
        let query = FlowQuery::default();
        for page in [
            logs(&journal.entries, &names, &query, "/x").into_string(),
            section(&journal.entries, &names, &query, "/x").into_string(),
        ] {
            assert!(!page.contains("<script") && !page.contains("<i>"), "{page}");
            assert!(
                !page.contains('\u{1b}') && !page.contains('\u{202e}'),
                "{page}"
            );
        }
    }
}
