//! Checks that errors in the program's inputs are reported with their place and the fix, and change nothing.

mod database;
mod manifest;
mod request;
mod running;
mod settings;

use acceptance::program::Program;

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_cairn-under-test"))
}

/// Returns a manifest with one task, implemented by `component`.
fn one_task(component: &str, rest: &str) -> String {
    format!(
        "[flow]\nname = \"small\"\n\n[plugins.guest]\npath = \"{component}\"\n{rest}\n[[task]]\nplugin = \"guest\"\n"
    )
}
