//! The states of flows in words.

use cairn::event::FlowState;
use maud::{Markup, html};

/// Shows the state of a flow with a sign, so that it is not told by colour alone.
pub(super) fn state(state: FlowState, waits: bool) -> Markup {
    let (sign, word, class) = match state {
        FlowState::Pending => ("○", "pending", "state coming"),
        FlowState::Started | FlowState::Resuming | FlowState::Running if waits => {
            ("◔", "waiting", "state waiting")
        }
        FlowState::Started | FlowState::Resuming | FlowState::Running => {
            ("▶", "running", "state running")
        }
        FlowState::Success => ("✓", "succeeded", "state good"),
        FlowState::Interrupted => ("‖", "interrupted", "state warn"),
        FlowState::Reverting => ("↶", "rolling back", "state warn"),
        FlowState::Failure => ("✗", "failed", "state bad"),
    };
    html! { span class=(class) title=(state) { span.sign aria-hidden="true" { (sign) } " " (word) } }
}
