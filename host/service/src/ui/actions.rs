//! Forms that change something: closed, and with a button of their own that confirms it.

use maud::{Markup, html};

use super::layout::Shell;
use super::text::{self, Text};

/// A form that changes something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Action<'a> {
    /// Its name, the only one on its page.
    pub name: &'a str,
    pub title: &'a str,
    /// Where it is sent.
    pub to: &'a str,
    /// What the button says.
    pub confirm: &'a str,
    /// Whether what it does cannot be taken back.
    pub is_grave: bool,
}

impl Action<'_> {
    /// Shows the form with these fields.
    pub(super) fn form(&self, shell: &Shell<'_>, fields: Markup) -> Markup {
        html! {
            details.action id={ "do-" (text::attribute(self.name)) } name="action" {
                summary { (Text(self.title)) " …" }
                form method="post" action=(self.to) {
                    (shell.token())
                    (fields)
                    button.grave[self.is_grave] { (self.confirm) }
                }
            }
        }
    }
}

/// Asks for the reason of a change, which the audit keeps.
pub(super) fn reason(question: &str, is_needed: bool) -> Markup {
    html! {
        label {
            (question) @if !is_needed { span.quiet { " (optional)" } } " "
            textarea name="reason" rows="2" maxlength="255" required[is_needed] {}
        }
    }
}

/// Shows a hidden field.
pub(super) fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::layout::tests::SHELL;

    #[test]
    fn a_form_carries_its_token_and_asks_before_it_does_what_cannot_be_taken_back() {
        let action = Action {
            name: "drop\"><b>",
            title: "Drop <b>",
            to: "/ui/things/drop",
            confirm: "Drop it",
            is_grave: true,
        };
        let fields = html! { (reason("Why?", true)) (hidden("id", "\"><i>")) };
        let shown = action.form(&SHELL, fields).into_string();
        for part in [
            "method=\"post\" action=\"/ui/things/drop\"",
            "name=\"csrf\" value=\"c5rf\"",
            "<button class=\"grave\">Drop it</button>",
            "maxlength=\"255\" required",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("<b>") && !shown.contains("<i>"), "{shown}");
        assert!(!reason("Why?", false).into_string().contains("required"));
    }
}
