use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairn_effects::domain::Domains;
use cairn_effects::task::Task;
use cairn_manifest::allow::Allow;
use cairn_manifest::manifest::{GrantKinds, LimitKey, Limits, Manifest, PluginEntry, Source};
use cairn_manifest::plan::{Inspected, Plan, PlannedAdmission};
use cairn_model::error::Diagnostic;
use cairn_model::secret::NoSecrets;
use cairn_model::value::Digest;
use cairn_policy::Policy;
use cairn_sandbox::admission::{Admission, RulePlugins};
use cairn_sandbox::capability::{Services, Surroundings};
use cairn_sandbox::plugin::{Plugin, PluginError, Plugins};

use super::HostError;
use super::admission::{admission, rule_plugins};
use super::native::Native;
use super::source::{BuiltinSource, ComponentSource, FileSource, SourceError};

/// Makes plans from manifests, without a database.
#[derive(Clone)]
pub struct Planner {
    pub(super) plugins: Arc<Plugins>,
    pub(super) policy: Arc<Policy>,
    builtins: BTreeMap<String, &'static [u8]>,
    /// By name.
    natives: BTreeMap<String, Native>,
    pub(super) allow: Allow,
    /// Upper bounds of the limits that a manifest may set.
    ceilings: Limits,
}

impl Planner {
    /// Creates a planner with these built-in plugins.
    pub fn new(plugins: Arc<Plugins>, builtins: &[(&str, &'static [u8])]) -> Self {
        let mut planner = Self {
            plugins,
            policy: Arc::default(),
            builtins: BTreeMap::new(),
            natives: BTreeMap::new(),
            allow: Allow::default(),
            ceilings: Limits::most(),
        };
        planner.extend(builtins);
        planner
    }

    /// Returns the capabilities that plugins may be granted.
    pub fn kinds(&self) -> &GrantKinds {
        self.plugins.kinds()
    }

    /// Sets what plugins may be granted; everything without this call. Binds plans that were stored before, too.
    #[must_use]
    pub fn allowing(mut self, allow: Allow) -> Self {
        self.allow = allow;
        self
    }

    /// Adds a task in native code. Manifests name it like a built-in plugin, `builtin = "NAME"`, by the name in its
    /// [`spec`](Task::spec), which also declares its inputs and outputs; it replaces a built-in plugin of that name. It has no
    /// settings, needs no grants, and is bound by no limit of the sandbox.
    #[must_use]
    pub fn native(mut self, task: Arc<dyn Task>) -> Self {
        let native = Native::new(task);
        self.natives.insert(native.name().to_owned(), native);
        self
    }

    /// Sets the operator's rules, which name the plugins that they ask; [`Policy::default`], which asks none, without this
    /// call.
    #[must_use]
    pub fn policy(mut self, policy: Arc<Policy>) -> Self {
        self.policy = policy;
        self
    }

    /// Sets upper bounds of all limits. A limit that a manifest does not set is lowered to its bound, and so is any limit of a
    /// stored plan, except the size of the component, which was checked when the plan was made.
    #[must_use]
    pub fn ceilings(mut self, ceilings: Limits) -> Self {
        self.ceilings = ceilings;
        self
    }

    /// Returns the manifest with limits that the operator allows.
    fn bounded(&self, manifest: &Manifest) -> Result<Manifest, Diagnostic> {
        let mut manifest = manifest.clone();
        for (name, entry) in &mut manifest.plugins {
            for key in LimitKey::ALL.iter().copied() {
                if !entry.limits.above(&self.ceilings, key) {
                    continue;
                }
                if let Some(line) = entry.limit_lines.get(&key) {
                    let message = format!(
                        "`plugins.{name}.limits.{key}` is {}, and the operator allows at most {}",
                        entry.limits.show(key),
                        self.ceilings.show(key),
                    );
                    let help = format!(
                        "lower it, or raise `{key}` in [limits] of the operator's cairn.toml"
                    );
                    return Err(Diagnostic::new(message)
                        .at(&manifest.file, *line)
                        .help(help));
                }
                entry.limits.take(&self.ceilings, key);
            }
        }
        Ok(manifest)
    }

    /// Lowers the limits of a plan, which may be older than the operator's current bounds.
    pub(super) fn limits_today(&self, planned: &Limits, whose: &str) -> Limits {
        let (limits, lowered) = planned.clone().at_most(&self.ceilings);
        for key in lowered {
            if key == LimitKey::ComponentBytes {
                continue;
            }
            // The error of a call that reaches the limit names the limit alone, and the manifest may set another one.
            tracing::warn!(
                "the limit `{key}` of {whose} was {} when its flow was planned, and is {} now: [limits] of the operator's \
                 cairn.toml allows no more",
                planned.show(key),
                limits.show(key)
            );
        }
        limits
    }

    /// Loads a component. A built-in plugin is trusted: it is compiled in this process.
    ///
    /// # Errors
    /// Those of [`Plugins::load`].
    pub fn component(&self, bytes: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        match self.name_of(bytes) {
            Some(_) => self.plugins.load_trusted(bytes),
            None => self.plugins.load(bytes),
        }
    }

    pub(super) fn extend(&mut self, builtins: &[(&str, &'static [u8])]) {
        self.builtins.extend(
            builtins
                .iter()
                .map(|(name, bytes)| ((*name).to_owned(), *bytes)),
        );
    }

    /// Loads every plugin that the manifest uses or the operator's rules ask, reads its description, and wires the tasks. Runs
    /// no task.
    ///
    /// # Errors
    /// The first problem, with its place in the manifest and the fix. Also a rule for the flow's action that asks a plugin
    /// which the manifest lacks.
    pub fn plan(&self, manifest: &Manifest) -> Result<Plan, Diagnostic> {
        self.wire(manifest, &self.load(manifest)?)
    }

    /// Loads every plugin that the manifest uses or the operator's rules ask, and reads its description: the first half of a
    /// plan, from which a [`LockFile`](cairn_manifest::lockfile::LockFile) can be made before the second.
    ///
    /// # Errors
    /// The first plugin that cannot be loaded, is not the pinned one, or does not accept its settings.
    pub fn load(&self, manifest: &Manifest) -> Result<BTreeMap<String, Inspected>, Diagnostic> {
        let manifest = &self.bounded(manifest)?;
        let asked_by_rules = self.asked_by_rules(manifest)?;
        let mut inspected = BTreeMap::new();
        let named = manifest.named();
        for key in named.chain(asked_by_rules.iter().map(String::as_str)) {
            let Some(entry) = manifest.plugins.get(key) else {
                continue;
            };
            if !inspected.contains_key(key) {
                inspected.insert(key.to_owned(), self.inspect(manifest, key, entry)?);
            }
        }
        Ok(inspected)
    }

    /// Checks loaded plugins against the manifest and the operator's grants, and wires the tasks: the second half of a plan.
    ///
    /// # Errors
    /// Those of [`Manifest::plan`].
    pub fn wire(
        &self,
        manifest: &Manifest,
        inspected: &BTreeMap<String, Inspected>,
    ) -> Result<Plan, Diagnostic> {
        let asked_by_rules = self.asked_by_rules(manifest)?;
        self.bounded(manifest)?.plan_with_rules(
            inspected,
            &self.allow,
            self.kinds(),
            &asked_by_rules,
        )
    }

    /// Returns the manifest's plugins that any rule asks; a task of the flow may ask about any action.
    fn asked_by_rules(&self, manifest: &Manifest) -> Result<BTreeSet<String>, Diagnostic> {
        if let Some(action) = &manifest.action {
            self.check_asked(manifest, action)?;
        }
        let asked = self.policy.plugins().into_iter();
        let asked = asked.filter(|plugin| manifest.plugins.contains_key(*plugin));
        Ok(asked.map(str::to_owned).collect())
    }

    /// Refuses an action whose rules ask a plugin that the manifest lacks.
    ///
    /// # Errors
    /// A diagnostic with the plugin and the table to add.
    pub fn check_asked(&self, manifest: &Manifest, action: &str) -> Result<(), Diagnostic> {
        manifest.check_asked(action, &self.policy.plugins_of(action))
    }

    /// Prepares the policies of a plan that rules ask.
    ///
    /// # Errors
    /// [`HostError::Plugin`], or [`HostError::Invalid`] when a component is no longer loaded.
    pub fn rule_plugins(&self, plan: &Plan) -> Result<RulePlugins, HostError> {
        rule_plugins(
            plan,
            &|planned| self.loaded(planned),
            self,
            &self.services(None),
        )
    }

    /// Prepares the policies and validators of a plan, with these clocks and this randomness. Needs no database, since they
    /// have no side effects.
    ///
    /// # Errors
    /// As [`rule_plugins`](Self::rule_plugins).
    pub fn admission(
        &self,
        plan: &Plan,
        surroundings: Surroundings,
    ) -> Result<Admission, HostError> {
        let services = self.services(Some(surroundings));
        admission(plan, &|planned| self.loaded(planned), self, &services)
    }

    fn loaded(&self, planned: &PlannedAdmission) -> Result<Arc<Plugin>, HostError> {
        self.plugins.loaded(planned.digest).ok_or_else(|| {
            let message = format!("the component of `{}` is not loaded", planned.plugin);
            Diagnostic::new(message).into()
        })
    }

    /// Creates the services that policies and validators use.
    fn services(&self, surroundings: Option<Surroundings>) -> Arc<Services> {
        Arc::new(Services {
            enforcer: Arc::clone(&self.policy) as _,
            domains: Domains::default(),
            surroundings,
            rule_plugins: RulePlugins::default(),
            secrets: Arc::new(NoSecrets),
        })
    }

    /// Returns the native task that has this digest in plans.
    pub(super) fn native_of(&self, digest: Digest) -> Option<&Native> {
        let mut natives = self.natives.values();
        natives.find(|native| native.digest() == digest)
    }

    /// Returns the built-in plugin with this digest.
    pub(super) fn builtin(&self, digest: Digest) -> Option<&'static [u8]> {
        self.builtins
            .values()
            .copied()
            .find(|bytes| Digest::of(bytes) == digest)
    }

    /// Returns the name of the built-in plugin with these bytes, also if it was loaded by its path.
    fn name_of(&self, bytes: &[u8]) -> Option<String> {
        let mut builtins = self.builtins.iter();
        let found = builtins.find(|(_, builtin)| **builtin == bytes);
        found.map(|(name, _)| name.clone())
    }

    fn inspect(
        &self,
        manifest: &Manifest,
        key: &str,
        entry: &PluginEntry,
    ) -> Result<Inspected, Diagnostic> {
        let named = entry.source.builtin();
        if let Some(native) = named.and_then(|name| self.natives.get(name)) {
            let inspected = native.inspect().map_err(|problem| {
                refused(manifest, key, entry, &PluginError::Description(problem))
            })?;
            manifest.check_digest(key, entry, inspected.digest)?;
            if let Some(setting) = entry.settings.keys().next() {
                let message = format!(
                    "plugin `{key}`: the native task `{}` has no settings",
                    native.name()
                );
                let line = entry.settings_line(&format!("/{setting}"));
                return Err(Diagnostic::new(message)
                    .at(&manifest.file, line)
                    .help(format!("remove `{setting}`")));
            }
            return Ok(inspected);
        }
        let failed = |error: &PluginError| refused(manifest, key, entry, error);
        let bytes = self.read(manifest, key, entry)?;
        manifest.check_digest(key, entry, Digest::of(&bytes))?;
        let plugin = self.component(&bytes).map_err(|error| failed(&error))?;
        let schema = plugin
            .settings_schema(&entry.limits)
            .map_err(|error| failed(&error))?;
        manifest.check_settings(key, &schema)?;
        let descriptor = plugin
            .describe(&entry.settings, &entry.limits)
            .map_err(|error| failed(&error))?;
        let imports = plugin.imports().iter();
        Ok(Inspected {
            digest: plugin.digest(),
            size: plugin.bytes().len() as u64,
            imports: imports
                .filter(|import| {
                    import.capability.is_some() || import.name.starts_with("cairn:plugin/")
                })
                .map(|import| import.name.clone())
                .collect(),
            settings_schema: schema,
            descriptor,
            roles: plugin.roles(),
            builtin: named.map(str::to_owned).or_else(|| self.name_of(&bytes)),
        })
    }

    /// Reads the component of a plugin from its source.
    fn read(
        &self,
        manifest: &Manifest,
        key: &str,
        entry: &PluginEntry,
    ) -> Result<Vec<u8>, Diagnostic> {
        let most = entry.limits.component_bytes;
        let read = self.source(&entry.source).read(most);
        read.map_err(|error| match error {
            SourceError::TooLarge { size } => {
                refused(manifest, key, entry, &PluginError::TooLarge { size, most })
            }
            SourceError::Unread { message, help } => {
                Diagnostic::new(format!("plugin `{key}`: {message}"))
                    .at(&manifest.file, entry.line)
                    .help(help)
            }
        })
    }

    /// Returns where a manifest's source is read from.
    fn source<'a>(&'a self, source: &'a Source) -> Box<dyn ComponentSource + 'a> {
        match source {
            Source::Path(path) => Box::new(FileSource(path)),
            Source::Builtin(name) => Box::new(BuiltinSource {
                name,
                builtins: &self.builtins,
                natives: &self.natives,
            }),
        }
    }
}

/// Reports why a plugin of a manifest cannot be used.
fn refused(manifest: &Manifest, key: &str, entry: &PluginEntry, error: &PluginError) -> Diagnostic {
    let place = format!("plugin `{key}` ({}): {error}", entry.source);
    let diagnostic = Diagnostic::new(place).at(&manifest.file, entry.line);
    match error.help() {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}
