//! What operators changed.

use std::sync::Arc;

use axum::extract::State;
use cairn::FlowId;
use cairn::store::audit::{AuditFilter, Recorded};
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::{Page, Part};
use super::system::TABS;
use super::text::{self, Text};
use super::visitor::{Failed, Html, Visitor};
use super::{rows, visitor};
use crate::api::body::Query;
use crate::app::App;
use crate::error::ApiError;

/// The most changes on a page.
const PAGE: usize = 100;

/// Which changes are shown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Which {
    subject: String,
    action: String,
    user: String,
    before: String,
}

/// `GET /ui/audit`
pub(super) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(which): Query<Which>,
) -> Result<Html, Failed> {
    let run = async {
        visitor.caller.must(&app.policy, "api:audit:read", None)?;
        let asked = which.clone();
        let read = app
            .readers
            .read(visitor.caller.identity.clone(), move |view| {
                let some = |text: &'_ str| !text.trim().is_empty();
                let filter = AuditFilter {
                    subject: Some(asked.subject.trim()).filter(|text| some(text)),
                    action: Some(asked.action.trim()).filter(|text| some(text)),
                    user_id: Some(asked.user.trim()).filter(|text| some(text)),
                    before: Some(asked.before.as_str()).filter(|text| some(text)),
                    ..AuditFilter::default()
                };
                Ok(view.audit(filter, PAGE + 1)?)
            });
        Ok(visitor::Html(shown(&visitor, &which, read.await?)))
    };
    run.await.map_err(|error: ApiError| visitor.failed(error))
}

fn shown(visitor: &Visitor, which: &Which, mut found: Vec<Recorded>) -> Markup {
    let has_older = found.len() > PAGE;
    found.truncate(PAGE);
    let page = Page {
        title: "Audit",
        part: Part::System,
        live: None,
        search: "",
    };
    visitor.shell().page(
        page,
        html! {
            h1 { "Audit" }
            (rows::tabs("System", &TABS, "/ui/audit"))
            p.lead { "What operators changed, with who, from where, when and why." }
            (filter(which))
            (table(&found))
            div.pages {
                @if !which.before.is_empty() { a href=(link(which, "")) { "Newest" } }
                @if has_older && let Some(last) = found.last() { a href=(link(which, &last.id)) { "Older" } }
            }
        },
    )
}

fn link(which: &Which, before: &str) -> String {
    let pairs = [
        ("subject", which.subject.as_str()),
        ("action", &which.action),
        ("user", &which.user),
        ("before", before),
    ];
    let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    format!(
        "/ui/audit{}",
        text::query(pairs.map(|(name, value)| (name, value.into())))
    )
}

fn filter(which: &Which) -> Markup {
    let fields = [
        ("Action ", "action", &which.action),
        ("Subject ", "subject", &which.subject),
        ("By ", "user", &which.user),
    ];
    html! {
        form.filter action="/ui/audit" method="get" aria-label="Filter changes" {
            @for (label, name, value) in fields {
                label { (label) input name=(name) maxlength="255" data-filter[name == "action"] value=(text::attribute(value)); }
            }
            button { "Filter" }
            a href="/ui/audit" { "All" }
        }
    }
}

fn table(found: &[Recorded]) -> Markup {
    html! {
        @if found.is_empty() { p { "No change fits." } }
        @else {
            div.wide tabindex="0" role="region" aria-label="Changes" { table {
                caption.quiet { "The newest first" }
                thead { tr {
                    th scope="col" { "At" } th scope="col" { "Action" } th scope="col" { "Subject" } th scope="col" { "By" }
                    th scope="col" { "From" } th scope="col" { "Why" } th scope="col" { "Before and after" }
                } }
                tbody { @for change in found { (row(change)) } }
            } }
        }
    }
}

fn row(change: &Recorded) -> Markup {
    let flow: Option<FlowId> = change.subject.parse().ok();
    html! {
        tr data-row {
            td { (text::time(change.at)) }
            th scope="row" { (Text(&change.action)) }
            td {
                @match flow.filter(|_| change.action.starts_with("flow.")) {
                    Some(flow) => a.id href={ "/ui/flows/" (flow) } { (flow) },
                    None => (Text(&change.subject)),
                }
                @if let Some(project) = &change.project_id { " " span.quiet { "of " (Text(project)) } }
            }
            td { (Text(&change.user_id)) }
            td { (Text(&change.source)) }
            td.words { @if let Some(reason) = &change.reason { (Text(reason)) } }
            td {
                @if !change.before.is_null() || !change.after.is_null() {
                    details { summary { "Show" }
                        p { "Before" } (text::json(&change.before))
                        p { "After" } (text::json(&change.after))
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples;
    use serde_json::json;

    #[test]
    fn a_change_says_who_where_and_why_as_text() {
        let change = Recorded {
            id: "1".to_owned(),
            at: samples::BEGIN,
            user_id: "<i>".to_owned(),
            source: "command line, root@machine".to_owned(),
            action: "flow.rollback".to_owned(),
            subject: "01980000-0000-7000-8000-0000000000aa".to_owned(),
            project_id: Some("acme".to_owned()),
            reason: Some("<script>".to_owned()),
            before: json!({"state": "SUCCESS"}),
            after: json!(null),
        };
        let shown = table(&[change]).into_string();
        assert!(shown.contains("href=\"/ui/flows/01980000"), "{shown}");
        assert!(shown.contains("command line, root@machine") && shown.contains("SUCCESS"));
        assert!(
            !shown.contains("<script>") && !shown.contains("<i>"),
            "{shown}"
        );
    }

    #[test]
    fn pages_keep_the_filters() {
        let which = Which {
            action: "flow".to_owned(),
            ..Which::default()
        };
        assert_eq!(link(&which, "7"), "/ui/audit?action=flow&before=7");
        assert_eq!(link(&which, ""), "/ui/audit?action=flow");
    }
}
