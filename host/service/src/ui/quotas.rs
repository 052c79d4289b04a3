//! The quotas of a project, as bars with figures.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use cairn::volumes::operator::{Quota, QuotaUsage, ReadVolumes as _};
use maud::{Markup, html};
use serde::Deserialize;

use super::actions::{Action, hidden, reason};
use super::layout::{Page, Part, Shell};
use super::text::{self, Text};
use super::visitor::{Failed, Form, Html, Visitor, see};
use crate::api::body::Query;
use crate::app::App;
use crate::error::ApiError;
use crate::operators::quotas::{self as operate, Owner};

/// Whose quotas are shown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Whose {
    project: String,
}

/// `GET /ui/quotas`
pub(super) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(whose): Query<Whose>,
) -> Result<Html, Failed> {
    let run = async {
        let caller = &visitor.caller;
        let project = match whose.project.trim() {
            "" => caller.identity.project_id.clone(),
            project => project.to_owned(),
        };
        Owner::Project(project.clone()).must(&app, caller, operate::READ)?;
        let asked = project.clone();
        let read = app.readers.read(caller.identity.clone(), move |view| {
            Ok(view.project_quotas(&asked, None, true, true)?)
        });
        let quotas = read.await?;
        let status = match caller.may(&app.policy, "api:status:read", None) {
            true => Some(app.oversight.status().await?),
            false => None,
        };
        let checks = status.iter().flat_map(|status| &status.checks);
        let content = html! {
            h1 { "Quotas of " (Text(&project)) }
            form.filter action="/ui/quotas" method="get" aria-label="Choose a project" {
                label { "Project " input name="project" data-filter maxlength="255" value=(text::attribute(&project)); }
                button { "Show" }
            }
            (bars(&quotas))
            @if caller.may(&app.policy, operate::CHANGE, Some(&project)) {
                div.actions { (changes(&visitor.shell(), &project, &quotas)) }
            }
            @for check in checks {
                p {
                    @if check.differences == 0 { span.good { span.sign aria-hidden="true" { "✓" } " " (check.name) " check" } ": no difference" }
                    @else { strong.bad { span.sign aria-hidden="true" { "!" } " " (check.name) " check" } ": " (check.differences) " differ; " code { "cairn quota check" } " lists them, and " code { "cairn quota sync" } " repairs those of all projects" }
                    ", " (text::ago(check.at, status.as_ref().map_or(check.at, |status| status.at)))
                }
            }
        };
        let page = Page {
            title: "Quotas",
            part: Part::Quotas,
            live: None,
            search: "",
        };
        Ok(Html(visitor.shell().page(page, content)))
    };
    run.await.map_err(|error: ApiError| visitor.failed(error))
}

fn bars(quotas: &BTreeMap<String, Quota>) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label="Quotas" { table {
            caption.quiet { "What is used and reserved of each limit" }
            thead { tr {
                th scope="col" { "Resource" } th.num scope="col" { "Limit" } th.num scope="col" { "Used" }
                th.num scope="col" { "Reserved" } th scope="col" { "Share" }
            } }
            tbody {
                @for (resource, quota) in quotas {
                    @let usage = quota.usage.unwrap_or_default();
                    @let limit = quota.limit.filter(|limit| *limit >= 0);
                    tr data-row {
                        th scope="row" { (Text(resource)) }
                        td.num { @match limit { Some(limit) => (limit), None => "unlimited" } }
                        td.num { (usage.in_use) }
                        td.num { (usage.reserved) }
                        td { @if let Some(limit) = limit { (gauge(limit, usage)) } }
                    }
                }
            }
        } }
    }
}

/// Shows the forms that change the quotas of a project.
fn changes(shell: &Shell<'_>, project: &str, quotas: &BTreeMap<String, Quota>) -> Markup {
    let resources = html! {
        (hidden("project", project))
        label { "Resource " select name="resource" {
            @for resource in quotas.keys() { option value=(resource) { (text::attribute(resource)) } }
        } }
    };
    let action = |name, title, to, confirm| Action {
        name,
        title,
        to,
        confirm,
        is_grave: false,
    };
    html! {
        (action("set", "Set a limit", "/ui/quotas/set", "Set this limit").form(shell, html! {
            (resources)
            label { "Limit, -1 for none " input type="number" name="limit" min="-1" step="1" required; }
            (reason("Why is it set?", false))
        }))
        (action("unset", "Remove a limit", "/ui/quotas/unset", "Remove this limit").form(shell, html! {
            p { "The limit of the project's class, or the default, applies then." }
            (resources)
            (reason("Why is it removed?", false))
        }))
        (action("sync", "Repair the usages", "/ui/quotas/sync", "Repair the usages of this project").form(shell, html! {
            p { "Each usage is set to what the project's volumes, snapshots and open reservations add up to. Flows may run meanwhile." }
            (hidden("project", project))
            (reason("Why are they repaired?", false))
        }))
    }
}

