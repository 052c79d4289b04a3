//! A PostgreSQL server for tests: made by `initdb` in a temporary folder, on a Unix socket and a port of loopback.
//!
//! ```no_run
//! let Some(server) = cairn_test_postgres::shared() else { return };
//! let database = server.database();
//! println!("{}", database.url());
//! ```
//!
//! A server ends with the process that started it, also when that is killed: a shell waits for the end of a pipe that only this process
//! holds open, then ends the server by its process id and removes its folder.

mod find;
mod proxy;
mod server;

pub use find::Missing;
pub use proxy::{COMMIT_ANSWER, Cut, Proxy};
pub use server::{Database, Server, Setup, Stop};

use std::sync::OnceLock;

/// Returns the server of this process, which does not sync: it is for tests that do not end it. Without the binaries of PostgreSQL the
/// answer is `None`, after a message; with `CAIRN_TEST_ALL=1` that is a failure.
pub fn shared() -> Option<&'static Server> {
    static SHARED: OnceLock<Result<Server, Missing>> = OnceLock::new();
    available(
        SHARED
            .get_or_init(|| Server::start(&Setup::default()))
            .as_ref(),
    )
}

/// Starts a server of the caller's own, which ends when it is dropped. As with [`shared`] there may be none.
pub fn own(setup: &Setup) -> Option<Server> {
    available(Server::start(setup))
}

/// The settings with which programs use a server of these tests, as it need not sync.
pub const UNSAFE: &str = "\n[postgres]\nunsafe_server = true\n";

/// Returns the text of `cairn.toml` for programs on the database at a URL, with more settings: keys first, then tables.
pub fn settings(url: &str, more: &str) -> String {
    format!("db = \"{url}\"\n{more}{UNSAFE}")
}

/// Tells whether this process is root, which servers do not run as.
pub fn is_root() -> bool {
    find::is_root()
}

fn available<T, E: std::fmt::Display>(server: Result<T, E>) -> Option<T> {
    match server {
        Ok(server) => Some(server),
        Err(missing) => {
            let must = std::env::var_os("CAIRN_TEST_ALL").is_some_and(|value| value == "1");
            assert!(!must, "{missing}");
            eprintln!("not run: {missing}");
            None
        }
    }
}
