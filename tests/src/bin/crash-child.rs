//! A process that may crash at a named point; `tests/crash` starts, kills and restarts it.

use std::process::ExitCode;

fn main() -> ExitCode {
    acceptance::crash::child::main()
}
