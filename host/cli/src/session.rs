//! Creates what commands work with: the store, the plugins, the policy, the requester.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use cairn::capability::Authorities;
use cairn::clock::SystemClock;
use cairn::config::COMPONENTS_MOVED;
use cairn::deliver::{self, Limits};
use cairn::host::{HostBuilder, Planner};
use cairn::keyring::KeySource;
use cairn::outbox::Outgoing;
use cairn::plugin::{PluginConfig, PluginError, Plugins};
use cairn::policy::Policy;
use cairn::secret::{NamedSecrets, Secrets};
use cairn::store::admin::{Admin, Migrated};
use cairn::store::hosts::{FileHosts, Hosts};
use cairn::store::locks;
use cairn::store::postgres::{self, Postgres, PostgresConfig, ServerHosts};
use cairn::store::view::{Reader, View};
use cairn::store::{DatabaseFile, HostStore, Location, StoreConfig};
use cairn::traces;
use cairn::volumes::operator::ReadVolumes as _;
use cairn::{
    Decisive, Diagnostic, Domains, Host, Identity, Manifest, Plan, Sqlite, SqliteConfig,
    StoreError, extension, volumes,
};

use crate::args::Who;
use crate::compile::InChild;
use crate::exit::Failure;
use crate::input;
use crate::lockfile;
use crate::message;
use crate::operator;
use crate::output;
use crate::settings::Settings;

/// One run of the program.
pub struct Session {
    pub settings: Settings,
    /// Where its changes are asked for, once it is needed.
    source: OnceLock<Arc<str>>,
}

