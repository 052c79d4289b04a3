//! Databases on a server of the tests, as programs open them with the library.

use anyhow::Result;
use cairn::SqliteConfig;
use cairn::store::postgres::{PostgresConfig, PostgresUrl};

/// Returns how to connect to the database at a URL, with what a database in a file is configured by. The server need not sync.
///
/// # Errors
/// If that is no URL.
pub fn config(url: &str, config: SqliteConfig) -> Result<PostgresConfig> {
    Ok(PostgresConfig {
        lease: config.lease,
        store: config.into(),
        unsafe_server: true,
        ..PostgresConfig::new(PostgresUrl::parse(url)?)
    })
}
