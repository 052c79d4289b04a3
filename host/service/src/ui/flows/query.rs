//! What the URL of the list of flows chooses.

use std::borrow::Cow;
use std::time::Duration;

use cairn::FlowId;
use cairn::clock::Timestamp;
use cairn::event::FlowState;
use cairn::store::view::FlowFilter;
use serde::Deserialize;

use crate::ui::text;

/// The query of the list. What cannot be read counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct FlowsQuery {
    pub state: String,
    pub name: String,
    pub key: String,
    /// Of this project; for admins, who else see all.
    pub project: String,
    /// Created within this time: one of [`TIMES`].
    pub since: String,
    /// One of [`MARKS`].
    pub only: String,
    /// With an error of this kind.
    pub error: String,
    /// That took longer: one of [`LENGTHS`].
    pub longer: String,
    /// Older than this flow.
    #[serde(deserialize_with = "crate::ui::text::lenient")]
    pub before: Option<FlowId>,
    /// The newest and the oldest flow of the page that is kept up to date.
    #[serde(deserialize_with = "crate::ui::text::lenient")]
    pub top: Option<FlowId>,
    #[serde(deserialize_with = "crate::ui::text::lenient")]
    pub bottom: Option<FlowId>,
    /// Where the list goes on behind that page.
    #[serde(deserialize_with = "crate::ui::text::lenient")]
    pub next: Option<FlowId>,
}

/// The times that can be chosen, with their words and seconds.
pub(super) const TIMES: [(&str, &str, u64); 4] = [
    ("10min", "the last 10 minutes", 600),
    ("1h", "the last hour", 3_600),
    ("1d", "the last day", 86_400),
    ("7d", "the last week", 604_800),
];

/// The lengths that can be chosen, with their words and seconds.
pub(super) const LENGTHS: [(&str, &str, u64); 4] = [
    ("1s", "a second", 1),
    ("1min", "a minute", 60),
    ("1h", "an hour", 3_600),
    ("1d", "a day", 86_400),
];

/// The conditions that can be chosen, with their words.
pub(super) const MARKS: [(&str, &str); 5] = [
    ("unfinished", "unfinished"),
    ("incomplete", "rollback incomplete"),
    ("stuck", "stuck"),
    ("waiting", "waiting"),
    ("forward", "past the pivot"),
];

impl FlowsQuery {
    /// Returns the conditions; `scope` is the project of a caller who may not see all.
    pub(super) fn filter<'q>(&'q self, scope: Option<&'q str>, now: Timestamp) -> FlowFilter<'q> {
        let some = |text: &'q str| Some(text.trim()).filter(|text| !text.is_empty());
        let seconds = |times: &[(&str, &str, u64)], chosen: &str| {
            let found = times.iter().find(|(name, ..)| *name == chosen);
            found.map(|(_, _, seconds)| Duration::from_secs(*seconds))
        };
        FlowFilter {
            state: FlowState::parse(&self.state),
            name: some(&self.name),
            key: some(&self.key),
            project: scope.or(some(&self.project)),
            since: seconds(&TIMES, &self.since).map(|time| now.before(time)),
            longer_than: seconds(&LENGTHS, &self.longer),
            error: some(&self.error),
            unfinished: self.only == "unfinished",
            incomplete: self.only == "incomplete",
            stuck: self.only == "stuck",
            asleep: self.only == "waiting",
            forward: self.only == "forward",
            before: self.before,
            ..FlowFilter::default()
        }
    }

    /// Returns its pairs, without those of the page that is kept up to date.
    pub(super) fn pairs(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        let before = self.before.map(|id| id.to_string()).unwrap_or_default();
        let pairs = [
            ("state", Cow::from(&self.state)),
            ("name", Cow::from(&self.name)),
            ("key", Cow::from(&self.key)),
            ("project", Cow::from(&self.project)),
            ("since", Cow::from(&self.since)),
            ("only", Cow::from(&self.only)),
            ("error", Cow::from(&self.error)),
            ("longer", Cow::from(&self.longer)),
            ("before", Cow::from(before)),
        ];
        pairs
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }

    /// Returns whether flows are left out.
    pub(super) fn is_narrowed(&self) -> bool {
        self.pairs().iter().any(|(name, _)| *name != "before")
    }

    /// Returns a link to the list with one pair changed.
    pub(super) fn with(&self, name: &'static str, value: &str) -> String {
        let mut pairs = self.pairs();
        pairs.retain(|(known, _)| *known != name && *known != "before");
        if !value.is_empty() {
            pairs.push((name, Cow::from(value.to_owned())));
        }
        format!("/ui/flows{}", text::query(pairs))
    }
}
