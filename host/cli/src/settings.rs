//! Gathers the settings: flags override `CAIRN_…` variables, these `cairn.toml`, and that the defaults. (Clap handles flags and
//! variables.)

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn::Diagnostic;
use cairn::allow::Allow;
use cairn::audit::AuditConfig;
use cairn::config::{
    CompileConfig, Config, DeliverConfig, KeysConfig, PostgresSettings, ServeConfig, TracesConfig,
};
use cairn::extension::{self, Extension, Setup};
use cairn::file::{self, MAX_TEXT};
use cairn::idempotency::IdempotencyConfig;
use cairn::key_source;
use cairn::keyring::KeySource;
use cairn::manifest::{GrantKinds, Limits};
use cairn::secret::SecretSource;
use cairn::status::StatusLimits;
use cairn::store::Location;
use cairn::volumes::{self, quota::QuotaConfig};

use crate::args::{Global, Storage};
use crate::exit::Failure;
use crate::origins::{Origin, Origins};

/// The settings file that is read if it exists.
const CONFIG: &str = "cairn.toml";

/// The settings of a run.
#[derive(Debug)]
pub struct Settings {
    /// The database, as it was named.
    pub db_name: PathBuf,
    /// The database itself: a file, with links resolved, or a server.
    pub db: Location,
    /// How to connect to a server.
    pub postgres: PostgresSettings,
    /// The folder of compiled plugins; `None` if there is no cache folder.
    pub cache: Option<PathBuf>,
    /// The folder in which an older version kept components, if one is named.
    pub components: Option<PathBuf>,
    /// Where the master key comes from.
    pub keys: KeySource,
    /// The folder of this machine's locks; `None` is beside the database.
    pub locks: Option<PathBuf>,
    /// The file of the policy's rules.
    pub policy: Option<PathBuf>,
    /// The zone of volumes whose request names none.
    pub zone: Option<String>,
    /// The type of volumes whose request names none.
    pub default_volume_type: Option<String>,
    /// The quota class of the project.
    pub quota_class: Option<String>,
    /// The requesting user, unless the command line names one.
    pub user: String,
    /// The requesting project, unless the command line names one.
    pub project: String,
    /// How long a lease lasts: another process takes over the flows of one that did not renew it.
    pub lease: Option<Duration>,
    /// How long to wait for another process that holds the database's lock.
    pub patience: Option<Duration>,
    /// Ceilings of the limits that a manifest may set.
    pub ceilings: Option<Limits>,
    /// Limits of the compiler.
    pub compile: CompileConfig,
    /// Quota limits, refreshes and expiry.
    pub quota: QuotaConfig,
    /// How long idempotency keys are kept.
    pub idempotency: IdempotencyConfig,
    /// How long operators' changes are kept in the audit.
    pub audit: AuditConfig,
    /// The domains of this program, built-in ones first.
    pub extensions: Vec<Extension>,
    /// The text that extensions read their settings from.
    pub setup: Setup,
    /// The capabilities of this program.
    pub kinds: GrantKinds,
    /// The grants that the operator allows.
    pub allow: Allow,
    /// How messages leave; `None` where they wait until a process takes them.
    pub deliver: Option<DeliverConfig>,
    pub traces: Option<TracesConfig>,
    /// What needs a person.
    pub status: StatusLimits,
    /// Where the values of secrets come from.
    pub secrets: BTreeMap<String, SecretSource>,
    /// The file of authorities by which servers of plugins' requests are verified, besides those of the system.
    pub http_ca: Option<PathBuf>,
    /// How `cairn serve` listens, and whom it answers.
    pub serve: ServeConfig,
    /// Where the settings come from.
    pub origins: Origins,
    /// The options of every command.
    pub global: Global,
}

impl Settings {
    /// Returns the file of the master key; `None` if it is no file.
    pub fn key_file(&self) -> Option<&Path> {
        match &self.keys {
            KeySource::File(file) | KeySource::NewFile(file) => Some(file),
            KeySource::Memory | KeySource::Command(_) | KeySource::None => None,
        }
    }

