//! Turns a manifest into a plan: all checks that depend on the plugins.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::contract::CONTRACT;
use cairn_model::error::Diagnostic;
use cairn_model::value::{Digest, Value};

use super::missing::quoted;
use super::{
    Inspected, MissingDependencies, Plan, PlannedExternal, PlannedStep, PlannedTask, PlannedWait,
    Role, SettingsError, check_settings,
};
use crate::allow::{Allow, NotAllowed};
use crate::document::nearest;
use crate::manifest::{
    GrantKinds, Grants, Manifest, Mode, PluginEntry, TaskEntry, Wait, Work, is_base,
};
use crate::wire::{Ports, Wiring, wire};

/// A task of the manifest, and what is known of it.
enum Step<'m> {
    Plugin(&'m TaskEntry, &'m str, &'m PluginEntry, &'m Inspected),
    Wait(&'m TaskEntry, &'m Wait),
}

impl<'m> Step<'m> {
    fn ports(&self) -> Ports<'m, &'m str> {
        match *self {
            Self::Plugin(task, _, _, found) => found.descriptor.ports(task.name()),
            Self::Wait(task, wait) => Ports {
                task: task.name(),
                requires: wait
                    .requires()
                    .map(std::slice::from_ref)
                    .unwrap_or_default(),
                optional: &[],
                provides: &wait.provides,
            },
        }
    }
}

/// An imported interface, and the capability that must be granted for it.
#[derive(PartialEq)]
struct Imported<'k> {
    capability: &'k str,
    interface: &'k str,
}

impl Manifest {
    /// Checks the plugins against the manifest and wires the tasks.
    ///
    /// `inspected` holds, by key, each plugin that a task, a policy or a validator uses; others may be left out. In the plan a
    /// plugin may import what it does import, the manifest grants, and `allow` allows. `kinds` are the capabilities of this
    /// host.
    ///
    /// # Errors
    /// The first problem, with the line in the manifest and the fix: a plugin in a role that it does not have, a digest that is
    /// not the pinned one, an import without a grant, a grant of an unknown capability, a grant that the operator does not
    /// allow, invalid settings or an invalid description, or required inputs without an earlier provider, all those of the
    /// first such task.
    pub fn plan(
        &self,
        inspected: &BTreeMap<String, Inspected>,
        allow: &Allow,
        kinds: &GrantKinds,
    ) -> Result<Plan, Diagnostic> {
        self.plan_with_rules(inspected, allow, kinds, &BTreeSet::new())
    }

