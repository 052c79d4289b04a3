//! The page of a flow that was pruned: the short report that its idempotency key keeps.

use cairn::Report;
use maud::{Markup, html};

use super::head;
use super::query::FlowQuery;
use super::residue::residue;
use crate::ui::layout::{Page, Part, Shell};
use crate::ui::text::{self, Text};
use crate::ui::words;

/// Shows the report of a pruned flow.
pub(super) fn page(report: &Report, shell: &Shell<'_>) -> Markup {
    let flow = &report.flow;
    let page = Page {
        title: &flow.name,
        part: Part::Flows,
        live: None,
        search: "",
    };
    let (query, path) = (FlowQuery::default(), format!("/ui/flows/{}", flow.id));
    shell.page(
        page,
        html! {
            p.crumbs { a href="/ui/flows" { "Flows" } }
            h1 { (Text(&flow.name)) }
            p.verdict {
                (words::state(flow.state, false)) " "
                @if let Some(rollback) = &report.rollback { (rollback.sentence()) }
            }
            p { "The flow was pruned: its journal was removed. This is the report that its idempotency key keeps." }
            p { code { (flow.id) } }
            @if let Some(error) = &report.error { (head::failed(error, &query, &path)) }
            @if let Some(rollback) = &report.rollback {
                (head::rolled_back(rollback, &query, &path))
                @if !rollback.residue.is_empty() {
                    h2 #left { "What is left" }
                    ul.left { @for left in &rollback.residue { li { (residue(left, false)) } } }
                }
            }
            @if !report.tasks.is_empty() {
                h2 { "Tasks" }
                table.stack {
                    thead { tr { th scope="col" { "Task" } th scope="col" { "State" } th scope="col" { "Result" } } }
                    tbody { @for task in &report.tasks {
                        tr {
                            th scope="row" { (Text(&task.name)) }
                            td { (task.state) }
                            td.words { (Text(&text::brief(&text::cell(&task.result)))) }
                        }
                    } }
                }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::layout::tests::SHELL;
    use crate::ui::samples;
    use cairn::history::History;

    #[test]
    fn a_pruned_flow_shows_what_its_key_keeps() {
        let journal = samples::rolled_back();
        let history = History::fold(&journal.entries, &samples::domains()).unwrap();
        let report = Report::new(journal.flow, &history).short();
        let page = page(&report, &SHELL).into_string();
        for part in [
            "was pruned",
            "OverQuota",
            "incomplete: not everything",
            "What is left",
            "REVERT_FAILED",
            "status creating",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}
