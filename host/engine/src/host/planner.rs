use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use crate::allow::Allow;
use crate::error::Diagnostic;
use crate::manifest::{Manifest, PluginEntry, Source};
use crate::plan::{Inspected, Plan};
use crate::plugin::{PluginError, Plugins};
use crate::value::Digest;

/// Makes plans of manifests: what a host does before it touches a database.
#[derive(Clone)]
pub struct Planner {
    pub(super) plugins: Arc<Plugins>,
    builtins: BTreeMap<String, &'static [u8]>,
    pub(super) allow: Allow,
}

impl Planner {
    /// A planner that knows these plugins as `builtin`.
    pub fn new(plugins: Arc<Plugins>, builtins: &[(&str, &'static [u8])]) -> Self {
        let mut planner = Self {
            plugins,
            builtins: BTreeMap::new(),
            allow: Allow::default(),
        };
        planner.extend(builtins);
        planner
    }

    /// What the operator lets plugins be granted; everything unless something else is said. It binds plans that were stored
    /// before, too.
    #[must_use]
    pub fn allowing(mut self, allow: Allow) -> Self {
        self.allow = allow;
        self
    }

    pub(super) fn extend(&mut self, builtins: &[(&str, &'static [u8])]) {
        self.builtins.extend(
            builtins
                .iter()
                .map(|(name, bytes)| ((*name).to_owned(), *bytes)),
        );
    }

    /// Loads every plugin that a task of the manifest uses, asks each what it is, and wires the tasks. Nothing runs.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place in the manifest and the fix.
    pub fn plan(&self, manifest: &Manifest) -> Result<Plan, Diagnostic> {
        self.wire(manifest, &self.load(manifest)?)
    }

    /// Loads every plugin that a task of the manifest uses, and asks each what it is: the first half of a plan, from which a
    /// [`Lock`](crate::lock::Lock) can be made before the second.
    ///
    /// # Errors
    /// The first that cannot be loaded or is not the pinned one, or whose settings do not fit.
    pub fn load(&self, manifest: &Manifest) -> Result<BTreeMap<String, Inspected>, Diagnostic> {
        let mut inspected = BTreeMap::new();
        for task in &manifest.tasks {
            let Some(entry) = manifest.plugins.get(&task.plugin) else {
                continue;
            };
            if !inspected.contains_key(&task.plugin) {
                inspected.insert(
                    task.plugin.clone(),
                    self.inspect(manifest, &task.plugin, entry)?,
                );
            }
        }
        Ok(inspected)
    }

    /// Checks plugins that were loaded against the manifest and what the operator allows, and wires the tasks: the second half
    /// of a plan.
    ///
    /// # Errors
    /// Those of [`Manifest::plan`].
    pub fn wire(
        &self,
        manifest: &Manifest,
        inspected: &BTreeMap<String, Inspected>,
    ) -> Result<Plan, Diagnostic> {
        manifest.plan(inspected, &self.allow)
    }

    /// The built-in plugin of that digest.
    pub(super) fn builtin(&self, digest: Digest) -> Option<&'static [u8]> {
        self.builtins
            .values()
            .copied()
            .find(|bytes| Digest::of(bytes) == digest)
    }

    /// The built-in plugin that these bytes are: one that is loaded by its path is the same plugin.
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
        let failed = |error: &PluginError| {
            let place = match &entry.source {
                Source::Path(path) => format!("plugin `{key}` ({}): {error}", path.display()),
                Source::Builtin(name) => format!("plugin `{key}` (builtin `{name}`): {error}"),
            };
            let diagnostic = Diagnostic::new(place).at(&manifest.file, entry.line);
            match error.help() {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            }
        };
        let bytes = self.read(manifest, key, entry)?;
        manifest.check_digest(key, entry, Digest::of(&bytes))?;
        let plugin = self.plugins.load(&bytes).map_err(|error| failed(&error))?;
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
                .filter(|import| import.name.starts_with("cairn:plugin/"))
                .map(|import| import.name.clone())
                .collect(),
            settings_schema: schema,
            descriptor,
            builtin: match &entry.source {
                Source::Builtin(name) => Some(name.clone()),
                Source::Path(_) => self.name_of(&bytes),
            },
        })
    }

    fn read(
        &self,
        manifest: &Manifest,
        key: &str,
        entry: &PluginEntry,
    ) -> Result<Vec<u8>, Diagnostic> {
        match &entry.source {
            Source::Builtin(name) => match self.builtins.get(name) {
                Some(bytes) => Ok(bytes.to_vec()),
                None => {
                    let known: Vec<&str> = self.builtins.keys().map(String::as_str).collect();
                    let message = format!("plugin `{key}`: there is no built-in plugin `{name}`");
                    Err(Diagnostic::new(message)
                        .at(&manifest.file, entry.line)
                        .help(format!("the built-in plugins are {}", known.join(", "))))
                }
            },
            Source::Path(path) => fs::read(path).map_err(|error| {
                let message = format!("plugin `{key}`: cannot read {}: {error}", path.display());
                Diagnostic::new(message)
                    .at(&manifest.file, entry.line)
                    .help(
                        "paths are relative to the manifest; build the plugin first if it is yours",
                    )
            }),
        }
    }
}
