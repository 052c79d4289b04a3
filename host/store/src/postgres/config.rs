//! How the store connects to PostgreSQL and behaves on it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn_model::secret::SecretSource;

use crate::config::{BatchConfig, StoreConfig};

use super::connect::Target;
use super::url::PostgresUrl;

/// The lease of a host, unless it is configured.
const LEASE: Duration = Duration::from_secs(10);

/// How long to try to reach the server again, unless it is configured.
const PATIENCE: Duration = Duration::from_secs(120);

/// How the store connects to PostgreSQL and behaves on it.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// How the store behaves, whatever database it is on.
    pub store: StoreConfig,
    /// Where the database is.
    pub url: PostgresUrl,
    /// Where its password comes from: the first line. `None`: the variable `CAIRN_POSTGRES_PASSWORD` or `PGPASSWORD`, if there is one.
    pub password: Option<SecretSource>,
    /// The file of the authorities that are trusted, in PEM, unless the URL names one. Without either they are those of the system.
    pub root_certificate: Option<PathBuf>,
    /// Starts on a server that may lose what it has committed, with a warning.
    pub unsafe_server: bool,
    /// How long this process may be stopped before another one takes its flows over.
    pub lease: Duration,
    /// How long to try to reach the server again when a connection was lost.
    pub patience: Duration,
    /// The folder in which this process locks a file while it is a host, so that hosts of this machine with the same folder know at once
    /// that it died. `None`: they wait for its lease to expire.
    pub locks: Option<PathBuf>,
    /// The digests of the settings that rules depend on, by the names of the settings: a host whose settings differ from those of a live
    /// host is refused.
    pub settings: BTreeMap<String, String>,
}

impl PostgresConfig {
    /// The defaults for a database.
    pub fn new(url: PostgresUrl) -> Self {
        Self {
            store: StoreConfig {
                batch: BatchConfig::on_server(),
                ..StoreConfig::default()
            },
            url,
            password: None,
            root_certificate: None,
            unsafe_server: false,
            lease: LEASE,
            patience: PATIENCE,
            locks: None,
            settings: BTreeMap::new(),
        }
    }

    /// Returns what links connect to.
    pub fn target(&self) -> Arc<Target> {
        Arc::new(Target {
            url: self.url.clone(),
            password: self.password.clone(),
            root_certificate: self.root_certificate.clone(),
            tcp_user_timeout: self.lease / 2,
            patience: self.patience,
        })
    }
}