/// What the forms of the page hold.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    project: String,
    resource: String,
    limit: String,
    reason: String,
}

/// `POST /ui/quotas/{action}`
pub(super) async fn act(
    State(app): State<Arc<App>>,
    Path(action): Path<String>,
    Form { visitor, fields }: Form<Fields>,
) -> Result<Response, Failed> {
    let run = async {
        let Fields {
            project,
            resource,
            limit,
            reason,
        } = fields;
        let (caller, reason) = (&visitor.caller, Some(reason));
        let owner = Owner::Project(project.clone());
        match action.as_str() {
            "set" => {
                let limits = BTreeMap::from([(resource, limit_of(&limit)?)]);
                operate::set(&app, caller, owner, limits, reason).await?;
            }
            "unset" => operate::unset(&app, caller, owner, vec![resource], reason).await?,
            "sync" => {
                operate::sync(&app, caller, Some(project.clone()), reason).await?;
            }
            _ => return Err(ApiError::not_found("quotas have no such action")),
        }
        Ok(see(&path(&project)))
    };
    run.await.map_err(|error: ApiError| visitor.failed(error))
}

fn limit_of(text: &str) -> Result<i64, ApiError> {
    text.trim().parse().map_err(|_| {
        ApiError::bad("InvalidInput", "the limit is no whole number")
            .help("write a whole number, or -1 for unlimited")
    })
}

fn path(project: &str) -> String {
    format!("/ui/quotas?project={}", text::encoded(project))
}

/// `GET` of an action: its form is on the page.
pub(super) async fn asked() -> Response {
    see("/ui/quotas")
}

/// Draws how much of a limit is used and reserved.
fn gauge(limit: i64, usage: QuotaUsage) -> Markup {
    let sum = usage.in_use.saturating_add(usage.reserved);
    let whole = limit.max(sum).max(1) as f64;
    let share = |amount: i64| (amount.max(0) as f64 / whole * 100.0).min(100.0);
    let (used, reserved) = (share(usage.in_use), share(usage.reserved));
    let is_over = sum > limit;
    let label = format!(
        "{} used and {} reserved of {limit}",
        usage.in_use, usage.reserved
    );
    html! {
        svg.gauge.over[is_over] width="160" height="12" role="img" aria-label=(label) {
            rect.track x="0" y="0" width="100%" height="12" rx="2" {}
            rect.used x="0" y="0" width={ (format!("{used:.2}")) "%" } height="12" rx="2" {}
            rect.reserved x={ (format!("{used:.2}")) "%" } y="0" width={ (format!("{reserved:.2}")) "%" } height="12" {}
        }
        @if is_over { " " strong.bad { span.sign aria-hidden="true" { "!" } " over" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_its_figures() {
        let usage = QuotaUsage {
            in_use: 3,
            reserved: 1,
        };
        let quotas = BTreeMap::from([(
            "<b>".to_owned(),
            Quota {
                limit: Some(10),
                usage: Some(usage),
            },
        )]);
        let shown = bars(&quotas).into_string();
        assert!(shown.contains("3 used and 1 reserved of 10"), "{shown}");
        assert!(
            shown.contains("width=\"30.00%\"") && shown.contains("x=\"30.00%\""),
            "{shown}"
        );
        assert!(!shown.contains("<b>"));
    }

    #[test]
    fn a_limit_below_the_usage_is_said_to_be_exceeded() {
        let usage = QuotaUsage {
            in_use: 30,
            reserved: 0,
        };
        let shown = gauge(10, usage).into_string();
        assert!(
            shown.contains("over") && shown.contains("width=\"100.00%\""),
            "{shown}"
        );
    }
}
