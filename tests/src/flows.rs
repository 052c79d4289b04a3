//! Flows of built-in plugins that several suites run.

/// A flow that greets a name, and fails for `fail`.
pub const GREET: &str = r#"
    flow = { name = "greet" }
    plugins.inject = { builtin = "inject", settings = { provides = ["name"] } }
    plugins.hello = { builtin = "greet", settings = { word = "Hello" }, grants = { records = { collections = ["greetings"] } } }
    plugins.goodbye = { builtin = "greet", settings = { word = "Goodbye", refuse = ["fail"] }, grants = { records = { collections = ["greetings"] } } }
    task = [{ plugin = "inject" }, { plugin = "hello" }, { plugin = "goodbye" }]
"#;
