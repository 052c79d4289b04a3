//! What commands do their work with: the database, the plugins, the policy, the requester.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn::clock::SystemClock;
use cairn::deliver::{self, Limits};
use cairn::error::Diagnostic;
use cairn::extension;
use cairn::host::{Host, HostBuilder, Planner};
use cairn::id::Identity;
use cairn::manifest::Manifest;
use cairn::outbox::Outgoing;
use cairn::plan::Plan;
use cairn::plugin::{PluginConfig, PluginError, Plugins};
use cairn::policy::Policy;
use cairn::store::admin::Admin;
use cairn::store::view::{Reader, View};
use cairn::store::{Sqlite, SqliteConfig, StoreError};
use cairn::volumes::operator::ReadVolumes as _;
use cairn::{Domains, volumes};

use crate::args::Who;
use crate::compile::InChild;
use crate::exit::Failure;
use crate::input;
use crate::lockfile;
use crate::output;
use crate::settings::Settings;

/// One run of the program.
pub struct Session {
    pub settings: Settings,
}

impl Session {
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Says what is not wrong but is hardly meant.
    pub fn warn(&self, message: &str) {
        output::warning(&self.settings.global, message);
    }

    /// Says what was done besides what was asked for.
    pub fn note(&self, message: &str) {
        output::note(&self.settings.global, message);
    }

    // ---- The database --------------------------------------------------------------------------------------------

    /// The database for reading; none is made. Its schema is the newest.
    pub fn reader(&self) -> Result<Reader, Failure> {
        let reader = self.any_reader()?;
        reader.require_newest()?;
        Ok(reader)
    }

    /// The database for what can be done with any version of it; none is made.
    pub fn any_reader(&self) -> Result<Reader, Failure> {
        self.require_database()?;
        Ok(Reader::open(
            self.settings.db.path(),
            self.config()?,
            Arc::new(SystemClock),
        )?)
    }

    /// The database for writing, which must be there.
    pub fn store(&self) -> Result<Sqlite, Failure> {
        self.require_database()?;
        self.store_or_new()
    }

    /// Changes things in the database, which is made when it is not there: not for a change that is refused, so that is tried
    /// on an empty one in memory first.
    pub fn change<T>(
        &self,
        requester: &Identity,
        work: impl Fn(&mut Admin<'_, '_>) -> Result<T, StoreError>,
    ) -> Result<T, Failure> {
        if !self.settings.db.exists()? {
            self.empty()?.admin(requester, &work)?;
        }
        Ok(self.store_or_new()?.admin(requester, work)?)
    }

    /// An empty database, which is gone with its last handle.
    fn empty(&self) -> Result<Sqlite, Failure> {
        let config = self.store_config(None)?;
        Ok(Sqlite::in_memory(config, Arc::new(SystemClock))?)
    }

    /// The database for writing; it is made when it is not there.
    fn store_or_new(&self) -> Result<Sqlite, Failure> {
        Ok(Sqlite::open(
            self.settings.db.path(),
            self.config()?,
            Arc::new(SystemClock),
        )?)
    }

