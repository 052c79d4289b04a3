//! The grants that the operator allows plugins, independent of the manifest: the table `[allow]` of `cairn.toml`.
//!
//! ```toml
//! [allow]
//! "builtin:*" = true                                      # whatever a manifest grants them
//! "builtin:volume-cast" = { rpc = { topics = ["cinder-*"] }, volumes = true, catalog = true }
//! "9f2c…" = { keys = true }                               # one component, by its digest
//! "*" = { results = true, quota = { resources = ["volumes*"] } }
//! ```
//!
//! Only the closest entry counts: a digest, then `builtin:NAME`, then `builtin:*`, then `*`. A capability that it does not name
//! is not allowed, nor is any to a plugin without an entry. A plugin's key in a manifest does not count, since the manifest's
//! author chooses it. Without the table everything is allowed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cairn_model::error::Diagnostic;
use cairn_model::value::Digest;

use crate::document::{Item, Table};
use crate::manifest::{GrantKinds, Grants};

/// The grants that the operator allows plugins; by default all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow(Option<Entries>);

/// The entries of the table by their keys, and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entries {
    file: PathBuf,
    by_plugin: BTreeMap<String, Reach>,
}

/// What is known of where a component comes from.
#[derive(Clone, Copy)]
struct Origin<'a> {
    digest: Digest,
    /// Its name, if it is built in.
    builtin: Option<&'a str>,
}

/// A reason to trust a component, and how keys of the table write it.
trait Trust: Sync {
    /// Returns the canonical form of a key of the table that names components by this reason; `None` for any other key.
    fn read(&self, key: &str) -> Option<String>;

    /// Returns the key that names a component by this reason; `None` if none does.
    fn key(&self, origin: Origin<'_>) -> Option<String>;
}

/// The reasons, closest first.
const TRUSTS: &[&dyn Trust] = &[&ByDigest, &ByName, &BuiltIn, &Anybody];

/// One component, by its digest.
struct ByDigest;

/// A built-in component, by its name: `builtin:NAME`.
struct ByName;

/// Any built-in component: `builtin:*`.
struct BuiltIn;

/// Any component: `*`.
struct Anybody;

const BUILTIN: &str = "builtin:";
const EVERY_BUILTIN: &str = "builtin:*";
const EVERY: &str = "*";

impl Trust for ByDigest {
    fn read(&self, key: &str) -> Option<String> {
        Some(key.parse::<Digest>().ok()?.to_string())
    }

    fn key(&self, origin: Origin<'_>) -> Option<String> {
        Some(origin.digest.to_string())
    }
}

impl Trust for ByName {
    fn read(&self, key: &str) -> Option<String> {
        let name = key.strip_prefix(BUILTIN)?;
        (!name.is_empty() && !name.contains('*')).then(|| key.to_owned())
    }

    fn key(&self, origin: Origin<'_>) -> Option<String> {
        origin.builtin.map(|name| format!("{BUILTIN}{name}"))
    }
}

impl Trust for BuiltIn {
    fn read(&self, key: &str) -> Option<String> {
        (key == EVERY_BUILTIN).then(|| key.to_owned())
    }

    fn key(&self, origin: Origin<'_>) -> Option<String> {
        origin.builtin.map(|_| EVERY_BUILTIN.to_owned())
    }
}

impl Trust for Anybody {
    fn read(&self, key: &str) -> Option<String> {
        (key == EVERY).then(|| key.to_owned())
    }

    fn key(&self, _: Origin<'_>) -> Option<String> {
        Some(EVERY.to_owned())
    }
}

/// The grants that an entry allows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reach {
    Everything,
    Nothing,
    Within(Grants),
}

/// A grant that the operator does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAllowed {
    /// The granted capability.
    pub capability: String,
    /// The key that would have to allow it, such as `allow."*".rpc`.
    pub key: String,
    /// The file of that key.
    pub file: PathBuf,
    /// Whether the capability is allowed, but not for any name that the grant reaches.
    pub out_of_reach: bool,
}

impl Allow {
    /// Reads the table of `file`.
    pub(crate) fn read(
        table: &Table<'_>,
        file: &Path,
        kinds: &GrantKinds,
    ) -> Result<Self, Diagnostic> {
        let mut by_plugin = BTreeMap::new();
        for (key, item) in table.items() {
            let key = TRUSTS.iter().find_map(|trust| trust.read(key));
            let key = key.ok_or_else(|| {
                item.error("names no plugins").help(
                    "write \"*\", \"builtin:*\", \"builtin:NAME\" or the SHA-256 digest of a component, in quotes",
                )
            })?;
            by_plugin.insert(key, reach(&item, kinds)?);
        }
        Ok(Self(Some(Entries {
            file: file.to_owned(),
            by_plugin,
        })))
    }

