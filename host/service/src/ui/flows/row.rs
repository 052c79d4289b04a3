//! A flow as a row of a table.

use std::sync::Arc;

use cairn::FlowId;
use cairn::clock::Timestamp;
use cairn::event::{FlowState, FlowSummary, NEVER};
use maud::{Markup, html};

use crate::gists::{Gist, Residue};
use crate::ui::layout::Shell;
use crate::ui::text::{self, Text};
use crate::ui::words;

/// The longest name of a subject in a list, in characters.
const LONGEST: usize = 60;

/// Shows the heads of the columns.
pub(crate) fn heads(shell: &Shell<'_>) -> Markup {
    html! {
        thead { tr {
            th scope="col" { "State" } th scope="col" { "Flow" } th scope="col" { "About" }
            th.num scope="col" { "Tasks" } th scope="col" { "Left" } th scope="col" { "Remarks" }
            th scope="col" { @if shell.is_admin { "Project" } @else { "User" } }
            th scope="col" { "Began" } th.num scope="col" { "Took" }
        } }
    }
}

/// Shows a flow; without its gist if its journal is too long for a list.
pub(crate) fn row(
    flow: &FlowSummary,
    gist: Option<&Arc<Gist>>,
    shell: &Shell<'_>,
    now: Timestamp,
) -> Markup {
    let ended = matches!(flow.state, FlowState::Success | FlowState::Failure);
    let rests = ended || flow.state == FlowState::Interrupted || flow.state == FlowState::Pending;
    let end = if rests { flow.updated_at } else { now };
    let id = flow.id.to_string();
    html! {
        tr id={ "f-" (id) } data-row {
            td { (words::state(flow.state, flow.wake_at.is_some())) }
            th scope="row" {
                a href={ "/ui/flows/" (id) } { (Text(&flow.name)) }
                " " span.id.quiet title=(id) { (id.get(..13).unwrap_or(&id)) }
            }
            td.about { @if let Some(gist) = gist { (about(gist)) } }
            td.num.tasks { @match gist { Some(gist) => (tasks(gist)), None => span.quiet title="The journal is long: see the flow's page" { "…" } } }
            td.residue { @if let Some(residue) = gist.and_then(|gist| gist.residue) { (left(residue, flow.id)) } }
            td.remarks { (problems(flow, now)) }
            td.whose { @if shell.is_admin { (Text(&flow.project_id)) } @else { (Text(&flow.user_id)) } }
            td.began { (text::ago(flow.created_at, now)) }
            td.num.took { (text::duration(end.since(flow.created_at))) }
        }
    }
}

/// Shows what a flow is about.
fn about(gist: &Gist) -> Markup {
    html! {
        @if let Some(subject) = &gist.subject {
            span.quiet { (Text(subject.kind)) } " " (Text(&text::shortened(&subject.name, LONGEST)))
        }
    }
}

/// Shows how many tasks are done, of how many.
fn tasks(gist: &Gist) -> Markup {
    html! { (gist.done) " / " @match gist.all { Some(all) => (all), None => "?" } span.unit { " tasks" } }
}

/// Shows how many changes a rollback left.
fn left(residue: Residue, flow: FlowId) -> Markup {
    html! {
        @match residue {
            Residue::Clean => span.good { span.sign aria-hidden="true" { "✓" } " clean" },
            Residue::Kept(kept) => a href={ "/ui/flows/" (flow) "#left" } { (kept) " kept" },
            Residue::Left(left) => a href={ "/ui/flows/" (flow) "#left" } { strong.bad { span.sign aria-hidden="true" { "!" } " " (left) " left" } },
            Residue::Unknown => strong.bad { span.sign aria-hidden="true" { "?" } " not known" },
        }
    }
}

fn problems(flow: &FlowSummary, now: Timestamp) -> Markup {
    html! {
        @if flow.stuck.is_some() { strong.bad { span.sign aria-hidden="true" { "!" } " stuck" } " " }
        @if flow.incomplete { strong.bad { span.sign aria-hidden="true" { "!" } " incomplete" } " " }
        @if flow.forward { span.warn { "past its pivot" } " " }
        @if let Some(error) = &flow.error { (Text(error)) }
        @else if let Some(wake_at) = flow.wake_at {
            span.quiet { @if wake_at == NEVER { "until a signal comes" } @else if wake_at > now { (text::ago(wake_at, now)) } @else { "due" } }
        }
    }
}
