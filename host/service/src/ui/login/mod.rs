//! The login form.

pub(super) mod serve;

use maud::{Markup, html};

use super::layout;
use super::text::{self, Text};

/// What a login asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// A token is pasted.
    Token,
    /// A user's name and password.
    Password,
}

/// Shows the login form, with the reason why the last attempt was refused. `next` is the page that was asked for.
fn page(asks: Asks, csrf: &str, next: &str, refused: Option<&str>) -> Markup {
    layout::bare(
        "Log in",
        html! {
            h1 { "Cairn" }
            form.login method="post" action="/ui/login" {
                @if let Some(refused) = refused {
                    p.alarm role="alert" { strong { span.sign aria-hidden="true" { "✗" } " " (Text(refused)) } }
                }
                input type="hidden" name="csrf" value=(csrf);
                input type="hidden" name="next" value=(text::attribute(next));
                @match asks {
                    Asks::Token => {
                        label { "Token" input type="password" name="token" autocomplete="off" maxlength="512" required autofocus; }
                        p.quiet { code { "cairn token create" } " prints one." }
                    }
                    Asks::Password => {
                        label { "User" input name="user" autocomplete="username" maxlength="255" required autofocus; }
                        label { "Password" input type="password" name="password" autocomplete="current-password" maxlength="512" required; }
                    }
                }
                label { span { "Project " span.quiet { "(if you have several)" } } input name="project" maxlength="255"; }
                button { "Log in" }
            }
        },
    )
}

/// Returns where a login leads: to a page of the dashboard, never elsewhere.
fn target(next: &str) -> &str {
    let is_own = next == "/ui" || next.starts_with("/ui/") || next.starts_with("/ui?");
    let is_plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    match is_own && is_plain && !next.starts_with("/ui/log") {
        true => next,
        false => "/ui",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_the_dashboard_only() {
        for own in ["/ui", "/ui/flows?name=a", "/ui?x=1"] {
            assert_eq!(target(own), own);
        }
        for other in [
            "",
            "https://example.com",
            "//example.com",
            "/v1/flows",
            "/uix",
            "/ui/\\evil",
            "/ui/a\r\nb",
            "/ui/logout",
        ] {
            assert_eq!(target(other), "/ui");
        }
    }

    #[test]
    fn the_form_says_why_it_was_refused() {
        let page = page(
            Asks::Token,
            "c5rf",
            "/ui/flows",
            Some("the token is not known"),
        )
        .into_string();
        assert!(page.contains("the token is not known") && page.contains("value=\"/ui/flows\""));
    }
}
