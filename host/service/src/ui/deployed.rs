//! The deployed flows, and the plan of one version.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use cairn::clock::Timestamp;
use cairn::manifest::Mode;
use cairn::plan::{PlannedAdmission, PlannedStep};
use cairn::store::deployments::Deployment;
use cairn::{Plan, Value};
use maud::{Markup, html};

use super::layout::{Page, Part};
use super::mask::{self, Schemas};
use super::plan;
use super::text::{self, Text};
use super::visitor::{Failed, Html, Visitor};
use crate::app::App;
use crate::error::ApiError;

const RULE: &str = "api:deployment:read";

/// The most versions that are listed, and the most steps of a plan.
const MOST: usize = 500;

fn page(visitor: &Visitor, title: &str, content: Markup) -> Html {
    let page = Page {
        title,
        part: Part::Deployed,
        live: None,
        search: "",
    };
    Html(visitor.shell().page(page, content))
}

/// `GET /ui/deployed`
pub(super) async fn list(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Html, Failed> {
    let run = async {
        visitor.caller.must(&app.policy, RULE, None)?;
        let read = app.readers.read(visitor.caller.identity.clone(), |view| {
            Ok((view.deployments(None, None, MOST + 1)?, view.now()))
        });
        let (all, now) = read.await?;
        let content = html! { h1 { "Deployed flows" } (versions(&all, now)) };
        Ok(page(&visitor, "Deployed flows", content))
    };
    run.await.map_err(|error: ApiError| visitor.failed(error))
}

fn versions(all: &[Deployment], now: Timestamp) -> Markup {
    html! {
        @if all.is_empty() { p { "No flow is deployed. " code { "cairn flow deploy FILE" } " deploys one." } }
        @else {
            div.wide tabindex="0" role="region" aria-label="Versions" { table {
                caption.quiet { "By name, the newest version first" }
                thead { tr {
                    th scope="col" { "Flow" } th scope="col" { "State" } th scope="col" { "Checks" } th scope="col" { "By" }
                    th scope="col" { "Deployed" } th scope="col" { "Plan" }
                } }
                tbody {
                    @for one in all.iter().take(MOST) {
                        tr data-row {
                            th scope="row" { a href=(path(one)) { (Text(&one.name)) "@" (one.version) } }
                            td { (state(one)) }
                            td { (Text(&checks(one))) }
                            td { (Text(&one.user_id)) }
                            td { (text::ago(one.created_at, now)) }
                            td { code title=(one.plan) { (one.plan.to_string().get(..12).unwrap_or_default()) } }
                        }
                    }
                }
            } }
            @if all.len() > MOST { p { "There are more: " code { "cairn flow versions" } " lists them." } }
        }
    }
}

fn path(one: &Deployment) -> String {
    format!("/ui/deployed/{}/{}", text::encoded(&one.name), one.version)
}

fn state(one: &Deployment) -> Markup {
    html! {
        @if one.withdrawn_at.is_some() { span.quiet { "undeployed" } }
        @else { span.good { span.sign aria-hidden="true" { "✓" } " deployed" } }
    }
}

/// Says what the cases and laws of its plugins came to: each result, with the number of plugins.
fn checks(one: &Deployment) -> String {
    let Value::Object(plugins) = &one.checks else {
        return "-".to_owned();
    };
    let mut results: BTreeMap<String, usize> = BTreeMap::new();
    for result in plugins.values() {
        *results.entry(checked(result)).or_default() += 1;
    }
    let results = results.iter();
    let results =
        results.map(|(result, plugins)| format!("{}: {result}", text::count(*plugins, "plugin")));
    results.collect::<Vec<_>>().join("; ")
}

/// Says what the checks of one plugin came to: `passed, 3 cases and 2 laws`, `untested, built in`.
fn checked(result: &Value) -> String {
    let of = |name: &str| result.get(name).and_then(Value::as_str);
    let number = |name: &str| result.get(name).and_then(Value::as_u64);
    let outcome = of("result").unwrap_or("-");
    match (number("cases"), number("laws"), of("reason")) {
        (Some(cases), Some(laws), _) => format!("{outcome}, {cases} cases and {laws} laws"),
        (_, _, Some(reason)) => format!("{outcome}, {reason}"),
        _ => outcome.to_owned(),
    }
}

/// `GET /ui/deployed/{name}/{version}`
pub(super) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((name, version)): Path<(String, String)>,
) -> Result<Html, Failed> {
    let run = async {
        visitor.caller.must(&app.policy, RULE, None)?;
        let read = app
            .readers
            .read(visitor.caller.identity.clone(), move |view| {
                let unknown = || ApiError::not_found("this version of the flow was never deployed");
                let version: i64 = version.parse().map_err(|_| unknown())?;
                // The first one after the version above.
                let after = Some((name.as_str(), version.saturating_add(1)));
                let found = view.deployments(Some(&name), after, 1)?.pop();
                let found = found.filter(|one| one.version == version);
                let found = found.ok_or_else(unknown)?;
                let body = view.plan(found.plan)?;
                let plan = body.and_then(|body| serde_json::from_str::<Plan>(&body).ok());
                Ok((found, plan, view.now()))
            });
        let (one, plan, now) = read.await?;
        let digests = plan.iter().flat_map(Plan::components);
        let digests: Vec<_> = digests.map(|(digest, _)| digest).collect();
        let schemas = mask::schemas(&app, digests).await;
        let title = format!("{}@{}", one.name, one.version);
        let content = html! {
            p.crumbs { a href="/ui/deployed" { "Deployed flows" } }
            h1 { (Text(&title)) }
            dl.facts {
                div { dt { "State" } dd { (state(&one)) } }
                div { dt { "Deployed" } dd { (text::time(one.created_at)) " (" (text::ago(one.created_at, now)) ") by " (Text(&one.user_id)) } }
                @if let Some(at) = one.withdrawn_at { div { dt { "Undeployed" } dd { (text::time(at)) } } }
                div { dt { "Plan" } dd { code.digest { (one.plan) } } }
                div { dt { "Checks" } dd { (Text(&checks(&one))) } }
                div { dt { "Flows" } dd { a href={ "/ui/flows?name=" (text::encoded(&one.name)) } { "of this name" } } }
            }
            @match &plan { Some(plan) => (planned(plan, &schemas)), None => p { "Its plan is not stored any more." } }
        };
        Ok(page(&visitor, &title, content))
    };
    run.await.map_err(|error: ApiError| visitor.failed(error))
}

