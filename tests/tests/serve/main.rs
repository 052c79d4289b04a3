//! `cairn serve`: flows over HTTP, as clients use it.

mod bad;
mod cors;
mod flows;
mod full;
mod held;
mod keys;
mod openapi;
mod page;
mod roles;
mod stop;
mod who;

use acceptance::program::Program;

/// A flow that greets a name, and fails for `fail`.
const GREET: &str = r#"
    flow = { name = "greet", action = "greet" }
    plugins.inject = { builtin = "inject", settings = { provides = ["name"] } }
    plugins.hello = { builtin = "greet", settings = { word = "Hello" }, grants = { records = { collections = ["greetings"] } } }
    plugins.goodbye = { builtin = "greet", settings = { word = "Goodbye", refuse = ["fail"] }, grants = { records = { collections = ["greetings"] } } }
    task = [{ plugin = "inject" }, { plugin = "hello" }, { plugin = "goodbye" }]
"#;

/// A flow that waits for a signal between two greetings; it names no action.
const WAITS: &str = r#"
    flow = { name = "waits" }
    plugins.inject = { builtin = "inject", settings = { provides = ["name"] } }
    plugins.hello = { builtin = "greet", settings = { word = "Waits" }, grants = { records = { collections = ["greetings"] } } }
    task = [{ plugin = "inject" }, { plugin = "hello" }, { wait = { signal = "approved", timeout = "7d", provides = ["by"] } }]
"#;

/// Settings with these keys in `[serve]`.
fn settings(serve: &str) -> String {
    format!("[records.greetings]\n[serve]\nmetrics = false\n{serve}\n")
}

/// A folder in which `greet` and `waits` are deployed.
fn deployed(serve: &str) -> Program {
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    program
        .write("cairn.toml", settings(serve))
        .write("greet.toml", GREET)
        .write("waits.toml", WAITS);
    program.run(&["flow", "deploy", "greet.toml"]).exits(0);
    program.run(&["flow", "deploy", "waits.toml"]).exits(0);
    program
}
