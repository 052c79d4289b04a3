//! The program itself, built beside the tests: Cargo builds the binaries of the package whose tests it runs, and no
//! others.

use std::process::ExitCode;

fn main() -> ExitCode {
    cairn_cli::main()
}
