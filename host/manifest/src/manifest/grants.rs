//! Which capabilities a plugin is granted, and how far each goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use cairn_model::error::Diagnostic;

use crate::document::{Item, Table, quoted};

/// A WIT interface that a plugin may import only when it is granted.
///
/// `context` and `log` are no capabilities: every plugin has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// The results map so far.
    Results,
    /// The operator's policy rules.
    Policy,
    /// Availability zones.
    Zones,
    /// Volume types, QoS specs, snapshots and volumes; read only.
    Catalog,
    /// The image registry; read only.
    Images,
    /// The key store.
    Keys,
    /// Quotas; may be narrowed to some resources.
    Quota,
    /// Volumes of the caller's project.
    Volumes,
    /// Casts to other services; may be narrowed to some topics.
    Rpc,
}

impl Capability {
    /// Every capability, in the order of the design's list.
    pub const ALL: [Self; 9] = [
        Self::Results,
        Self::Policy,
        Self::Zones,
        Self::Catalog,
        Self::Images,
        Self::Keys,
        Self::Quota,
        Self::Volumes,
        Self::Rpc,
    ];

    /// Name of its interface in the WIT package `cairn:plugin`, and of its grant in a manifest.
    pub const fn interface(self) -> &'static str {
        match self {
            Self::Results => "results",
            Self::Policy => "policy",
            Self::Zones => "zones",
            Self::Catalog => "catalog",
            Self::Images => "images",
            Self::Keys => "keys",
            Self::Quota => "quota",
            Self::Volumes => "volumes",
            Self::Rpc => "rpc",
        }
    }

    /// The capability of an interface, which may be given as `quota`, `cairn:plugin/quota` or `cairn:plugin/quota@0.1.0`.
    pub fn of_interface(name: &str) -> Option<Self> {
        let name = interface(name);
        Self::ALL
            .into_iter()
            .find(|capability| capability.interface() == name)
    }

    /// The key that narrows its grant, if one does.
    const fn narrowing(self) -> Option<&'static str> {
        match self {
            Self::Quota => Some("resources"),
            Self::Rpc => Some("topics"),
            Self::Results
            | Self::Policy
            | Self::Zones
            | Self::Catalog
            | Self::Images
            | Self::Keys
            | Self::Volumes => None,
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.interface())
    }
}

/// An interface of `cairn:plugin` without its package and version; a name of another package as it is.
pub(crate) fn interface(name: &str) -> &str {
    let name = name
        .strip_prefix(cairn_model::contract::PACKAGE)
        .unwrap_or(name);
    match name.contains(':') {
        true => name,
        false => name.split_once('@').map_or(name, |(name, _)| name),
    }
}

/// How far a granted capability goes. A list of names may hold prefixes: `volumes_*` is every name that starts so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Quota resources it reaches; `None` is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<BTreeSet<String>>,
    /// Topics that may be cast to; `None` is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<BTreeSet<String>>,
}

impl Grant {
    /// Whether the quota resource `name` is within reach.
    pub fn reaches_resource(&self, name: &str) -> bool {
        reaches(self.resources.as_ref(), name)
    }

    /// Whether the topic `name` is within reach.
    pub fn reaches_topic(&self, name: &str) -> bool {
        reaches(self.topics.as_ref(), name)
    }

    /// What both grants reach; `None` when that is nothing.
    pub fn within(&self, other: &Self) -> Option<Self> {
        Some(Self {
            resources: in_both(self.resources.as_ref(), other.resources.as_ref())?,
            topics: in_both(self.topics.as_ref(), other.topics.as_ref())?,
        })
    }

    fn read(capability: Capability, item: &Item<'_>) -> Result<Option<Self>, Diagnostic> {
        if let Some(granted) = item.as_bool() {
            return Ok(granted.then(Self::default));
        }
        let Some(table) = item.as_table() else {
            return Err(item
                .error("must be true, false, or a table that narrows the grant")
                .help(format!("write `{capability} = true`")));
        };
        let Some(key) = capability.narrowing() else {
            return Err(item
                .error("cannot be narrowed")
                .help(format!("write `{capability} = true`")));
        };
        let Some(names) = table.only(&[key])?.get(key) else {
            return Err(item
                .error("narrows nothing")
                .help(format!("write `{capability} = true`, or name the {key}")));
        };
        let reach = Some(read_names(&names)?);
        Ok(Some(match capability {
            Capability::Rpc => Self {
                topics: reach,
                resources: None,
            },
            _ => Self {
                resources: reach,
                topics: None,
            },
        }))
    }
}

fn reaches(names: Option<&BTreeSet<String>>, name: &str) -> bool {
    names.is_none_or(|names| names.iter().any(|pattern| covers(pattern, name)))
}

