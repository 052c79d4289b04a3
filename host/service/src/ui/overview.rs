//! The first page: what needs a person, how many flows there are, and which failed last.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use cairn::clock::Timestamp;
use cairn::event::{FlowState, FlowSummary};
use cairn::store::view::{ErrorCount, Finding, FlowFilter, Severity, Status};
use maud::{Markup, html};

use super::counters;
use super::flows::{heads, row};
use super::layout::{Page, Part, Shell};
use super::live::{self, Fragment, Parts, Wake};
use super::text::{self, Text};
use super::visitor::{Failed, Html, Visitor};
use crate::app::App;
use crate::counters::Counters;
use crate::error::ApiError;
use crate::gists::PageGists;

/// How many flows are shown that failed last.
const FAILED: usize = 10;

/// How many kinds of errors are shown.
const ERRORS: usize = 10;

/// Interval between two looks.
const LOOK: Duration = Duration::from_secs(2);

const LATELY: Duration = Duration::from_secs(3_600);

/// What the first page shows.
struct Overview {
    /// `None` for callers who may not read it.
    status: Option<Arc<Status>>,
    counters: Arc<Counters>,
    failed: Vec<FlowSummary>,
    gists: PageGists,
    errors: Vec<ErrorCount>,
    now: Timestamp,
}

/// Reads what the first page shows to a visitor.
async fn read(app: &Arc<App>, visitor: &Visitor) -> Result<Overview, ApiError> {
    let caller = &visitor.caller;
    let own = Some(caller.identity.project_id.as_str());
    caller.must(&app.policy, "api:flow:read", own)?;
    let status = match caller.may(&app.policy, "api:status:read", None) {
        true => Some(app.oversight.status().await?),
        false => None,
    };
    let scope = caller.scope().map(str::to_owned);
    let counters = app.counters.of(scope.clone()).await?;
    let read_by = Arc::clone(app);
    let read = app.readers.read(caller.identity.clone(), move |view| {
        let filter = FlowFilter {
            state: Some(FlowState::Failure),
            project: scope.as_deref(),
            ..FlowFilter::default()
        };
        let failed = view.flow_page(filter, FAILED)?.flows;
        Ok(Overview {
            status,
            counters,
            gists: read_by.gists.of(view, &failed)?,
            failed,
            errors: view.error_counts(scope.as_deref(), view.now().before(LATELY), ERRORS)?,
            now: view.now(),
        })
    });
    read.await
}

impl Overview {
    fn fragments(&self, shell: &Shell<'_>) -> Vec<Fragment> {
        vec![
            ("needs", self.needs().into_string()),
            ("counters", counters::section(&self.counters).into_string()),
            ("errors", self.errors().into_string()),
            ("failed", self.failed(shell).into_string()),
        ]
    }

    fn page(&self, shell: &Shell<'_>) -> Markup {
        let page = Page {
            title: "Overview",
            part: Part::Overview,
            live: Some("/ui/live"),
            search: "",
        };
        shell.page(
            page,
            html! {
                h1 { "Overview" }
                (self.needs())
                (counters::section(&self.counters))
                (self.errors())
                (self.failed(shell))
            },
        )
    }

