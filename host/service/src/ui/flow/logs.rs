//! What the plugins of a flow logged.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cairn::TaskId;
use cairn::event::{Entry, Event, LogLevel};
use maud::{Markup, html};

use super::query::FlowQuery;
use super::said::level_word;
use crate::ui::text::{self, Lines, Text};

/// The most log messages on a page.
const PAGE: usize = 200;

/// A message that was logged.
struct Logged<'e> {
    number: usize,
    entry: &'e Entry,
    of: &'e str,
    level: LogLevel,
    message: Cow<'e, str>,
}

/// Shows what plugins logged: the newest messages, in order.
pub(super) fn section(
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
    use crate::ui::flow::events::names;
    use crate::ui::samples::Journal;

    fn page(journal: &Journal) -> String {
        let names = names(&journal.entries);
        section(&journal.entries, &names, &FlowQuery::default(), "/x").into_string()
    }

    #[test]
    fn the_newest_messages_are_shown_in_order() {
        let mut journal = Journal::new("sizes");
        journal.at(1).started("one", 1);
        for number in 0..997 {
            journal.log("one", LogLevel::Info, &format!("line {number}"));
        }
        let page = page(&journal);
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
        let page = page(&journal);
        assert!(!page.contains("<script") && !page.contains("<i>"), "{page}");
        assert!(
            !page.contains('\u{1b}') && !page.contains('\u{202e}'),
            "{page}"
        );
    }
}
