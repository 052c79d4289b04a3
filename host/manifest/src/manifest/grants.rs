//! Grants: the capabilities that a plugin may use, and how each is narrowed.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use cairn_model::error::Diagnostic;
use cairn_model::value::{Object, Value};

use super::GrantKinds;
use crate::document::{Item, Table, quoted};

/// The extent of one granted capability: a JSON object, as the capability's [`GrantKind`](super::GrantKind) reads it. `{}` is
/// the whole capability.
///
/// A list of names may contain prefixes: `volumes_*` matches every name with this beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grant(Object);

impl Grant {
    /// Grants the whole capability.
    pub fn all() -> Self {
        Self::default()
    }

    /// Grants the names that match this list of names and prefixes, stored under `key`.
    pub fn only(key: &str, names: BTreeSet<String>) -> Self {
        Self(Object::from_iter([(
            key.to_owned(),
            names.into_iter().collect(),
        )]))
    }

    /// Creates a grant from JSON, which must be canonical.
    pub fn from_json(json: Object) -> Self {
        Self(json)
    }

    /// Returns the grant as JSON.
    pub fn as_json(&self) -> &Object {
        &self.0
    }

    /// Returns whether there is a list under `key`, so that the grant does not reach every name.
    pub fn is_narrowed(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Returns whether the list under `key` reaches `name`. A grant without the list reaches every name.
    pub fn reaches(&self, key: &str, name: &str) -> bool {
        match self.0.get(key) {
            None => true,
            Some(names) => names_in(names).any(|pattern| covers(pattern, name)),
        }
    }

    /// Computes the intersection of the lists under `key`; `None` if it is empty. Other keys are dropped.
    pub fn within(&self, other: &Self, key: &str) -> Option<Self> {
        let (one, other) = match (self.0.get(key), other.0.get(key)) {
            (Some(one), Some(other)) => (one, other),
            (None, None) => return Some(Self::all()),
            (Some(names), None) | (None, Some(names)) => {
                let names = names_in(names).map(str::to_owned).collect();
                return Some(Self::only(key, names));
            }
        };
        // If two names or prefixes overlap, one covers the other.
        let pairs = names_in(one).flat_map(|a| names_in(other).map(move |b| (a, b)));
        let meet = pairs.filter_map(|(a, b)| match (covers(a, b), covers(b, a)) {
            (true, _) => Some(b.to_owned()),
            (false, true) => Some(a.to_owned()),
            (false, false) => None,
        });
        let meet: BTreeSet<String> = meet.collect();
        (!meet.is_empty()).then(|| Self::only(key, meet))
    }
}

/// Returns the names in a list.
fn names_in(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// Returns whether `pattern` matches every name that `narrow`, a name or a prefix, matches.
fn covers(pattern: &str, narrow: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => narrow.starts_with(prefix),
        None => narrow == pattern,
    }
}

/// Reads a list of names and prefixes that narrows a grant.
///
/// # Errors
/// It is not a list, is empty, or contains something that is neither a name nor a prefix.
pub fn read_names(item: &Item<'_>) -> Result<BTreeSet<String>, Diagnostic> {
    let mut names = BTreeSet::new();
    for name in item.array()? {
        let text = name.text()?;
        let stem = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() || stem.contains('*') {
            return Err(name
                .error(format!("holds `{}`, which is no name", text.escape_debug()))
                .help("write a name, or the start of one and `*` at its end"));
        }
        names.insert(text.to_owned());
    }
    if names.is_empty() {
        return Err(item
            .error("is empty, so the grant reaches nothing")
            .help("name what it reaches, or write `false` for the whole grant"));
    }
    Ok(names)
}

/// The capabilities that one plugin is granted, by name, in the order of the registry.
///
/// Grants that are read from JSON keep their order and all names. The host refuses unregistered names when it plans or creates
/// a task: see [`unregistered`](Self::unregistered).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(Vec<(String, Grant)>);

impl Grants {
    /// Returns the grant of `capability`, if it is granted.
    pub fn get(&self, capability: &str) -> Option<&Grant> {
        let mut grants = self.0.iter();
        grants
            .find(|(name, _)| name == capability)
            .map(|(_, grant)| grant)
    }

