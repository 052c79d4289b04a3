//! A program that gives a domain of its own the command line of Cairn.

use std::process::ExitCode;

fn main() -> ExitCode {
    cairn_cli::main_with([acceptance::tickets::extension()])
}
