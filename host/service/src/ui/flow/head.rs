//! The head of a flow's page: its state, what went wrong, what is left in words, and what can be done.

use std::time::Duration;

use cairn::clock::Timestamp;
use cairn::event::FlowState;
use cairn::history::History;
use cairn::report::{ErrorReport, RollbackReport, SleepReport};
use cairn::{FlowId, Report, Value, Verdict};
use maud::{Markup, html};

use super::allowed::Allowed;
use super::query::FlowQuery;
use crate::ui::actions::Action;
use crate::ui::layout::Shell;
use crate::ui::text::{self, Text};
use crate::ui::words;

/// What the head shows besides the flow's history.
pub(super) struct Head<'h> {
    pub id: FlowId,
    pub history: &'h History,
    pub report: &'h Report,
    /// How many tasks its plan has.
    pub planned: Option<usize>,
    /// Why it cannot be recovered.
    pub stuck: Option<&'h str>,
    /// What the caller may do with it.
    pub allowed: Allowed,
    /// When its first and last events were written.
    pub times: (Timestamp, Timestamp),
    pub now: Timestamp,
}

/// Shows the state of a flow, and what became of it.
pub(super) fn section(head: &Head<'_>, query: &FlowQuery, path: &str) -> Markup {
    let report = head.report;
    html! {
        section #head aria-label="State" {
            p.verdict {
                (words::state(report.flow.state, report.flow.sleep.is_some()))
                " "
                @if let Some(rollback) = &report.rollback {
                    span.bad[is_bad(rollback.verdict)] { (rollback.sentence()) }
                } @else if report.flow.state == FlowState::Success {
                    "every task succeeded"
                }
            }
            @if let Some(reason) = head.stuck {
                p.alarm role="alert" {
                    strong { span.sign aria-hidden="true" { "!" } " stuck" } ": the flow does not continue: " (Text(reason))
                }
            }
            @if let Some(sleep) = &report.flow.sleep { (asleep(sleep, head.now)) }
            @if report.flow.forward {
                p { "It has passed its pivot: it is tried again until it succeeds, and cannot be rolled back." }
            }
            @if let Some(error) = &report.error { (failed(error, query, path)) }
            @if let Some(rollback) = &report.rollback { (rolled_back(rollback, query, path)) }
            (facts(head))
        }
    }
}

fn is_bad(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::Clean | Verdict::Kept)
}

/// Says what a flow that sleeps waits for.
fn asleep(sleep: &SleepReport, now: Timestamp) -> Markup {
    let until = sleep.until.as_deref().and_then(|until| until.parse().ok());
    let until: Option<Timestamp> = until;
    html! {
        p {
            @if sleep.is_wait { strong { "waits" } } @else { strong { "tries again" } }
            ": " (Text(&sleep.task))
            @if let (true, Some(signal)) = (sleep.is_signalled, &sleep.signal) {
                "; the signal " (Text(signal)) " has come"
            } @else {
                @if let Some(signal) = &sleep.signal { ", for the signal " (Text(signal)) }
                @if let Some(until) = until { ", until " (text::time(until)) " (" (text::ago(until, now)) ")" }
            }
            @if let Some(error) = &sleep.error { ", because " (Text(&error.to_string())) }
        }
    }
}

/// Says why a flow failed.
pub(super) fn failed(error: &ErrorReport, query: &FlowQuery, path: &str) -> Markup {
    let violations = error.details["violations"].as_array();
    let frames = error.details["backtrace"].as_array();
    html! {
        div.reason {
            p {
                strong.bad { span.sign aria-hidden="true" { "✗" } " "
                    @if let Some(task) = &error.task {
                        "task " a href=(query.with(path, "task", task, "task")) { (Text(task)) } " failed"
                    } @else { "rolled back on request" }
                }
                ": " strong { (Text(&error.kind)) } ": " (Text(&error.message))
            }
            @if let Some(violations) = violations {
                ul {
                    @for violation in violations.iter().take(MOST) {
                        li { (Text(&violated(violation))) }
                    }
                }
            }
            @if let Some(frames) = frames {
                details { summary { "Backtrace" } ol {
                    @for frame in frames.iter().filter_map(Value::as_str).take(MOST) { li { code { (Text(frame)) } } }
                } }
            }
            @if !error.log.is_empty() { (log(&error.log)) }
        }
    }
}

/// The most items of a list in the head.
const MOST: usize = 100;

/// Shows the end of a plugin's log.
pub(super) fn log(lines: &[String]) -> Markup {
    html! {
        details open { summary { "The end of its log" }
            ul.log { @for line in lines.iter().take(MOST) { li { code { (Text(line)) } } } }
        }
    }
}

/// Formats a violation: pointer, kind and message.
fn violated(violation: &Value) -> String {
    let of = |name: &str| violation[name].as_str().unwrap_or_default();
    let pointer = match of("pointer") {
        "" => "(the whole request)",
        pointer => pointer,
    };
    format!("{pointer}  {}: {}", of("kind"), of("message"))
}