impl Session {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            source: OnceLock::new(),
        }
    }

    /// Prints a warning.
    pub fn warn(&self, message: &str) {
        message::warning(&self.settings.global, message);
    }

    /// Prints a note about something that was done in addition.
    pub fn note(&self, message: &str) {
        message::note(&self.settings.global, message);
    }

    // ---- The database --------------------------------------------------------------------------------------------

    /// Opens the database for reading; creates none. Its schema must be the newest.
    pub fn reader(&self) -> Result<Reader, Failure> {
        let reader = self.any_reader()?;
        reader.require_newest()?;
        Ok(reader)
    }

    /// Opens the database for reading, whatever its schema version; creates none.
    pub fn any_reader(&self) -> Result<Reader, Failure> {
        self.require_database()?;
        match &self.settings.db {
            Location::File(file) => Ok(Reader::open(
                file.path(),
                self.config()?,
                Arc::new(SystemClock),
            )?),
            Location::Server(url) => {
                Ok(Reader::connect(&self.server(url)?, Arc::new(SystemClock))?)
            }
        }
    }

    /// Opens the database for writing; creates none.
    pub fn store(&self) -> Result<Arc<dyn HostStore>, Failure> {
        self.require_database()?;
        self.store_or_new()
    }

    /// Makes an operator's change. Creates the database if there is none, unless the change is refused: it is tried on an empty
    /// database in memory first.
    pub fn change<T>(
        &self,
        requester: &Identity,
        work: impl Fn(&mut Admin<'_>) -> Result<T, StoreError>,
    ) -> Result<T, Failure> {
        if !self.settings.db.exists()? {
            self.empty()?.admin(requester, &work)?;
        }
        Ok(self.store_or_new()?.admin(requester, work)?)
    }

    /// Creates an empty database in memory, which is gone with its last handle.
    fn empty(&self) -> Result<Sqlite, Failure> {
        let config = self.store_config(KeySource::Memory)?;
        Ok(Sqlite::in_memory(config, Arc::new(SystemClock))?)
    }

    /// Opens the database for writing, also while it is held after a restore; creates none.
    pub fn store_even_held(&self) -> Result<Arc<dyn HostStore>, Failure> {
        self.require_database()?;
        self.open(true)
    }

    /// Notes facts about the database, which no flow depends on; also while it is held.
    pub fn note_facts(
        &self,
        work: impl FnOnce(&mut Admin<'_>) -> Result<(), StoreError>,
    ) -> Result<(), Failure> {
        let store = self.store_even_held()?;
        Ok(store.admin(&self.operator(), work)?)
    }

    /// Opens the database for writing; creates it if there is none.
    fn store_or_new(&self) -> Result<Arc<dyn HostStore>, Failure> {
        self.open(false)
    }

    fn open(&self, even_held: bool) -> Result<Arc<dyn HostStore>, Failure> {
        match &self.settings.db {
            Location::File(file) => Ok(Arc::new(self.open_file(file, even_held)?)),
            Location::Server(url) => {
                let mut server = PostgresConfig {
                    locks: Some(self.lock_folder()?),
                    settings: self.fingerprint()?,
                    ..self.server(url)?
                };
                server.store.even_held = even_held;
                Ok(Arc::new(Postgres::open(&server, Arc::new(SystemClock))?))
            }
        }
    }

    /// Returns the digests of the settings that hosts of one database must share.
    fn fingerprint(&self) -> Result<BTreeMap<String, String>, Failure> {
        let settings = &self.settings;
        let policy = settings.policy.as_deref();
        let policy = policy
            .map(|file| input::text(file, "the policy"))
            .transpose()?;
        let decisive = Decisive {
            setup: &settings.setup,
            extensions: &settings.extensions,
            domains: &self.domains(KeySource::Memory)?,
            policy: policy.as_deref(),
            ceilings: settings.ceilings.as_ref(),
            idempotency: settings.idempotency,
            deliver: settings.deliver.as_ref(),
        };
        Ok(decisive.digests()?)
    }

    /// Returns the folder of this machine's locks for a database on a server.
    fn lock_folder(&self) -> Result<PathBuf, Failure> {
        match &self.settings.locks {
            Some(folder) => Ok(folder.clone()),
            None => {
                let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
                Ok(locks::private_folder(runtime.as_deref())?)
            }
        }
    }

    /// Opens the hosts of the database, to look at and to end. This process does not become one.
    pub fn hosts(&self) -> Result<Box<dyn Hosts>, Failure> {
        self.require_database()?;
        match &self.settings.db {
            Location::File(file) => Ok(Box::new(FileHosts {
                path: file.path().to_owned(),
                config: self.config()?,
                clock: Arc::new(SystemClock),
            })),
            Location::Server(url) => Ok(Box::new(ServerHosts::connect(&self.server(url)?)?)),
        }
    }

    /// The database as a file, for what only a file needs; also while it is held. It must be there.
    pub fn file_store(&self) -> Result<Sqlite, Failure> {
        self.require_database()?;
        self.open_file(self.file()?, true)
    }

    /// The file of the database, for commands that work on a file alone.
    pub fn file(&self) -> Result<&DatabaseFile, Failure> {
        self.settings.db.file().ok_or_else(|| {
            let help = "a server returns the space of deleted rows by itself (autovacuum)";
            let message =
                "this command works on a database in a file, and --db names one on a server";
            Failure::from(Diagnostic::new(message).help(help))
        })
    }

    /// How to connect to the database at a URL.
    pub fn server(&self, url: &str) -> Result<PostgresConfig, Failure> {
        let settings = &self.settings;
        let defaults = cairn::server_config(url, &settings.postgres, settings.lease)?;
        Ok(PostgresConfig {
            store: StoreConfig {
                batch: defaults.store.batch,
                ..self.config()?.into()
            },
            ..defaults
        })
    }

    fn open_file(&self, file: &DatabaseFile, even_held: bool) -> Result<Sqlite, Failure> {
        let config = SqliteConfig {
            even_held,
            ..self.config()?
        };
        Ok(Sqlite::open(file.path(), config, Arc::new(SystemClock))?)
    }

    /// Runs a read, on an empty database if there is none. For a command that writes later, which migrates the schema anyway: an old
    /// schema is migrated first.
    pub fn peek<T>(
        &self,
        requester: &Identity,
        read: impl FnOnce(&View<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let Location::Server(url) = &self.settings.db {
            postgres::migrate(&self.server(url)?)?;
            return read(&self.reader()?.view(requester));
        }
        if self.settings.db.exists()? {
            if self.any_reader()?.require_newest().is_err() {
                Sqlite::migrate(self.file()?.path(), &self.domains(KeySource::Memory)?)?;
            }
            return read(&self.reader()?.view(requester));
        }
        let empty = self.empty()?;
        empty.try_read(requester, read)
    }

    /// Migrates the schema, and returns its versions before and after.
    pub fn migrate(&self) -> Result<Migrated, Failure> {
        match &self.settings.db {
            Location::File(file) => Ok(Sqlite::migrate(
                file.path(),
                &self.domains(KeySource::Memory)?,
            )?),
            Location::Server(url) => Ok(postgres::migrate(&self.server(url)?)?),
        }
    }

    /// Refuses to continue without a database.
    pub fn require_database(&self) -> Result<(), Failure> {
        if self.settings.db.exists()? {
            return Ok(());
        }
        let db = &self.settings.db_name;
        Err(
            Diagnostic::new(format!("there is no database at {}", db.display()))
                .help("`cairn run` and commands that create something make one; --db names another")
                .into(),
        )
    }

    /// Creates the domains, which are what flows may change, with this source of the master key.
    pub fn domains(&self, keys: KeySource) -> Result<Domains, Failure> {
        let settings = &self.settings;
        let setup = settings.setup.clone().keys(keys.clone());
        let domains = settings.extensions.iter();
        let domains = domains.map(|extension| match extension.name() {
            // Flags and variables override the file.
            volumes::NAME => Ok(volumes::domain(volumes::Settings {
                quota: settings.quota.clone(),
                default_volume_type: settings.default_volume_type.clone(),
                default_zone: settings.zone.clone(),
                keys: keys.clone(),
            })),
            _ => extension.domain(&setup),
        });
        let domains = domains.collect::<Result<Vec<_>, _>>()?;
        Domains::new(domains).map_err(|error| Failure::host(error.to_string()))
    }

    /// How a store on a file is set up.
    pub fn config(&self) -> Result<SqliteConfig, Failure> {
        let mut config = self.store_config(self.settings.keys.clone())?;
        if let Some(deliver) = &self.settings.deliver {
            config.domains = config.domains.with(Outgoing {
                context: deliver.identity.clone(),
            });
        }
        Ok(config)
    }

    fn store_config(&self, keys: KeySource) -> Result<SqliteConfig, Failure> {
        let defaults = SqliteConfig::default();
        Ok(SqliteConfig {
            domains: self.domains(keys)?,
            idempotency: self.settings.idempotency,
            audit: self.settings.audit,
            lease: self.settings.lease.unwrap_or(defaults.lease),
            patience: self.settings.patience.unwrap_or(defaults.patience),
            locks: self.settings.locks.clone(),
            ..defaults
        })
    }

    // ---- Plugins and policy --------------------------------------------------------------------------------------

    /// Returns the secrets that plugins may be granted.
    pub fn secrets(&self) -> Arc<dyn Secrets> {
        Arc::new(NamedSecrets::new(self.settings.secrets.clone()))
    }

    /// Reads the authorities by which servers of plugins' requests are verified.
    pub fn authorities(&self) -> Result<Authorities, Failure> {
        Ok(match &self.settings.http_ca {
            Some(file) => Authorities::with_file(file)?,
            None => Authorities::default(),
        })
    }

    /// Creates the sandbox; without a cache if the cache cannot be used.
    pub fn plugins(&self) -> Result<Arc<Plugins>, Failure> {
        let compiler = Arc::new(InChild::new(self.settings.compile));
        let config = PluginConfig {
            cache: self.settings.cache.clone(),
            compiler: Some(compiler),
            capabilities: extension::capabilities_of(
                &self.settings.extensions,
                self.authorities()?,
            ),
        };
        match Plugins::new(&config) {
            Err(error @ PluginError::Cache { .. }) => {
                self.warn(&format!("{error}; plugins are compiled in every run"));
                Ok(Plugins::new(&PluginConfig {
                    cache: None,
                    ..config
                })?)
            }
            other => Ok(other?),
        }
    }

    /// Creates a host on a database in memory, for a trial run. The key store's master key goes into `folder`.
    pub fn trial(&self, planner: Planner, folder: &Path) -> Result<Host, Failure> {
        let config = self.store_config(KeySource::NewFile(folder.join("master-key")))?;
        let store = Arc::new(Sqlite::in_memory(config, Arc::new(SystemClock))?);
        let builder = Host::with_planner(store, planner).policy(self.policy()?);
        Ok(builder.build()?)
    }

    /// Creates the planner, with the built-in plugins and without policy rules: see [`Planner::policy`].
    pub fn planner(&self) -> Result<Planner, Failure> {
        let planner = Planner::new(self.plugins()?, cairn_bundle::PLUGINS);
        let planner = planner.allowing(self.settings.allow.clone());
        Ok(match &self.settings.ceilings {
            Some(ceilings) => planner.ceilings(ceilings.clone()),
            None => planner,
        })
    }

    /// Plans a manifest and prints the plan's warnings. If `locked`, the plugins must be those of the lock file.
    pub fn plan(
        &self,
        planner: &Planner,
        manifest: &Manifest,
        locked: bool,
    ) -> Result<Plan, Failure> {
        let plugins = planner.load(manifest)?;
        if locked {
            lockfile::check(manifest, &plugins, planner.kinds())?;
        }
        let plan = planner.wire(manifest, &plugins)?;
        plan.warnings.iter().for_each(|warning| self.warn(warning));
        if plan.action.as_deref() == Some("volume:create") {
            self.warn_of_default_type();
        }
        Ok(plan)
    }

    /// Warns if the default volume type of the settings does not exist.
    fn warn_of_default_type(&self) {
        let Some(name) = &self.settings.default_volume_type else {
            return;
        };
        let name = output::printable(name);
        let missing = self.peek(&self.operator(), |view| {
            Ok(view.missing_default_volume_type()?.is_some())
        });
        match missing {
            Ok(false) => {}
            Ok(true) => self.warn(&format!(
                "there is no volume type `{name}`, which default_volume_type names: volumes whose request names no type get none; `cairn type create {name}` creates it"
            )),
            Err(error) => self.warn(&format!(
                "cannot check whether there is a volume type `{name}`, which default_volume_type names: {}",
                error.diagnostic
            )),
        }
    }

    /// Reads the policy: the built-in rules, overridden by those of the operator's file.
    pub fn policy(&self) -> Result<Arc<Policy>, Failure> {
        let Some(path) = &self.settings.policy else {
            return Ok(Arc::default());
        };
        let own = Policy::parse(&input::text(path, "the policy")?, Some(path))?;
        let policy = Policy::default().with(own)?;
        policy
            .warnings()
            .iter()
            .for_each(|warning| self.warn(warning));
        Ok(Arc::new(policy))
    }

    /// Creates the builder of a host on the database, which is created if there is none.
    pub fn host(&self, planner: Planner, policy: Arc<Policy>) -> Result<HostBuilder, Failure> {
        if let Some(folder) = &self.settings.components {
            self.warn(COMPONENTS_MOVED);
            if let Some(file) = self.settings.db.file() {
                self.open_file(file, false)?.take_in_components(folder)?;
            }
        }
        let deliver = self.settings.deliver.as_ref();
        let transport = deliver.map(deliver::open).transpose()?;
        let host = self.silent_host(planner, policy)?;
        Ok(match (deliver, transport) {
            (Some(deliver), Some(transport)) => host.deliver(transport, Limits::of(deliver)),
            _ => host,
        })
    }

    /// Creates the builder of a host as [`host`](Self::host) does, but delivers no messages.
    pub fn silent_host(
        &self,
        planner: Planner,
        policy: Arc<Policy>,
    ) -> Result<HostBuilder, Failure> {
        let store = self.store_or_new()?;
        let host = Host::with_planner(store, planner)
            .policy(policy)
            .secrets(self.secrets());
        Ok(match &self.settings.traces {
            Some(config) => host.trace(traces::open(config)?, config.sample),
            None => host,
        })
    }

    /// Waits a while for the messages of flows that ended, and says what is still to be delivered.
    pub fn settle(&self, host: &Host) {
        let Some(deliver) = &self.settings.deliver else {
            return;
        };
        let unsent = host.settle(deliver.wait);
        if unsent.messages == 0 {
            return;
        }
        let why = unsent.error.map_or_else(String::new, |error| {
            format!(" ({})", output::printable(&error))
        });
        self.warn(&format!(
            "still to be delivered: {}{why}; a later `cairn run` or `cairn recover` goes on, and `cairn outbox list` shows them",
            output::count(usize::try_from(unsent.messages).unwrap_or(usize::MAX), "message")
        ));
    }

    // ---- The requester -------------------------------------------------------------------------------------------

    /// Returns the requester; the policy decides which roles make an admin.
    pub fn identity(&self, who: &Who, policy: &Policy) -> Identity {
        let user = who.user.as_ref().unwrap_or(&self.settings.user);
        let project = who.project.as_ref().unwrap_or(&self.settings.project);
        let mut identity = Identity {
            roles: who.roles.clone(),
            is_admin: policy.is_admin(&who.roles),
            quota_class: self.settings.quota_class.clone(),
            ..self.person(user, project)
        };
        if who.admin {
            identity = identity.into_admin();
        }
        identity
    }

    /// Returns the requester that the settings name.
    pub fn demo(&self) -> Identity {
        Identity::new(&self.settings.user, &self.settings.project)
    }

    /// Returns an admin, for work on every project.
    pub fn operator(&self) -> Identity {
        self.person(&self.settings.user, &self.settings.project)
            .into_admin()
    }

    /// Returns the person at the command line, who asks for changes.
    fn person(&self, user: &str, project: &str) -> Identity {
        let source = self.source.get_or_init(operator::source);
        // As other programs pass a trace on to those that they start.
        let trace = std::env::var("TRACEPARENT").ok();
        Identity {
            trace: trace.and_then(|trace| trace.parse().ok()),
            ..Identity::new(user, project).from_source(Arc::clone(source))
        }
    }

    /// Returns the requester, for a command that needs the policy for nothing else.
    pub fn requester(&self, who: &Who) -> Result<Identity, Failure> {
        let policy = self.policy()?;
        Ok(self.identity(who, &policy))
    }
}
