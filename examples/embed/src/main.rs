//! Embeds Cairn: runs a flow that consists of a plugin and a native task.

use std::error::Error;
use std::sync::Arc;

use cairn::{Cairn, Context, Identity, Object, Task, TaskError, TaskSpec, Value};
use serde_json::json;

/// Greets the name that an earlier task provides.
struct Greet(TaskSpec);

impl Task for Greet {
    fn spec(&self) -> &TaskSpec {
        &self.0
    }

    fn call(&self, _: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        let name = inputs["name"].as_str().unwrap_or("world");
        Ok(json!({"greeting": format!("Hello, {name}!")}))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let greet = TaskSpec::new("greet").requires(["name"]).provides(["greeting"]);
    let cairn = Cairn::builder().database("cairn.db").native(Greet(greet)).build()?;
    cairn.recover()?;
    let flow = cairn.flow("flow.toml")?;
    let report = flow.run(&Identity::new("ann", "acme"), json!({"name": "Ann"}))?;
    println!("{}: {}", report.flow.state, report.tasks[1].result["greeting"]);
    Ok(())
}
