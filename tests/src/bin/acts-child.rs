//! A process that makes objects outside the database, and may crash at a named point; `tests/acts` starts, kills and restarts it.

use std::process::ExitCode;

fn main() -> ExitCode {
    acceptance::acts::child::main()
}
