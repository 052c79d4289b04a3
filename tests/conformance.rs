//! `cargo test --release -p acceptance --test conformance [-- PART-OF-A-NAME]`: every vector through the real engine,
//! store and plugins. `CAIRN_VECTORS` names the folder, from the top of the repository; without it those of `vectors/`
//! here are run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Cargo passes on the flags that the usual harness takes; none means anything here.
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

/// Where the vectors are. Cargo runs tests in their package's folder, and whoever types a path is in that above it.
fn folder() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    match std::env::var_os("CAIRN_VECTORS") {
        None => here.join("vectors"),
        Some(folder) => here.parent().unwrap_or(here).join(folder),
    }
}
