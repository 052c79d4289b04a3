//! Compares two versions of a plugin.
//!
//! A change *widens* if users of the plugin must review it: the plugin imports another interface, takes another input, requires
//! an input that was optional, provides or exports less, or may refuse settings that were valid. All other changes, such as a
//! new version or size, or a setting that has become optional, are reported and do not widen.

use std::collections::BTreeSet;

use serde::Serialize;

use cairn_model::value::{Digest, Object, Value};

use crate::manifest::{GrantKinds, interface};
use crate::plan::{Descriptor, check_settings};

mod schema;

/// The properties of one version of a plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginVersion {
    /// Digest of the component.
    pub digest: Digest,
    /// Size of the component in bytes.
    pub size: u64,
    /// Full names of the interfaces that it imports.
    pub imports: BTreeSet<String>,
    /// Full names of the interfaces that it exports.
    pub exports: BTreeSet<String>,
    /// The JSON schema of its settings.
    pub settings_schema: Value,
    /// Its description for the settings that both versions were given, or the reason why there is none.
    pub descriptor: Result<Descriptor, String>,
}

/// The part of a plugin that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// Its digest.
    Sha256,
    /// Its size in bytes.
    Size,
    /// Its name.
    Name,
    /// Its version.
    Version,
    /// An interface that it exports.
    Exports,
    /// An interface that it imports.
    Imports,
    /// A required input.
    Requires,
    /// An optional input.
    Optional,
    /// A name that its result contains.
    Provides,
    /// The schema of its settings, or whether it accepts the given settings.
    Settings,
}

impl Part {
    /// Returns the part as written in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Size => "size",
            Self::Name => "name",
            Self::Version => "version",
            Self::Exports => "exports",
            Self::Imports => "imports",
            Self::Requires => "requires",
            Self::Optional => "optional",
            Self::Provides => "provides",
            Self::Settings => "settings",
        }
    }
}

/// One change between two versions of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PluginChange {
    /// The part that changed.
    pub part: Part,
    /// An RFC 6901 JSON pointer into the schema of the settings; `None` for every other part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The old value; null if it was added.
    pub old: Value,
    /// The new value; null if it was dropped.
    pub new: Value,
    /// Why users of the plugin must review the change; `None` if it does not widen.
    pub widens: Option<String>,
}

/// Compares `old` and `new`, which were both given `settings`, on a host with the capabilities in `kinds`.
pub fn changes(
    old: &PluginVersion,
    new: &PluginVersion,
    settings: &Object,
    kinds: &GrantKinds,
) -> Vec<PluginChange> {
    let mut changes = Vec::new();
    replaced(
        &mut changes,
        Part::Sha256,
        old.digest.to_string(),
        new.digest.to_string(),
    );
    replaced(&mut changes, Part::Size, old.size, new.size);
    exports(&mut changes, &old.exports, &new.exports);
    imports(&mut changes, &old.imports, &new.imports, kinds);
    descriptors(&mut changes, &old.descriptor, &new.descriptor);
    schema::changes(&mut changes, &old.settings_schema, &new.settings_schema);
    settings_taken(&mut changes, old, new, settings);
    changes
}

fn replaced(
    changes: &mut Vec<PluginChange>,
    part: Part,
    old: impl Into<Value>,
    new: impl Into<Value>,
) {
    let (old, new) = (old.into(), new.into());
    if old != new {
        changes.push(PluginChange {
            part,
            path: None,
            old,
            new,
            widens: None,
        });
    }
}

fn dropped(part: Part, name: &str, widens: Option<&str>) -> PluginChange {
    PluginChange {
        part,
        path: None,
        old: name.into(),
        new: Value::Null,
        widens: widens.map(str::to_owned),
    }
}

fn added(part: Part, name: &str, widens: Option<&str>) -> PluginChange {
    PluginChange {
        part,
        path: None,
        old: Value::Null,
        new: name.into(),
        widens: widens.map(str::to_owned),
    }
}