/// Whether every name that `narrow` stands for, a name or a prefix, is one of `pattern`.
fn covers(pattern: &str, narrow: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => narrow.starts_with(prefix),
        None => narrow == pattern,
    }
}

/// The names of both lists; `None` when there are none. A list that is left out holds every name.
fn in_both(
    one: Option<&BTreeSet<String>>,
    other: Option<&BTreeSet<String>>,
) -> Option<Option<BTreeSet<String>>> {
    let (Some(one), Some(other)) = (one, other) else {
        return Some(one.or(other).cloned());
    };
    // Of two names or prefixes that meet, one covers the other.
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
    let meet = pairs.filter_map(|(a, b)| match (covers(a, b), covers(b, a)) {
        (true, _) => Some(b.clone()),
        (false, true) => Some(a.clone()),
        (false, false) => None,
    });
    let meet: BTreeSet<String> = meet.collect();
    (!meet.is_empty()).then_some(Some(meet))
}

fn read_names(item: &Item<'_>) -> Result<BTreeSet<String>, Diagnostic> {
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

/// The capabilities that one plugin is granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grants(pub BTreeMap<Capability, Grant>);

impl Grants {
    /// The grant of `capability`, if it is granted.
    pub fn get(&self, capability: Capability) -> Option<&Grant> {
        self.0.get(&capability)
    }

    /// Whether `capability` is granted at all.
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains_key(&capability)
    }

    /// What is granted, in the order of [`Capability::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Capability, &Grant)> {
        self.0
            .iter()
            .map(|(capability, grant)| (*capability, grant))
    }

    /// What both grant, as far as both reach.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        let both = self.iter().filter_map(|(capability, grant)| {
            Some((capability, grant.within(other.get(capability)?)?))
        });
        Self(both.collect())
    }

    pub(crate) fn read(table: Table<'_>) -> Result<Self, Diagnostic> {
        let table = table.only(&Capability::ALL.map(Capability::interface))?;
        let mut grants = Self::default();
        for capability in Capability::ALL {
            if let Some(item) = table.get(capability.interface())
                && let Some(grant) = Grant::read(capability, &item)?
            {
                grants.0.insert(capability, grant);
            }
        }
        Ok(grants)
    }
}

/// As a manifest has it: `{ keys = true, quota = { resources = ["volumes"] } }`.
impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "{ ";
        for (capability, grant) in self.iter() {
            let narrowed = match capability {
                Capability::Rpc => grant.topics.as_ref(),
                _ => grant.resources.as_ref(),
            };
            match (capability.narrowing(), narrowed) {
                (Some(key), Some(names)) => {
                    let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
                    write!(
                        f,
                        "{between}{capability} = {{ {key} = [{}] }}",
                        names.join(", ")
                    )?;
                }
                _ => write!(f, "{between}{capability} = true")?,
            }
            between = ", ";
        }
        f.write_str(if self.0.is_empty() { "{}" } else { " }" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_found_by_each_of_its_names() {
        for capability in Capability::ALL {
            let name = capability.interface();
            for name in [
                name.to_owned(),
                format!("cairn:plugin/{name}"),
                format!("cairn:plugin/{name}@0.1.0"),
            ] {
                assert_eq!(Capability::of_interface(&name), Some(capability), "{name}");
            }
            // The name in stored JSON is the interface's too.
            assert_eq!(serde_json::to_value(capability).unwrap(), name);
        }
        for name in ["context", "log", "", "wasi:io/poll", "cairn:other/quota"] {
            assert_eq!(Capability::of_interface(name), None, "{name}");
        }
    }

    #[test]
    fn a_narrowed_grant_reaches_names_and_prefixes() {
        let grant = Grant {
            resources: Some(["volumes", "gigabytes_*"].map(str::to_owned).into()),
            topics: None,
        };
        for (name, reached) in [
            ("volumes", true),
            ("volumes_fast", false),
            ("gigabytes_fast", true),
            ("gigabytes", false),
        ] {
            assert_eq!(grant.reaches_resource(name), reached, "{name}");
        }
        assert!(grant.reaches_topic("anything"));
    }

    #[test]
    fn two_grants_together_reach_what_each_of_them_does() {
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
        let grant = |list: &Option<Vec<&str>>| Grant {
            resources: list
                .as_ref()
                .map(|list| list.iter().map(|&name| name.to_owned()).collect()),
            topics: None,
        };
        for one in &lists {
            for other in &lists {
                let both = grant(one).within(&grant(other));
                for name in names {
                    let reached = both
                        .as_ref()
                        .is_some_and(|both| both.reaches_resource(name));
                    let each = [one, other].map(|list| grant(list).reaches_resource(name));
                    assert_eq!(reached, each == [true; 2], "{one:?}, {other:?}: {name}");
                }
            }
        }
    }
}
