//! Settings: flags over `CAIRN_…` variables over `cairn.toml` over defaults. (Clap puts flags over variables.)

use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn::allow::Allow;
use cairn::config::{CompileConfig, Config, DeliverConfig};
use cairn::error::Diagnostic;
use cairn::extension::{self, Extension, Setup};
use cairn::file::{self, MAX_TEXT};
use cairn::idempotency::IdempotencyConfig;
use cairn::manifest::{GrantKinds, Limits};
use cairn::store::DatabaseFile;
use cairn::volumes::{self, quota::QuotaConfig};

use crate::args::{Global, Storage};
use crate::exit::Failure;
use crate::origins::Origins;

/// The settings file that is read where it is there.
const CONFIG: &str = "cairn.toml";

/// What every command works with.
#[derive(Debug)]
pub struct Settings {
    /// The database, as it was named.
    pub db_name: PathBuf,
    /// The file which that is: what belongs to the database is found beside it, under whatever name it was given.
    pub db: DatabaseFile,
    /// The folder of compiled plugins; `None` when this machine has no place for one.
    pub cache: Option<PathBuf>,
    /// The folder of the components of stored plans.
    pub components: PathBuf,
    /// The file of the master key.
    pub master_key: PathBuf,
    /// The file of the policy's rules.
    pub policy: Option<PathBuf>,
    /// Where a volume goes when nobody says otherwise.
    pub zone: Option<String>,
    /// The type of volumes for which none is asked.
    pub default_volume_type: Option<String>,
    /// The quota class of the project.
    pub quota_class: Option<String>,
    /// Who asks.
    pub user: String,
    /// For which project.
    pub project: String,
    /// How long a process may be stopped before another one takes its flows over.
    pub lease: Option<Duration>,
    /// How long to wait for another process that writes.
    pub patience: Option<Duration>,
    /// The most that a manifest may give a plugin.
    pub ceilings: Option<Limits>,
    /// How far the compiler may go with a component.
    pub compile: CompileConfig,
    /// Limits, refreshes and expiry.
    pub quota: QuotaConfig,
    /// How long idempotency keys are kept.
    pub idempotency: IdempotencyConfig,
    /// What this program has, the domains that come with it first.
    pub extensions: Vec<Extension>,
    /// What the extensions read their settings from.
    pub setup: Setup,
    /// The capabilities that this program has.
    pub kinds: GrantKinds,
    /// What plugins may be granted.
    pub allow: Allow,
    /// How messages leave; `None` where they wait until a process takes them.
    pub deliver: Option<DeliverConfig>,
    /// Where they come from.
    pub origins: Origins,
    /// What is said on stderr besides errors.
    pub global: Global,
}

impl Settings {
    /// Puts the settings together.
    ///
    /// # Errors
    /// When the settings file is wrong, or is named and not there.
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
        // What is wrong in the settings of a domain is told by every command.
        for extension in &extensions {
            extension.domain(&setup)?;
        }
        let db_name = first(&global.db, config.db).unwrap_or_else(|| PathBuf::from("cairn.db"));
        let db = DatabaseFile::named(&db_name);
        Ok(Self {
            cache: first(&global.cache, config.cache).or_else(default_cache),
            components: first(&global.components, config.components)
                .unwrap_or_else(|| db.beside(".components")),
            master_key: first(&global.master_key, config.master_key)
                .unwrap_or_else(|| db.beside(".key")),
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
            extensions,
            setup,
            kinds,
            allow: config.allow,
            deliver: config.deliver,
            origins,
            global: global.clone(),
            db_name,
            db,
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
                    "mend or remove it, or name another file with --config: what it allows and forbids is not passed over"
                }
            };
            Err(Diagnostic::new(message).at(path, None).help(help).into())
        }
    }
}

/// `cairn` in the user's cache folder. A relative `XDG_CACHE_HOME` counts as none, as its specification asks.
fn default_cache() -> Option<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let folder = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
    Some(folder.join("cairn"))
}
