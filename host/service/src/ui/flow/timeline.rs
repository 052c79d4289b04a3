//! The timeline: one row for each task of the plan, drawn as SVG.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cairn::Plan;
use cairn::clock::Timestamp;
use cairn::event::{FlowState, TaskState};
use cairn::history::{History, TaskRecord};
use cairn::plan::PlannedStep;
use maud::{Markup, html};

use super::axis::{Axis, Tick};
use super::bar::{bar, percent};
use super::query::FlowQuery;
use super::trace::{End, Kind, Span, Trace, Traced};
use crate::ui::text::{self, Text};

/// The most rows of a timeline.
pub(super) const ROWS: usize = 250;
/// The most spans in a row: the newest.
const SPANS: usize = 60;
/// A task as the timeline shows it.
struct Row<'r> {
    name: &'r str,
    traced: Option<&'r Traced>,
    record: Option<&'r TaskRecord>,
}

impl Row<'_> {
    /// Returns whether it pauses before another attempt.
    fn rests(&self) -> bool {
        let mut spans = self.traced.iter().flat_map(|traced| &traced.spans);
        spans.any(|span| span.kind == Kind::Pause && span.to.is_none())
    }
}

/// Returns the tasks of the plan, and then those that began and are in no plan.
fn rows<'r>(plan: Option<&'r Plan>, trace: &'r Trace, history: &'r History) -> Vec<Row<'r>> {
    let records = history.tasks.iter().map(|task| (task.name.as_str(), task));
    let records: BTreeMap<&str, &TaskRecord> = records.collect();
    let traced = trace.tasks.iter().map(|task| (task.name.as_str(), task));
    let traced: BTreeMap<&str, &Traced> = traced.collect();
    let row = |name: &'r str| Row {
        name,
        traced: traced.get(name).copied(),
        record: records.get(name).copied(),
    };
    let steps = plan.map_or(&[][..], |plan| &plan.tasks);
    let planned: BTreeSet<&str> = steps.iter().map(display).collect();
    let began = trace.tasks.iter().map(|task| task.name.as_str());
    let others = began.filter(|name| !planned.contains(name));
    steps.iter().map(display).chain(others).map(row).collect()
}

/// Returns a step's name in the flow and its reports.
pub(super) fn display(step: &PlannedStep) -> &str {
    match step {
        PlannedStep::Task(task) => &task.display,
        PlannedStep::Wait(wait) => &wait.display,
    }
}

/// Shows the timeline. `now` is the end of what goes on.
pub(super) fn section(
    trace: &Trace,
    plan: Option<&Plan>,
    history: &History,
    now: Timestamp,
    query: &FlowQuery,
    path: &str,
) -> Markup {
    let rows = rows(plan, trace, history);
    let first = query.tasks.unwrap_or(0).min(rows.len().saturating_sub(1));
    let shown = &rows[first..rows.len().min(first + ROWS)];
    let begin = trace.events.first().copied().unwrap_or(now);
    let end = end(trace, history, now);
    let window = window(query, begin, end);
    let axis = axis(trace, window, now);
    html! {
        div #timeline {
            @if rows.is_empty() { p { "No task has begun." } }
            @else {
                @if first > 0 {
                    p { a href=(query.with(path, "tasks", &first.saturating_sub(ROWS).to_string(), "timeline")) { "Earlier tasks" } }
                }
                table.timeline {
                    caption.quiet {
                        "From " (text::time(window.0)) ", for " (text::duration(window.1.since(window.0)))
                        "; calls above, reverts beneath"
                    }
                    thead { tr {
                        th scope="col" { "Task" }
                        th scope="col" { "State" }
                        td.bars { (scale(&axis, begin)) }
                        th.num scope="col" { "Took" }
                    } }
                    tbody {
                        @for row in shown { (line(row, &axis, window, now, history, query, path)) }
                    }
                }
                @if first + shown.len() < rows.len() {
                    p { a href=(query.with(path, "tasks", &(first + ROWS).to_string(), "timeline")) { "Later tasks" } }
                }
                (legend())
            }
        }
    }
}

