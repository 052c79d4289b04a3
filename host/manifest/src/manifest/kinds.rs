//! The registry of capabilities, which a program fills.

use std::fmt;
use std::sync::Arc;

use cairn_model::contract::PACKAGE;
use cairn_model::error::Diagnostic;

use super::{Grant, read_names};
use crate::document::Item;

/// A capability as manifests, plans and lock files see it: its name, its interfaces, and how a grant of it is read and narrowed.
///
/// A plugin may import one of the interfaces only when it is granted the capability.
pub trait GrantKind: Send + Sync {
    /// Returns its name: the key of its grant in a manifest, and in stored plans.
    fn name(&self) -> &str;

    /// Returns the full names of its interfaces, such as `cairn:plugin/quota`, with or without a version.
    fn interfaces(&self) -> &[&str];

    /// Returns the functions whose results a test may fake, as spelled in the contract, such as `with-volume-type`.
    fn functions(&self) -> &[&str];

    /// Parses a grant in a manifest, the operator's settings or a lock file. Returns `None` if it is withheld.
    ///
    /// The grant must be canonical: equal grants are equal JSON.
    ///
    /// # Errors
    /// The problem with the value, with its line and the fix.
    fn parse(&self, item: &Item<'_>) -> Result<Option<Grant>, Diagnostic>;

    /// Computes the intersection of two grants; `None` if it is empty.
    fn within(&self, one: &Grant, other: &Grant) -> Option<Grant>;
}

impl fmt::Debug for dyn GrantKind + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A capability that is granted as a whole, or narrowed by one list of names and prefixes.
#[derive(Clone, Copy, Debug)]
pub struct SimpleGrantKind {
    name: &'static str,
    interfaces: &'static [&'static str],
    functions: &'static [&'static str],
    narrowing: Option<&'static str>,
}

impl SimpleGrantKind {
    /// Describes a capability that cannot be narrowed; see [`GrantKind`] for the parameters.
    pub const fn new(
        name: &'static str,
        interfaces: &'static [&'static str],
        functions: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            interfaces,
            functions,
            narrowing: None,
        }
    }

    /// Lets grants narrow the capability by a list under `key`, as in `{ resources = ["volumes", "gigabytes_*"] }`.
    #[must_use]
    pub const fn narrowed_by(mut self, key: &'static str) -> Self {
        self.narrowing = Some(key);
        self
    }
}

impl GrantKind for SimpleGrantKind {
    fn name(&self) -> &str {
        self.name
    }

    fn interfaces(&self) -> &[&str] {
        self.interfaces
    }

    fn functions(&self) -> &[&str] {
        self.functions
    }

    fn parse(&self, item: &Item<'_>) -> Result<Option<Grant>, Diagnostic> {
        if let Some(granted) = item.as_bool() {
            return Ok(granted.then(Grant::all));
        }
        let Some(table) = item.as_table() else {
            return Err(item
                .error("must be true, false, or a table that narrows the grant")
                .help(format!("write `{} = true`", self.name)));
        };
        let Some(key) = self.narrowing else {
            return Err(item
                .error("cannot be narrowed")
                .help(format!("write `{} = true`", self.name)));
        };
        let Some(names) = table.only(&[key])?.get(key) else {
            return Err(item
                .error("narrows nothing")
                .help(format!("write `{} = true`, or name the {key}", self.name)));
        };
        Ok(Some(Grant::only(key, read_names(&names)?)))
    }

    fn within(&self, one: &Grant, other: &Grant) -> Option<Grant> {
        match self.narrowing {
            Some(key) => one.within(other, key),
            None => Some(Grant::all()),
        }
    }
}

/// The registered capabilities, in the order in which grants are written. Cheap to clone.
#[derive(Clone, Default)]
pub struct GrantKinds(Arc<[Arc<dyn GrantKind>]>);

impl GrantKinds {
    /// Registers capabilities.
    ///
    /// # Errors
    /// Two of them have the same name or interface; or one provides an interface that every plugin may import.
    pub fn new(kinds: impl IntoIterator<Item = Arc<dyn GrantKind>>) -> Result<Self, Diagnostic> {
        let kinds: Vec<_> = kinds.into_iter().collect();
        for (index, kind) in kinds.iter().enumerate() {
            for earlier in &kinds[..index] {
                refuse_clash(&**earlier, &**kind)?;
            }
            if let Some(name) = kind.interfaces().iter().find(|name| is_base(name)) {
                return Err(Diagnostic::new(format!(
                    "the capability `{}` provides `{name}`, which every plugin may import",
                    kind.name()
                )));
            }
        }
        Ok(Self(kinds.into()))
    }

    /// Finds the capability of an interface, given as `quota`, `cairn:plugin/quota` or `cairn:plugin/quota@0.1.0`; one of
    /// another package by its full name, with or without a version.
    pub fn of_interface(&self, name: &str) -> Option<&dyn GrantKind> {
        self.provider(name).map(|(kind, _)| kind)
    }

