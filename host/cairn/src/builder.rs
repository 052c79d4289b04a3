use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_deliver::Limits;
use cairn_effects::domain::Domains;
use cairn_effects::outbox::Outgoing;
use cairn_effects::task::Task;
use cairn_engine::host::{Host, HostBuilder, HostError, Planner};
use cairn_manifest::config::{CompileConfig, Config};
use cairn_manifest::plan::PlannedTask;
use cairn_model::clock::{Clock, SystemClock};
use cairn_model::error::Diagnostic;
use cairn_policy::Policy;
use cairn_sandbox::extension::{Extension, Setup};
use cairn_sandbox::plugin::{Compiler, PluginConfig, Plugins};
use cairn_store::{DatabaseFile, HostStore, Sqlite, SqliteConfig};

use crate::extensions::{capabilities_of, extensions_with, grant_kinds_of};
use crate::operator;
use crate::short::Cairn;

/// Makes the compiler of components that do not come with the program.
type MakeCompiler = dyn FnOnce(CompileConfig) -> Arc<dyn Compiler>;

/// Passes a change on to the builder of the host.
type Change = Box<dyn FnOnce(HostBuilder) -> HostBuilder>;

/// Where flows are kept.
enum Place {
    File(PathBuf),
    Memory,
    Store(Arc<dyn HostStore>),
}

/// What a [`Cairn`] is made of. What is not said here is as `cairn.toml` says, where one is named, else the default.
#[must_use]
pub struct CairnBuilder {
    place: Option<Place>,
    config: Option<PathBuf>,
    added: Vec<Extension>,
    policy: Option<Arc<Policy>>,
    builtins: Vec<(String, &'static [u8])>,
    compiler: Option<Box<MakeCompiler>>,
    cache: Option<PathBuf>,
    components: Option<PathBuf>,
    master_key: Option<PathBuf>,
    changes: Vec<Change>,
}

impl Cairn {
    /// Opens the SQLite database at `path`, which is made when it is not there, with the domains and the built-in plugins that come with
    /// this crate and its default policy. Plugins of others are refused: see [`CairnBuilder::compiler`].
    ///
    /// # Errors
    /// [`HostError::Store`] when the database cannot be used, [`HostError::Plugin`] when this machine cannot run plugins.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, HostError> {
        Self::builder().database(path).build()
    }

    /// Begins with what [`open`](Self::open) takes, without a database.
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
            components: None,
            master_key: None,
            changes: Vec::new(),
        }
    }
}

impl CairnBuilder {
    /// Keeps flows in the SQLite database at this path, which is made when it is not there. Beside it stand `PATH.key`, the master key of
    /// the key store, `PATH.components`, the components of stored plans, and `PATH.locks`.
    pub fn database(mut self, path: impl AsRef<Path>) -> Self {
        self.place = Some(Place::File(path.as_ref().to_owned()));
        self
    }

    /// Keeps flows in a SQLite database in memory, which is gone with the [`Cairn`]: for tests.
    pub fn in_memory(mut self) -> Self {
        self.place = Some(Place::Memory);
        self
    }

    /// Keeps flows in a store that was opened elsewhere, with the domains that it was opened with. The domains here add their capabilities
    /// alone, and the settings of the database in `cairn.toml` have no effect.
    pub fn store(mut self, store: Arc<dyn HostStore>) -> Self {
        self.place = Some(Place::Store(store));
        self
    }

    /// Reads an operator's `cairn.toml`. Its keys `user` and `project` are the command line's, and have no effect here.
    pub fn config(mut self, file: impl AsRef<Path>) -> Self {
        self.config = Some(file.as_ref().to_owned());
        self
    }

    /// Adds a domain with its capabilities and settings. One with the name of a domain that comes with this crate takes its place:
    /// `domain(volumes::extension_with(settings))`.
    pub fn domain(mut self, domain: impl Into<Extension>) -> Self {
        self.added.push(domain.into());
        self
    }

    /// Decides by these rules, in place of those of `cairn.toml` and the default ones.
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

    /// Adds a task in native code, which manifests name as a built-in plugin: see [`Planner::native`].
    pub fn native(self, task: impl Task + 'static) -> Self {
        self.change(move |host| host.native(Arc::new(task)))
    }

    /// Has every task of a plan pass through `interceptor`: see [`HostBuilder::intercept`].
    pub fn intercept(
        self,
        interceptor: impl Fn(&PlannedTask, Arc<dyn Task>) -> Arc<dyn Task> + Send + Sync + 'static,
    ) -> Self {
        self.change(move |host| host.intercept(interceptor))
    }

    /// Runs so many tasks at the same moment: see [`HostBuilder::workers`].
    pub fn workers(self, workers: usize) -> Self {
        self.change(move |host| host.workers(workers))
    }

    /// Lets so many requests wait for a worker: see [`HostBuilder::queue`].
    pub fn queue(self, requests: usize) -> Self {
        self.change(move |host| host.queue(requests))
    }