    /// Returns the name of the setting that names the file of the master key.
    pub fn key_setting(&self) -> &'static str {
        match self.origins.origin("master_key") {
            Origin::Default => "keys.file",
            Origin::Flag(_) | Origin::Variable(_) | Origin::File(..) => "master_key",
        }
    }

    /// Returns the folder in which an older version kept the components of the database.
    pub fn old_components(&self) -> PathBuf {
        let beside = || self.db.beside(".components").unwrap_or_default();
        self.components.clone().unwrap_or_else(beside)
    }

    /// Gathers the settings.
    ///
    /// # Errors
    /// When the settings file is wrong, or is named and does not exist.
    pub fn gather(
        global: &Global,
        storage: Storage,
        mut origins: Origins,
        domains: Vec<Extension>,
    ) -> Result<Self, Failure> {
        let extensions = extension::extensions_with(domains)?;
        let kinds = extension::grant_kinds_of(&extensions)?;
        let (config, setup) =
            read_config(global.config.as_deref(), &kinds, &extensions, &mut origins)?;
        let volumes = volumes::Settings::parse(&setup.text, &setup.file)?;
        // Every command reports errors in a domain's settings.
        for extension in &extensions {
            extension.domain(&setup)?;
        }
        let db_name = first(&global.db, config.db).unwrap_or_else(|| PathBuf::from("cairn.db"));
        let db = Location::named(&db_name);
        Ok(Self {
            cache: first(&global.cache, config.cache).or_else(default_cache),
            components: first(&global.components, config.components),
            keys: key_source(
                first(
                    &global.master_key.clone().map(KeysConfig::File),
                    config.keys,
                ),
                db.beside(".key"),
            ),
            locks: config.locks,
            policy: first(&global.policy, config.policy),
            zone: storage.zone.or(volumes.default_zone),
            default_volume_type: storage.default_volume_type.or(volumes.default_volume_type),
            quota_class: storage.quota_class,
            user: config.user.unwrap_or_else(|| "demo".to_owned()),
            project: config.project.unwrap_or_else(|| "demo".to_owned()),
            lease: config.lease,
            patience: config.patience,
            ceilings: config.ceilings,
            compile: config.compile,
            quota: volumes.quota,
            idempotency: config.idempotency,
            audit: config.audit,
            extensions,
            setup,
            kinds,
            allow: config.allow,
            deliver: config.deliver,
            traces: config.traces,
            status: config.status,
            secrets: config.secrets,
            http_ca: config.http_ca,
            serve: config.serve,
            origins,
            global: global.clone(),
            db_name,
            db,
            postgres: config.postgres,
        })
    }
}

fn first<T: Clone>(given: &Option<T>, configured: Option<T>) -> Option<T> {
    given.clone().or(configured)
}

fn read_config(
    named: Option<&Path>,
    kinds: &GrantKinds,
    extensions: &[Extension],
    origins: &mut Origins,
) -> Result<(Config, Setup), Failure> {
    let path = named.unwrap_or(Path::new(CONFIG));
    let text = file::text(path, MAX_TEXT);
    let text = match named {
        Some(_) => text.map(Some),
        None => file::optional(path, text),
    };
    match text {
        Ok(Some(text)) => {
            let keys = extensions.iter().flat_map(|extension| extension.keys());
            let keys: Vec<&str> = keys.copied().collect();
            let config = Config::parse(&text, path, kinds, &keys)?;
            origins.read(&text, path)?;
            Ok((config, Setup::new(text, path)))
        }
        Ok(None) => Ok(Default::default()),
        Err(error) => {
            let message = format!("the settings cannot be read: {error}");
            let help = match named {
                Some(_) => "name another file with --config",
                None => {
                    "fix or remove it, or name another file with --config; it is not skipped, because it may forbid something"
                }
            };
            Err(Diagnostic::new(message).at(path, None).help(help).into())
        }
    }
}

/// Returns `cairn` in the user's cache folder. A relative `XDG_CACHE_HOME` is ignored, as its specification demands.
fn default_cache() -> Option<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let folder = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
    Some(folder.join("cairn"))
}
