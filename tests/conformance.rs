//! `cargo test --release -p acceptance --test conformance [-- PART-OF-A-NAME]`: every vector through the real engine,
//! store and plugins. `CAIRN_VECTORS` names the folder; without it those of `vectors/` are run.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let folder = std::env::var_os("CAIRN_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors"),
        PathBuf::from,
    );
    // Cargo passes on the flags that the usual harness takes; none means anything here.
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    match acceptance::conformance::run(&folder, filter.as_deref()) {
        Ok(tally) => {
            println!("{tally}");
            tally.exit_code()
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
