//! What the connection to PostgreSQL promises, over a real server.

mod fill;
mod hosts;
mod inbox;
mod link;
mod server;
mod sql;
mod tls;

use std::sync::Arc;

use cairn_test_postgres::{Database, Server};

use super::connect::Target;
use super::link::{Link, Session, WRITER};
use super::{PostgresConfig, PostgresUrl};

/// The settings of a database of the shared server, which does not sync.
fn config(url: &str) -> PostgresConfig {
    PostgresConfig {
        unsafe_server: true,
        ..PostgresConfig::new(PostgresUrl::parse(url).unwrap())
    }
}

fn target(url: &str) -> Arc<Target> {
    config(url).target()
}

fn link_as(url: &str, session: &'static Session) -> Link {
    Link::connect(&target(url), session).unwrap()
}

/// A link to a new database of the shared server.
fn new_link() -> Option<(Database<'static>, Link)> {
    let server: &'static Server = cairn_test_postgres::shared()?;
    let database = server.database();
    let link = link_as(&database.url(), &WRITER);
    Some((database, link))
}
