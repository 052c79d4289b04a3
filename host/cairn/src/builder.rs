use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_deliver::Limits;
use cairn_effects::task::Task;
use cairn_engine::host::{Host, HostBuilder, HostError, Planner};
use cairn_manifest::config::{CompileConfig, KeysConfig, TracesConfig};
use cairn_manifest::plan::PlannedTask;
use cairn_model::error::Diagnostic;
use cairn_model::secret::{NamedSecrets, Secrets};
use cairn_policy::Policy;
use cairn_sandbox::extension::Extension;
use cairn_sandbox::plugin::{Compiler, PluginConfig, Plugins};
use cairn_store::HostStore;

use crate::extensions::{capabilities_of, extensions_with, grant_kinds_of};
use crate::fingerprint;
use crate::operator;
use crate::place::{Opening, Place};
use crate::short::Cairn;

/// Makes the compiler of components that are not built in.
type MakeCompiler = dyn FnOnce(CompileConfig) -> Arc<dyn Compiler>;

/// A setting to be applied to the host's builder.
type Change = Box<dyn FnOnce(HostBuilder) -> HostBuilder>;

/// Configures a [`Cairn`]. A setting that is not made here comes from `cairn.toml` if one is named, else it has its default.
#[must_use]
pub struct CairnBuilder {
    place: Option<Place>,
    config: Option<PathBuf>,
    added: Vec<Extension>,
    policy: Option<Arc<Policy>>,
    builtins: Vec<(String, &'static [u8])>,
    compiler: Option<Box<MakeCompiler>>,
    cache: Option<PathBuf>,
    master_key: Option<PathBuf>,
    agreed: BTreeMap<String, String>,
    changes: Vec<Change>,
}

impl Cairn {
    /// Opens the SQLite database at `path`, and creates it if it does not exist, with the domains and built-in plugins of this crate and
    /// the default policy. Components that are not built in are refused: see [`CairnBuilder::compiler`].
    ///
    /// # Errors
    /// [`HostError::Store`] when the database cannot be used, [`HostError::Plugin`] when this machine cannot run plugins.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, HostError> {
        Self::builder().database(path).build()
    }

    /// Returns a builder with the settings of [`open`](Self::open), without a database.
    pub fn builder() -> CairnBuilder {
        CairnBuilder {
            place: None,
            config: None,
            added: Vec::new(),
            policy: None,
            #[cfg(feature = "builtins")]
            builtins: (cairn_bundle::PLUGINS.iter())
                .map(|(name, component)| ((*name).to_owned(), *component))
                .collect(),
            #[cfg(not(feature = "builtins"))]
            builtins: Vec::new(),
            compiler: None,
            cache: None,
            master_key: None,
            agreed: BTreeMap::new(),
            changes: Vec::new(),
        }
    }
}

impl CairnBuilder {
    /// Stores flows in the SQLite database at this path, which is created if it does not exist. Files beside it: `PATH.key`, the master
    /// key of the key store, and `PATH.locks`.
    ///
    /// `postgres://…` is a database of PostgreSQL (feature `postgres`), which must exist; its tables are created. The program is then one of
    /// the hosts that share it (`host/docs/many-hosts.md` in the repository): they are refused unless their settings agree. Its locks are in
    /// the folder `locks` of `[hosts]` in `cairn.toml`, else in `/tmp/cairn-UID`.
    pub fn database(mut self, path: impl AsRef<Path>) -> Self {
        self.place = Some(Place::Named(path.as_ref().to_owned()));
        self
    }

    /// Stores flows in a SQLite database in memory, which is lost when the [`Cairn`] is dropped: for tests.
    pub fn in_memory(mut self) -> Self {
        self.place = Some(Place::Memory);
        self
    }

    /// Stores flows in an open store, with the domains that it was opened with. The domains of this builder only add their
    /// capabilities, and the settings of the database in `cairn.toml` have no effect.
    pub fn store(mut self, store: Arc<dyn HostStore>) -> Self {
        self.place = Some(Place::Store(store));
        self
    }

    /// Reads an operator's `cairn.toml`. Its keys `user` and `project` are for the command line and have no effect here.
    pub fn config(mut self, file: impl AsRef<Path>) -> Self {
        self.config = Some(file.as_ref().to_owned());
        self
    }

    /// Adds a domain with its capabilities and settings. It replaces a domain of this crate that has the same name:
    /// `domain(volumes::extension_with(settings))`.
    pub fn domain(mut self, domain: impl Into<Extension>) -> Self {
        self.added.push(domain.into());
        self
    }

