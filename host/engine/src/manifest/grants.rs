//! Which capabilities a plugin is granted, and how far each goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::document::{Item, Table};
use crate::error::Diagnostic;

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
        let name = name.strip_prefix("cairn:plugin/").unwrap_or(name);
        let name = name.split_once('@').map_or(name, |(name, _)| name);
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
    names.is_none_or(|names| {
        names.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        })
    })
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

    pub(super) fn read(table: Table<'_>) -> Result<Self, Diagnostic> {
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
}
