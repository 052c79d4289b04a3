//! The details of one task: what it was given, what it returned, what it may do, and why it failed.

use std::collections::BTreeMap;

use cairn::TaskError;
use cairn::clock::Timestamp;
use cairn::event::Disposition;
use cairn::history::{History, TaskRecord};
use cairn::manifest::LimitKey;
use cairn::plan::{PlannedStep, PlannedTask, PlannedWait};
use cairn::{Plan, Value};
use maud::{Markup, html};

use super::head;
use super::query::FlowQuery;
use super::timeline::display;
use super::trace::{Kind, Trace};
use crate::ui::mask::{self, Schemas};
use crate::ui::plan;
use crate::ui::text::{self, Text};

/// Shows the task that the query names; nothing if it names none.
pub(super) fn section(
    plan: Option<&Plan>,
    schemas: &Schemas,
    history: &History,
    trace: &Trace,
    now: Timestamp,
    query: &FlowQuery,
    path: &str,
) -> Markup {
    let Some(name) = query.task.as_deref().filter(|name| !name.is_empty()) else {
        return html! { section #task hidden {} };
    };
    let steps = plan.map_or(&[][..], |plan| &plan.tasks);
    let step = steps.iter().find(|step| display(step) == name);
    let record = history.tasks.iter().find(|task| task.name == name);
    html! {
        section #task aria-labelledby="task-title" {
            h2 #task-title { "Task " (Text(name)) }
            p { a href=(query.with(path, "task", "", "timeline")) { "Close" } }
            @if step.is_none() && record.is_none() { p { "The flow has no task of this name." } }
            @if let Some(record) = record { (errors(record)) }
            @match step {
                Some(PlannedStep::Task(task)) => {
                    (inputs(task, steps, history))
                    (result(record))
                    (component(task, schemas))
                    (limits(task, trace, name, now))
                }
                Some(PlannedStep::Wait(wait)) => (waits(wait, record)),
                None => (result(record)),
            }
        }
    }
}

/// Shows why a task's call or revert failed, or is tried again.
fn errors(record: &TaskRecord) -> Markup {
    let kinds = [
        ("Its call failed", &record.error),
        ("Its last attempt failed", &record.retried),
        ("Its revert failed", &record.revert_error),
    ];
    html! {
        @for (title, error) in kinds {
            @if let Some(error) = error { (failed(title, error)) }
        }
        @if record.disposition == Some(Disposition::Keep) {
            p { "Its revert answered " code { "keep" } ": its changes stay." }
        }
    }
}

fn failed(title: &str, error: &TaskError) -> Markup {
    html! {
        div.reason {
            p { strong.bad { span.sign aria-hidden="true" { "✗" } " " (title) } ": " strong { (Text(&error.kind)) } ": " (Text(&error.message)) }
            @if !error.details.is_null() {
                details { summary { "Details" } (text::json(&error.details)) }
            }
            @if !error.log.is_empty() { (head::log(&error.log)) }
        }
    }
}

/// Shows the inputs of a task: each with its provider and, once that has run, its value.
fn inputs(task: &PlannedTask, steps: &[PlannedStep], history: &History) -> Markup {
    let results: BTreeMap<&str, &Value> = steps
        .iter()
        .filter_map(|step| {
            let name = display(step);
            let record = history.tasks.iter().find(|task| task.name == name)?;
            Some((step.name(), &**record.result.as_ref()?))
        })
        .collect();
    let value = |input: &str, from: &str| results.get(from).and_then(|result| result.get(input));
    let required = task.requires.iter();
    let required = required.map(|(input, from)| (input, Some(from), value(input, from), false));
    let optional = task.optional.iter().map(|(input, from)| {
        let given = from.iter().find(|from| value(input, from).is_some());
        let from = given.or(from.first());
        let value = from.and_then(|from| value(input, from));
        (input, from, value, true)
    });
    let inputs: Vec<_> = required.chain(optional).collect();
    html! {
        h3 { "Inputs" }
        @if inputs.is_empty() { p { "It takes none." } }
        @else {
            div.wide tabindex="0" role="region" aria-label="Inputs" { table {
                thead { tr { th scope="col" { "Input" } th scope="col" { "From" } th scope="col" { "Value" } } }
                tbody {
                    @for (input, from, value, is_optional) in inputs {
                        tr {
                            th scope="row" { (Text(input)) @if is_optional { span.quiet { " (optional)" } } }
                            td { @match from { Some(from) => (Text(from)), None => "-" } }
                            td.words { @match value { Some(value) => (Text(&text::brief(&text::cell(value)))), None => span.quiet { "not given yet" } } }
                        }
                    }
                }
            } }
        }
    }
}

fn result(record: Option<&TaskRecord>) -> Markup {
    html! {
        h3 { "Result" }
        @match record.and_then(|record| record.result.as_ref()) {
            Some(result) => (text::json(result)),
            None => p { "It has returned none." },
        }
    }
}

