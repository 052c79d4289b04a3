//! The dashboard of `cairn serve`: its pages over HTTP, and in a browser.

mod browser;
mod forms;
mod lists;
mod million;
mod outcomes;
mod pages;
mod plans;
mod system;

use acceptance::flows::GREET;
use acceptance::program::Program;
use acceptance::serving::Serving;
use serde_json::{Value, json};

/// A flow that waits for a signal between two greetings.
const WAITS: &str = r#"
    flow = { name = "waits" }
    plugins.inject = { builtin = "inject", settings = { provides = ["name"] } }
    plugins.hello = { builtin = "greet", settings = { word = "Waits" }, grants = { records = { collections = ["greetings"] } } }
    plugins.bye = { builtin = "greet", settings = { word = "Bye" }, grants = { records = { collections = ["greetings"] } } }
    task = [{ plugin = "inject" }, { plugin = "hello" }, { wait = { signal = "approved", timeout = "7d" } }, { plugin = "bye" }]
"#;

/// Text that would act on a page if it were not escaped.
const HOSTILE: &str =
    "<script>document.title='owned'</script><img src=x onerror=alert(1)>\u{202e}evil";

/// A folder in which `greet` and `waits` are deployed.
fn deployed(serve: &str) -> Program {
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    let settings = format!("[records.greetings]\n[serve]\nmetrics = false\n{serve}\n");
    program
        .write("cairn.toml", settings)
        .write("greet.toml", GREET)
        .write("waits.toml", WAITS);
    program.run(&["flow", "deploy", "greet.toml"]).exits(0);
    program.run(&["flow", "deploy", "waits.toml"]).exits(0);
    program
}

/// Begins a flow, and returns its id; waits for its end, or until it rests.
fn submit(serving: &Serving, flow: &str, request: &Value) -> String {
    let body = json!({"flow": flow, "request": request});
    let wait = [("prefer", "wait=10")];
    let wait = if flow == "waits" {
        &wait[..0]
    } else {
        &wait[..]
    };
    let answer = serving.post_with("/v1/flows", wait, &body);
    let document = answer.json();
    let id = document["id"].as_str().or(document["flow"]["id"].as_str());
    id.unwrap_or_else(|| panic!("{document}")).to_owned()
}