/// Shows the form that chooses a part of the time.
pub(super) fn selection(query: &FlowQuery, path: &str) -> Markup {
    let seconds = |value: Option<f64>| value.map(|value| value.to_string());
    html! {
        form.filter action={ (path) "#timeline" } method="get" aria-label="Part of the timeline" {
            @for (name, value) in query.besides(&["from", "to"]) {
                input type="hidden" name=(name) value=(text::attribute(&value));
            }
            label { "From " input type="number" name="from" min="0" step="any" value=[seconds(query.from)]; " s" }
            label { "to " input type="number" name="to" min="0" step="any" value=[seconds(query.to)]; " s" }
            button { "Show" }
            @if query.from.is_some() || query.to.is_some() {
                a href={ (path) (text::query(query.besides(&["from", "to"]))) "#timeline" } { "Whole time" }
            }
        }
    }
}

/// Returns the end of the whole: of what has ended, its last event.
fn end(trace: &Trace, history: &History, now: Timestamp) -> Timestamp {
    let last = trace.events.last().copied().unwrap_or(now);
    match history.state {
        FlowState::Success | FlowState::Failure | FlowState::Interrupted | FlowState::Pending => {
            last
        }
        FlowState::Started | FlowState::Resuming | FlowState::Running | FlowState::Reverting => {
            last.max(now)
        }
    }
}

/// Returns the part of the time that is shown.
fn window(query: &FlowQuery, begin: Timestamp, end: Timestamp) -> (Timestamp, Timestamp) {
    let at = |seconds: Option<f64>| {
        let since = Duration::try_from_secs_f64(seconds?).ok()?;
        Some(begin.after(since).min(end))
    };
    let from = at(query.from).unwrap_or(begin);
    let to = at(query.to).unwrap_or(end);
    match from < to {
        true => (from, to),
        false => (begin, end),
    }
}

fn axis(trace: &Trace, window: (Timestamp, Timestamp), now: Timestamp) -> Axis {
    let spans = trace.tasks.iter().flat_map(|traced| &traced.spans);
    let busy = spans.filter(|span| span.kind.is_busy());
    let busy = busy.map(|span| (span.from, span.to.unwrap_or(now)));
    let events = trace.events.iter().map(|at| (*at, *at));
    Axis::new(window, busy.chain(events))
}

/// Draws the times, and the lengths of the squeezed gaps.
fn scale(axis: &Axis, begin: Timestamp) -> Markup {
    html! {
        svg.scale width="100%" height="30" role="img" aria-label="Time since the flow began" data-axis=(ends(axis, begin)) {
            @for (place, tick) in axis.ticks(begin) {
                line.tick x1=(percent(place)) x2=(percent(place)) y1="24" y2="30" {}
                text.tick-label x=(percent(place)) y="20" text-anchor=(anchor(place)) {
                    @match tick { Tick::Since(time) => (text::duration(time)), Tick::Later(time) => { "+" (text::duration(time)) } }
                }
            }
            @for gap in axis.segments.iter().filter(|segment| segment.is_break) {
                text.gap-label x=(percent(f64::midpoint(gap.left, gap.right))) y="9" text-anchor="middle" {
                    "⋯ " (text::duration(gap.to.since(gap.from)))
                }
            }
        }
    }
}

/// Writes where parts of the axis begin and end, with the seconds there, for the script: `0.00:0 31.00:2.5 …`.
fn ends(axis: &Axis, begin: Timestamp) -> String {
    let last = axis.segments.last();
    let starts = axis.segments.iter().map(|one| (one.left, one.from));
    let ends = starts.chain(last.map(|one| (one.right, one.to)));
    let ends = ends.map(|(place, at)| format!("{place:.2}:{}", at.since(begin).as_secs_f64()));
    ends.collect::<Vec<_>>().join(" ")
}

fn anchor(place: f64) -> &'static str {
    match place {
        ..2.0 => "start",
        96.0.. => "end",
        _ => "middle",
    }
}

/// Draws the squeezed gaps of a row.
fn gaps(axis: &Axis) -> Markup {
    html! {
        @for gap in axis.segments.iter().filter(|segment| segment.is_break) {
            rect.gap x=(percent(gap.left)) width=(percent(gap.right - gap.left)) y="0" height="30" {}
        }
    }
}

