//! The lock file: a record of a manifest's plugins, so that a run can refuse changed ones.
//!
//! For each plugin it records the digest (or, for a built-in one, whose bytes come with the program, the version of the
//! contract), its description, and those grants of the manifest that it imports. The operator's `[allow]` is not part of it:
//! that may differ from machine to machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use cairn_model::contract::CONTRACT;
use cairn_model::error::Diagnostic;
use cairn_model::printable;
use cairn_model::value::Digest;

use crate::document::{Document, Item, Table, quoted};
use crate::manifest::{GrantKinds, Grants, Manifest, interface, key};
use crate::plan::Inspected;

/// The version of the format.
const FORMAT: i64 = 1;

/// The recorded plugins of one manifest, by their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFile(BTreeMap<String, Locked>);

/// The record of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Locked {
    source: Source,
    name: String,
    version: String,
    imports: BTreeSet<String>,
    requires: BTreeSet<String>,
    optional: BTreeSet<String>,
    provides: BTreeSet<String>,
    grants: Grants,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    File { sha256: Digest },
    Builtin { name: String, contract: String },
}

/// One difference from the lock file. As text: `naming: version 1.0 -> 1.1`, or `naming: imports + quota`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Key of the plugin.
    pub plugin: String,
    /// The part that differs, such as `sha256` or `imports`.
    pub part: &'static str,
    /// The value in the lock file; `None` if it was added.
    pub old: Option<String>,
    /// The present value; `None` if it is gone.
    pub new: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", printable::line(&self.plugin), self.part)?;
        let [old, new] = [&self.old, &self.new].map(|text| text.as_deref().map(printable::line));
        match (old, new) {
            (Some(old), Some(new)) => write!(f, "{old} -> {new}"),
            (Some(old), None) => write!(f, "- {old}"),
            (None, Some(new)) => write!(f, "+ {new}"),
            (None, None) => Ok(()),
        }
    }
}

impl LockFile {
    /// Returns the path of a manifest's lock file: `flow.lock` beside `flow.toml`.
    pub fn path(manifest: &Path) -> PathBuf {
        manifest.with_extension("lock")
    }

    /// Records the present plugins of a manifest. `inspected` holds those that the flow uses, by their keys.
    pub fn of(
        manifest: &Manifest,
        inspected: &BTreeMap<String, Inspected>,
        kinds: &GrantKinds,
    ) -> Self {
        let locked = inspected.iter().filter_map(|(key, found)| {
            let granted = &manifest.plugins.get(key)?.grants;
            Some((key.clone(), Locked::of(found, granted, kinds)))
        });
        Self(locked.collect())
    }

    /// Parses a lock file. `file` names it in messages. It may contain grants of the capabilities in `kinds` only.
    ///
    /// # Errors
    /// The problem, with its line: text that is not TOML, an unknown or missing key, a format of a later version.
    pub fn parse(text: &str, file: &Path, kinds: &GrantKinds) -> Result<Self, Diagnostic> {
        let document = Document::new(text, file)?;
        let entries = document.parse()?;
        let root = document.root(&entries).only(&["lock", "plugins"])?;
        let format = needed(&root, "lock")?;
        if format.integer()? != FORMAT {
            return Err(format
                .error(format!(
                    "must be {FORMAT}, which is what this program reads"
                ))
                .help(REWRITE));
        }
        let mut plugins = BTreeMap::new();
        for (key, item) in needed(&root, "plugins")?.table()?.items() {
            plugins.insert(key.to_owned(), Locked::read(item.table()?, kinds)?);
        }
        Ok(Self(plugins))
    }

    /// Returns the differences of `now` from this lock file, plugin by plugin.
    pub fn differences(&self, now: &Self, kinds: &GrantKinds) -> Vec<Difference> {
        let keys: BTreeSet<&String> = self.0.keys().chain(now.0.keys()).collect();
        let mut found = Vec::new();
        for key in keys {
            match (self.0.get(key), now.0.get(key)) {
                (Some(old), Some(new)) => old.differ(new, key, kinds, &mut found),
                (old, new) => found.push(Difference {
                    plugin: key.clone(),
                    part: "plugin",
                    old: old.map(Locked::title),
                    new: new.map(Locked::title),
                }),
            }
        }
        found
    }

    /// Refuses plugins that differ from this lock file, which was read from `file`.
    ///
    /// # Errors
    /// All differences, one per line.
    pub fn check(&self, now: &Self, file: &Path, kinds: &GrantKinds) -> Result<(), Diagnostic> {
        let differences = self.differences(now, kinds);
        if differences.is_empty() {
            return Ok(());
        }
        let message = "the plugins are not those of the lock file";
        Err(Diagnostic::new(message).list(differences).at(file, None).help(
            "restore the plugins that it names, or accept the change and write the lock file again with `cairn plan FLOW --lock`",
        ))
    }

    /// Formats the lock file of `manifest`: always the same for the same plugins.
    pub fn to_text(&self, manifest: &Path) -> String {
        let name = manifest.file_name().unwrap_or(manifest.as_os_str());
        let name = name.to_string_lossy();
        let name = printable::line(&name);
        let mut text = format!(
            "# The plugins of {name}, written by `cairn plan --lock`. `cairn run --locked` refuses others.\nlock = {FORMAT}\n"
        );
        for (key, plugin) in &self.0 {
            plugin.write(key, &mut text);
        }
        if self.0.is_empty() {
            text.push_str("\n[plugins]\n");
        }
        text
    }
}

const REWRITE: &str = "write the lock file again with `cairn plan FLOW --lock`";