    /// Returns what remains of the grants of a component with this digest, and this name if it is built in.
    ///
    /// # Errors
    /// The first grant that is not allowed at all.
    pub fn check(
        &self,
        builtin: Option<&str>,
        digest: Digest,
        grants: &Grants,
        kinds: &GrantKinds,
    ) -> Result<Grants, NotAllowed> {
        let Some(entries) = &self.0 else {
            return Ok(grants.clone());
        };
        let allowed = self.narrow(builtin, digest, grants, kinds);
        let Some((capability, _)) = grants.iter().find(|(one, _)| !allowed.has(one)) else {
            return Ok(allowed);
        };
        let entry = entries.closest(Origin { digest, builtin });
        let plugins = entry.map_or(EVERY, |(key, _)| key);
        let out_of_reach = entry.is_some_and(|(_, reach)| match reach {
            Reach::Within(within) => within.has(capability),
            Reach::Everything | Reach::Nothing => false,
        });
        Err(NotAllowed {
            capability: capability.to_owned(),
            key: format!("allow.\"{plugins}\".{capability}"),
            file: entries.file.clone(),
            out_of_reach,
        })
    }

    /// Returns what remains of the grants of a component with this digest, and this name if it is built in; drops grants that
    /// are not allowed.
    pub fn narrow(
        &self,
        builtin: Option<&str>,
        digest: Digest,
        grants: &Grants,
        kinds: &GrantKinds,
    ) -> Grants {
        let Some(entries) = &self.0 else {
            return grants.clone();
        };
        match entries.closest(Origin { digest, builtin }) {
            Some((_, Reach::Everything)) => grants.clone(),
            Some((_, Reach::Within(within))) => grants.within(within, kinds),
            Some((_, Reach::Nothing)) | None => Grants::default(),
        }
    }
}

impl Entries {
    fn closest(&self, origin: Origin<'_>) -> Option<(&str, &Reach)> {
        let mut keys = TRUSTS.iter().filter_map(|trust| trust.key(origin));
        let (key, reach) = keys.find_map(|key| self.by_plugin.get_key_value(&key))?;
        Some((key, reach))
    }
}

