//! The program itself. It is built in this package, because Cargo builds the binaries only of the package whose tests
//! it runs.

use std::process::ExitCode;

fn main() -> ExitCode {
    cairn_cli::main()
}
