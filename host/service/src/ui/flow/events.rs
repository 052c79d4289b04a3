//! The events of a flow, newest first.

use std::collections::BTreeMap;

use cairn::TaskId;
use cairn::event::{Entry, Event};
use maud::{Markup, html};

use super::query::FlowQuery;
use super::said::{Group, Said, may_be, said};
use crate::ui::text::{self, Text};

/// The most events, and the most log messages, on a page.
pub(super) const PAGE: usize = 200;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples::Journal;
    use cairn::TaskError;
    use cairn::event::LogLevel;

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
    fn a_hostile_message_is_text() {
        let mut journal = Journal::new("sizes");
        journal.at(1).started("<i>", 1);
        journal.log(
            "<i>",
            LogLevel::Error,
            "<script>alert(1)</script>\u{1b}[2J\u{202e}\nnext",
        );
        let page = page(&journal, &FlowQuery::default());
        assert!(!page.contains("<script") && !page.contains("<i>"), "{page}");
        assert!(
            !page.contains('\u{1b}') && !page.contains('\u{202e}'),
            "{page}"
        );
    }
}
