//! The ledger: a flow's effects in order, the inverse of each, and what is left.

use std::collections::BTreeMap;

use cairn::TaskId;
use cairn::clock::Timestamp;
use cairn::effect::Applied;
use cairn::event::{Entry, Event, FlowState};
use cairn::external::is_removal;
use cairn::history::{Account, History, is_intent};
use cairn::id::Phase;
use cairn::net::{Fate, Left};
use cairn::rows::Tables;
use maud::{Markup, html};

use super::change::{Shown, shown};
use super::query::FlowQuery;
use super::residue::{sign, sum, word};
use crate::ui::text::{self, Text};

/// The most effects on a page.
pub(super) const PAGE: usize = 500;

/// The effects of a flow, with their fates.
#[derive(Debug)]
pub(super) struct Ledger {
    rows: Vec<Posted>,
}

/// One effect.
#[derive(Debug)]
struct Posted {
    /// Its index in the journal.
    entry: usize,
    fate: Posting,
}

/// What became of an effect.
#[derive(Clone, Debug, PartialEq)]
enum Posting {
    /// It stands.
    Applied,
    /// It was undone.
    Undone(Timestamp),
    /// Its act has changed nothing.
    Refused(String),
    /// It is not known what its act has done.
    Unsure(String),
    /// Its act has begun.
    Acting,
}

impl Ledger {
    /// Folds a journal.
    pub(super) fn of(journal: &[Entry]) -> Self {
        let mut rows: Vec<Posted> = Vec::new();
        let mut places: BTreeMap<u32, usize> = BTreeMap::new();
        for (at, entry) in journal.iter().enumerate() {
            let (number, fate) = match &entry.event {
                Event::Applied(applied) => {
                    places.insert(applied.number, rows.len());
                    let acts = is_intent(applied) || is_removal(applied);
                    rows.push(Posted {
                        entry: at,
                        fate: if acts {
                            Posting::Acting
                        } else {
                            Posting::Applied
                        },
                    });
                    continue;
                }
                Event::Undone { number } => (number, Posting::Undone(entry.at)),
                Event::Settled { number, .. } | Event::Removed { number } => {
                    (number, Posting::Applied)
                }
                Event::Closed { number, error } => (number, Posting::Refused(error.to_string())),
                Event::InDoubt { number, error } => (number, Posting::Unsure(error.to_string())),
                Event::Removing { number } => (number, Posting::Acting),
                _ => continue,
            };
            let row = places.get(number).and_then(|place| rows.get_mut(*place));
            if let Some(row) = row {
                row.fate = fate;
            }
        }
        Self { rows }
    }
}

/// Shows a page of the ledger, and the sum of all effects.
pub(super) fn section(
    ledger: &Ledger,
    journal: &[Entry],
    history: &History,
    account: &Account,
    tables: &Tables,
    query: &FlowQuery,
    path: &str,
) -> Markup {
    let names: BTreeMap<TaskId, &str> = history
        .tasks
        .iter()
        .map(|task| (task.id, task.name.as_str()))
        .collect();
    let left: BTreeMap<(&str, &str), &Left> = account
        .left
        .iter()
        .map(|left| ((left.kind.as_str(), left.id.as_str()), left))
        .collect();
    let first = query.effects.unwrap_or(0).min(ledger.rows.len());
    let rest = &ledger.rows[first..];
    let shown = &rest[..rest.len().min(PAGE)];
    html! {
        section #ledger aria-labelledby="ledger-title" {
            h2 #ledger-title { "Ledger" }
            p.lead {
                "Each change that a task made through the host, and its inverse. "
                @if ledger.rows.is_empty() { "There are none." }
            }
            @if first > 0 {
                p { a href=(query.with(path, "effects", &first.saturating_sub(PAGE).to_string(), "ledger")) { "Earlier effects" } }
            }
            @if !shown.is_empty() {
                div.wide tabindex="0" role="region" aria-label="Table of effects" {
                    table.ledger {
                        caption.quiet { (text::count(ledger.rows.len(), "effect")) ", in order" }
                        thead { tr {
                            th scope="col" { "#" }
                            th scope="col" { "Task" }
                            th scope="col" { "Resource" }
                            th scope="col" { "Change" }
                            th scope="col" { "Inverse" }
                            th scope="col" { "State" }
                        } }
                        @for posted in shown {
                            @if let Some(Entry { at, event: Event::Applied(applied) }) = journal.get(posted.entry) {
                                (effect(*at, applied, &posted.fate, history, tables, &names, &left, query))
                            }
                        }
                    }
                }
            }
            @if rest.len() > shown.len() {
                p { a href=(query.with(path, "effects", &(first + PAGE).to_string(), "ledger")) { "Later effects" } }
            }
            (sum(history, &account.left, account.undone.len()))
        }
    }
}

