//! One life of a process that may die at a named point: what `tests/crash` starts, kills and starts again.

use std::process::ExitCode;

fn main() -> ExitCode {
    acceptance::crash::child::main()
}