/// Returns a key that a lock file must have.
fn needed<'d>(table: &Table<'d>, key: &str) -> Result<Item<'d>, Diagnostic> {
    table.get(key).ok_or_else(|| {
        table
            .error(format!("`{key}` is missing: this is no lock file"))
            .help(REWRITE)
    })
}

impl Locked {
    fn of(found: &Inspected, granted: &Grants, kinds: &GrantKinds) -> Self {
        let descriptor = &found.descriptor;
        let (major, minor) = descriptor.version;
        let set = |names: &[String]| names.iter().cloned().collect();
        // `types` has no functions, so importing it requests nothing.
        let imports = found.imports.iter().map(|import| interface(import));
        let imports: BTreeSet<&str> = imports.filter(|import| *import != "types").collect();
        let needed = found.imports.iter();
        let needed = needed.filter_map(|import| Some(kinds.of_interface(import)?.name()));
        let needed: BTreeSet<&str> = needed.collect();
        let mut grants = granted.clone();
        grants.retain(|capability| needed.contains(capability));
        Self {
            source: match &found.builtin {
                Some(name) => Source::Builtin {
                    name: name.clone(),
                    contract: CONTRACT.to_owned(),
                },
                None => Source::File {
                    sha256: found.digest,
                },
            },
            name: descriptor.name.clone(),
            version: format!("{major}.{minor}"),
            imports: imports.into_iter().map(str::to_owned).collect(),
            requires: set(&descriptor.requires),
            optional: set(&descriptor.optional),
            provides: set(&descriptor.provides),
            grants,
        }
    }

    fn read(table: Table<'_>, kinds: &GrantKinds) -> Result<Self, Diagnostic> {
        let table = table.only(&[
            "sha256", "builtin", "contract", "name", "version", "imports", "requires", "optional",
            "provides", "grants",
        ])?;
        let text = |key| Ok(needed(&table, key)?.text()?.to_owned());
        let set = |key| -> Result<BTreeSet<String>, Diagnostic> {
            let names = needed(&table, key)?;
            let names = names.array()?;
            names.map(|name| Ok(name.text()?.to_owned())).collect()
        };
        let source = match table.get("builtin") {
            Some(name) => Source::Builtin {
                name: name.text()?.to_owned(),
                contract: text("contract")?,
            },
            None => {
                let digest = needed(&table, "sha256")?;
                let parsed = digest.text()?.parse();
                Source::File {
                    sha256: parsed
                        .map_err(|_| digest.error("is no SHA-256 digest").help(REWRITE))?,
                }
            }
        };
        Ok(Self {
            source,
            name: text("name")?,
            version: text("version")?,
            imports: set("imports")?,
            requires: set("requires")?,
            optional: set("optional")?,
            provides: set("provides")?,
            grants: Grants::read(needed(&table, "grants")?.table()?, kinds)?,
        })
    }

    fn write(&self, plugin: &str, text: &mut String) {
        let list = |names: &BTreeSet<String>| {
            let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
            format!("[{}]", names.join(", "))
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n[plugins.{}]", key(plugin));
        let mut line = |key: &str, value: String| {
            let _ = writeln!(text, "{key} = {value}");
        };
        match &self.source {
            Source::File { sha256 } => line("sha256", quoted(&sha256.to_string())),
            Source::Builtin { name, contract } => {
                line("builtin", quoted(name));
                line("contract", quoted(contract));
            }
        }
        line("name", quoted(&self.name));
        line("version", quoted(&self.version));
        line("imports", list(&self.imports));
        line("requires", list(&self.requires));
        line("optional", list(&self.optional));
        line("provides", list(&self.provides));
        line("grants", self.grants.to_string());
    }

    fn title(&self) -> String {
        match &self.source {
            Source::File { sha256 } => format!("{}=={} ({sha256})", self.name, self.version),
            Source::Builtin { name, .. } => {
                format!("{}=={} (builtin:{name})", self.name, self.version)
            }
        }
    }

    fn differ(&self, new: &Self, plugin: &str, kinds: &GrantKinds, found: &mut Vec<Difference>) {
        let mut differ = |part, old: Option<String>, new: Option<String>| {
            if old != new {
                found.push(Difference {
                    plugin: plugin.to_owned(),
                    part,
                    old,
                    new,
                });
            }
        };
        let (old_facts, new_facts) = (self.source.facts(), new.source.facts());
        for (part, (old, new)) in ["builtin", "contract", "sha256"]
            .into_iter()
            .zip(old_facts.into_iter().zip(new_facts))
        {
            differ(part, old, new);
        }
        differ("name", Some(self.name.clone()), Some(new.name.clone()));
        let version = |of: &Self| Some(of.version.clone());
        differ("version", version(self), version(new));
        for (part, old, new) in [
            ("imports", &self.imports, &new.imports),
            ("requires", &self.requires, &new.requires),
            ("optional", &self.optional, &new.optional),
            ("provides", &self.provides, &new.provides),
        ] {
            for gone in old.difference(new) {
                differ(part, Some(gone.clone()), None);
            }
            for added in new.difference(old) {
                differ(part, None, Some(added.clone()));
            }
        }
        let granted = |of: &Self, capability: &str| {
            let grant = of.grants.get(capability)?.clone();
            Some(Grants::from_iter([(capability.to_owned(), grant)]).to_string())
        };
        for capability in kinds.names() {
            differ(
                "grants",
                granted(self, capability),
                granted(new, capability),
            );
        }
    }
}

impl Source {
    /// Returns built-in name, contract, digest.
    fn facts(&self) -> [Option<String>; 3] {
        match self {
            Self::File { sha256 } => [None, None, Some(sha256.to_string())],
            Self::Builtin { name, contract } => [Some(name.clone()), Some(contract.clone()), None],
        }
    }
}

#[cfg(test)]
mod tests;