/// Shows a plan: its chain, and each component.
fn planned(plan: &Plan, schemas: &Schemas) -> Markup {
    let checks = plan.policies.iter().map(|one| ("policy", one));
    let checks = checks.chain(plan.validators.iter().map(|one| ("validator", one)));
    let checks = checks.chain(plan.rule_plugins.iter().map(|one| ("policy of rules", one)));
    html! {
        @for warning in plan.warnings.iter().take(MOST) { p.warn { span.sign aria-hidden="true" { "△" } " " (Text(warning)) } }
        p {
            "Who may begin it: "
            @match &plan.action { Some(action) => { "the rule of " code { (Text(action)) } }, None => "admins only" }
        }
        h2 { "Steps" }
        (chain(plan))
        h2 { "Components" }
        div.wide tabindex="0" role="region" aria-label="Components" { table {
            thead { tr {
                th scope="col" { "Step" } th scope="col" { "Version" } th scope="col" { "Grants" } th scope="col" { "SHA-256" }
                th scope="col" { "Settings and limits" }
            } }
            tbody {
                @for task in plan.plugin_tasks().take(MOST) {
                    tr {
                        th scope="row" { (Text(&task.name)) @if task.pivot { " " span.tag { "pivot" } } }
                        td { (task.version.0) "." (task.version.1) @if let Some(name) = &task.builtin { br; span.quiet { "built in: " (Text(name)) } } }
                        td { code { (Text(&task.grants.to_string())) } }
                        td { code.digest { (task.digest) } br; span.quiet { (plan::bytes(task.size)) } }
                        td { details { summary { "Show" }
                            @if !task.settings.is_empty() { (text::json(&mask::settings(&task.settings, schemas.get(&task.digest)))) }
                            (plan::limits(&task.limits))
                        } }
                    }
                }
                @for (name, one) in plan.externals.iter().take(MOST) {
                    tr {
                        th scope="row" { (Text(name)) " " span.tag { "external" } }
                        td { (one.version.0) "." (one.version.1) }
                        td { code { (Text(&one.grants.to_string())) } }
                        td { code.digest { (one.digest) } }
                        td { details { summary { "Show" }
                            @if !one.settings.is_empty() { (text::json(&mask::settings(&one.settings, schemas.get(&one.digest)))) }
                            (plan::limits(&one.limits))
                        } }
                    }
                }
                @for (role, one) in checks.take(MOST) { (admission(role, one, schemas)) }
            }
        } }
    }
}

fn admission(role: &str, one: &PlannedAdmission, schemas: &Schemas) -> Markup {
    html! {
        tr {
            th scope="row" { (Text(&one.plugin)) " " span.tag { (role) } @if one.mode == Mode::Monitor { " " span.tag { "monitor" } } }
            td { (one.version.0) "." (one.version.1) }
            td { "-" }
            td { code.digest { (one.digest) } }
            td { details { summary { "Show" }
                @if !one.settings.is_empty() { (text::json(&mask::settings(&one.settings, schemas.get(&one.digest)))) }
                (plan::limits(&one.limits))
            } }
        }
    }
}