/// Says what a rollback could not do.
pub(super) fn rolled_back(rollback: &RollbackReport, query: &FlowQuery, path: &str) -> Markup {
    html! {
        @for failed in rollback.failed.iter().take(MOST) {
            p {
                strong.bad { span.sign aria-hidden="true" { "✗" } " not reverted: "
                    a href=(query.with(path, "task", &failed.task, "task")) { (Text(&failed.task)) } }
                ": "
                @match &failed.error {
                    Some(error) => (Text(&error.to_string())),
                    None => "not tried",
                }
            }
        }
        @if let Some(reason) = &rollback.accepted { p { "Accepted as it is: " (Text(reason)) } }
        @if !rollback.residue.is_empty() {
            p { a href="#left" { (text::count(rollback.residue.len(), "change")) " left" }
                ", " (text::count(rollback.undone.len(), "change")) " undone" }
        } @else if !rollback.undone.is_empty() {
            p { (text::count(rollback.undone.len(), "change")) " undone" }
        }
    }
}

fn facts(head: &Head<'_>) -> Markup {
    let history = head.history;
    let (first, last) = head.times;
    let has_ended = matches!(history.state, FlowState::Success | FlowState::Failure);
    let took: Duration = if has_ended {
        last.since(first)
    } else {
        head.now.since(first)
    };
    let done = history
        .tasks
        .iter()
        .filter(|task| task.result.is_some())
        .count();
    html! {
        dl.facts {
            div { dt { "Id" } dd { code { (head.id) } } }
            div { dt { "Asked by" } dd { (Text(&history.requester.user_id)) " of " (Text(&history.requester.project_id)) } }
            div { dt { "Began" } dd { (text::time(first)) " (" (text::ago(first, head.now)) ")" } }
            div { dt { @if has_ended { "Took" } @else { "For" } } dd { (text::duration(took)) } }
            @if let Some(subject) = history.subject() { div { dt { "About" } dd { (subject.kind) " " (Text(&text::brief(&subject.name))) } } }
            div { dt { "Tasks" } dd { (done) @if let Some(planned) = head.planned { " of " (planned) } " done, " (history.tasks.len()) " begun" } }
            @if let Some(key) = &history.key { div { dt { "Key" } dd { (Text(key.text())) } } }
            div { dt { "Request id" } dd { code { (Text(&history.requester.request_id)) } } }
            @if let Some(plan) = history.plan {
                div { dt { "Plan" } dd { code title=(plan) { (plan.to_string().get(..12).unwrap_or_default()) } } }
            }
        }
    }
}

/// Shows the forms of what can be done with a flow. They stand outside of what is replaced while the page is live, but for this section as a
/// whole, which is replaced when other actions apply.
pub(super) fn actions(head: &Head<'_>, shell: &Shell<'_>, path: &str) -> Markup {
    let history = head.history;
    let state = history.state;
    let ended = matches!(state, FlowState::Success | FlowState::Failure);
    let incomplete = history.is_incomplete();
    let in_doubt = history.in_doubt().next().is_some();
    let forward = history.is_past_pivot();
    let runs = matches!(
        state,
        FlowState::Started | FlowState::Resuming | FlowState::Running
    );
    let allowed = head.allowed;
    let may_roll_back = allowed.rollback && !forward && (state != FlowState::Failure || incomplete);
    let may_accept = allowed.accept && (incomplete || (in_doubt && !runs) || (forward && !ended));
    let signal = head.report.flow.sleep.as_ref();
    let signal = signal.filter(|sleep| allowed.signal && !sleep.is_signalled);
    let signal = signal.and_then(|sleep| sleep.signal.as_deref());
    html! {
        section #actions aria-label="Actions" {
            @if let Some(signal) = signal {
                (action(shell, path, "signal", &format!("Send the signal {signal}"), html! {
                    p { "The payload becomes the result of the wait." }
                    input type="hidden" name="name" value=(text::attribute(signal));
                    label { "Payload, a JSON object " textarea name="payload" rows="3" maxlength="65536" required { "{}" } }
                }, "Send it", false))
            }
            @if runs && allowed.interrupt {
                (action(shell, path, "interrupt", "Interrupt", html! {
                    p { "The running task finishes; the next one does not start. The flow can be resumed or rolled back later." }
                }, "Interrupt this flow", false))
            }
            @if allowed.resume && (state == FlowState::Interrupted || (head.report.flow.sleep.is_some() && !ended)) {
                (action(shell, path, "resume", "Resume", html! {
                    p { "The flow continues where it stopped; what it sleeps for is tried at once." }
                }, "Resume this flow", false))
            }
            @if may_roll_back {
                @let title = if incomplete { "Repeat the rollback" } else { "Roll back" };
                (action(shell, path, "rollback", title, html! {
                    p {
                        "The host undoes the flow's changes and reverts its tasks, the last one first. "
                        @if state == FlowState::Success { "The flow has succeeded: messages that have left cannot be taken back." }
                    }
                    (reason("Why is it rolled back?"))
                }, "Roll this flow back", true))
            }
            @if may_accept {
                (action(shell, path, "accept", "Accept as it is", html! {
                    p { "Nothing is reverted. The rollback is closed with what is left, and is not tried again." }
                    (reason("Why is what is left acceptable?"))
                }, "Accept what is left", true))
            }
        }
    }
}

fn reason(question: &str) -> Markup {
    html! {
        label { (question) " " textarea name="reason" rows="2" maxlength="1000" required {} }
    }
}

/// Shows an action on a flow.
fn action(
    shell: &Shell<'_>,
    path: &str,
    name: &str,
    title: &str,
    fields: Markup,
    confirm: &str,
    is_grave: bool,
) -> Markup {
    let action = Action {
        name,
        title,
        to: &format!("{path}/{name}"),
        confirm,
        is_grave,
    };
    action.form(shell, fields)
}