    /// Reads what is there, which is nothing as long as there is no database. For a command that writes to it later, and so brings
    /// its schema up to date: that is done first.
    pub fn peek<T>(
        &self,
        requester: &Identity,
        read: impl FnOnce(&View<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if self.settings.db.exists()? {
            if self.any_reader()?.require_newest().is_err() {
                Sqlite::migrate(self.settings.db.path(), &self.domains(None)?)?;
            }
            return read(&self.reader()?.view(requester));
        }
        let empty = self.empty()?;
        empty.try_read(requester, read)
    }

    /// Refuses to go on without one.
    pub fn require_database(&self) -> Result<(), Failure> {
        if self.settings.db.exists()? {
            return Ok(());
        }
        let db = &self.settings.db_name;
        Err(Diagnostic::new(format!("there is no database at {}", db.display()))
            .help("`cairn run` makes one, and so does whatever creates something; --db names another")
            .into())
    }

    /// What flows may change. The key store's master key is in a file, or in memory.
    pub fn domains(&self, master_key: Option<PathBuf>) -> Result<Domains, Failure> {
        let settings = &self.settings;
        let setup = settings.setup.clone().master_key(master_key.clone());
        let domains = settings.extensions.iter();
        let domains = domains.map(|extension| match extension.name() {
            // Flags and variables come before the file.
            volumes::NAME => Ok(volumes::domain(volumes::Settings {
                quota: settings.quota.clone(),
                default_volume_type: settings.default_volume_type.clone(),
                default_zone: settings.zone.clone(),
                master_key: master_key.clone(),
            })),
            _ => extension.domain(&setup),
        });
        let domains = domains.collect::<Result<Vec<_>, _>>()?;
        Domains::new(domains).map_err(|error| Failure::host(error.to_string()))
    }

    fn config(&self) -> Result<SqliteConfig, Failure> {
        let mut config = self.store_config(Some(self.settings.master_key.clone()))?;
        if let Some(deliver) = &self.settings.deliver {
            config.domains = config.domains.with(Outgoing {
                context: deliver.identity.clone(),
            });
        }
        Ok(config)
    }

    fn store_config(&self, master_key: Option<PathBuf>) -> Result<SqliteConfig, Failure> {
        let defaults = SqliteConfig::default();
        Ok(SqliteConfig {
            domains: self.domains(master_key)?,
            idempotency: self.settings.idempotency,
            lease: self.settings.lease.unwrap_or(defaults.lease),
            patience: self.settings.patience.unwrap_or(defaults.patience),
            ..defaults
        })
    }

    // ---- Plugins and policy --------------------------------------------------------------------------------------

    /// The sandbox. Goes on without a cache where that cannot be used.
    pub fn plugins(&self) -> Result<Arc<Plugins>, Failure> {
        let compiler = Arc::new(InChild::new(self.settings.compile));
        let config = PluginConfig {
            cache: self.settings.cache.clone(),
            compiler: Some(compiler),
            capabilities: extension::capabilities_of(&self.settings.extensions),
        };
        match Plugins::new(&config) {
            Err(error @ PluginError::Cache { .. }) => {
                self.warn(&format!("{error}; plugins are compiled anew each time"));
                Ok(Plugins::new(&PluginConfig {
                    cache: None,
                    ..config
                })?)
            }
            other => Ok(other?),
        }
    }

    /// A host on a database in memory, for a trial that leaves nothing behind. The key store's master key goes into `folder`.
    pub fn trial(&self, planner: Planner, folder: &Path) -> Result<Host, Failure> {
        let config = self.store_config(Some(folder.join("master-key")))?;
        let store = Arc::new(Sqlite::in_memory(config, Arc::new(SystemClock))?);
        let builder = Host::with_planner(store, planner).policy(self.policy()?);
        Ok(builder.build()?)
    }

    /// What makes plans, with the built-in plugins. It knows of no rules: see [`Planner::policy`].
    pub fn planner(&self) -> Result<Planner, Failure> {
        let planner = Planner::new(self.plugins()?, cairn_bundle::PLUGINS);
        let planner = planner.allowing(self.settings.allow.clone());
        Ok(match &self.settings.ceilings {
            Some(ceilings) => planner.ceilings(ceilings.clone()),
            None => planner,
        })
    }

    /// The plan of a manifest, whose plugins must be those of its lock file where `locked` asks for it.
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

    /// Says that volumes get no type where the settings mean them to get one.
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
                "there is no volume type `{name}`, which default_volume_type names: volumes for which no type is asked get none; `cairn type create {name}` makes it"
            )),
            Err(error) => self.warn(&format!(
                "whether there is a volume type `{name}`, which default_volume_type names, is not known: {}",
                error.diagnostic
            )),
        }
    }

    /// The built-in rules, with those of the operator's file before them.
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

    /// What makes a host on the database, which is made when it is not there.
    pub fn host(&self, planner: Planner, policy: Arc<Policy>) -> Result<HostBuilder, Failure> {
        let deliver = self.settings.deliver.as_ref();
        let transport = deliver.map(deliver::open).transpose()?;
        let store = Arc::new(self.store_or_new()?);
        let host = Host::with_planner(store, planner)
            .policy(policy)
            .components(&self.settings.components);
        Ok(match (deliver, transport) {
            (Some(deliver), Some(transport)) => host.deliver(transport, Limits::of(deliver)),
            _ => host,
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

    /// Who asks; the policy says which roles make an admin.
    pub fn identity(&self, who: &Who, policy: &Policy) -> Identity {
        let user = who.user.as_ref().unwrap_or(&self.settings.user);
        let project = who.project.as_ref().unwrap_or(&self.settings.project);
        let mut identity = Identity {
            roles: who.roles.clone(),
            is_admin: policy.is_admin(&who.roles),
            quota_class: self.settings.quota_class.clone(),
            ..Identity::new(user, project)
        };
        if who.admin {
            identity = identity.into_admin();
        }
        identity
    }

    /// Who asks when nothing is said on the command line.
    pub fn demo(&self) -> Identity {
        Identity::new(&self.settings.user, &self.settings.project)
    }

    /// Whoever looks after the database, for what concerns every project.
    pub fn operator(&self) -> Identity {
        Identity::new(&self.settings.user, &self.settings.project).into_admin()
    }

    /// Who asks, for a command that needs the policy for nothing else.
    pub fn requester(&self, who: &Who) -> Result<Identity, Failure> {
        let policy = self.policy()?;
        Ok(self.identity(who, &policy))
    }
}
