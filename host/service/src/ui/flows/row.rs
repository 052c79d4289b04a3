//! A flow as a row of a table.

use cairn::clock::Timestamp;
use cairn::event::{FlowState, FlowSummary, NEVER};
use maud::{Markup, html};

use crate::ui::layout::Shell;
use crate::ui::text::{self, Text};
use crate::ui::words;

/// Shows the heads of the columns.
pub(crate) fn heads(shell: &Shell<'_>) -> Markup {
    html! {
        thead { tr {
            th scope="col" { "State" } th scope="col" { "Flow" } th scope="col" { "Remarks" }
            th scope="col" { @if shell.is_admin { "Project" } @else { "User" } }
            th scope="col" { "Began" } th.num scope="col" { "Took" }
        } }
    }
}

/// Shows a flow.
pub(crate) fn row(flow: &FlowSummary, shell: &Shell<'_>, now: Timestamp) -> Markup {
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
            td { (problems(flow, now)) }
            td { @if shell.is_admin { (Text(&flow.project_id)) } @else { (Text(&flow.user_id)) } }
            td { (text::ago(flow.created_at, now)) }
            td.num { (text::duration(end.since(flow.created_at))) }
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
