//! What the URL of a flow's page chooses.

use std::borrow::Cow;

use serde::Deserialize;

use super::said::Group;
use crate::ui::text;

/// The query of a flow's page. What cannot be read counts as absent, so that a link never leads to an error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct FlowQuery {
    /// The part of the timeline that is shown, in seconds since the flow began.
    #[serde(deserialize_with = "crate::ui::text::lenient")]
    pub from: Option<f64>,
    #[serde(deserialize_with = "crate::ui::text::lenient")]
    pub to: Option<f64>,
    /// The task whose details are shown.
    pub task: Option<String>,
    /// The first task of the timeline, counted from 0.
    #[serde(deserialize_with = "crate::ui::text::lenient")]
    pub tasks: Option<usize>,
    /// The first effect on the page, counted from 0.
    #[serde(deserialize_with = "crate::ui::text::lenient")]
    pub effects: Option<usize>,
    /// Events older than this number are shown.
    #[serde(deserialize_with = "crate::ui::text::lenient")]
    pub before: Option<usize>,
    /// The events that are shown.
    #[serde(deserialize_with = "crate::ui::text::lenient")]
    pub events: Option<Group>,
    /// A text that these events contain.
    pub text: Option<String>,
    /// Log messages older than this number are shown.
    #[serde(deserialize_with = "crate::ui::text::lenient")]
    pub logs: Option<usize>,
}

impl FlowQuery {
    /// Returns its pairs.
    pub(super) fn pairs(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        let number = |value: Option<usize>| value.map(|value| Cow::from(value.to_string()));
        let seconds = |value: Option<f64>| value.map(|value| Cow::from(value.to_string()));
        let text = |value: &'_ Option<String>| {
            let value = value.as_deref().filter(|value| !value.is_empty());
            value.map(|value| Cow::from(value.to_owned()))
        };
        let pairs = [
            ("from", seconds(self.from)),
            ("to", seconds(self.to)),
            ("task", text(&self.task)),
            ("tasks", number(self.tasks)),
            ("effects", number(self.effects)),
            ("before", number(self.before)),
            ("events", self.events.map(|group| Cow::from(group.as_str()))),
            ("text", text(&self.text)),
            ("logs", number(self.logs)),
        ];
        let pairs = pairs.into_iter();
        pairs
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// Returns a link to the page with one pair changed, and with the others kept; an empty value drops the pair.
    pub(super) fn with(&self, path: &str, name: &'static str, value: &str, anchor: &str) -> String {
        let mut pairs = self.pairs();
        pairs.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            pairs.push((name, Cow::from(value.to_owned())));
        }
        format!("{path}{}#{anchor}", text::query(pairs))
    }

    /// Returns the pairs besides those named, for the hidden fields of a form.
    pub(super) fn besides(&self, names: &[&str]) -> Vec<(&'static str, Cow<'_, str>)> {
        let mut pairs = self.pairs();
        pairs.retain(|(name, _)| !names.contains(name));
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> FlowQuery {
        let uri = format!("/ui/flows/x?{query}").parse::<http::Uri>().unwrap();
        axum::extract::Query::try_from_uri(&uri).unwrap().0
    }

    #[test]
    fn a_link_changes_one_pair_and_keeps_the_others() {
        let query = read("from=0.5&to=2&task=a%3Bb&events=failures");
        assert_eq!(
            query.with("/x", "task", "c d", "task"),
            "/x?from=0.5&to=2&events=failures&task=c%20d#task"
        );
        assert_eq!(
            query.with("/x", "task", "", "top"),
            "/x?from=0.5&to=2&events=failures#top"
        );
        assert_eq!(read("from=0.5&to=2&events=failures&task=a;b"), query);
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        let query = read("from=x&to=&before=-1&events=nonsense&effects=1e9&other=1");
        assert_eq!(query, FlowQuery::default());
    }
}
