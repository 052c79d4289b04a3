//! A program that adds its own domain to the command line of Cairn.

use std::process::ExitCode;

fn main() -> ExitCode {
    cairn_cli::main_with([acceptance::tickets::extension()])
}
