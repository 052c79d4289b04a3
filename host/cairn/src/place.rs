//! Opens the store of a [`Cairn`](crate::Cairn).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use cairn_effects::domain::Domains;
use cairn_effects::keyring::KeySource;
use cairn_effects::outbox::Outgoing;
use cairn_engine::host::HostError;
use cairn_manifest::config::{COMPONENTS_MOVED, Config, KeysConfig};
use cairn_model::clock::{Clock, SystemClock};
use cairn_model::error::Diagnostic;
use cairn_sandbox::extension::{Extension, Setup};
use cairn_store::{DatabaseFile, HostStore, Location, Sqlite, SqliteConfig};

use crate::keys::key_source;

/// The place where flows are stored.
pub(crate) enum Place {
    /// A file, or the URL of a server.
    Named(PathBuf),
    Memory,
    Store(Arc<dyn HostStore>),
}

/// What a store is opened with.
#[cfg_attr(
    not(feature = "postgres"),
    expect(
        dead_code,
        reason = "only hosts that share a database agree on something"
    )
)]
pub(crate) struct Opening<'a> {
    pub(crate) extensions: &'a [Extension],
    pub(crate) setup: Setup,
    pub(crate) keys: Option<KeysConfig>,
    pub(crate) config: &'a Config,
    /// The text of the program's or the operator's policy.
    pub(crate) policy: Option<&'a str>,
    /// The digests of what the program's rules depend on besides.
    pub(crate) agreed: BTreeMap<String, String>,
}

impl Opening<'_> {
    /// Opens the store.
    ///
    /// # Errors
    /// No place is named, domains are in conflict, or the database cannot be used.
    pub(crate) fn open(self, place: Option<Place>) -> Result<Arc<dyn HostStore>, HostError> {
        match place {
            Some(Place::Store(store)) => Ok(store),
            Some(Place::Named(name)) => match Location::named(&name) {
                Location::File(file) => self.open_file(&file),
                Location::Server(url) => self.open_server(&url),
            },
            Some(Place::Memory) => {
                // A key may be created for a database in memory, which other hosts do not use.
                let keys = self.keys.clone();
                let keys = keys.map_or(KeySource::Memory, |keys| {
                    key_source(Some(keys), Some(PathBuf::new()))
                });
                let sqlite = self.sqlite(self.domains(keys)?);
                Ok(Arc::new(Sqlite::in_memory(sqlite, clock())?))
            }
            None => {
                let help = "name one with `Cairn::open(PATH)`, `Cairn::builder().database(PATH)`, or `db` in cairn.toml";
                Err(Diagnostic::new("no database is named").help(help).into())
            }
        }
    }

    fn open_file(&self, file: &DatabaseFile) -> Result<Arc<dyn HostStore>, HostError> {
        let keys = key_source(self.keys.clone(), Some(file.beside(".key")));
        let sqlite = self.sqlite(self.domains(keys)?);
        let store = Sqlite::open(file.path(), sqlite, clock())?;
        if let Some(folder) = &self.config.components {
            tracing::warn!("{}", COMPONENTS_MOVED);
            store.take_in_components(folder)?;
        }
        Ok(Arc::new(store))
    }

    #[cfg(feature = "postgres")]
    fn open_server(self, url: &str) -> Result<Arc<dyn HostStore>, HostError> {
        use cairn_store::locks;
        use cairn_store::postgres::{Postgres, PostgresConfig};

        use crate::fingerprint::Decisive;

        let config = self.config;
        let domains = self.domains(key_source(self.keys.clone(), None))?;
        let decisive = Decisive {
            setup: &self.setup,
            extensions: self.extensions,
            domains: &domains,
            policy: self.policy,
            ceilings: config.ceilings.as_ref(),
            idempotency: config.idempotency,
            deliver: config.deliver.as_ref(),
        };
        let mut settings = decisive.digests()?;
        settings.extend(self.agreed);
        let locks = match &config.locks {
            Some(folder) => folder.clone(),
            None => locks::private_folder(None)?,
        };
        let mut server = PostgresConfig {
            locks: Some(locks),
            settings,
            ..crate::server::config(url, &config.postgres, config.lease)?
        };
        server.store.domains = domains;
        server.store.idempotency = config.idempotency;
        server.store.audit = config.audit;
        let store = Postgres::open(&server, clock())?;
        store.join()?;
        Ok(Arc::new(store))
    }

    #[cfg(not(feature = "postgres"))]
    fn open_server(self, _: &str) -> Result<Arc<dyn HostStore>, HostError> {
        let help = "build it with the feature `postgres`, or name a file";
        let message = "this program was built without PostgreSQL";
        Err(Diagnostic::new(message).help(help).into())
    }

    fn domains(&self, keys: KeySource) -> Result<Domains, Diagnostic> {
        let setup = self.setup.clone().keys(keys);
        let domains = self.extensions.iter().map(|one| one.domain(&setup));
        let domains = domains.collect::<Result<Vec<_>, _>>()?;
        let domains = Domains::new(domains).map_err(|error| Diagnostic::new(error.to_string()))?;
        Ok(match &self.config.deliver {
            Some(deliver) => domains.with(Outgoing {
                context: deliver.identity.clone(),
            }),
            None => domains,
        })
    }

    fn sqlite(&self, domains: Domains) -> SqliteConfig {
        let config = self.config;
        let defaults = SqliteConfig::default();
        SqliteConfig {
            domains,
            idempotency: config.idempotency,
            audit: config.audit,
            lease: config.lease.unwrap_or(defaults.lease),
            patience: config.patience.unwrap_or(defaults.patience),
            locks: config.locks.clone(),
            ..defaults
        }
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}