fn line(
    row: &Row<'_>,
    axis: &Axis,
    window: (Timestamp, Timestamp),
    now: Timestamp,
    history: &History,
    query: &FlowQuery,
    path: &str,
) -> Markup {
    let is_chosen = query.task.as_deref() == Some(row.name);
    let spans: &[Span] = row.traced.map_or(&[], |traced| &traced.spans);
    let within = spans
        .iter()
        .filter(|span| span.from <= window.1 && span.to.unwrap_or(now) >= window.0);
    let mut within: Vec<&Span> = within.collect();
    if within.len() > SPANS {
        within.drain(..within.len() - SPANS);
    }
    let (state, class) = state(row, history);
    html! {
        tr.chosen[is_chosen].coming[row.traced.is_none()] data-row {
            th scope="row" {
                a href=(query.with(path, "task", row.name, "task")) aria-current=[is_chosen.then_some("true")] {
                    (Text(row.name))
                }
            }
            td { span class=(class) { (state) } }
            td.bars {
                svg width="100%" height="30" role="img" aria-label=(text::attribute(&summary(row, &state, now))) {
                    (gaps(axis))
                    line.ground x1="0" x2="100%" y1="15" y2="15" {}
                    @for span in within { (bar(span, axis, window, now)) }
                }
            }
            td.num { @if let Some(traced) = row.traced { (took(traced, now)) } }
        }
    }
}

/// Returns the state of a task in words, and its class.
fn state(row: &Row<'_>, history: &History) -> (String, &'static str) {
    let has_ended = matches!(history.state, FlowState::Success | FlowState::Failure);
    match row.record.map(|record| record.state) {
        Some(TaskState::Started) if row.rests() => {
            ("to be tried again".to_owned(), "state waiting")
        }
        Some(TaskState::Started) => ("running".to_owned(), "state running"),
        Some(TaskState::Success) => ("done".to_owned(), "state good"),
        Some(TaskState::Failure) => ("✗ failed".to_owned(), "state bad"),
        Some(TaskState::Reverting) => ("reverting".to_owned(), "state warn"),
        Some(TaskState::Reverted) => ("↶ reverted".to_owned(), "state reverted"),
        Some(TaskState::RevertFailed) => ("✗ revert failed".to_owned(), "state bad"),
        Some(TaskState::Waiting) => ("waiting".to_owned(), "state waiting"),
        None if row.traced.is_some() => ("before the reset".to_owned(), "state coming"),
        None if has_ended => ("not reached".to_owned(), "state coming"),
        None => ("to come".to_owned(), "state coming"),
    }
}

/// Says what a row shows.
fn summary(row: &Row<'_>, state: &str, now: Timestamp) -> String {
    let Some(traced) = row.traced else {
        return format!("{}: {state}", row.name);
    };
    let called = traced.took(Kind::Call, now);
    let retries = traced.spans.iter().filter(|span| span.end == End::Retried);
    let mut text = format!(
        "{}: {state}, called for {}",
        row.name,
        text::duration(called)
    );
    match retries.count() {
        0 => {}
        number => text += &format!(", tried again {number} times"),
    }
    if traced.spans.iter().any(|span| span.kind == Kind::Revert) {
        text += &format!(
            ", reverted in {}",
            text::duration(traced.took(Kind::Revert, now))
        );
    }
    text
}

fn took(traced: &Traced, now: Timestamp) -> Markup {
    let has = |kind| traced.spans.iter().any(|span| span.kind == kind);
    html! {
        @if has(Kind::Call) { (text::duration(traced.took(Kind::Call, now))) }
        @if has(Kind::Wait) { (text::duration(traced.took(Kind::Wait, now))) }
        @if has(Kind::Revert) { " " br; span.quiet { "↶ " (text::duration(traced.took(Kind::Revert, now))) } }
    }
}