fn exports(changes: &mut Vec<PluginChange>, old: &BTreeSet<String>, new: &BTreeSet<String>) {
    let less = Some("it cannot be used in every place any more");
    changes.extend(
        old.difference(new)
            .map(|gone| dropped(Part::Exports, gone, less)),
    );
    changes.extend(
        new.difference(old)
            .map(|one| added(Part::Exports, one, None)),
    );
}

/// Compares imports. A patch release of WASI counts as the same interface: toolchains move between them. `types` has no
/// functions, so importing it requests nothing.
fn imports(
    changes: &mut Vec<PluginChange>,
    old: &BTreeSet<String>,
    new: &BTreeSet<String>,
    kinds: &GrantKinds,
) {
    let known = |among: &BTreeSet<String>, name: &str| {
        interface(name) == "types"
            || among
                .iter()
                .any(|other| unpatched(other) == unpatched(name))
    };
    for gone in old.iter().filter(|name| !known(new, name)) {
        changes.push(dropped(Part::Imports, gone, None));
    }
    for one in new.iter().filter(|name| !known(old, name)) {
        let widens = match kinds.of_interface(one) {
            Some(kind) => format!("it needs the grant `{}`", kind.name()),
            None => "it did not import this".to_owned(),
        };
        changes.push(added(Part::Imports, one, Some(&widens)));
    }
}

/// Removes the patch number of a WASI interface, `wasi:io/poll@0.2.6`; returns other names as they are.
fn unpatched(name: &str) -> &str {
    let patched = name.strip_prefix("wasi:").and(name.split_once("@0.2."));
    patched.map_or(name, |(interface, _)| interface)
}

fn descriptors(
    changes: &mut Vec<PluginChange>,
    old: &Result<Descriptor, String>,
    new: &Result<Descriptor, String>,
) {
    let (Ok(old), Ok(new)) = (old, new) else {
        return;
    };
    replaced(changes, Part::Name, old.name.as_str(), new.name.as_str());
    let version = |(major, minor)| format!("{major}.{minor}");
    replaced(
        changes,
        Part::Version,
        version(old.version),
        version(new.version),
    );
    let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<String>>();
    let inputs = [
        (Part::Requires, set(&old.requires), set(&new.requires)),
        (Part::Optional, set(&old.optional), set(&new.optional)),
    ];
    for (part, old_names, new_names) in inputs {
        for gone in old_names.difference(&new_names) {
            changes.push(dropped(part, gone, None));
        }
        for name in new_names.difference(&old_names) {
            let widens = match (old.optional.contains(name), old.requires.contains(name)) {
                (true, _) => Some("it could do without this input"),
                // The input has become optional.
                (_, true) => None,
                (false, false) => Some("it did not take this input"),
            };
            changes.push(added(part, name, widens));
        }
    }
    let (old_names, new_names) = (set(&old.provides), set(&new.provides));
    for gone in old_names.difference(&new_names) {
        let less = Some("tasks that take it have no provider any more");
        changes.push(dropped(Part::Provides, gone, less));
    }
    for name in new_names.difference(&old_names) {
        changes.push(added(Part::Provides, name, None));
    }
}

/// Reports settings that the old version accepts and the new one refuses.
fn settings_taken(
    changes: &mut Vec<PluginChange>,
    old: &PluginVersion,
    new: &PluginVersion,
    settings: &Object,
) {
    let taken = |version: &PluginVersion| {
        check_settings(settings, &version.settings_schema)
            .map_err(|error| error.to_string())
            .and_then(|()| version.descriptor.as_ref().map(drop).map_err(Clone::clone))
    };
    if let (Ok(()), Err(reason)) = (taken(old), taken(new)) {
        changes.push(PluginChange {
            part: Part::Settings,
            path: None,
            old: "taken".into(),
            new: "refused".into(),
            widens: Some(reason),
        });
    }
}

#[cfg(test)]
mod tests;