fn reach(item: &Item<'_>, kinds: &GrantKinds) -> Result<Reach, Diagnostic> {
    match (item.as_bool(), item.as_table()) {
        (Some(true), _) => Ok(Reach::Everything),
        (Some(false), _) => Ok(Reach::Nothing),
        (None, Some(table)) => Ok(Reach::Within(Grants::read(table, kinds)?)),
        (None, None) => Err(item
            .error("must be true, false, or a table of grants")
            .help("write `true` for everything, or what is allowed, as in `{ results = true }`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::testing::kinds;

    fn allow(text: &str) -> Allow {
        Config::parse(text, Path::new("etc/cairn.toml"), &kinds(), &[])
            .map(|config| config.allow)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn grants(text: &str) -> Grants {
        let text = format!("[allow]\n'*' = {{ {text} }}");
        match allow(&text).0.unwrap().by_plugin.remove(EVERY) {
            Some(Reach::Within(grants)) => grants,
            other => panic!("{other:?}"),
        }
    }

    /// Returns what remains of grants, or the key that forbids one.
    #[track_caller]
    fn check(allow: &Allow, builtin: Option<&str>, granted: &str) -> Result<Grants, String> {
        let digest = Digest::of(b"a component");
        let checked = allow.check(builtin, digest, &grants(granted), &kinds());
        if let Ok(remaining) = &checked {
            assert_eq!(
                *remaining,
                allow.narrow(builtin, digest, &grants(granted), &kinds()),
                "both give the same"
            );
        }
        checked.map_err(|error| error.key)
    }

    #[test]
    fn without_the_table_everything_is_allowed() {
        let all = "results = true, quota = { resources = ['volumes'] }";
        assert_eq!(check(&allow(""), None, all), Ok(grants(all)));
    }

    #[test]
    fn an_empty_table_allows_nothing() {
        let allow = allow("[allow]");
        assert_eq!(check(&allow, None, ""), Ok(Grants::default()));
        assert_eq!(
            check(&allow, Some("inject"), "keys = true"),
            Err("allow.\"*\".keys".to_owned())
        );
    }

    #[test]
    fn the_closest_entry_decides_alone() {
        let digest = Digest::of(b"a component");
        let by = [
            format!("'{digest}' = {{ zones = true }}"),
            "'builtin:inject' = { results = true }".to_owned(),
            "'builtin:*' = true".to_owned(),
            "'*' = { keys = true }".to_owned(),
        ];
        let from = |first: usize| allow(&format!("[allow]\n{}", by[first..].join("\n")));
        assert!(check(&from(0), Some("inject"), "zones = true").is_ok());
        assert_eq!(
            check(&from(0), Some("inject"), "results = true"),
            Err(format!("allow.\"{digest}\".results"))
        );
        assert!(check(&from(1), Some("inject"), "results = true").is_ok());
        assert_eq!(
            check(&from(1), Some("inject"), "keys = true"),
            Err("allow.\"builtin:inject\".keys".to_owned())
        );
        assert!(check(&from(1), Some("other"), "rpc = true, volumes = true").is_ok());
        assert!(
            check(&from(1), None, "keys = true").is_ok(),
            "a file is not built in"
        );
        assert_eq!(
            check(&from(1), None, "rpc = true"),
            Err("allow.\"*\".rpc".to_owned())
        );
        assert_eq!(
            check(&from(3), Some("inject"), "rpc = true"),
            Err("allow.\"*\".rpc".to_owned())
        );
    }

    #[test]
    fn false_forbids_everything() {
        let allow = allow("[allow]\n'builtin:*' = false\n'*' = true");
        assert_eq!(
            check(&allow, Some("inject"), "zones = true"),
            Err("allow.\"builtin:*\".zones".to_owned())
        );
        assert!(check(&allow, None, "zones = true").is_ok());
    }

    #[test]
    fn a_grant_is_narrowed_to_what_is_allowed() {
        let allow = allow(
            "[allow.'*']\nquota = { resources = ['volumes*', 'gigabytes'] }\nrpc = { topics = ['a'] }\nkeys = false",
        );
        for (granted, remaining) in [
            (
                "quota = true",
                "quota = { resources = ['volumes*', 'gigabytes'] }",
            ),
            (
                "quota = { resources = ['volumes_fast', 'snapshots'] }",
                "quota = { resources = ['volumes_fast'] }",
            ),
            (
                "quota = { resources = ['vol*', 'giga*'] }",
                "quota = { resources = ['volumes*', 'gigabytes'] }",
            ),
            (
                "quota = { resources = ['volumes_*'] }",
                "quota = { resources = ['volumes_*'] }",
            ),
            ("rpc = { topics = ['a', 'b'] }", "rpc = { topics = ['a'] }"),
        ] {
            assert_eq!(check(&allow, None, granted), Ok(grants(remaining)));
        }
        let digest = Digest::of(b"x");
        let error = allow
            .check(None, digest, &grants("rpc = { topics = ['b'] }"), &kinds())
            .unwrap_err();
        assert!(error.out_of_reach);
        assert_eq!(error.file, Path::new("etc/cairn.toml"));
        let error = allow
            .check(None, digest, &grants("keys = true"), &kinds())
            .unwrap_err();
        assert!(!error.out_of_reach);
        let left = allow.narrow(None, digest, &grants("keys = true, rpc = true"), &kinds());
        assert_eq!(left, grants("rpc = { topics = ['a'] }"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_the_fix() {
        for (text, expected) in [
            (
                "[allow]\nnaming = true",
                "`allow.naming` names no plugins\n  --> c.toml:2\n  help: write \"*\"",
            ),
            (
                "[allow]\n'builtin:quota-*' = true",
                "`allow.builtin:quota-*` names no plugins",
            ),
            (
                "[allow]\n'*' = 1",
                "`allow.*` must be true, false, or a table of grants\n  --> c.toml:2",
            ),
            (
                "[allow.'*']\nquotas = true",
                "unknown key `quotas` in [allow.*]\n  --> c.toml:2\n  help: did you mean `quota`?",
            ),
            (
                "[allow.'*']\nkeys = {}",
                "`allow.*.keys` cannot be narrowed",
            ),
            ("allow = true", "`allow` must be a table, not a boolean"),
        ] {
            let error = Config::parse(text, Path::new("c.toml"), &kinds(), &[]).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
