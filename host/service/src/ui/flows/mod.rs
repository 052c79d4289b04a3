//! The list of flows.

mod query;
mod row;
pub(super) mod serve;

use std::sync::Arc;

use cairn::FlowId;
use cairn::clock::Timestamp;
use cairn::event::{FlowState, FlowSummary};
use maud::{Markup, html};

use super::counters;
use super::layout::{Page, Part, Shell};
use super::live::Fragment;
use super::text;
use crate::counters::Counters;
use crate::gists::PageGists;

pub(crate) use query::FlowsQuery;
pub(super) use row::{heads, row};

/// The most flows on a page.
const PAGE: usize = 50;

/// The most new flows that are counted.
const COUNTED: usize = 100;

/// A page of the list as it was read.
pub(super) struct FlowsView {
    pub flows: Vec<FlowSummary>,
    pub gists: PageGists,
    /// Where the list goes on; `None` if this is its end.
    pub next: Option<FlowId>,
    /// How many newer ones fit, at most one more than [`COUNTED`].
    pub newer: usize,
    pub counters: Arc<Counters>,
    pub now: Timestamp,
}

impl FlowsView {
    /// Returns the parts of the page that change while it is live.
    pub(super) fn fragments(&self, shell: &Shell<'_>, query: &FlowsQuery) -> Vec<Fragment> {
        vec![
            ("counters", counters::section(&self.counters).into_string()),
            ("newer", newer(self.newer, query).into_string()),
            ("rows", self.rows(shell, query).into_string()),
        ]
    }

    /// Returns the whole page.
    pub(super) fn page(&self, shell: &Shell<'_>, query: &FlowsQuery) -> Markup {
        let mut pairs = query.pairs();
        let ids = self.flows.first().zip(self.flows.last());
        let ids = ids.map(|(first, last)| (first.id.to_string(), last.id.to_string()));
        if let Some((top, bottom)) = ids {
            pairs.extend([("top", top.into()), ("bottom", bottom.into())]);
        }
        if let Some(next) = self.next {
            pairs.push(("next", next.to_string().into()));
        }
        let live = format!("/ui/flows/live{}", text::query(pairs));
        let page = Page {
            title: "Flows",
            part: Part::Flows,
            live: Some(&live),
            search: "",
        };
        shell.page(
            page,
            html! {
                h1 { "Flows" }
                (counters::section(&self.counters))
                (filter(shell, query))
                (newer(self.newer, query))
                (self.rows(shell, query))
            },
        )
    }

    fn rows(&self, shell: &Shell<'_>, query: &FlowsQuery) -> Markup {
        html! {
            section #rows aria-label="Flows" {
                @if self.flows.is_empty() {
                    p {
                        @if let Some(next) = self.next {
                            "None of the newest flows fits. " a href=(query.with("before", &next.to_string())) { "Look at older ones" }
                        } @else if query.is_narrowed() { "No flow fits. " a href="/ui/flows" { "All flows" } }
                        @else { "There are no flows yet. " code { "cairn flow deploy" } " deploys one, and "
                            code { "POST /v1/flows" } " begins it." }
                    }
                } @else {
                    table.stack.flows {
                        caption.quiet { "The newest first" }
                        (heads(shell))
                        tbody { @for flow in &self.flows { (row(flow, self.gists.get(&flow.id), shell, self.now)) } }
                    }
                    div.pages {
                        @if query.before.is_some() { a href=(query.with("before", "")) { "Newest" } }
                        @if let Some(next) = self.next { a href=(query.with("before", &next.to_string())) { "Older" } }
                    }
                }
            }
        }
    }
}

/// Says how many flows have come since the page was loaded.
fn newer(newer: usize, query: &FlowsQuery) -> Markup {
    html! {
        p #newer.newer hidden[newer == 0] {
            @if newer > 0 {
                a href=(query.with("before", "")) {
                    @if newer > COUNTED { "more than " (COUNTED) " new" } @else { (newer) " new" }
                }
            }
        }
    }
}

