//! The deployed flows, and the plan of one version.

use std::sync::Arc;

use axum::extract::{Path, State};
use cairn::Plan;
use cairn::clock::Timestamp;
use cairn::manifest::Mode;
use cairn::plan::{PlannedAdmission, PlannedStep};
use cairn::store::deployments::Deployment;
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
            table.stack {
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
            }
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

/// Says what the cases and laws of its plugins came to.
fn checks(one: &Deployment) -> String {
    match &one.checks {
        cairn::Value::Null => "-".to_owned(),
        cairn::Value::Object(plugins) => {
            let plugins = plugins
                .iter()
                .map(|(plugin, result)| format!("{plugin}: {}", text::cell(result)));
            text::brief(&plugins.collect::<Vec<_>>().join(", ")).into_owned()
        }
        other => text::brief(&text::cell(other)).into_owned(),
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

/// The height of a step, with the arrow to the next one.
const STEP: usize = 58;

/// Draws the steps from top to bottom, with the inputs of each and their providers.
fn chain(plan: &Plan) -> Markup {
    let steps = &plan.tasks[..plan.tasks.len().min(MOST)];
    let height = steps.len() * STEP;
    html! {
        svg.chain width="100%" height=(height) role="img" aria-label="The steps in their order, with the providers of their inputs" {
            @for (at, step) in steps.iter().enumerate() {
                @let top = at * STEP;
                @let round = if matches!(step, PlannedStep::Wait(_)) { 17 } else { 4 };
                rect.box x="1" y=(top + 1) width="240" height="34" rx=(round) {}
                text x="14" y=(top + 22) { (text::attribute(&text::shortened(step.name(), 28))) }
                text.data x="256" y=(top + 16) { (text::attribute(&text::shortened(&required(step), 90))) }
                text.data x="256" y=(top + 31) { (text::attribute(&text::shortened(&optional(step), 90))) }
                @if at + 1 < steps.len() {
                    path.arrow d={ "M121 " (top + 35) "v19m-4-5l4 5l4-5" } {}
                }
            }
        }
    }
}

fn required(step: &PlannedStep) -> String {
    let inputs = step.requires().iter();
    let inputs = inputs.map(|(input, from)| format!("{input} ← {from}"));
    inputs.collect::<Vec<_>>().join(",  ")
}

fn optional(step: &PlannedStep) -> String {
    let inputs = step.optional().iter();
    let inputs = inputs.map(|(input, from)| match from.first() {
        Some(from) => format!("{input}? ← {from}"),
        None => format!("{input}?"),
    });
    inputs.collect::<Vec<_>>().join(",  ")
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
}