    /// Plans as [`plan`](Self::plan) does, including the plugins that the operator's rules ask; `inspected` holds these too.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn plan_with_rules(
        &self,
        inspected: &BTreeMap<String, Inspected>,
        allow: &Allow,
        kinds: &GrantKinds,
        asked_by_rules: &BTreeSet<String>,
    ) -> Result<Plan, Diagnostic> {
        self.check_pivot()?;
        let mut warnings = self.warnings.clone();
        warnings.extend(self.unused(asked_by_rules));
        let mut granted = BTreeMap::new();
        let mut steps = Vec::with_capacity(self.tasks.len());
        for task in &self.tasks {
            let key = match &task.work {
                Work::Plugin(key) => key.as_str(),
                Work::Wait(wait) => {
                    steps.push(Step::Wait(task, wait));
                    continue;
                }
            };
            let (entry, found) = self.loaded(key, task.line, inspected)?;
            self.check_role(key, entry, found, Role::Task)?;
            if !granted.contains_key(key) {
                self.check_digest(key, entry, found.digest)?;
                granted.insert(
                    key,
                    self.check_grants(key, entry, found, (allow, kinds), &mut warnings)?,
                );
                self.check_settings(key, &found.settings_schema)?;
                self.check_descriptor(key, entry, found)?;
            }
            steps.push(Step::Plugin(task, key, entry, found));
        }

        let mut externals = BTreeMap::new();
        for (key, external) in &self.externals {
            let (entry, found) = self.loaded(key, None, inspected)?;
            self.check_role(key, entry, found, Role::External)?;
            self.check_digest(key, entry, found.digest)?;
            let grants = self.check_grants(key, entry, found, (allow, kinds), &mut warnings)?;
            self.check_settings(key, &found.settings_schema)?;
            self.check_descriptor(key, entry, found)?;
            let planned = PlannedExternal {
                version: found.descriptor.version,
                digest: found.digest,
                size: found.size,
                builtin: found.builtin.clone(),
                settings: entry.settings.clone(),
                grants,
                limits: entry.limits.clone(),
                fences: external.fences,
            };
            externals.insert(key.clone(), planned);
        }
        for step in &steps {
            if let Step::Plugin(_, key, entry, _) = step {
                self.check_providers(key, entry)?;
            }
        }

        let ports: Vec<_> = steps.iter().map(Step::ports).collect();
        let wirings = wire(&ports).map_err(|missing| {
            let first = MissingDependencies {
                task: missing[0].task.to_owned(),
                names: missing[0].names.clone(),
            };
            self.explain_missing(&first, &ports)
        })?;
        let tasks = steps
            .into_iter()
            .zip(wirings)
            .map(|(step, wiring)| match step {
                Step::Plugin(task, key, entry, found) => {
                    let grants = granted[key].clone();
                    let planned = self.planned((task, key), entry, found, grants, wiring);
                    PlannedStep::Task(planned)
                }
                Step::Wait(task, wait) => PlannedStep::Wait(PlannedWait {
                    name: task.name().to_owned(),
                    display: self.display(task),
                    wait: wait.clone(),
                    requires: wiring
                        .requires
                        .into_iter()
                        .next()
                        .map(|(input, provider)| (input, provider.to_owned())),
                }),
            })
            .collect();
        let policies = self.policies.iter().map(|entry| {
            self.planned_admission(&entry.plugin, Role::Policy, entry.mode, inspected, kinds)
        });
        let validators = self.validators.iter().map(|entry| {
            self.planned_admission(
                &entry.plugin,
                Role::Validator,
                Mode::Enforce,
                inspected,
                kinds,
            )
        });
        let asked = asked_by_rules
            .iter()
            .map(|key| self.planned_admission(key, Role::Policy, Mode::Enforce, inspected, kinds));
        Ok(Plan {
            name: self.name.clone(),
            action: self.action.clone(),
            on_lost: self.on_lost,
            tasks,
            externals,
            policies: policies.collect::<Result<_, _>>()?,
            validators: validators.collect::<Result<_, _>>()?,
            rule_plugins: asked.collect::<Result<_, _>>()?,
            warnings,
        })
    }

    /// Validates the settings of the plugin `key` against its schema. The host does so before it calls `plugin.describe`.
    ///
    /// # Errors
    /// The violations, with the path of each value, the line of the plugin and the fix; an unusable schema; a key that is not
    /// in the manifest.
    pub fn check_settings(&self, key: &str, schema: &Value) -> Result<(), Diagnostic> {
        let Some(entry) = self.plugins.get(key) else {
            let message = format!("there is no plugin `{}`", key.escape_debug());
            return Err(Diagnostic::new(message).at(&self.file, None));
        };
        let error = match check_settings(&entry.settings, schema) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let message = match &error {
            SettingsError::Schema(reason) => {
                format!("the settings schema of plugin `{key}` cannot be used: {reason}")
            }
            SettingsError::Settings(_) => format!("settings of plugin `{key}`: {error}"),
        };
        let help = match &error {
            SettingsError::Schema(_) => PLUGIN_DEFECT.to_owned(),
            SettingsError::Settings(violations) => {
                let fixes = violations.iter().map(|violation| match &violation.fix {
                    Some(fix) => fix.clone(),
                    None => format!("change `{}`", violation.pointer),
                });
                // Two violations of one value have one fix.
                let fixes: BTreeSet<_> = fixes.collect();
                let fixes: Vec<_> = fixes.into_iter().collect();
                format!("in the settings of [plugins.{key}], {}", fixes.join(", "))
            }
        };
        let line = match &error {
            SettingsError::Schema(_) => entry.line,
            SettingsError::Settings(violations) => {
                let first = violations.first().map(|first| first.pointer.as_str());
                entry.settings_line(first.unwrap_or_default())
            }
        };
        Err(Diagnostic::new(message).at(&self.file, line).help(help))
    }

    /// Compares a component with the pinned digest. The host does so before any of its code runs.
    ///
    /// # Errors
    /// The component is not the pinned one, with the line to change.
    pub fn check_digest(
        &self,
        key: &str,
        entry: &PluginEntry,
        found: Digest,
    ) -> Result<(), Diagnostic> {
        match entry.sha256 {
            Some(pinned) if pinned != found => {
                let message = format!(
                    "plugin `{key}` is not the component that is pinned: its SHA-256 is {found}"
                );
                Err(Diagnostic::new(message)
                    .at(&self.file, entry.line)
                    .help(format!(
                        "restore the component, or if the change is meant, set `sha256 = \"{found}\"` in [plugins.{key}]"
                    )))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns the capabilities that the plugin may use: granted, allowed, and imported.
    fn check_grants(
        &self,
        key: &str,
        entry: &PluginEntry,
        found: &Inspected,
        (allow, kinds): (&Allow, &GrantKinds),
        warnings: &mut Vec<String>,
    ) -> Result<Grants, Diagnostic> {
        if let Some(capability) = entry.grants.unregistered(kinds) {
            return Err(self.not_registered(key, entry, capability, kinds));
        }
        let imported = self.imported(key, entry, found, kinds)?;
        let missing: Vec<_> = imported
            .iter()
            .filter(|import| !entry.grants.has(import.capability))
            .collect();
        if !missing.is_empty() {
            return Err(self.not_granted(key, entry, &missing, kinds));
        }
        let mut grants = allow
            .check(found.builtin.as_deref(), found.digest, &entry.grants, kinds)
            .map_err(|forbidden| self.not_allowed(key, entry, &forbidden))?;
        for (capability, _) in entry.grants.iter() {
            if !imported
                .iter()
                .any(|import| import.capability == capability)
            {
                warnings.push(format!(
                    "plugin `{key}` is granted `{capability}` and does not import it (line {})",
                    entry.line
                ));
                grants.retain(|granted| granted != capability);
            }
        }
        Ok(grants)
    }

    /// Returns the imports of the plugin that need a grant, in the order of the registry.
    fn imported<'k>(
        &self,
        key: &str,
        entry: &PluginEntry,
        found: &Inspected,
        kinds: &'k GrantKinds,
    ) -> Result<Vec<Imported<'k>>, Diagnostic> {
        let mut imported = Vec::new();
        for name in &found.imports {
            match kinds.provider(name) {
                Some((kind, interface)) => imported.push(Imported {
                    capability: kind.name(),
                    interface,
                }),
                None if is_base(name) => {}
                None => {
                    let message = format!(
                        "plugin `{key}` imports `{}`, which this host does not offer",
                        name.escape_debug()
                    );
                    return Err(Diagnostic::new(message)
                        .at(&self.file, entry.line)
                        .help(format!(
                            "build the plugin for `{CONTRACT}`, or use a newer cairn"
                        )));
                }
            }
        }
        imported.sort_by_key(|import| kinds.position(import.capability));
        imported.dedup();
        Ok(imported)
    }

    fn not_registered(
        &self,
        key: &str,
        entry: &PluginEntry,
        capability: &str,
        kinds: &GrantKinds,
    ) -> Diagnostic {
        let known: Vec<&str> = kinds.names().collect();
        Diagnostic::new(format!(
            "plugin `{key}` is granted `{}`, a capability that this host does not have",
            capability.escape_debug()
        ))
        .at(&self.file, entry.line)
        .help(format!("the capabilities are {}", known.join(", ")))
    }

    fn not_granted(
        &self,
        key: &str,
        entry: &PluginEntry,
        missing: &[&Imported<'_>],
        kinds: &GrantKinds,
    ) -> Diagnostic {
        let interfaces = missing.iter().map(|import| import.interface.to_owned());
        let interfaces: Vec<_> = interfaces.collect();
        let mut missing: Vec<_> = missing.iter().map(|import| import.capability).collect();
        missing.dedup();
        Diagnostic::new(format!(
            "plugin `{key}` imports {}, which {} does not grant it",
            quoted(&interfaces),
            self.file_name(),
        ))
        .at(&self.file, entry.line)
        .steps(&entry.how_to_grant(key, &missing, kinds))
    }

    fn not_allowed(&self, key: &str, entry: &PluginEntry, forbidden: &NotAllowed) -> Diagnostic {
        let NotAllowed {
            capability,
            key: setting,
            file,
            out_of_reach,
        } = forbidden;
        let file = file.display();
        let message = match out_of_reach {
            false => format!(
                "plugin `{key}` is granted `{capability}`, which the operator does not allow it"
            ),
            true => format!(
                "plugin `{key}` is granted `{capability}`, but for nothing that the operator allows it"
            ),
        };
        Diagnostic::new(message)
            .at(&self.file, entry.line)
            .help(format!(
                "set `{setting}` in {file}, or take the grant of `{capability}` away here"
            ))
    }

    pub(super) fn check_descriptor(
        &self,
        key: &str,
        entry: &PluginEntry,
        found: &Inspected,
    ) -> Result<(), Diagnostic> {
        found.descriptor.check().map_err(|reason| {
            Diagnostic::new(format!("plugin `{key}` describes itself wrongly: {reason}"))
                .at(&self.file, entry.line)
                .help(PLUGIN_DEFECT)
        })
    }

    fn planned(
        &self,
        (task, key): (&TaskEntry, &str),
        entry: &PluginEntry,
        found: &Inspected,
        grants: Grants,
        wiring: Wiring<&str>,
    ) -> PlannedTask {
        let descriptor = &found.descriptor;
        PlannedTask {
            name: task.name().to_owned(),
            plugin: key.to_owned(),
            display: self.display(task),
            version: descriptor.version,
            digest: found.digest,
            size: found.size,
            builtin: found.builtin.clone(),
            settings: entry.settings.clone(),
            grants,
            limits: entry.limits.clone(),
            retry: task.retry.clone(),
            revert: task.revert.clone(),
            requires: wiring
                .requires
                .into_iter()
                .map(|(input, provider)| (input, provider.to_owned()))
                .collect(),
            optional: wiring
                .optional
                .into_iter()
                .map(|(input, providers)| {
                    let providers = providers.into_iter().map(str::to_owned);
                    (input, providers.collect())
                })
                .collect(),
            provides: descriptor.provides.clone(),
            pivot: task.pivot,
        }
    }

    /// Refuses a task whose grant names a provider that the manifest lacks.
    fn check_providers(&self, key: &str, entry: &PluginEntry) -> Result<(), Diagnostic> {
        let grant = entry.grants.get("externals");
        let named = grant.and_then(|grant| grant.as_json().get("providers")?.as_array());
        let named = named.into_iter().flatten().filter_map(Value::as_str);
        let Some(missing) = named
            .into_iter()
            .find(|name| !name.contains('*') && !self.externals.contains_key(*name))
        else {
            return Ok(());
        };
        let message = format!(
            "plugin `{key}` is granted the provider `{}`, which the manifest does not have",
            missing.escape_debug()
        );
        let near = nearest(missing, self.externals.keys().map(String::as_str));
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add a table [externals.{missing}] with the path of its component"),
        };
        Err(Diagnostic::new(message)
            .at(&self.file, entry.line)
            .help(help))
    }

    /// Returns a task's name in flows and their reports.
    fn display(&self, task: &TaskEntry) -> String {
        match &self.action {
            Some(action) => format!("{};{action}", task.name()),
            None => task.name().to_owned(),
        }
    }

    fn file_name(&self) -> String {
        let name = self.file.file_name().unwrap_or(self.file.as_os_str());
        name.display().to_string()
    }

    fn explain_missing(
        &self,
        missing: &MissingDependencies,
        ports: &[Ports<'_, &str>],
    ) -> Diagnostic {
        let line = self
            .tasks
            .iter()
            .find(|task| task.name() == missing.task)
            .map(|task| task.line);
        let earlier = ports.iter().take_while(|ports| ports.task != missing.task);
        let provided: BTreeSet<&str> = earlier
            .flat_map(|task| task.provides)
            .map(String::as_str)
            .collect();
        let advice = missing.names.iter().map(|name| {
            // No earlier task provides it, so a provider must come later.
            let later = ports
                .iter()
                .find(|ports| ports.task != missing.task && ports.provides.contains(name));
            match (later, nearest(name, provided.iter().copied())) {
                (Some(later), _) => format!(
                    "`{name}`: move task `{}`, which provides it, before this one",
                    later.task
                ),
                (None, Some(near)) => {
                    format!("`{name}`: an earlier task provides `{near}`, perhaps that is meant")
                }
                (None, None) => format!(
                    "`{name}`: add a task before this one that provides it, such as `inject`"
                ),
            }
        });
        Diagnostic::new(format!("MissingDependencies: {missing}"))
            .at(&self.file, line)
            .help(advice.collect::<Vec<_>>().join("; "))
    }
}

const PLUGIN_DEFECT: &str =
    "this is a defect of the plugin; tell its author, or use another version";
