//! The frame of every page: header, navigation, search, who is logged in.

use maud::{DOCTYPE, Markup, html};

use super::assets;
use super::text::{self, Text};

/// The parts of the dashboard, as the navigation names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Overview,
    Flows,
    Deployed,
    Resources,
    Quotas,
    System,
}

impl Part {
    pub(super) const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Overview, "Overview", "/ui"),
        (Self::Flows, "Flows", "/ui/flows"),
        (Self::Deployed, "Deployed", "/ui/deployed"),
        (Self::Resources, "Resources", "/ui/volumes"),
        (Self::Quotas, "Quotas", "/ui/quotas"),
        (Self::System, "System", "/ui/system"),
    ];

    /// Returns the rule that lets a caller see it.
    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::Overview | Self::Flows => "api:flow:read",
            Self::Deployed => "api:deployment:read",
            Self::Resources => "api:resource:read",
            Self::Quotas => "api:quota:read",
            Self::System => "api:host:read",
        }
    }
}

/// What the frame of a page shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shell<'s> {
    pub user: &'s str,
    pub project: &'s str,
    /// Whether what belongs to other projects is shown, too.
    pub is_admin: bool,
    /// The parts that the caller may see.
    pub parts: &'s [Part],
    /// The token that forms carry, so that only the dashboard's own forms are served.
    pub csrf: &'s str,
    /// Whether there is a session to end.
    pub has_session: bool,
    /// Whether anybody who reaches the server may do anything.
    pub is_open: bool,
}

/// Where a page is, and how it stays up to date.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'p> {
    pub title: &'p str,
    pub part: Part,
    /// The stream of its fragments.
    pub live: Option<&'p str>,
    /// What was searched for.
    pub search: &'p str,
}

impl Shell<'_> {
    /// Returns the hidden field with the token of forms.
    pub(super) fn token(&self) -> Markup {
        html! { input type="hidden" name="csrf" value=(self.csrf); }
    }

    /// Puts a page into the frame.
    pub(super) fn page(&self, page: Page<'_>, content: Markup) -> Markup {
        html! {
            (head(page.title))
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="/ui" { "Cairn" }
                    nav aria-label="Parts" {
                        @for (part, name, path) in Part::ALL {
                            @if self.parts.contains(&part) {
                                a href=(path) aria-current=[(part == page.part).then_some("page")] { (name) }
                            }
                        }
                    }
                    form.search role="search" action="/ui/find" method="get" {
                        input type="search" name="q" maxlength="200" aria-label="Find an id, a key or a request"
                            placeholder="Find an id or key" value=(text::attribute(page.search));
                    }
                    @if page.live.is_some() {
                        span #live.live hidden { span.dot aria-hidden="true" {} " " span.words {} }
                    }
                    div.who {
                        span { (Text(self.user)) " of " (Text(self.project)) }
                        @if self.has_session {
                            form method="post" action="/ui/logout" { (self.token()) button.link { "Log out" } }
                        }
                    }
                }
                @if self.is_open {
                    p.banner { strong { "No authentication." } " Anybody who reaches this server may do anything." }
                }
                p #gone.banner.bad role="alert" hidden { "The server cannot be reached. This page shows what was known last; it is tried again." }
                main #main tabindex="-1" data-live=[page.live] { (content) }
                (keys())
            }
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // With `no-referrer`, as the header has it, a browser hides the origin of the page's own forms, too.
                meta name="referrer" content="same-origin";
                title { (text::attribute(title)) " – Cairn" }
                link rel="stylesheet" href=(assets::path("style.css"));
                link rel="icon" type="image/svg+xml" href=(assets::path("icon.svg"));
                script src=(assets::path("live.js")) defer {}
            }
        }
    }
}

/// Lists the keys that the script serves.
fn keys() -> Markup {
    const KEYS: [(&str, &str); 5] = [
        ("/", "go to the filter or the search"),
        ("j  k", "next and previous row"),
        ("Enter", "open the row"),
        ("?", "this list"),
        ("Esc", "close it"),
    ];
    html! {
        dialog #keys aria-labelledby="keys-title" {
            h2 #keys-title { "Keys" }
            dl { @for (key, use_) in KEYS { div { dt { kbd { (key) } } dd { (use_) } } } }
            form method="dialog" { button { "Close" } }
        }
    }
}

/// Returns a page without the frame: for callers who are not logged in.
pub(super) fn bare(title: &str, content: Markup) -> Markup {
    html! {
        (head(title))
        body.bare { main #main { (content) } }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const SHELL: Shell<'static> = Shell {
        user: "ann",
        project: "acme",
        is_admin: true,
        parts: &[Part::Overview, Part::Flows, Part::System],
        csrf: "c5rf",
        has_session: true,
        is_open: false,
    };

    fn page(shell: Shell<'_>) -> String {
        let page = Page {
            title: "x",
            part: Part::Flows,
            live: None,
            search: "\"><script>",
        };
        shell.page(page, html! {}).into_string()
    }

    #[test]
    fn a_page_has_no_script_or_style_of_its_own() {
        let page = page(SHELL);
        assert!(
            !page.contains("style=") && !page.contains("<style"),
            "{page}"
        );
        assert_eq!(page.matches("<script").count(), 1);
        assert!(
            page.contains("<script src=\"/ui/assets/live.js?v="),
            "{page}"
        );
    }

    #[test]
    fn only_parts_that_the_caller_may_see_are_named() {
        let page = page(SHELL);
        assert!(page.contains("/ui/system") && !page.contains("/ui/quotas"));
    }

    #[test]
    fn an_open_server_says_so() {
        let open = Shell {
            is_open: true,
            ..SHELL
        };
        assert!(
            page(open).contains("No authentication") && !page(SHELL).contains("No authentication")
        );
    }
}