    /// Returns whether `capability` is granted at all.
    pub fn has(&self, capability: &str) -> bool {
        self.get(capability).is_some()
    }

    /// Returns whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the grants, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Grant)> {
        self.0.iter().map(|(name, grant)| (name.as_str(), grant))
    }

    /// Adds or replaces the grant of `capability`, at its place in the order.
    pub fn insert(&mut self, capability: &str, grant: Grant, kinds: &GrantKinds) {
        self.set(capability.to_owned(), grant);
        self.0.sort_by_key(|(name, _)| kinds.position(name));
    }

    fn set(&mut self, capability: String, grant: Grant) {
        match self.0.iter_mut().find(|(name, _)| *name == capability) {
            Some((_, old)) => *old = grant,
            None => self.0.push((capability, grant)),
        }
    }

    /// Keeps only the capabilities that `keep` returns true for.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }

    /// Returns the first granted capability that is not registered.
    pub fn unregistered(&self, kinds: &GrantKinds) -> Option<&str> {
        self.iter()
            .map(|(name, _)| name)
            .find(|name| kinds.get(name).is_none())
    }

    /// Computes the intersection of the grants. Unregistered capabilities are dropped.
    #[must_use]
    pub fn within(&self, other: &Self, kinds: &GrantKinds) -> Self {
        let both = self.iter().filter_map(|(capability, grant)| {
            let kind = kinds.get(capability)?;
            let grant = kind.within(grant, other.get(capability)?)?;
            Some((capability.to_owned(), grant))
        });
        Self(both.collect())
    }

    pub(crate) fn read(table: Table<'_>, kinds: &GrantKinds) -> Result<Self, Diagnostic> {
        let names: Vec<&str> = kinds.names().collect();
        let table = table.only(&names)?;
        let mut grants = Self::default();
        for kind in kinds.iter() {
            if let Some(item) = table.get(kind.name())
                && let Some(grant) = kind.parse(&item)?
            {
                grants.0.push((kind.name().to_owned(), grant));
            }
        }
        Ok(grants)
    }
}

impl FromIterator<(String, Grant)> for Grants {
    /// Collects grants in their order; of two grants of one capability the later one is kept.
    fn from_iter<I: IntoIterator<Item = (String, Grant)>>(grants: I) -> Self {
        let mut all = Self::default();
        for (capability, grant) in grants {
            all.set(capability, grant);
        }
        all
    }
}

impl Serialize for Grants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Grants;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of grants")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Grants, A::Error> {
                let mut grants = Grants::default();
                while let Some((capability, grant)) = map.next_entry()? {
                    grants.set(capability, grant);
                }
                Ok(grants)
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// As written in a manifest: `{ keys = true, quota = { resources = ["volumes"] } }`.
impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "{ ";
        for (capability, grant) in self.iter() {
            write!(f, "{between}{} = ", key(capability))?;
            match grant.0.is_empty() {
                true => f.write_str("true")?,
                false => write_table(f, &grant.0)?,
            }
            between = ", ";
        }
        f.write_str(if self.0.is_empty() { "{}" } else { " }" })
    }
}

fn write_table(f: &mut fmt::Formatter<'_>, table: &Object) -> fmt::Result {
    let mut between = "{ ";
    // TOML has no null.
    for (name, value) in table.iter().filter(|(_, value)| !value.is_null()) {
        write!(f, "{between}{} = ", key(name))?;
        write_value(f, value)?;
        between = ", ";
    }
    f.write_str(if between == "{ " { "{}" } else { " }" })
}

