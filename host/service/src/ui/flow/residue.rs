//! The sum of the ledger: what a flow has made, or what its rollback left, and why.

use cairn::Value;
use cairn::event::FlowState;
use cairn::history::History;
use cairn::net::{Fate, Left};
use maud::{Markup, html};

use crate::ui::text::{self, Text};

/// Returns the word for a fate, as the command line writes it.
pub(super) fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::Kept => "kept",
        Fate::Sent => "sent",
        Fate::Unknown => "unknown",
        _ => "left",
    }
}

/// Returns the sign beside that word.
pub(super) fn sign(fate: Fate) -> &'static str {
    match fate {
        Fate::Kept => "•",
        Fate::Unknown => "?",
        _ => "!",
    }
}

/// The most rows of the sum.
const MOST_LEFT: usize = 200;

/// Shows the sum of the ledger: the changes that are left, or were made.
pub(super) fn sum(history: &History, left: &[Left], undone: usize) -> Markup {
    let stands = !matches!(history.state, FlowState::Failure | FlowState::Reverting);
    let title = match history.state {
        FlowState::Success => "What it made",
        FlowState::Failure => "What is left",
        _ => "Sum so far",
    };
    html! {
        h3 #left { (title) }
        @if left.is_empty() {
            p {
                @if history.state == FlowState::Failure { span.good { span.sign aria-hidden="true" { "✓" } " nothing" } }
                @else { "Nothing." }
            }
        } @else {
            ul.left {
                @for left in left.iter().take(MOST_LEFT) {
                    li { (residue(left, stands)) }
                }
            }
            @if left.len() > MOST_LEFT {
                p { "… and " (text::count(left.len() - MOST_LEFT, "change")) " more; the report of the API lists them all." }
            }
        }
        @if undone > 0 { p.quiet { (text::count(undone, "change")) " undone." } }
    }
}

/// Shows one change that is left: what it is, how it differs from before, and, unless the flow `stands`, why.
pub(super) fn residue(left: &Left, stands: bool) -> Markup {
    let change = match (&left.before, &left.after) {
        (Value::Null, after) => state(after),
        (_, Value::Null) => "gone".to_owned(),
        (before, after) => format!("{} → {}", state(before), state(after)),
    };
    html! {
        @if !stands && let Some(why) = &left.why {
            strong.bad[why.fate != Fate::Kept] {
                span.sign aria-hidden="true" { (sign(why.fate)) } " " (word(why.fate))
            }
            " "
        }
        (Text(&left.kind)) " " span.id { (Text(&left.id)) }
        @if let Some(project) = &left.project { " of " (Text(project)) }
        ": " (Text(&text::brief(&change)))
        @if !stands && let Some(why) = &left.why {
            " " span.quiet {
                "(" @if let Some(task) = &why.task { (Text(task)) ": " } (Text(&why.reason)) ")"
            }
        }
    }
}

/// Formats the columns of a row, or an amount.
fn state(value: &Value) -> String {
    match value {
        Value::Object(columns) => {
            let columns = columns
                .iter()
                .map(|(name, value)| format!("{name} {}", text::cell(value)));
            columns.collect::<Vec<_>>().join(", ")
        }
        other => text::cell(other),
    }
}