fn legend() -> Markup {
    let sample = |class: &'static str| {
        html! { svg width="22" height="10" aria-hidden="true" { rect class=(class) x="1" y="1" width="20" height="8" rx="1.5" {} } }
    };
    html! {
        p.legend {
            span { (sample("bar call")) " call" }
            span { (sample("bar call failed")) " failed" }
            span { (sample("bar call retried")) " tried again" }
            span { (sample("bar revert")) " revert" }
            span { (sample("bar wait")) " wait" }
            span { (sample("bar act")) " act outside the database" }
            span { (sample("gap")) " squeezed gap" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples::{self, Journal};
    use cairn::TaskError;
    use serde_json::json;

    fn page(journal: &Journal, plan: Option<&Plan>, query: &FlowQuery) -> String {
        let trace = Trace::of(&journal.entries);
        let history = History::fold(&journal.entries, &samples::domains()).unwrap();
        section(&trace, plan, &history, journal.now(), query, "/ui/flows/x").into_string()
    }

    #[track_caller]
    fn row<'p>(page: &'p str, name: &str) -> &'p str {
        let found = page
            .split("<tr")
            .find(|row| row.contains(&format!("<bdi>{name}</bdi>")));
        found.unwrap_or_else(|| panic!("no row of {name}: {page}"))
    }

    #[test]
    fn tasks_to_come_have_rows_too() {
        let plan = samples::plan("sizes", &["one", "two", "three"]);
        let mut journal = Journal::new("sizes");
        journal.at(10).started("one;sizes", 1);
        journal.at(20).succeeded("one;sizes", json!({}));
        journal.at(21).started("two;sizes", 1);
        let page = page(&journal, Some(&plan), &FlowQuery::default());
        let page = page.split("class=\"legend\"").next().unwrap();
        assert!(row(page, "one;sizes").contains("done"));
        assert!(row(page, "two;sizes").contains("bar call open"));
        let three = row(page, "three;sizes");
        assert!(
            three.contains("coming") && three.contains("to come"),
            "{three}"
        );
        assert!(!three.contains("class=\"bar "), "{three}");
    }

    #[test]
    fn retries_and_reverts_are_in_the_row_of_their_task() {
        let mut journal = Journal::new("sizes");
        journal.at(10).started("one", 1);
        journal.at(20).retried("one", "Busy");
        journal.at(30).started("one", 2);
        journal
            .at(40)
            .failed("one", TaskError::new("Broken", "it broke"));
        journal.at(50).reverting("one", 1);
        journal.at(60).reverted("one");
        journal.state(FlowState::Reverting, FlowState::Failure);
        let page = page(&journal, None, &FlowQuery::default());
        let row = row(&page, "one");
        for part in [
            "bar call retried",
            "class=\"retry\"",
            "bar call failed",
            "bar revert",
            "Broken: it broke",
        ] {
            assert!(row.contains(part), "{part}: {row}");
        }
    }

    #[test]
    fn a_long_wait_is_squeezed_and_labelled() {
        let mut journal = Journal::new("waits");
        journal
            .at(10)
            .started("one", 1)
            .at(900)
            .succeeded("one", json!({}));
        journal.at(1_000).waits("approval", Some("approve"), None);
        journal.at(86_401_000).succeeded("approval", json!({}));
        journal
            .at(86_401_100)
            .started("two", 1)
            .at(86_402_000)
            .succeeded("two", json!({}));
        journal.state(FlowState::Running, FlowState::Success);
        let page = page(&journal, None, &FlowQuery::default());
        assert!(page.contains("⋯ 1 d"), "{page}");
        assert!(row(&page, "approval").contains("bar wait"));
    }

    #[test]
    fn a_part_of_the_time_is_chosen_in_seconds() {
        let mut journal = Journal::new("sizes");
        journal
            .at(0)
            .started("one", 1)
            .at(5_000)
            .succeeded("one", json!({}));
        journal
            .at(5_000)
            .started("two", 1)
            .at(10_000)
            .succeeded("two", json!({}));
        journal.state(FlowState::Running, FlowState::Success);
        let query = FlowQuery {
            from: Some(6.0),
            to: Some(8.0),
            ..FlowQuery::default()
        };
        let page = page(&journal, None, &query);
        assert!(!row(&page, "one").contains("bar call"));
        assert!(
            row(&page, "two").contains("x=\"0.00%\"")
                && row(&page, "two").contains("width=\"100.00%\""),
            "{page}"
        );
    }

    #[test]
    fn a_hostile_name_is_text() {
        let mut journal = Journal::new("sizes");
        let name = "\"><script>alert(1)</script>\u{202e}";
        journal.at(10).started(name, 1);
        journal
            .at(11)
            .failed(name, TaskError::new("<b>", "</title><script>"));
        let page = page(&journal, None, &FlowQuery::default());
        assert!(
            !page.contains("<script") && !page.contains("<b>") && !page.contains('\u{202e}'),
            "{page}"
        );
    }
}