fn write_value(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::String(text) => f.write_str(&quoted(text)),
        Value::Object(table) => write_table(f, table),
        Value::Array(items) => {
            f.write_str("[")?;
            for (index, item) in items.iter().enumerate() {
                f.write_str(if index == 0 { "" } else { ", " })?;
                write_value(f, item)?;
            }
            f.write_str("]")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => write!(f, "{value}"),
    }
}

/// Formats a TOML key, with quotes if needed.
pub(crate) fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !name.is_empty() && name.chars().all(is_bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{GrantKind as _, SimpleGrantKind};
    use crate::testing::kinds;

    fn only(names: &[&str]) -> Grant {
        Grant::only(
            "resources",
            names.iter().map(|&name| name.to_owned()).collect(),
        )
    }

    #[test]
    fn a_narrowed_grant_reaches_names_and_prefixes() {
        let grant = only(&["volumes", "gigabytes_*"]);
        for (name, reached) in [
            ("volumes", true),
            ("volumes_fast", false),
            ("gigabytes_fast", true),
            ("gigabytes", false),
        ] {
            assert_eq!(grant.reaches("resources", name), reached, "{name}");
        }
        assert!(grant.reaches("topics", "anything"));
    }

    #[test]
    fn a_list_that_is_none_reaches_nothing() {
        let grant = serde_json::from_str::<Grant>(r#"{"resources": "volumes"}"#).unwrap();
        assert!(!grant.reaches("resources", "volumes"));
    }

    #[test]
    fn two_grants_together_reach_what_each_of_them_does() {
        let quota = SimpleGrantKind::new("quota", &[], &[]).narrowed_by("resources");
        let names = [
            "volumes",
            "volumes_fast",
            "volumes_f",
            "gigabytes",
            "snapshots",
            "s",
        ];
        let lists = [
            None,
            Some(vec!["volumes"]),
            Some(vec!["volumes*"]),
            Some(vec!["volumes_*", "gigabytes"]),
            Some(vec!["*"]),
            Some(vec!["volumes_f*", "s"]),
        ];
        let grant = |list: &Option<Vec<&str>>| list.as_deref().map_or_else(Grant::all, only);
        for one in &lists {
            for other in &lists {
                let both = quota.within(&grant(one), &grant(other));
                for name in names {
                    let reached = both
                        .as_ref()
                        .is_some_and(|both| both.reaches("resources", name));
                    let each = [one, other].map(|list| grant(list).reaches("resources", name));
                    assert_eq!(reached, each == [true; 2], "{one:?}, {other:?}: {name}");
                }
            }
        }
    }

    #[test]
    fn grants_are_written_in_the_order_of_the_registry() {
        let mut grants = Grants::default();
        for (name, grant) in [
            ("rpc", Grant::all()),
            ("quota", only(&["volumes", "gigabytes"])),
            ("results", Grant::all()),
            ("keys", Grant::all()),
        ] {
            grants.insert(name, grant, &kinds());
        }
        let json =
            r#"{"results":{},"keys":{},"quota":{"resources":["gigabytes","volumes"]},"rpc":{}}"#;
        assert_eq!(serde_json::to_string(&grants).unwrap(), json);
        assert_eq!(serde_json::from_str::<Grants>(json).unwrap(), grants);
        assert_eq!(
            grants.to_string(),
            r#"{ results = true, keys = true, quota = { resources = ["gigabytes", "volumes"] }, rpc = true }"#
        );
    }

    #[test]
    fn a_capability_that_is_not_registered_survives_json_and_is_named() {
        let json = r#"{"records":{"access":"read","collections":["dns"],"depth":2},"keys":{}}"#;
        let grants: Grants = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&grants).unwrap(), json);
        assert_eq!(
            grants.to_string(),
            r#"{ records = { access = "read", collections = ["dns"], depth = 2 }, keys = true }"#
        );
        assert_eq!(grants.unregistered(&kinds()), Some("records"));
        assert_eq!(Grants::default().unregistered(&kinds()), None);
    }
}
