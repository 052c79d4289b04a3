//! The deployed flows, and the plan of one version.

mod chain;
mod components;
mod wit;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use cairn::clock::Timestamp;
use cairn::store::deployments::Deployment;
use cairn::value::Digest;
use cairn::{Plan, Value};
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::{Page, Part};
use super::mask;
use super::rows;
use super::text::{self, Text};
use super::visitor::{Failed, Html, Visitor};
use crate::api::body::Query;
use crate::api::operators::version;
use crate::app::App;
use crate::error::ApiError;
use components::{Before, Shown};

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

/// Where a page of versions begins: `NAME@VERSION`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct After {
    after: Option<String>,
}

/// `GET /ui/deployed`
pub(super) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(page_of): Query<After>,
) -> Result<Html, Failed> {
    let run = async {
        visitor.caller.must(&app.policy, RULE, None)?;
        let is_first = page_of.after.is_none();
        let after = page_of.after.as_deref().map(version).transpose()?;
        let read = app
            .readers
            .read(visitor.caller.identity.clone(), move |view| {
                let after = after.as_ref().map(|(name, version)| (&**name, *version));
                Ok((view.deployments(None, after, MOST + 1)?, view.now()))
            });
        let (mut all, now) = read.await?;
        let has_more = all.len() > MOST;
        all.truncate(MOST);
        let last = all.last().filter(|_| has_more);
        let next = last.map(|last| last.title().to_string());
        let content = html! {
            h1 { "Deployed flows" }
            (versions(&all, now))
            (rows::pages("/ui/deployed", is_first, next.as_deref()))
        };
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
                    @for one in all {
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

/// What the URL of a version's page chooses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct VersionQuery {
    /// The component whose interfaces are shown.
    #[serde(deserialize_with = "crate::ui::text::lenient")]
    component: Option<Digest>,
}

/// `GET /ui/deployed/{name}/{version}`
pub(super) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((name, version)): Path<(String, String)>,
    Query(query): Query<VersionQuery>,
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
                let plan_of = |one: &Deployment| -> Result<Option<Plan>, ApiError> {
                    let body = view.plan(one.plan)?;
                    Ok(body.and_then(|body| serde_json::from_str(&body).ok()))
                };
                let plan = plan_of(&found)?;
                let older = view.deployments(Some(&name), Some((&name, version)), 1)?;
                let before = match older.first() {
                    Some(older) => plan_of(older)?.map(|plan| Before::new(older.version, &plan)),
                    None => None,
                };
                Ok((found, plan, before, view.now()))
            });
        let (one, plan, before, now) = read.await?;
        let digests = plan.iter().flat_map(Plan::components);
        let digests: Vec<_> = digests.map(|(digest, _)| digest).collect();
        let schemas = mask::schemas(&app, digests).await;
        let title = format!("{}@{}", one.name, one.version);
        let path = path(&one);
        let chosen = plan.as_ref().zip(query.component);
        let chosen = chosen.map(|(plan, digest)| (components::named(plan, digest), digest));
        let chosen = chosen.filter(|(steps, _)| !steps.is_empty());
        let wit = match &chosen {
            Some((_, digest)) => wit::read(&app, *digest).await,
            None => None,
        };
        let shown = Shown {
            schemas: &schemas,
            before: before.as_ref(),
            path: &path,
        };
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
            @match &plan { Some(plan) => (planned(plan, &shown)), None => p { "Its plan is not stored any more." } }
            @if let Some((steps, digest)) = &chosen { (wit::section(steps, *digest, wit.as_deref(), &path)) }
        };
        Ok(page(&visitor, &title, content))
    };
    run.await.map_err(|error: ApiError| visitor.failed(error))
}

/// Shows a plan: its chain, who provides what, and each component.
fn planned(plan: &Plan, shown: &Shown<'_>) -> Markup {
    html! {
        @for warning in plan.warnings.iter().take(MOST) { p.warn { span.sign aria-hidden="true" { "△" } " " (Text(warning)) } }
        p {
            "Who may begin it: "
            @match &plan.action { Some(action) => { "the rule of " code { (Text(action)) } }, None => "admins only" }
        }
        section aria-labelledby="steps-title" { h2 #steps-title { "Steps" } (chain::chain(plan)) }
        section aria-labelledby="inputs-title" { h2 #inputs-title { "Inputs" } (chain::providers(plan)) }
        section aria-labelledby="components-title" { h2 #components-title { "Components" } (components::table(plan, shown)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::mask::Schemas;
    use crate::ui::samples;
    use serde_json::json;

    #[test]
    fn a_plan_says_who_provides_what_and_who_may_begin_it() {
        let plan = samples::plan("sizes", &["one", "two"]);
        let shown = Shown {
            schemas: &Schemas::default(),
            before: None,
            path: "/x",
        };
        let shown = planned(&plan, &shown).into_string();
        assert!(shown.contains("out-one ← one"), "{shown}");
        assert!(
            shown.contains("the rule of <code><bdi>volume:create</bdi></code>"),
            "{shown}"
        );
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
