//! The store on PostgreSQL: the only place that names its library.
//!
//! ```no_run
//! use cairn_store::postgres::{PostgresConfig, PostgresUrl};
//!
//! let url = PostgresUrl::parse("postgres://cairn@db.example.org/cairn")?;
//! let link = cairn_store::postgres::open(&PostgresConfig::new(url))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod again;
mod bulk;
mod config;
mod connect;
mod database;
mod fetch;
mod fill;
mod hints;
mod host_list;
mod hosts;
mod inbox;
mod lend;
pub mod link;
mod looks;
mod migrate;
mod others;
mod outbox;
mod outlook;
mod password;
mod reader;
mod scratch;
mod server;
mod session;
mod settings;
mod shared;
mod sql;
mod take;
#[cfg(test)]
#[path = "../../tests/inside/postgres/mod.rs"]
mod tests;
mod tls;
mod url;
mod write;

pub use config::PostgresConfig;
pub use connect::Target;
pub use database::{Postgres, PostgresDatabase};
pub use fetch::Fetcher;
pub use fill::{move_from, restore};
pub use host_list::ServerHosts;
pub use reader::ServerReader;
pub use scratch::{Active, Scratch};
pub use sql::SqlLink;
pub use url::{PostgresUrl, SslMode, UrlError};

use crate::StoreError;
use crate::admin::Migrated;
use link::{Link, LinkError};

/// Opens the database: connects, checks the server, and brings the schema up to date. Returns the writer's link.
///
/// # Errors
/// [`StoreError::Database`], with nothing written: the server cannot be reached, or may lose what it commits, or the database is not
/// Cairn's, or of a newer version.
pub fn open(config: &PostgresConfig) -> Result<Link, StoreError> {
    let failed = |error: LinkError| StoreError::Database(format!("{}: {error}", config.url));
    let mut link = Link::connect(&config.target(), &link::ADMIN).map_err(failed)?;
    server::check(&mut link, config)?;
    migrate::migrate(&mut link, config)?;
    drop(link);
    Link::connect(&config.target(), &link::WRITER).map_err(failed)
}

/// Brings the schema up to date, if it is not. Returns the versions of the host's own tables.
///
/// # Errors
/// Those of [`open`].
pub fn migrate(config: &PostgresConfig) -> Result<Migrated, StoreError> {
    let before = migrate::found(config)?;
    drop(open(config)?);
    let (after, _) = migrate::versions(config)?;
    Ok(Migrated {
        from: before,
        to: after,
    })
}
