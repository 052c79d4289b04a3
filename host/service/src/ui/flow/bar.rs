//! A bar of the timeline: one call, revert, wait or act.

use cairn::clock::Timestamp;
use maud::{Markup, html};

use super::axis::Axis;
use super::trace::{End, Kind, Span};
use crate::ui::text;

/// The least width of a bar, in percent.
const LEAST: f64 = 0.5;

/// Formats a place or a width.
pub(super) fn percent(place: f64) -> String {
    format!("{place:.2}%")
}

/// Draws a span: calls, waits and acts above the middle, reverts beneath it.
pub(super) fn bar(
    span: &Span,
    axis: &Axis,
    window: (Timestamp, Timestamp),
    now: Timestamp,
) -> Markup {
    let left = axis.place(span.from.max(window.0));
    let right = axis.place(span.to.unwrap_or(now).min(window.1));
    let width = (right - left).max(LEAST);
    let left = left.min(100.0 - width);
    let (y, height) = match span.kind {
        Kind::Call | Kind::Wait => (3, 10),
        Kind::Pause => (7, 2),
        Kind::Make | Kind::Remove => (1, 3),
        Kind::Revert => (17, 10),
    };
    let is_tick = span.end == End::Retried;
    let title = title(span, now);
    html! {
        g {
            title { (text::attribute(&title)) }
            rect class=(class(span)) x=(percent(left)) y=(y) width=(percent(width)) height=(height) rx="1.5" {}
            @if is_tick {
                line.retry x1=(percent(right)) x2=(percent(right)) y1=(y - 2) y2=(y + height + 2) {}
            }
            @if span.end == End::Failed && span.kind != Kind::Pause {
                text.mark x=(percent(right.min(98.5))) y=(y + height) { "✗" }
            }
        }
    }
}

fn class(span: &Span) -> &'static str {
    match (span.kind, span.end) {
        (Kind::Call, End::Open) => "bar call open",
        (Kind::Call, End::Failed) => "bar call failed",
        (Kind::Call, End::Retried) => "bar call retried",
        (Kind::Call, End::Stopped | End::Unsure) => "bar call stopped",
        (Kind::Call, End::Done) => "bar call",
        (Kind::Revert, End::Open) => "bar revert open",
        (Kind::Revert, End::Failed) => "bar revert failed",
        (Kind::Revert, _) => "bar revert",
        (Kind::Wait, End::Failed) => "bar wait failed",
        (Kind::Wait, _) => "bar wait",
        (Kind::Pause, _) => "bar pause",
        (Kind::Make | Kind::Remove, End::Unsure | End::Failed) => "bar act failed",
        (Kind::Make | Kind::Remove, _) => "bar act",
    }
}

/// Says what a bar is.
fn title(span: &Span, now: Timestamp) -> String {
    let what = match span.kind {
        Kind::Call => "call",
        Kind::Revert => "revert",
        Kind::Wait => "wait",
        Kind::Pause => "pause before the next attempt",
        Kind::Make => "making of an object",
        Kind::Remove => "removal of an object",
    };
    let attempt = match span.attempt {
        0 | 1 => String::new(),
        attempt => format!(", attempt {attempt}"),
    };
    let time = text::duration(span.to.unwrap_or(now).since(span.from));
    let end = match span.end {
        End::Open => ", goes on",
        End::Done => "",
        End::Failed => ", failed",
        End::Retried => ", failed and tried again",
        End::Unsure => ", outcome not known",
        End::Stopped => ", stopped",
    };
    let error = span.error.as_ref();
    let error = error.map_or_else(String::new, |error| format!(": {error}"));
    text::brief(&format!("{what}{attempt}: {time}{end}{error}")).into_owned()
}