/// The least height of a step, with the arrow to the next one, and the height of a line beside it.
const STEP: usize = 58;
const LINE: usize = 15;

/// The longest line beside a step, in characters, and the most lines.
const LINE_LENGTH: usize = 120;
const LINES: usize = 12;

/// A step as the chain draws it.
struct Drawn<'p> {
    step: &'p PlannedStep,
    lines: Vec<String>,
    top: usize,
    height: usize,
}

/// Draws the steps from top to bottom, with the inputs of each and their providers.
fn chain(plan: &Plan) -> Markup {
    let mut whole = 0;
    let steps = plan.tasks.iter().take(MOST).map(|step| {
        let lines = inputs(step);
        let (top, height) = (whole, STEP.max(lines.len() * LINE + 12));
        whole += height;
        Drawn {
            step,
            lines,
            top,
            height,
        }
    });
    let steps: Vec<Drawn<'_>> = steps.collect();
    html! {
        div.wide tabindex="0" role="region" aria-label="Chain of steps" {
            svg.chain width="100%" height=(whole) role="img" aria-label="The steps in their order, with the providers of their inputs" {
                @for (at, Drawn { step, lines, top, height }) in steps.iter().enumerate() {
                    @let round = if matches!(step, PlannedStep::Wait(_)) { 17 } else { 4 };
                    rect.box x="1" y=(top + 1) width="240" height="34" rx=(round) {}
                    text x="14" y=(top + 22) { (text::attribute(&text::shortened(step.name(), 28))) }
                    @for (number, line) in lines.iter().enumerate() {
                        text.data x="256" y=(top + 14 + number * LINE) { (text::attribute(line)) }
                    }
                    @if at + 1 < steps.len() {
                        path.arrow d={ "M121 " (top + 35) "v" (height - 39) "m-4-5l4 5l4-5" } {}
                    }
                }
            }
        }
    }
}

/// Writes the inputs of a step with their providers, over several lines; of an optional one the nearest provider.
fn inputs(step: &PlannedStep) -> Vec<String> {
    let required = step.requires().iter();
    let required = required.map(|(input, from)| format!("{input} ← {from}"));
    let optional = step.optional().iter();
    let optional = optional.map(|(input, from)| match from.first() {
        Some(from) => format!("{input}? ← {from}"),
        None => format!("{input}?"),
    });
    let mut lines: Vec<String> = Vec::new();
    for input in required.chain(optional) {
        let input = text::shortened(&input, LINE_LENGTH).into_owned();
        let fits = lines
            .last()
            .is_some_and(|line| line.chars().count() + input.chars().count() < LINE_LENGTH);
        match lines.last_mut() {
            Some(line) if fits => {
                *line += ",   ";
                *line += &input;
            }
            _ => lines.push(input),
        }
        if lines.len() > LINES {
            lines.truncate(LINES);
            lines.push("…".to_owned());
            break;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples;
    use serde_json::json;

    #[test]
    fn a_plan_says_who_provides_what_and_masks_secrets() {
        let mut plan = samples::plan("sizes", &["one", "<b>two"]);
        let PlannedStep::Task(task) = &mut plan.tasks[0] else {
            panic!("a task")
        };
        task.settings = json!({"token": "hunter2"}).as_object().cloned().unwrap();
        let shown = planned(&plan, &Schemas::default()).into_string();
        assert!(shown.contains("out-one ← one"), "{shown}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("<b>two"),
            "{shown}"
        );
        assert!(
            shown.contains("the rule of <code><bdi>volume:create</bdi></code>"),
            "{shown}"
        );
    }

    #[test]
    fn many_inputs_are_written_over_several_lines() {
        let mut plan = samples::plan("sizes", &["one", "two"]);
        let PlannedStep::Task(task) = &mut plan.tasks[1] else {
            panic!("a task")
        };
        let many = (0..30).map(|at| (format!("an-input-{at}"), "one".to_owned()));
        task.requires = many.collect();
        let lines = inputs(&plan.tasks[1]);
        assert!(
            lines.len() > 3
                && lines
                    .iter()
                    .all(|line| line.chars().count() <= LINE_LENGTH + 4)
        );
        let shown = chain(&plan).into_string();
        assert!(shown.contains("an-input-29 ← one"), "{shown}");
    }

    #[test]
    fn results_of_checks_are_counted() {
        let checks = json!({
            "a": {"result": "untested", "reason": "built in"},
            "b": {"result": "untested", "reason": "built in"},
            "c": {"result": "passed", "cases": 3, "laws": 2},
        });
        let said: Vec<String> = checks.as_object().unwrap().values().map(checked).collect();
        assert_eq!(
            said,
            [
                "untested, built in",
                "untested, built in",
                "passed, 3 cases and 2 laws"
            ]
        );
    }
}