    /// Finds the capability of an interface, and the full name of that interface, without a version.
    pub(crate) fn provider(&self, name: &str) -> Option<(&dyn GrantKind, &str)> {
        let wanted = plain(name);
        self.iter().find_map(|kind| {
            let mut interfaces = kind.interfaces().iter();
            let found = interfaces.find(|interface| plain(interface) == wanted)?;
            Some((kind, unversioned(found)))
        })
    }

    /// Finds the capability named `name`.
    pub fn get(&self, name: &str) -> Option<&dyn GrantKind> {
        self.iter().find(|kind| kind.name() == name)
    }

    /// Returns the names of the capabilities, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(GrantKind::name)
    }

    /// Returns the capabilities, in order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn GrantKind> {
        self.0.iter().map(|kind| &**kind)
    }

    /// Returns the position of a capability in the order; an unregistered name comes last.
    pub(crate) fn position(&self, name: &str) -> usize {
        let mut names = self.names();
        names.position(|one| one == name).unwrap_or(usize::MAX)
    }
}

impl fmt::Debug for GrantKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

fn refuse_clash(one: &dyn GrantKind, other: &dyn GrantKind) -> Result<(), Diagnostic> {
    if one.name() == other.name() {
        let [one_provides, other_provides] = [one, other].map(|kind| kind.interfaces().join(", "));
        return Err(Diagnostic::new(format!(
            "two capabilities are named `{}`: one provides {one_provides}, the other {other_provides}",
            one.name()
        )));
    }
    let provided = |name: &&&str| {
        let mut others = other.interfaces().iter();
        others.any(|interface| plain(interface) == plain(name))
    };
    match one.interfaces().iter().find(provided) {
        None => Ok(()),
        Some(name) => Err(Diagnostic::new(format!(
            "the capabilities `{}` and `{}` both provide the interface `{}`",
            one.name(),
            other.name(),
            unversioned(name)
        ))),
    }
}

/// Removes package and version from the name of an interface of `cairn:plugin`; returns other names as they are.
pub(crate) fn interface(name: &str) -> &str {
    let name = name.strip_prefix(PACKAGE).unwrap_or(name);
    match name.contains(':') {
        true => name,
        false => unversioned(name),
    }
}

/// Returns whether every plugin may import an interface.
pub(crate) fn is_base(name: &str) -> bool {
    matches!(interface(name), "context" | "log" | "types")
}

/// Removes the version of an interface, and the package `cairn:plugin`.
fn plain(name: &str) -> &str {
    unversioned(interface(name))
}

fn unversioned(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::kinds;

    const STORE: SimpleGrantKind = SimpleGrantKind::new(
        "store",
        &["acme:records/store@1.2.0", "acme:records/counters"],
        &[],
    );

    fn registered(kinds: &[SimpleGrantKind]) -> Result<GrantKinds, String> {
        let kinds = kinds
            .iter()
            .map(|kind| Arc::new(*kind) as Arc<dyn GrantKind>);
        GrantKinds::new(kinds).map_err(|error| error.to_string())
    }

    #[test]
    fn an_interface_is_found_by_each_of_its_names() {
        let kinds = kinds();
        let found = |name: &str| kinds.of_interface(name).map(GrantKind::name);
        for name in kinds.names() {
            for interface in [
                name.to_owned(),
                format!("cairn:plugin/{name}"),
                format!("cairn:plugin/{name}@0.1.0"),
            ] {
                assert_eq!(found(&interface), Some(name), "{interface}");
            }
        }
        for name in ["context", "log", "", "wasi:io/poll", "cairn:other/quota"] {
            assert_eq!(found(name), None, "{name}");
        }
    }

    #[test]
    fn an_interface_of_another_package_is_found_by_its_full_name() {
        let kinds = registered(&[STORE]).unwrap();
        for name in [
            "acme:records/store",
            "acme:records/store@1.2.0",
            "acme:records/store@1.3.1",
            "acme:records/counters@0.1.0",
        ] {
            let found = kinds.of_interface(name).map(GrantKind::name);
            assert_eq!(found, Some("store"), "{name}");
        }
        for name in ["store", "counters", "acme:other/store"] {
            assert!(kinds.of_interface(name).is_none(), "{name}");
        }
    }

    #[test]
    fn two_capabilities_of_one_name_or_interface_are_refused_with_both_owners() {
        let same_name = SimpleGrantKind::new("store", &["b:c/store"], &[]);
        assert_eq!(
            registered(&[STORE, same_name]).unwrap_err(),
            "two capabilities are named `store`: one provides acme:records/store@1.2.0, acme:records/counters, the other \
             b:c/store"
        );
        let same_interface = SimpleGrantKind::new("shop", &["acme:records/store"], &[]);
        assert_eq!(
            registered(&[STORE, same_interface]).unwrap_err(),
            "the capabilities `store` and `shop` both provide the interface `acme:records/store`"
        );
        let base = SimpleGrantKind::new("log", &["cairn:plugin/log@0.1.0"], &[]);
        assert_eq!(
            registered(&[base]).unwrap_err(),
            "the capability `log` provides `cairn:plugin/log@0.1.0`, which every plugin may import"
        );
    }
}
