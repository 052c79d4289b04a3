//! What became of an operation that took longer than its form waited.

use maud::{Markup, html};

use crate::notices::Notice;
use crate::ui::text::{self, Text};

/// Shows the last operation that the visitor asked for on this page, while it goes on, and when it has failed. It has no times that pass, so that
/// it is read out once.
pub(super) fn section(notice: Option<&Notice>) -> Markup {
    html! {
        section #notice aria-label="Your last action" hidden[notice.is_none()] {
            @if let Some(notice) = notice {
                @match &notice.failure {
                    None => p.pending role="status" {
                        strong { (title(notice.operation)) } " was asked for at " (text::time(notice.at)) " and goes on."
                    },
                    Some(failure) => div.alarm role="alert" {
                        p {
                            strong.bad { span.sign aria-hidden="true" { "✗" } " " (title(notice.operation)) " failed" }
                            ", asked for at " (text::time(notice.at)) ": " strong { (Text(&failure.kind)) } ": " (Text(&failure.detail))
                        }
                        @if let Some(help) = &failure.help { p { (Text(help)) } }
                    },
                }
            }
        }
    }
}

/// Returns an operation as the page's forms name it.
fn title(operation: &str) -> &str {
    match operation {
        "interrupt" => "Interrupt",
        "resume" => "Resume",
        "rollback" => "Roll back",
        "accept" => "Accept as it is",
        "signal" => "Send the signal",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notices::Failure;
    use crate::ui::samples::BEGIN;

    #[test]
    fn a_failure_says_what_was_asked_for_and_why_it_failed_as_text() {
        let mut notice = Notice {
            operation: "rollback",
            at: BEGIN,
            failure: None,
        };
        let goes_on = section(Some(&notice)).into_string();
        assert!(goes_on.contains("Roll back") && goes_on.contains("goes on"));
        notice.failure = Some(Failure {
            kind: "InvalidState".to_owned(),
            detail: "<b>pivot".to_owned(),
            help: Some("<i>wait".to_owned()),
        });
        let failed = section(Some(&notice)).into_string();
        for part in [
            "Roll back failed",
            "InvalidState",
            "&lt;b&gt;pivot",
            "&lt;i&gt;wait",
            "role=\"alert\"",
        ] {
            assert!(failed.contains(part), "{part}: {failed}");
        }
        assert!(section(None).into_string().contains("hidden"));
    }
}
