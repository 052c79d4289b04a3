//! The roles of plugins: checks that each plugin has the role in which it is used, and plans policies and validators.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::error::Diagnostic;

use super::{Inspected, PlannedAdmission, Role};
use crate::document::nearest;
use crate::manifest::{GrantKinds, Manifest, Mode, PluginEntry};

impl Manifest {
    /// Returns the entry of a plugin, and the results of inspecting it.
    pub(super) fn loaded<'m>(
        &'m self,
        key: &str,
        line: impl Into<Option<usize>>,
        inspected: &'m BTreeMap<String, Inspected>,
    ) -> Result<(&'m PluginEntry, &'m Inspected), Diagnostic> {
        match (self.plugins.get(key), inspected.get(key)) {
            (Some(entry), Some(found)) => Ok((entry, found)),
            _ => {
                Err(Diagnostic::new(format!("plugin `{key}` was not loaded")).at(&self.file, line))
            }
        }
    }

    /// Returns warnings about unused plugins.
    pub(super) fn unused(&self, asked_by_rules: &BTreeSet<String>) -> Vec<String> {
        let named: BTreeSet<&str> = self.named().collect();
        let unused = self
            .plugins
            .iter()
            .filter(|(key, _)| !named.contains(key.as_str()) && !asked_by_rules.contains(*key));
        unused
            .map(|(key, entry)| format!("no task uses [plugins.{key}] (line {})", entry.line))
            .collect()
    }

    /// Refuses an action whose rules ask a plugin that the manifest lacks.
    ///
    /// # Errors
    /// The first such plugin, with the table to add.
    pub fn check_asked(&self, action: &str, asked: &BTreeSet<&str>) -> Result<(), Diagnostic> {
        let missing = asked
            .iter()
            .find(|plugin| !self.plugins.contains_key(**plugin));
        let Some(plugin) = missing else {
            return Ok(());
        };
        let message = format!(
            "the policy's rules for `{action}` ask `wasm:{plugin}`, and this manifest has no plugin `{plugin}`"
        );
        let near = nearest(plugin, self.plugins.keys().map(String::as_str));
        let near = near.map_or_else(String::new, |near| {
            format!("; perhaps `wasm:{near}` is meant")
        });
        Err(Diagnostic::new(message).at(&self.file, None).help(format!(
            "add a [plugins.{plugin}] table that names the component of the policy{near}"
        )))
    }

    /// Checks that a plugin exports the interface of its role.
    pub(super) fn check_role(
        &self,
        key: &str,
        entry: &PluginEntry,
        found: &Inspected,
        role: Role,
    ) -> Result<(), Diagnostic> {
        if found.roles.contains(&role) {
            return Ok(());
        }
        let is: Vec<_> = found.roles.iter().map(|role| role.with_article()).collect();
        let exports: Vec<_> = found
            .roles
            .iter()
            .map(|role| format!("`cairn:plugin/{}`", role.interface()))
            .collect();
        let message = format!(
            "plugin `{key}` is used as {}, which exports `cairn:plugin/{}`; this component is {}: it exports {}",
            role.with_article(),
            role.interface(),
            is.join(" and "),
            exports.join(" and "),
        );
        let tables: Vec<_> = found.roles.iter().map(|role| role.table()).collect();
        Err(Diagnostic::new(message)
            .at(&self.file, entry.line)
            .help(format!(
                "name it in {}, or use another component here",
                tables.join(" or ")
            )))
    }

    /// Plans a policy or a validator, which may use only `context` and `log`.
    pub(super) fn planned_admission(
        &self,
        key: &str,
        role: Role,
        mode: Mode,
        inspected: &BTreeMap<String, Inspected>,
        kinds: &GrantKinds,
    ) -> Result<PlannedAdmission, Diagnostic> {
        let (entry, found) = self.loaded(key, None, inspected)?;
        self.check_role(key, entry, found, role)?;
        self.check_digest(key, entry, found.digest)?;
        self.check_no_capability(key, entry, found, role, kinds)?;
        self.check_settings(key, &found.settings_schema)?;
        self.check_descriptor(key, entry, found)?;
        Ok(PlannedAdmission {
            plugin: key.to_owned(),
            mode,
            version: found.descriptor.version,
            digest: found.digest,
            size: found.size,
            builtin: found.builtin.clone(),
            settings: entry.settings.clone(),
            limits: entry.limits.clone(),
        })
    }

    fn check_no_capability(
        &self,
        key: &str,
        entry: &PluginEntry,
        found: &Inspected,
        role: Role,
        kinds: &GrantKinds,
    ) -> Result<(), Diagnostic> {
        let noun = role.noun();
        if let Some((capability, _)) = entry.grants.iter().next() {
            let message = format!(
                "plugin `{key}` is used as a {noun} and is granted `{capability}`: a {noun} is offered `context` and `log` alone"
            );
            return Err(Diagnostic::new(message).at(&self.file, entry.line).help(format!(
                "take [plugins.{key}.grants] out; what the request names is in what a {noun} is asked, and a task that needs the grant gets a [plugins.…] table of its own"
            )));
        }
        let mut imported = found.imports.iter();
        if let Some((_, interface)) = imported.find_map(|name| kinds.provider(name)) {
            let message = format!(
                "plugin `{key}` is used as a {noun} and imports `{interface}`: a {noun} is offered `context` and `log` alone"
            );
            return Err(Diagnostic::new(message).at(&self.file, entry.line).help(format!(
                "build it for the world `cairn:plugin/{noun}-plugin`; what the request names is in what a {noun} is asked"
            )));
        }
        Ok(())
    }
}