/// Shows one effect: a body of its own, so that its changes stay together.
#[expect(clippy::too_many_arguments, reason = "what one row is made of")]
fn effect(
    at: Timestamp,
    applied: &Applied,
    posting: &Posting,
    history: &History,
    tables: &Tables,
    names: &BTreeMap<TaskId, &str>,
    left: &BTreeMap<(&str, &str), &Left>,
    query: &FlowQuery,
) -> Markup {
    let task = names.get(&applied.call.task).copied();
    let name = task.unwrap_or("-");
    let is_chosen = task.is_some() && query.task.as_deref() == task;
    let is_undone = matches!(posting, Posting::Undone(_) | Posting::Refused(_));
    let changes: Vec<Shown> = applied
        .changes
        .iter()
        .map(|change| shown(change, applied, tables))
        .collect();
    let rows = changes.len().max(1);
    html! {
        tbody.chosen[is_chosen].undone[is_undone] {
            @for (place, change) in changes.iter().enumerate() {
                tr {
                    @if place == 0 {
                        td.num rowspan=(rows) title=(text::attribute(&applied.effect)) { (applied.number) }
                        th scope="row" rowspan=(rows) {
                            (Text(name))
                            @if applied.call.phase == Phase::Revert { " " span.tag { "revert" } }
                            br; span.quiet { (Text(&applied.effect)) " · " (text::clock(at)) }
                        }
                    }
                    td { (Text(&change.kind)) " " span.id { (Text(&change.id)) } }
                    td { (Text(&text::brief(&change.change))) }
                    td { (Text(&text::brief(&change.inverse))) }
                    td {
                        (fate(posting, left.get(&(change.kind.as_str(), change.key.as_str())).copied(), history))
                    }
                }
            }
            @if changes.is_empty() {
                tr {
                    td.num { (applied.number) }
                    th scope="row" { (Text(name)) br; span.quiet { (Text(&applied.effect)) } }
                    td colspan="3" { "It changed nothing." }
                    td { (fate(posting, None, history)) }
                }
            }
        }
    }
}