    /// Compiles components that do not come with the program. `compiler` is given the limits of `[compile]` in `cairn.toml`.
    ///
    /// Without one such components are refused, because nothing bounds how long the compiler works on a component, and how much memory
    /// that takes, except a process of its own. `cairn_cli::compile::InChild` is a compiler in a child process with limits. A program that trusts each component that it
    /// is given may take [`InProcess`](cairn_sandbox::plugin::InProcess).
    pub fn compiler(
        mut self,
        compiler: impl FnOnce(CompileConfig) -> Arc<dyn Compiler> + 'static,
    ) -> Self {
        self.compiler = Some(Box::new(compiler));
        self
    }

    /// Keeps compiled components in this folder, which belongs to Cairn alone; without one each process compiles them again.
    pub fn cache(mut self, folder: impl AsRef<Path>) -> Self {
        self.cache = Some(folder.as_ref().to_owned());
        self
    }

    /// Keeps the components of stored plans in this folder, in place of the one beside the database.
    pub fn components(mut self, folder: impl AsRef<Path>) -> Self {
        self.components = Some(folder.as_ref().to_owned());
        self
    }

    /// Keeps the master key of the key store in this file, in place of the one beside the database.
    pub fn master_key(mut self, file: impl AsRef<Path>) -> Self {
        self.master_key = Some(file.as_ref().to_owned());
        self
    }

    fn change(mut self, change: impl FnOnce(HostBuilder) -> HostBuilder + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Opens the database and starts the host. Flows that dead processes left behind are taken up by [`Cairn::recover`].
    ///
    /// # Errors
    /// [`HostError::Invalid`] when settings or rules are wrong, no database is named, or domains do not go together;
    /// [`HostError::Store`] when the database cannot be used; [`HostError::Plugin`] when this machine cannot run plugins or the cache
    /// cannot be used.
    pub fn build(self) -> Result<Cairn, HostError> {
        let extensions = extensions_with(self.added)?;
        let kinds = grant_kinds_of(&extensions)?;
        let (config, setup) = operator::settings(self.config.as_deref(), &extensions, &kinds)?;
        let policy = match (self.policy, &config.policy) {
            (Some(policy), _) => policy,
            (None, Some(file)) => operator::policy(file)?,
            (None, None) => Arc::default(),
        };
        let plugins = Plugins::new(&PluginConfig {
            cache: self.cache.or_else(|| config.cache.clone()),
            compiler: self.compiler.map(|make| make(config.compile)),
            capabilities: capabilities_of(&extensions),
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
        let key = self.master_key.or_else(|| config.master_key.clone());
        let place = self.place.or_else(|| config.db.clone().map(Place::File));
        let (store, beside) = opened(place, &extensions, setup, key, &config)?;
        let mut host = Host::with_planner(store, planner).policy(policy);
        if let Some(deliver) = &config.deliver {
            host = host.deliver(cairn_deliver::open(deliver)?, Limits::of(deliver));
        }
        if let Some(folder) = self.components.or(config.components).or(beside) {
            host = host.components(folder);
        }
        let changed = self.changes.into_iter();
        let host = changed.fold(host, |host, change| change(host));
        Ok(Cairn::new(host.build()?, kinds))
    }
}

/// Opens the store, and returns it with the folder of components beside it, where it is on disk.
fn opened(
    place: Option<Place>,
    extensions: &[Extension],
    setup: Setup,
    key: Option<PathBuf>,
    config: &Config,
) -> Result<(Arc<dyn HostStore>, Option<PathBuf>), HostError> {
    let file = match place {
        Some(Place::Store(store)) => return Ok((store, None)),
        Some(Place::File(path)) => Some(DatabaseFile::named(&path)),
        Some(Place::Memory) => None,
        None => {
            let help = "name one with `Cairn::open(PATH)`, `Cairn::builder().database(PATH)`, or `db` in cairn.toml";
            return Err(Diagnostic::new("no database is named").help(help).into());
        }
    };
    let key = key.or_else(|| file.as_ref().map(|file| file.beside(".key")));
    let setup = setup.master_key(key);
    let domains = extensions.iter().map(|extension| extension.domain(&setup));
    let domains = domains.collect::<Result<Vec<_>, _>>()?;
    let domains = Domains::new(domains).map_err(|error| Diagnostic::new(error.to_string()))?;
    let domains = match &config.deliver {
        Some(deliver) => domains.with(Outgoing {
            context: deliver.identity.clone(),
        }),
        None => domains,
    };
    let defaults = SqliteConfig::default();
    let sqlite = SqliteConfig {
        domains,
        idempotency: config.idempotency,
        lease: config.lease.unwrap_or(defaults.lease),
        patience: config.patience.unwrap_or(defaults.patience),
        ..defaults
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Ok(match file {
        Some(file) => {
            let store = Sqlite::open(file.path(), sqlite, clock)?;
            (Arc::new(store), Some(file.beside(".components")))
        }
        None => (Arc::new(Sqlite::in_memory(sqlite, clock)?), None),
    })
}
