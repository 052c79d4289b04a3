//! Flows with native tasks of a program.

use std::sync::Arc;

use cairn::clock::SystemClock;
use cairn::event::FlowState;
use cairn::store::postgres::Postgres;
use cairn::{Cairn, Context, HostError, Identity, Object, StoreError, Task, TaskError, TaskSpec};
use serde_json::{Value, json};

use super::two;

/// A task in native code.
struct Double(TaskSpec);

impl Task for Double {
    fn spec(&self) -> &TaskSpec {
        &self.0
    }

    fn call(&self, _: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        Ok(json!({"twice": inputs["size"].as_i64().map(|size| 2 * size)}))
    }
}

#[test]
fn a_flow_with_a_native_task_runs_where_its_project_is_owned_and_nowhere_else() {
    let Some((database, [folder, _])) = two() else {
        return;
    };
    let open = || {
        let config = acceptance::any::config(Default::default());
        let config = acceptance::server::config(&database.url(), config).expect("a URL");
        let store = Postgres::open(&config, Arc::new(SystemClock)).expect("it opens");
        let spec = TaskSpec::new("double")
            .requires(["size"])
            .provides(["twice"]);
        let builder = Cairn::builder().store(Arc::new(store)).native(Double(spec));
        let builder = builder.cache(folder.beside("acceptance-cache"));
        builder.build().expect("a host")
    };
    let sizes = "[flow]\nname = 'sizes'\n[plugins.inject]\nbuiltin = 'inject'\nsettings = { provides = ['size'] }\n";
    let inject = "[[task]]\nplugin = 'inject'\n";
    let double = "[plugins.double]\nbuiltin = 'double'\n";
    folder
        .write("plain.toml", format!("{sizes}{inject}"))
        .write(
            "native.toml",
            format!("{sizes}{double}{inject}[[task]]\nplugin = 'double'\n"),
        );
    let run = |cairn: &Cairn, flow: &str| {
        let flow = cairn.flow(folder.path(flow)).expect("it is planned");
        let report = flow.run(&Identity::new("ann", "acme"), json!({"size": 1}));
        report.map(|report| report.flow.state)
    };
    let (first, second) = (open(), open());
    assert!(matches!(run(&first, "native.toml"), Ok(FlowState::Success)));
    match run(&second, "native.toml") {
        Err(HostError::Store(StoreError::Elsewhere { pid, .. })) => {
            assert_eq!(pid, std::process::id());
        }
        other => panic!("the first host owns the project: {other:?}"),
    }
    assert!(matches!(run(&second, "plain.toml"), Ok(FlowState::Success)));
    drop(first);
    assert!(matches!(
        run(&second, "native.toml"),
        Ok(FlowState::Success)
    ));
}
