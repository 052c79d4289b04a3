use std::time::{Duration, Instant};

use cairn::TaskError;
use cairn::event::{FlowState, LogLevel};
use serde_json::json;

use super::*;
use crate::ui::layout::tests::SHELL;
use crate::ui::samples::{self, Journal, counted, row};

fn view(journal: Journal, plan: Option<Plan>) -> FlowView {
    let now = journal.now();
    let sources = Sources {
        id: journal.flow,
        journal: journal.entries,
        plan,
        schemas: Schemas::default(),
        stuck: None,
        allowed: Allowed {
            interrupt: true,
            resume: true,
            signal: true,
            rollback: true,
            accept: true,
        },
        notice: None,
        now,
    };
    FlowView::new(sources, &samples::domains()).unwrap()
}

fn page(journal: Journal) -> String {
    view(journal, None)
        .page(&SHELL, &FlowQuery::default())
        .into_string()
}

#[test]
fn the_parts_of_a_page_are_those_that_are_replaced() {
    let journal = samples::rolled_back();
    let view = view(journal, None);
    let page = view.page(&SHELL, &FlowQuery::default()).into_string();
    for (id, html) in view.fragments(&SHELL, &FlowQuery::default()) {
        let root = html.split('>').next().unwrap();
        assert!(root.contains(&format!("id=\"{id}\"")), "{root}");
        assert!(page.contains(&html), "{id}");
    }
}

#[test]
fn a_rolled_back_flow_says_why_and_what_is_left() {
    let page = page(samples::rolled_back());
    for part in [
        "OverQuota",
        "incomplete: not everything could be undone",
        "not reverted",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains("/accept\"") && page.contains("Repeat the rollback"));
}

#[test]
fn a_running_flow_can_be_interrupted_and_an_ended_one_cannot() {
    let mut journal = Journal::new("sizes");
    journal.at(1).started("one", 1);
    let running = page(journal);
    assert!(running.contains("/interrupt\"") && !running.contains("/resume\""));
    let mut journal = Journal::new("sizes");
    journal.at(1).state(FlowState::Running, FlowState::Success);
    let ended = page(journal);
    assert!(!ended.contains("/interrupt\"") && ended.contains("/rollback\""));
}

#[test]
fn only_what_is_allowed_is_offered() {
    let mut view = view(samples::rolled_back(), None);
    let shown = |view: &FlowView| view.page(&SHELL, &FlowQuery::default()).into_string();
    view.allowed.rollback = false;
    let page = shown(&view);
    assert!(!page.contains("/rollback\"") && page.contains("/accept\""));
    view.allowed = Allowed::default();
    assert!(!shown(&view).contains("class=\"action\""));
}

#[test]
fn a_waiting_flow_takes_its_signal() {
    let mut journal = Journal::new("waits");
    journal
        .at(1)
        .waits("approval", Some("approve"), Some(3_600_000));
    let page = page(journal);
    assert!(
        page.contains("Send the signal approve") && page.contains("/signal\""),
        "{page}"
    );
}

#[test]
fn every_form_that_changes_something_has_the_token() {
    let page = page(samples::rolled_back());
    let forms = page
        .split("<form")
        .filter(|form| form.contains("method=\"post\""));
    let mut count = 0;
    for form in forms {
        let form = form.split("</form>").next().unwrap();
        assert!(form.contains("name=\"csrf\" value=\"c5rf\""), "{form}");
        count += 1;
    }
    assert_eq!(count, 3, "rollback, accept and logout");
}

#[test]
fn twenty_thousand_events_are_a_small_page_in_a_short_time() {
    let mut journal = Journal::new("sizes");
    for task in 0..20 {
        let name = format!("task-{task}");
        journal.at(task * 10).started(&name, 1);
        for number in 0..498_u64 {
            let usage = counted("quota_usages", &["acme", "volumes"], "in_use", 1);
            let key = format!("k-{task}-{number}");
            let record = row(
                "records",
                &["acme", "greetings", &key],
                json!(null),
                json!({"value": "x"}),
            );
            journal.applied(&name, "record_put", [usage, record]);
            journal.log(&name, LogLevel::Info, "a line of a log");
        }
        journal.succeeded(&name, json!({}));
    }
    journal.state(FlowState::Running, FlowState::Success);
    assert!(journal.entries.len() > 19_900);
    let mut shortest = Duration::MAX;
    for _ in 0..3 {
        let mut again = Journal::new("sizes");
        again.entries.clone_from(&journal.entries);
        let begun = Instant::now();
        let page = page(again);
        shortest = shortest.min(begun.elapsed());
        assert!(page.len() < 1_000_000, "{} bytes", page.len());
    }
    // Other tests run beside this one; the page takes a tenth of it alone.
    assert!(shortest < Duration::from_secs(1), "{shortest:?}");
}

#[test]
fn a_hostile_flow_is_text_everywhere() {
    const HOSTILE: &str =
        "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u{202e}\u{1b}[2J";
    let mut journal = Journal::requested(HOSTILE, json!({HOSTILE: HOSTILE}));
    journal.at(1).started(HOSTILE, 1);
    journal.log(HOSTILE, LogLevel::Error, HOSTILE);
    let change = row(
        "records",
        &["acme", HOSTILE, HOSTILE],
        json!(null),
        json!({HOSTILE: HOSTILE}),
    );
    journal.applied(HOSTILE, "record_put", [change]);
    let mut error = TaskError::new(HOSTILE, HOSTILE).with(HOSTILE, HOSTILE);
    error.log = vec![HOSTILE.to_owned()];
    error = error.with("backtrace", json!([HOSTILE])).with(
        "violations",
        json!([{"pointer": HOSTILE, "kind": HOSTILE, "message": HOSTILE}]),
    );
    journal.failed(HOSTILE, error.clone());
    journal.reverting(HOSTILE, 1).revert_failed(HOSTILE, error);
    journal.state(FlowState::Reverting, FlowState::Failure);
    let query = FlowQuery {
        task: Some(HOSTILE.to_owned()),
        text: Some(HOSTILE.to_owned()),
        ..FlowQuery::default()
    };
    let mut view = view(journal, None);
    view.stuck = Some(HOSTILE.to_owned());
    let page = view.page(&SHELL, &query).into_string();
    assert_eq!(page.matches("<script").count(), 1, "the page's own");
    assert!(!page.contains("<img") && !page.contains('\u{202e}') && !page.contains('\u{1b}'));
    assert!(page.contains("&lt;script&gt;"));
}
