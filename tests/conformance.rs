//! `cargo test --release -p acceptance --test conformance [-- PART-OF-A-NAME]` runs every vector through the real engine,
//! store and plugins, on SQLite and on PostgreSQL. `CAIRN_VECTORS` names the folder, relative to the root of the repository; the default
//! is `vectors/` beside this file. Without it and without a filter every third vector is run on PostgreSQL, which takes four times as long.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use acceptance::conformance::{Databases, run};
use anyhow::Result;

fn main() -> ExitCode {
    // Cargo passes the flags of the standard harness, which are ignored.
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    match both(filter.as_deref()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the vectors on both databases, and returns whether all passed.
fn both(filter: Option<&str>) -> Result<bool> {
    let on_sqlite = run(&folder(), filter, Databases::Memory, 1)?;
    println!("{on_sqlite}");
    let mut passed = on_sqlite.is_success();
    // Without a server there is a message, and with `CAIRN_TEST_ALL=1` a panic.
    if let Some(server) = Databases::on_a_server() {
        let is_whole = filter.is_some() || std::env::var_os("CAIRN_VECTORS").is_some();
        let every = if is_whole { 1 } else { 3 };
        let on_postgres = run(&folder(), filter, server, every)?;
        println!("on PostgreSQL: {on_postgres}");
        passed &= on_postgres.is_success();
        passed &= on_postgres.passed == on_sqlite.passed.div_ceil(every);
    }
    Ok(passed)
}

/// Returns the folder of the vectors. Cargo runs tests in their package's folder, but the path is relative to its parent.
fn folder() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    match std::env::var_os("CAIRN_VECTORS") {
        None => here.join("vectors"),
        Some(folder) => here.parent().unwrap_or(here).join(folder),
    }
}
