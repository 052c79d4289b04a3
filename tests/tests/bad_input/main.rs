//! What is wrong in something that the program is given to read is told with its place and the fix, and changes nothing.

mod database;
mod manifest;
mod request;
mod running;
mod settings;

use acceptance::program::Program;

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_cairn-under-test"))
}

/// A manifest with one task, done by `component`.
fn one_task(component: &str, rest: &str) -> String {
    format!(
        "[flow]\nname = \"small\"\n\n[plugins.guest]\npath = \"{component}\"\n{rest}\n[[task]]\nplugin = \"guest\"\n"
    )
}
