//! The page of one flow.

mod allowed;
mod axis;
mod bar;
mod change;
mod detail;
mod events;
mod head;
mod ledger;
mod logs;
mod notice;
mod pruned;
mod query;
mod residue;
mod said;
pub(super) mod serve;
mod timeline;
mod trace;

use cairn::clock::Timestamp;
use cairn::event::Entry;
use cairn::history::{Account, History};
use cairn::{Domains, FlowId, Plan, Report};
use maud::{Markup, html};

use super::layout::{Page, Part, Shell};
use super::live::Fragment;
use super::mask::Schemas;
use super::text::{self, Text};
use crate::notices::Notice;
use allowed::Allowed;
use head::Head;
use ledger::Ledger;
use trace::Trace;

pub(crate) use query::FlowQuery;

/// A flow as it was read, folded once.
pub(super) struct FlowView {
    id: FlowId,
    journal: Vec<Entry>,
    history: History,
    report: Report,
    trace: Trace,
    ledger: Ledger,
    plan: Option<Plan>,
    schemas: Schemas,
    stuck: Option<String>,
    allowed: Allowed,
    notice: Option<Notice>,
    domains: Domains,
    now: Timestamp,
}

/// What is read of a flow for its page.
pub(super) struct Sources {
    pub id: FlowId,
    pub journal: Vec<Entry>,
    pub plan: Option<Plan>,
    /// The schemas of the settings in the plan.
    pub schemas: Schemas,
    /// Why it cannot be recovered.
    pub stuck: Option<String>,
    /// What the caller may do with it.
    pub allowed: Allowed,
    /// What became of the last thing that the caller did.
    pub notice: Option<Notice>,
    pub now: Timestamp,
}

impl FlowView {
    /// Folds a flow; `None` if the journal is empty or does not begin as one.
    pub(super) fn new(sources: Sources, domains: &Domains) -> Option<Self> {
        let history = History::fold(&sources.journal, domains)?;
        Some(Self {
            id: sources.id,
            report: Report::new(sources.id, &history),
            trace: Trace::of(&sources.journal),
            ledger: Ledger::of(&sources.journal),
            history,
            journal: sources.journal,
            plan: sources.plan,
            schemas: sources.schemas,
            stuck: sources.stuck,
            allowed: sources.allowed,
            notice: sources.notice,
            domains: domains.clone(),
            now: sources.now,
        })
    }

    fn path(&self) -> String {
        format!("/ui/flows/{}", self.id)
    }

    fn head(&self) -> Head<'_> {
        let first = self.journal.first().map_or(self.now, |entry| entry.at);
        let last = self.journal.last().map_or(self.now, |entry| entry.at);
        Head {
            id: self.id,
            history: &self.history,
            report: &self.report,
            planned: self.plan.as_ref().map(|plan| plan.tasks.len()),
            stuck: self.stuck.as_deref(),
            allowed: self.allowed,
            times: (first, last),
            now: self.now,
        }
    }

    /// Returns the sum of its effects, which the report of a rollback has already.
    fn account(&self) -> Account {
        match &self.report.rollback {
            Some(rollback) => Account {
                left: rollback.residue.clone(),
                undone: rollback.undone.clone(),
                sent: rollback.messages.clone(),
            },
            None => self.history.account(),
        }
    }

    /// Returns the parts of the page that change while it is live.
    pub(super) fn fragments(&self, shell: &Shell<'_>, query: &FlowQuery) -> Vec<Fragment> {
        let path = self.path();
        let head = self.head();
        let plan = self.plan.as_ref();
        let names = events::names(&self.journal);
        let parts = [
            ("head", head::section(&head, query, &path)),
            ("notice", notice::section(self.notice.as_ref())),
            ("actions", head::actions(&head, shell, &path)),
            (
                "timeline",
                timeline::section(&self.trace, plan, &self.history, self.now, query, &path),
            ),
            (
                "task",
                detail::section(
                    plan,
                    &self.schemas,
                    &self.history,
                    &self.trace,
                    self.now,
                    query,
                    &path,
                ),
            ),
            (
                "ledger",
                ledger::section(
                    &self.ledger,
                    &self.journal,
                    &self.history,
                    &self.account(),
                    self.domains.tables(),
                    query,
                    &path,
                ),
            ),
            (
                "events",
                events::section(&self.journal, &names, query, &path),
            ),
            ("logs", logs::section(&self.journal, &names, query, &path)),
        ];
        parts.map(|(id, markup)| (id, markup.into_string())).into()
    }

    /// Returns the whole page.
    pub(super) fn page(&self, shell: &Shell<'_>, query: &FlowQuery) -> Markup {
        let path = self.path();
        let live = format!("{path}/live{}", text::query(query.pairs()));
        let fragments = self.fragments(shell, query);
        let part = |wanted: &str| {
            let mut fragments = fragments.iter();
            let found = fragments.find(|(id, _)| *id == wanted);
            maud::PreEscaped(found.map_or("", |(_, html)| html))
        };
        let page = Page {
            title: &format!("{} {}", self.history.name, self.id),
            part: Part::Flows,
            live: Some(&live),
            search: "",
        };
        shell.page(
            page,
            html! {
                p.crumbs { a href="/ui/flows" { "Flows" } }
                h1 { (Text(&self.history.name)) }
                (part("notice"))
                (part("head"))
                (part("actions"))
                nav.within aria-label="On this page" {
                    a href="#timeline" { "Timeline" } a href="#ledger" { "Ledger" } a href="#events" { "Events" }
                    a href="#logs" { "Logs" } a href="#request" { "Request" }
                }
                section aria-labelledby="timeline-title" {
                    h2 #timeline-title { "Timeline" }
                    (part("timeline"))
                    (timeline::selection(query, &path))
                }
                (part("task"))
                (part("ledger"))
                section aria-labelledby="events-title" {
                    h2 #events-title { "Events" }
                    (events::filter(query, &path))
                    (part("events"))
                }
                (part("logs"))
                section #request aria-labelledby="request-title" {
                    h2 #request-title { "Request" }
                    (text::json(&self.history.request))
                }
            },
        )
    }
}

#[cfg(test)]
mod tests;
