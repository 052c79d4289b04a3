//! `cargo test --release -p acceptance --test conformance [-- PART-OF-A-NAME]` runs every vector through the real engine,
//! store and plugins. `CAIRN_VECTORS` names the folder, relative to the root of the repository; the default is `vectors/`
//! beside this file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Cargo passes the flags of the standard harness, which are ignored.
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    match acceptance::conformance::run(&folder(), filter.as_deref()) {
        Ok(tally) => {
            println!("{tally}");
            if tally.is_success() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the folder of the vectors. Cargo runs tests in their package's folder, but the path is relative to its parent.
fn folder() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    match std::env::var_os("CAIRN_VECTORS") {
        None => here.join("vectors"),
        Some(folder) => here.parent().unwrap_or(here).join(folder),
    }
}