    /// Uses these access rules instead of those of `cairn.toml` and the default ones.
    pub fn policy(mut self, policy: Arc<Policy>) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Adds plugins that manifests name as `builtin`. They are trusted: compiled in this process, without limits.
    pub fn builtins(mut self, plugins: &[(&str, &'static [u8])]) -> Self {
        let plugins = plugins.iter();
        self.builtins
            .extend(plugins.map(|(name, component)| ((*name).to_owned(), *component)));
        self
    }

    /// Adds a task in native code, which manifests refer to as a built-in plugin: see [`Planner::native`].
    pub fn native(self, task: impl Task + 'static) -> Self {
        self.change(move |host| host.native(Arc::new(task)))
    }

    /// Replaces or wraps each task of a plan by `interceptor`: see [`HostBuilder::intercept`].
    pub fn intercept(
        self,
        interceptor: impl Fn(&PlannedTask, Arc<dyn Task>) -> Arc<dyn Task> + Send + Sync + 'static,
    ) -> Self {
        self.change(move |host| host.intercept(interceptor))
    }

    /// Sets the secrets that plugins may be granted, in place of those of `cairn.toml`.
    pub fn secrets(self, secrets: Arc<dyn Secrets>) -> Self {
        self.change(move |host| host.secrets(secrets))
    }

    /// Sets how many tasks run at the same time: see [`HostBuilder::workers`].
    pub fn workers(self, workers: usize) -> Self {
        self.change(move |host| host.workers(workers))
    }

    /// Sets how many requests may wait for a worker: see [`HostBuilder::queue`].
    pub fn queue(self, requests: usize) -> Self {
        self.change(move |host| host.queue(requests))
    }

    /// Sets the compiler of components that are not built in. `compiler` receives the limits of `[compile]` in `cairn.toml`.
    ///
    /// Without a compiler such components are refused, because only a process of its own can bound the time and memory of a compilation.
    /// `cairn_cli::compile::InChild` compiles in a child process with limits. A program that trusts all of its components may use
    /// [`InProcess`](cairn_sandbox::plugin::InProcess).
    pub fn compiler(
        mut self,
        compiler: impl FnOnce(CompileConfig) -> Arc<dyn Compiler> + 'static,
    ) -> Self {
        self.compiler = Some(Box::new(compiler));
        self
    }

    /// Caches compiled components in this folder, which no other program may use; without a cache each process compiles them again.
    pub fn cache(mut self, folder: impl AsRef<Path>) -> Self {
        self.cache = Some(folder.as_ref().to_owned());
        self
    }

    /// Keeps the master key of the key store in this file instead of the one beside the database, or what `[keys]` in `cairn.toml` names.
    pub fn master_key(mut self, file: impl AsRef<Path>) -> Self {
        self.master_key = Some(file.as_ref().to_owned());
        self
    }

    /// Says what a rule of this program depends on, besides `cairn.toml`. A host that shares the database and says otherwise is refused, as one
    /// with other settings is; so is one that says nothing of it.
    pub fn agrees_on(mut self, setting: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.agreed
            .insert(setting.into(), fingerprint::digest(value.as_ref()));
        self
    }

    /// Sets whether the host takes a fair share of the projects where several hosts share the database: see [`HostBuilder::share`].
    pub fn share(self, shares: bool) -> Self {
        self.change(move |host| host.share(shares))
    }

    fn change(mut self, change: impl FnOnce(HostBuilder) -> HostBuilder + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Opens the database and starts the host. Call [`Cairn::recover`] to recover the flows of dead processes.
    ///
    /// # Errors
    /// [`HostError::Invalid`] when settings or rules are wrong, no database is named, or domains are in conflict;
    /// [`HostError::Store`] when the database cannot be used; [`HostError::Plugin`] when this machine cannot run plugins or the cache
    /// cannot be used.
    pub fn build(self) -> Result<Cairn, HostError> {
        let extensions = extensions_with(self.added)?;
        let kinds = grant_kinds_of(&extensions)?;
        let (config, setup) = operator::settings(self.config.as_deref(), &extensions, &kinds)?;
        let (policy, rules) = match (self.policy, &config.policy) {
            (Some(policy), _) => {
                let rules = format!("{policy:?}");
                (policy, Some(rules))
            }
            (None, Some(file)) => {
                let rules = operator::text(file, "the policy")?;
                (operator::policy(&rules, file)?, Some(rules))
            }
            (None, None) => (Arc::default(), None),
        };
        let plugins = Plugins::new(&PluginConfig {
            cache: self.cache.or_else(|| config.cache.clone()),
            compiler: self.compiler.map(|make| make(config.compile)),
            capabilities: capabilities_of(&extensions, operator::authorities(&config)?),
        })?;
        let builtins = self.builtins.iter();
        let builtins: Vec<_> = builtins
            .map(|(name, bytes)| (name.as_str(), *bytes))
            .collect();
        let planner = Planner::new(plugins, &builtins).allowing(config.allow.clone());
        let planner = match config.ceilings.clone() {
            Some(ceilings) => planner.ceilings(ceilings),
            None => planner,
        };
        let keys = (self.master_key.map(KeysConfig::File)).or_else(|| config.keys.clone());
        let place = self.place.or_else(|| config.db.clone().map(Place::Named));
        let opening = Opening {
            extensions: &extensions,
            setup,
            keys,
            config: &config,
            policy: rules.as_deref(),
            agreed: self.agreed,
        };
        let store = opening.open(place)?;
        let secrets = Arc::new(NamedSecrets::new(config.secrets.clone()));
        let mut host = Host::with_planner(store, planner)
            .policy(policy)
            .secrets(secrets);
        if let Some(deliver) = &config.deliver {
            host = host.deliver(cairn_deliver::open(deliver)?, Limits::of(deliver));
        }
        if let Some(traces) = &config.traces {
            host = traced(host, traces)?;
        }
        let changed = self.changes.into_iter();
        let host = changed.fold(host, |host, change| change(host));
        Ok(Cairn::new(host.build()?, kinds))
    }
}

/// Sends traces where the operator has configured.
#[cfg(feature = "otlp")]
fn traced(host: HostBuilder, config: &TracesConfig) -> Result<HostBuilder, Diagnostic> {
    Ok(host.trace(cairn_traces::open(config)?, config.sample))
}

#[cfg(not(feature = "otlp"))]
fn traced(_: HostBuilder, _: &TracesConfig) -> Result<HostBuilder, Diagnostic> {
    let help = "build it with the feature `otlp`, or remove [traces]";
    Err(Diagnostic::new("this program was built without traces").help(help))
}
