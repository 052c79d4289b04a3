//! The processes that write to the database, and how the server is set up.

use std::sync::Arc;

use axum::extract::State;
use cairn::store::hosts::HostInfo;
use maud::{Markup, html};

use super::database;
use super::layout::{Page, Part};
use super::rows::{self, Tab};
use super::server;
use super::slow;
use super::text::{self, Text};
use super::visitor::{Failed, Html, Visitor};
use crate::app::App;
use crate::error::ApiError;
use crate::readers::blocking;

pub(super) const TABS: [Tab; 3] = [
    ("System", "/ui/system"),
    ("Messages", "/ui/outbox"),
    ("Audit", "/ui/audit"),
];

/// `GET /ui/system`
pub(super) async fn page(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Html, Failed> {
    let run = async {
        visitor.caller.must(&app.policy, "api:host:read", None)?;
        let database = Arc::clone(&app.database);
        let hosts = blocking(move || Ok(database.hosts()?.list()?)).await?;
        let status = match visitor.caller.may(&app.policy, "api:status:read", None) {
            true => Some(app.oversight.status().await?),
            false => None,
        };
        let database = Arc::clone(&app.database);
        let extent = blocking(move || Ok(database.reader()?.extent()?)).await;
        // The rest of the page is of use without it.
        let extent = extent.inspect_err(|error| {
            tracing::warn!(
                detail = error.problem.detail,
                "the size of the database is not known"
            );
        });
        let extent = extent.ok();
        let page = Page {
            title: "System",
            part: Part::System,
            live: None,
            search: "",
        };
        let content = html! {
            h1 { "System" }
            (rows::tabs("System", &TABS, "/ui/system"))
            (processes(&hosts))
            (database::section(extent.as_ref(), status.as_deref()))
            (slow::section(&app.calls.called()))
            (server::section(&app.config, &app.limits))
        };
        Ok(Html(visitor.shell().page(page, content)))
    };
    run.await.map_err(|error: ApiError| visitor.failed(error))
}

fn processes(hosts: &[HostInfo]) -> Markup {
    html! {
        section aria-labelledby="hosts-title" {
            h2 #hosts-title { "Processes" }
            @if hosts.is_empty() { p { "No process has the database open for writing." } }
            @else {
                div.wide tabindex="0" role="region" aria-label="Table of processes" { table {
                    caption.quiet { "The oldest first" }
                    thead { tr {
                        th scope="col" { "Host" } th scope="col" { "Machine" } th.num scope="col" { "Process" }
                        th scope="col" { "Version" } th scope="col" { "Since" } th scope="col" { "Lease" }
                        th.num scope="col" { "Flows" } th.num scope="col" { "Acts" } th.num scope="col" { "Partitions" }
                    } }
                    tbody { @for host in hosts { (process(host)) } }
                } }
            }
        }
    }
}

fn process(host: &HostInfo) -> Markup {
    let lease = std::time::Duration::from_millis(host.lease.unsigned_abs());
    html! {
        tr data-row {
            th.id scope="row" { (host.id) }
            td { @match &host.name { Some(name) => (Text(name)), None => "-" } }
            td.num { (host.pid) }
            td { @match &host.version { Some(version) => (Text(version)), None => "-" } }
            td { (text::time(host.started_at)) }
            td {
                @if host.has_ended { strong.bad { span.sign aria-hidden="true" { "!" } " ended" } }
                @else if host.has_expired() { strong.bad { span.sign aria-hidden="true" { "!" } " late by " (text::duration(lease)) } }
                @else { (text::duration(lease)) " left" }
                @if host.is_draining { " " span.warn { "draining" } }
            }
            td.num { (host.flows) }
            td.num { (host.acts) }
            td.num { @match host.partitions { Some(partitions) => (partitions), None => "all" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples;

    fn host(lease: i64) -> HostInfo {
        HostInfo {
            id: cairn::id::HostId::new(),
            name: Some("<b>".to_owned()),
            pid: 7,
            version: None,
            started_at: samples::BEGIN,
            lease,
            partitions: Some(256),
            flows: 3,
            acts: 0,
            has_ended: false,
            is_draining: false,
            settings: None,
            catalogue: None,
        }
    }

    #[test]
    fn a_late_lease_is_told_from_one_that_is_not() {
        let shown = processes(&[host(4_000), host(-9_000)]).into_string();
        assert!(
            shown.contains("4.0 s left") && shown.contains("late by 9.0 s"),
            "{shown}"
        );
        assert!(!shown.contains("<b>"));
    }
}