fn fate(posting: &Posting, left: Option<&Left>, history: &History) -> Markup {
    let reversed = matches!(history.state, FlowState::Failure | FlowState::Reverting);
    match posting {
        Posting::Undone(at) => {
            html! { span.good { span.sign aria-hidden="true" { "↶" } " undone" } br; span.quiet { (text::clock(*at)) } }
        }
        Posting::Refused(why) => html! { span.quiet { "not done: " (Text(&text::brief(why))) } },
        Posting::Unsure(why) => {
            html! { strong.bad { span.sign aria-hidden="true" { "?" } " not known" } br; (Text(&text::brief(why))) }
        }
        Posting::Acting => html! { "the act goes on" },
        Posting::Applied if !reversed => html! { "applied" },
        Posting::Applied => match left.and_then(|left| left.why.as_ref()) {
            Some(why) => {
                html! { strong.bad[why.fate != Fate::Kept] { span.sign aria-hidden="true" { (sign(why.fate)) } " " (word(why.fate)) } }
            }
            None => html! { "applied" },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples::{self, Journal, counted, row};
    use cairn::TaskError;
    use serde_json::json;

    fn rolled_back() -> Journal {
        let mut journal = Journal::new("sizes");
        journal.at(10).started("one", 1);
        let usage = counted("quota_usages", &["acme", "volumes"], "in_use", 1);
        journal.at(11).applied("one", "quota_commit", [usage]);
        let volume = row(
            "volumes",
            &["v-1"],
            json!(null),
            json!({"status": "creating", "size": 3}),
        );
        journal.at(12).applied("one", "volume_create", [volume]);
        journal
            .at(20)
            .failed("one", TaskError::new("Broken", "it broke"));
        journal
    }

    fn page(journal: &Journal, query: &FlowQuery) -> String {
        let domains = samples::domains();
        let history = History::fold(&journal.entries, &domains).unwrap();
        let ledger = Ledger::of(&journal.entries);
        let (journal, account) = (&journal.entries, history.account());
        let tables = domains.tables();
        section(
            &ledger,
            journal,
            &history,
            &account,
            tables,
            query,
            "/ui/flows/x",
        )
        .into_string()
    }

    #[test]
    fn an_effect_has_its_inverse_and_its_fate() {
        let mut journal = rolled_back();
        journal.at(21).undone(2);
        let fates: Vec<_> = Ledger::of(&journal.entries)
            .rows
            .into_iter()
            .map(|row| row.fate)
            .collect();
        assert_eq!(fates, [Posting::Applied, Posting::Undone(journal.now())]);
        let page = page(&journal, &FlowQuery::default());
        for part in [
            "in_use +1",
            "in_use -1",
            "status creating",
            "remove it",
            "undone",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }

    #[test]
    fn the_sum_is_what_is_left_and_why() {
        let mut journal = rolled_back();
        journal.at(21).undone(2);
        journal.at(22).reverting("one", 1);
        journal
            .at(23)
            .revert_failed("one", TaskError::new("UndoRefused", "it was changed since"));
        journal
            .at(24)
            .state(FlowState::Reverting, FlowState::Failure);
        let page = page(&journal, &FlowQuery::default());
        let sum = page.split("What is left").nth(1).unwrap();
        assert!(
            sum.contains("volumes.in_use") && sum.contains("acme"),
            "{sum}"
        );
        assert!(sum.contains("it was changed since"), "{sum}");
        assert!(sum.contains("1 change undone"), "{sum}");
    }

    #[test]
    fn a_page_has_five_hundred_effects_at_most() {
        let mut journal = Journal::new("sizes");
        journal.at(10).started("one", 1);
        for number in 0..1_201 {
            let name = format!("n-{number}");
            let change = row(
                "records",
                &["acme", "greetings", &name],
                json!(null),
                json!({"value": number}),
            );
            journal.applied("one", "record_put", [change]);
        }
        let rows = |effects| {
            let query = FlowQuery {
                effects,
                ..FlowQuery::default()
            };
            page(&journal, &query).matches("<tbody").count()
        };
        assert_eq!(
            (rows(None), rows(Some(1_000)), rows(Some(9_999))),
            (500, 201, 0)
        );
    }

    #[test]
    fn a_hostile_value_is_text() {
        let mut journal = Journal::new("sizes");
        journal.at(10).started("<b>one</b>", 1);
        let change = row(
            "records",
            &["acme", "x", "<img src=x>"],
            json!(null),
            json!({"value": "\u{202e}<script>"}),
        );
        journal.applied("<b>one</b>", "record_put", [change]);
        let page = page(&journal, &FlowQuery::default());
        assert!(
            !page.contains("<script") && !page.contains("<img") && !page.contains("<b>"),
            "{page}"
        );
        assert!(!page.contains('\u{202e}'));
    }
}
