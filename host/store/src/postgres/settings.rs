//! The settings that rules depend on: all hosts of a database need the same ones, because a host takes over what another has begun.

use std::collections::{BTreeMap, BTreeSet};

use cairn_effects::rows::Cell;

/// The digest of each setting, by the setting's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings(BTreeMap<String, String>);

impl Settings {
    pub(super) fn new(digests: &BTreeMap<String, String>) -> Self {
        Self(digests.clone())
    }

    /// Returns them as the database has them.
    pub(super) fn text(&self) -> Cell {
        // Texts by texts: this cannot fail.
        let text = serde_json::to_string(&self.0).unwrap_or_default();
        text.as_str().into()
    }

    /// Returns the names of the settings that differ from those of another host, as the database has them.
    pub(super) fn differing(&self, other: Option<&str>) -> Vec<String> {
        let other: BTreeMap<String, String> = other
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let names: BTreeSet<&String> = self.0.keys().chain(other.keys()).collect();
        let differing = names
            .into_iter()
            .filter(|name| self.0.get(*name) != other.get(*name));
        differing.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_one_host_lacks_differs() {
        let settings = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, digest)| ((*name).into(), (*digest).into()));
            Settings(pairs.collect())
        };
        let own = settings(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let Cell::Text(other) = settings(&[("a", "1"), ("b", "0"), ("d", "4")]).text() else {
            panic!("a text");
        };
        assert_eq!(own.differing(Some(&other)), ["b", "c", "d"]);
        assert_eq!(own.differing(None), ["a", "b", "c"]);
    }
}