    /// Shows what needs a person.
    fn needs(&self) -> Markup {
        html! {
            section #needs aria-labelledby="needs-title" hidden[self.status.is_none()] {
                @if let Some(status) = &self.status {
                    h2 #needs-title { "What needs you" }
                    @if status.findings.is_empty() {
                        p.good-news { strong.good { span.sign aria-hidden="true" { "✓" } " Nothing." } " No flow, message, host or check needs a person." }
                    } @else {
                        ul.needs { @for finding in &status.findings { (self.finding(finding)) } }
                    }
                }
            }
        }
    }

    fn finding(&self, finding: &Finding) -> Markup {
        let is_grave = finding.severity == Severity::Error;
        html! {
            li.grave[is_grave] {
                strong.bad[is_grave].warn[!is_grave] {
                    span.sign aria-hidden="true" { @if is_grave { "!" } @else { "△" } } " " (finding.kind.as_str().replace('_', " "))
                }
                ": " (Text(&finding.sentence))
                @if !finding.flows.is_empty() {
                    ul {
                        @for flow in &finding.flows {
                            li { a href={ "/ui/flows/" (flow.id) } { (Text(&flow.name)) } " of " (Text(&flow.project_id))
                                " " span.id.quiet { (flow.id) } }
                        }
                        @if let Some(more) = more(finding) { li { a href=(more) { "all of them" } } }
                    }
                }
                p.quiet { code { (Text(&finding.command)) } }
            }
        }
    }

    /// Shows which errors were most frequent.
    fn errors(&self) -> Markup {
        html! {
            section #errors aria-labelledby="errors-title" hidden[self.errors.is_empty()] {
                @if !self.errors.is_empty() {
                    h2 #errors-title { "Errors of the last hour" }
                    table.short {
                        thead { tr { th scope="col" { "Error" } th.num scope="col" { "Flows" } } }
                        tbody {
                            @for error in &self.errors {
                                tr data-row {
                                    th scope="row" { a href={ "/ui/flows?since=1h&error=" (text::encoded(&error.kind)) } { (Text(&error.kind)) } }
                                    td.num { (text::grouped(error.flows)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Shows the flows that failed last.
    fn failed(&self, shell: &Shell<'_>) -> Markup {
        html! {
            section #failed aria-labelledby="failed-title" {
                h2 #failed-title { "Failed last" }
                @if self.failed.is_empty() { p { "No flow has failed." } }
                @else {
                    table.stack.flows {
                        (heads(shell))
                        tbody { @for flow in &self.failed { (row(flow, self.gists.get(&flow.id), shell, self.now)) } }
                    }
                    p { a href="/ui/flows?state=FAILURE" { "All that failed" } }
                }
            }
        }
    }
}

/// Returns where all flows of a finding are listed.
fn more(finding: &Finding) -> Option<&'static str> {
    if finding.count <= finding.flows.len() as u64 {
        return None;
    }
    Some(match finding.kind.as_str() {
        "stuck" => "/ui/flows?only=stuck",
        "incomplete" => "/ui/flows?only=incomplete",
        "interrupted" => "/ui/flows?state=INTERRUPTED",
        "waiting" | "overdue" => "/ui/flows?only=waiting",
        "running" => "/ui/flows?only=unfinished",
        _ => return None,
    })
}

/// `GET /ui`
pub(crate) async fn page(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Html, Failed> {
    match read(&app, &visitor).await {
        Ok(overview) => Ok(Html(overview.page(&visitor.shell()))),
        Err(error) => Err(visitor.failed(error)),
    }
}

/// `GET /ui/live`
pub(crate) async fn live(
    State(app): State<Arc<App>>,
    visitor: Result<Visitor, Failed>,
) -> Result<Response, ApiError> {
    let Ok(visitor) = visitor else {
        return Ok(live::reload());
    };
    let caller = visitor.caller.clone();
    let served = Arc::clone(&app);
    let make = move || {
        let (app, visitor) = (Arc::clone(&served), visitor.clone());
        let parts = async move {
            let overview = read(&app, &visitor).await?;
            Ok(Parts {
                fragments: overview.fragments(&visitor.shell()),
                again: None,
            })
        };
        Box::pin(parts) as _
    };
    live::stream(app, caller, Wake::After(LOOK), Box::new(make))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::layout::tests::SHELL;
    use crate::ui::samples;
    use cairn::store::view::{FindingKind, MessageCounts, NamedFlow};

    fn overview(findings: Vec<Finding>) -> Overview {
        let status = Status {
            at: samples::BEGIN,
            findings,
            held: None,
            messages: MessageCounts::default(),
            checks: Vec::new(),
            late_hosts: Vec::new(),
            backup: None,
            errors: Vec::new(),
        };
        Overview {
            status: Some(Arc::new(status)),
            counters: Arc::default(),
            failed: vec![samples::summary("volume-create", FlowState::Failure)],
            gists: PageGists::new(),
            errors: vec![ErrorCount {
                kind: "<b>&".to_owned(),
                flows: 3,
            }],
            now: samples::BEGIN,
        }
    }

    fn stuck(name: &str, count: u64) -> Finding {
        Finding {
            kind: FindingKind::Stuck,
            severity: Severity::Error,
            count,
            sentence: "flows cannot be recovered".to_owned(),
            command: "cairn flow list --stuck".to_owned(),
            flows: vec![NamedFlow {
                id: cairn::FlowId::new(),
                name: name.to_owned(),
                project_id: "acme".to_owned(),
            }],
        }
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        let page = overview(Vec::new()).page(&SHELL).into_string();
        assert!(page.contains("Nothing."), "{page}");
    }

    #[test]
    fn a_finding_names_its_flows_and_what_helps() {
        let one = overview(vec![stuck("<script>", 1)])
            .page(&SHELL)
            .into_string();
        assert!(one.contains("cairn flow list --stuck") && one.contains("&lt;script&gt;"));
        assert!(!one.contains("all of them"));
        let many = overview(vec![stuck("x", 7)]).page(&SHELL).into_string();
        assert!(many.contains("/ui/flows?only=stuck"));
    }

    #[test]
    fn members_do_not_see_the_status() {
        let mut overview = overview(vec![stuck("x", 1)]);
        overview.status = None;
        let page = overview.page(&SHELL).into_string();
        assert!(page.contains("id=\"needs\"") && !page.contains("What needs you"));
    }

    #[test]
    fn an_error_leads_to_its_flows() {
        let page = overview(Vec::new()).page(&SHELL).into_string();
        assert!(
            page.contains("/ui/flows?since=1h&amp;error=%3Cb%3E%26"),
            "{page}"
        );
        assert!(!page.contains("<b>&"));
    }
}