fn filter(shell: &Shell<'_>, query: &FlowsQuery) -> Markup {
    html! {
        form.filter action="/ui/flows" method="get" aria-label="Filter flows" {
            label { "State " select name="state" {
                option value="" { "any" }
                @for state in FlowState::ALL {
                    option value=(state) selected[FlowState::parse(&query.state) == Some(state)] { (state.as_str().to_lowercase()) }
                }
            } }
            label { "Only " select name="only" {
                option value="" { "all" }
                @for (name, words) in query::MARKS { option value=(name) selected[query.only == name] { (words) } }
            } }
            label { "Begun in " select name="since" {
                option value="" { "all time" }
                @for (name, words, _) in query::TIMES { option value=(name) selected[query.since == name] { (words) } }
            } }
            label { "Longer than " select name="longer" {
                option value="" { "-" }
                @for (name, words, _) in query::LENGTHS { option value=(name) selected[query.longer == name] { (words) } }
            } }
            label { "Error " input name="error" size="12" maxlength="255" value=(text::attribute(&query.error)); }
            label { "Name " input name="name" size="14" data-filter maxlength="255" value=(text::attribute(&query.name)); }
            label { "Key " input name="key" size="14" maxlength="255" value=(text::attribute(&query.key)); }
            @if shell.is_admin {
                label { "Project " input name="project" size="12" maxlength="255" value=(text::attribute(&query.project)); }
            }
            button { "Filter" }
            @if query.is_narrowed() { a href="/ui/flows" { "All flows" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gists::{Gist, Residue};
    use crate::ui::layout::tests::SHELL;
    use crate::ui::samples;
    use cairn::history::Subject;

    fn view(flows: Vec<FlowSummary>) -> FlowsView {
        FlowsView {
            next: None,
            newer: 0,
            counters: Arc::default(),
            now: samples::BEGIN,
            gists: PageGists::new(),
            flows,
        }
    }

    fn page(flows: Vec<FlowSummary>, query: &FlowsQuery) -> String {
        view(flows).page(&SHELL, query).into_string()
    }

    #[test]
    fn a_row_leads_to_its_flow_and_says_what_is_wrong() {
        let mut flow = samples::summary("volume-create", FlowState::Failure);
        flow.error = Some("OverQuota".to_owned());
        flow.incomplete = true;
        let id = flow.id;
        let page = page(vec![flow], &FlowsQuery::default());
        assert!(page.contains(&format!("href=\"/ui/flows/{id}\"")), "{page}");
        let row = page
            .split("<tr")
            .find(|row| row.contains("volume-create"))
            .unwrap();
        for part in ["incomplete", "OverQuota", "failed"] {
            assert!(row.contains(part), "{part}: {row}");
        }
    }

    #[test]
    fn a_row_says_how_far_a_flow_is_what_is_left_of_it_and_what_it_is_about() {
        let shown = |done, all, residue, subject: Option<&str>| {
            let mut view = view(vec![samples::summary("one", FlowState::Failure)]);
            let gist = Gist {
                done,
                all,
                residue,
                subject: subject.map(|name| Subject {
                    kind: "volume",
                    name: name.to_owned(),
                }),
            };
            view.gists.insert(view.flows[0].id, Arc::new(gist));
            let page = view.page(&SHELL, &FlowsQuery::default()).into_string();
            page.split("<tr").nth(2).unwrap().to_owned()
        };
        let left = shown(3, Some(7), Some(Residue::Left(2)), Some("<b>data"));
        for part in ["3 / 7", "2 left", "#left\"", "volume", "&lt;b&gt;data"] {
            assert!(left.contains(part), "{part}: {left}");
        }
        assert!(shown(0, None, Some(Residue::Clean), None).contains("clean"));
        assert!(shown(0, None, Some(Residue::Kept(1)), None).contains("1 kept"));
        assert!(shown(0, None, Some(Residue::Unknown), None).contains("not known"));
        let long = shown(1, None, None, Some(&"x".repeat(500)));
        assert!(
            long.contains("1 / ?") && !long.contains(&"x".repeat(100)),
            "{long}"
        );
    }

    #[test]
    fn a_page_keeps_its_filters() {
        let query = FlowsQuery {
            state: "FAILURE".to_owned(),
            name: "a&b".to_owned(),
            ..FlowsQuery::default()
        };
        let flow = samples::summary("a&b", FlowState::Failure);
        let mut view = view(vec![flow.clone()]);
        view.next = Some(flow.id);
        let page = view.page(&SHELL, &query).into_string();
        let older = format!(
            "/ui/flows?state=FAILURE&amp;name=a%26b&amp;before={}",
            flow.id
        );
        assert!(page.contains(&older), "{page}");
        assert!(
            page.contains("<option value=\"FAILURE\" selected>"),
            "{page}"
        );
        let live = format!(
            "/ui/flows/live?state=FAILURE&amp;name=a%26b&amp;top={0}&amp;bottom={0}&amp;next={0}",
            flow.id
        );
        assert!(page.contains(&live), "{page}");
    }

    #[test]
    fn new_flows_are_counted_and_not_inserted() {
        let mut view = view(vec![samples::summary("one", FlowState::Success)]);
        let shown = |view: &FlowsView| view.page(&SHELL, &FlowsQuery::default()).into_string();
        assert!(shown(&view).contains("id=\"newer\" hidden"));
        view.newer = 3;
        assert!(shown(&view).contains(">3 new</a>"));
        view.newer = COUNTED + 1;
        assert!(shown(&view).contains("more than 100 new"));
    }

    #[test]
    fn the_parts_of_the_list_are_those_that_are_replaced() {
        let view = view(vec![samples::summary("one", FlowState::Success)]);
        let page = view.page(&SHELL, &FlowsQuery::default()).into_string();
        for (id, html) in view.fragments(&SHELL, &FlowsQuery::default()) {
            assert!(
                html.contains(&format!("id=\"{id}\"")) && page.contains(&html),
                "{id}"
            );
        }
    }

    #[test]
    fn a_hostile_name_is_text() {
        let mut flow = samples::summary("<script>alert(1)</script>\u{202e}", FlowState::Failure);
        flow.error = Some("<img src=x>".to_owned());
        flow.stuck = Some("<b>".to_owned());
        flow.project_id = "<i>".to_owned();
        let query = FlowsQuery {
            name: "\"><script>".to_owned(),
            project: "\"><script>".to_owned(),
            key: "\"><script>".to_owned(),
            error: "\"><script>".to_owned(),
            ..FlowsQuery::default()
        };
        let page = page(vec![flow], &query);
        assert_eq!(page.matches("<script").count(), 1, "the page's own: {page}");
        assert!(!page.contains("<img") && !page.contains("<i>") && !page.contains('\u{202e}'));
    }
}