fn component(task: &PlannedTask, schemas: &Schemas) -> Markup {
    let (major, minor) = task.version;
    html! {
        h3 { "Component" }
        dl.facts {
            div { dt { "Plugin" } dd { (Text(&task.plugin)) " " (major) "." (minor)
                @match &task.builtin { Some(name) => { ", built in as " (Text(name)) }, None => ", from a file" } } }
            div { dt { "SHA-256" } dd { code.digest { (task.digest) } } }
            div { dt { "Size" } dd { (plan::bytes(task.size)) } }
            div { dt { "Grants" } dd { code { (Text(&task.grants.to_string())) } } }
            @if task.pivot { div { dt { "Pivot" } dd { "after its call the flow goes only forward" } } }
            div { dt { "Attempts" } dd { (task.retry.attempts) " of call, " (task.revert.attempts) " of revert" } }
        }
        @if !task.settings.is_empty() {
            details { summary { "Settings" } (text::json(&mask::settings(&task.settings, schemas.get(&task.digest)))) }
        }
    }
}

/// Shows the limits of a call, and how much of the time was used.
fn limits(task: &PlannedTask, trace: &Trace, name: &str, now: Timestamp) -> Markup {
    let deadline = task.limits.deadline;
    let spans = trace
        .task(name)
        .into_iter()
        .flat_map(|traced| &traced.spans);
    let calls = spans.filter(|span| span.kind == Kind::Call);
    let longest = calls
        .map(|span| span.to.unwrap_or(now).since(span.from))
        .max();
    html! {
        h3 { "Limits" }
        @if let Some(longest) = longest {
            p {
                label { "Time of the longest call: " (text::duration(longest)) " of " (text::duration(deadline)) " "
                    meter min="0" max=(deadline.as_secs_f64()) high=(deadline.as_secs_f64() * 0.8) value=(longest.as_secs_f64()) {}
                }
            }
        }
        p { "Memory: at most " (Text(&task.limits.show(LimitKey::Memory))) ". " span.quiet { a href="/ui/system#calls-title" { "System" } " shows how much its plugin has used." } }
        details { summary { "All limits" } (plan::limits(&task.limits)) }
    }
}

fn waits(wait: &PlannedWait, record: Option<&TaskRecord>) -> Markup {
    html! {
        p { (Text(&plan::waits(&wait.wait))) }
        @if let Some((input, from)) = &wait.requires { p { "Its end is " (Text(input)) " of " (Text(from)) "." } }
        (result(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples::{self, Journal};
    use serde_json::json;

    fn page(journal: &Journal, plan: &Plan, schemas: &Schemas, task: &str) -> String {
        let history = History::fold(&journal.entries, &samples::domains()).unwrap();
        let trace = Trace::of(&journal.entries);
        let query = FlowQuery {
            task: Some(task.to_owned()),
            ..FlowQuery::default()
        };
        section(
            Some(plan),
            schemas,
            &history,
            &trace,
            journal.now(),
            &query,
            "/x",
        )
        .into_string()
    }

    #[test]
    fn inputs_have_providers_and_values() {
        let plan = samples::plan("sizes", &["one", "two"]);
        let mut journal = Journal::new("sizes");
        journal.at(1).started("one;sizes", 1);
        let before = page(&journal, &plan, &Schemas::default(), "two;sizes");
        assert!(before.contains("not given yet"), "{before}");
        journal
            .at(2)
            .succeeded("one;sizes", json!({"out-one": {"size": 7}}));
        let after = page(&journal, &plan, &Schemas::default(), "two;sizes");
        assert!(after.contains("{&quot;size&quot;:7}"), "{after}");
    }

    #[test]
    fn a_secret_setting_is_masked() {
        let mut plan = samples::plan("sizes", &["one"]);
        let PlannedStep::Task(task) = &mut plan.tasks[0] else {
            panic!("a task")
        };
        task.settings = json!({"user": "cairn", "password": "hunter2"})
            .as_object()
            .cloned()
            .unwrap();
        let digest = task.digest;
        let journal = Journal::new("sizes");
        // Without its schema nothing is known to be harmless.
        let unknown = page(&journal, &plan, &Schemas::default(), "one;sizes");
        assert!(
            !unknown.contains("hunter2") && !unknown.contains("&quot;cairn&quot;"),
            "{unknown}"
        );
        let schema =
            json!({"properties": {"password": {"type": "string", "writeOnly": true}, "user": {}}});
        let known = page(
            &journal,
            &plan,
            &Schemas::from_iter([(digest, schema)]),
            "one;sizes",
        );
        assert!(
            !known.contains("hunter2") && known.contains("&quot;cairn&quot;"),
            "{known}"
        );
    }

    #[test]
    fn a_task_that_is_not_there_is_said_to_be_none() {
        let plan = samples::plan("sizes", &["one"]);
        let page = page(&Journal::new("sizes"), &plan, &Schemas::default(), "<none>");
        assert!(
            page.contains("no task of this name") && !page.contains("<none>"),
            "{page}"
        );
    }
}
