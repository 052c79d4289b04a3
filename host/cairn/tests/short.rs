//! Tests the short API: opening, running, refusals, and settings of `cairn.toml`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn::capability::SimpleCapability;
use cairn::domain::Domain;
use cairn::event::FlowState;
use cairn::extension::Extension;
use cairn::manifest::SimpleGrantKind;
use cairn::plugin::InProcess;
use cairn::{
    Cairn, CairnBuilder, Context, HostError, Identity, Object, Task, TaskError, TaskSpec, Value,
};
use serde_json::json;
use tempfile::TempDir;

/// A flow of the built-in plugin `inject` alone.
const SIZES: &str = "[flow]\nname = 'sizes'\n[plugins.inject]\nbuiltin = 'inject'\n\
                     settings = { provides = ['size'] }\n[[task]]\nplugin = 'inject'\n";

/// A flow of a component that is not built in.
const STRANGER: &str =
    "[flow]\nname = 'other'\n[plugins.other]\npath = 'other.wat'\n[[task]]\nplugin = 'other'\n";

/// A flow whose second task is native.
const DOUBLED: &str = "[flow]\nname = 'doubled'\n[plugins.inject]\nbuiltin = 'inject'\n\
                       settings = { provides = ['size'] }\n[plugins.double]\nbuiltin = 'double'\n\
                       [[task]]\nplugin = 'inject'\n[[task]]\nplugin = 'double'\n";

fn ann() -> Identity {
    Identity::new("ann", "acme")
}

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("cairn.db")
    }

    fn builder(&self) -> CairnBuilder {
        Cairn::builder().database(self.database())
    }
}

/// Doubles a size, and counts how often it was called.
struct Double {
    spec: TaskSpec,
    calls: Arc<AtomicUsize>,
}

impl Double {
    fn new(calls: &Arc<AtomicUsize>) -> Self {
        Self {
            spec: TaskSpec::new("double")
                .requires(["size"])
                .provides(["twice"]),
            calls: Arc::clone(calls),
        }
    }
}

impl Task for Double {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, _: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match inputs["size"].as_i64() {
            Some(size) => Ok(json!({"twice": 2 * size})),
            None => Err(TaskError::new("InvalidInput", "no size")),
        }
    }
}

#[test]
fn a_flow_runs_and_its_report_is_read_later() {
    let place = Place::new();
    let manifest = place.write("flow.toml", SIZES);
    let cairn = Cairn::open(place.database()).unwrap();
    assert_eq!(cairn.recover().unwrap(), []);
    let flow = cairn.flow(&manifest).unwrap();
    assert_eq!(flow.plan().name, "sizes");
    let report = flow.run(&ann(), json!({"size": 1})).unwrap();
    assert_eq!(report.flow.state, FlowState::Success);
    assert_eq!(cairn.report(report.flow.id).unwrap(), report);
    drop((cairn, flow));
    let again = Cairn::open(place.database()).unwrap();
    assert_eq!(again.report(report.flow.id).unwrap(), report);
}

#[test]
fn a_request_under_a_key_is_done_once() {
    let cairn = Cairn::builder().in_memory().build().unwrap();
    let flow = cairn.flow_of(SIZES, "flow.toml").unwrap();
    let submit = |size: i64| {
        let submitted = flow.submit(&ann(), json!({"size": size}), Some("key"));
        submitted.unwrap().wait()
    };
    let first = submit(1).unwrap();
    assert_eq!(submit(1).unwrap(), first);
    let error = submit(2).unwrap_err();
    assert!(matches!(error, HostError::KeyReused { .. }), "{error}");
}

#[test]
fn what_is_no_request_is_refused_before_anything_runs() {
    let cairn = Cairn::builder().in_memory().build().unwrap();
    let flow = cairn.flow_of(SIZES, "flow.toml").unwrap();
    let error = flow.run(&ann(), json!([1])).unwrap_err();
    assert!(error.to_string().contains("one JSON object"), "{error}");
    let error = flow.submit(&ann(), json!({}), Some("")).err().unwrap();
    assert!(error.to_string().contains("key"), "{error}");
    let flows = cairn
        .host()
        .store()
        .read(&ann(), |view| view.flows(Default::default(), 10));
    assert_eq!(flows.unwrap(), []);
}

#[test]
fn a_domain_looks_up_what_a_request_names() {
    let cairn = Cairn::builder().in_memory().build().unwrap();
    let manifest = SIZES.replace("name = 'sizes'", "name = 'sizes'\naction = 'volume:create'");
    let flow = cairn.flow_of(&manifest, "flow.toml").unwrap();
    let error = flow.run(&ann(), json!({"size": 1, "volume_type": "no-such-type"}));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("no-such-type"), "{error}");
}

#[test]
fn a_native_task_is_one_of_a_flow() {
    let place = Place::new();
    let calls = Arc::default();
    let cairn = place.builder().native(Double::new(&calls)).build().unwrap();
    let flow = cairn.flow_of(DOUBLED, "flow.toml").unwrap();
    let report = flow.run(&ann(), json!({"size": 3})).unwrap();
    assert_eq!(*report.tasks[1].result, json!({"twice": 6}));
    let failed = flow.run(&ann(), json!({"size": "big"})).unwrap();
    assert_eq!(failed.flow.state, FlowState::Failure);
    assert_eq!(failed.error.unwrap().message, "no size");
    assert_eq!(calls.load(Ordering::SeqCst), 2);

    // Another program on the database has no such task.
    drop((cairn, flow));
    let other = place.builder().build().unwrap();
    let error = other.flow_of(DOUBLED, "flow.toml").unwrap_err().to_string();
    assert!(
        error.contains("there is no built-in plugin `double`"),
        "{error}"
    );
    let operation = cairn::store::operation::Operation::Rollback {
        reason: String::new(),
    };
    let error = other
        .host()
        .operate(
            report.flow.id,
            &operation,
            &cairn::audit::Asker::new("ann", "test"),
        )
        .unwrap_err();
    let expected = "task `double` is the native task `double`, which this program does not have";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn a_native_task_takes_no_settings() {
    let calls = Arc::default();
    let cairn = Cairn::builder().in_memory().native(Double::new(&calls));
    let cairn = cairn.build().unwrap();
    let manifest = DOUBLED.replace(
        "builtin = 'double'",
        "builtin = 'double'\nsettings = { by = 3 }",
    );
    let error = cairn
        .flow_of(&manifest, "flow.toml")
        .unwrap_err()
        .to_string();
    assert!(error.contains("`double` has no settings"), "{error}");
    assert!(error.contains("remove `by`"), "{error}");
    let badly_named = Double {
        spec: TaskSpec::new("Double!"),
        calls,
    };
    let cairn = Cairn::builder()
        .in_memory()
        .native(badly_named)
        .build()
        .unwrap();
    let manifest = DOUBLED.replace("builtin = 'double'", "builtin = 'Double!'");
    let error = cairn
        .flow_of(&manifest, "flow.toml")
        .unwrap_err()
        .to_string();
    assert!(error.contains("`Double!`, which is no name"), "{error}");
}

#[test]
fn a_strangers_component_is_refused_without_a_compiler() {
    let place = Place::new();
    place.write("other.wat", "(component)");
    let manifest = place.write("flow.toml", STRANGER);
    let cairn = place.builder().build().unwrap();
    let HostError::Invalid(error) = cairn.flow(&manifest).unwrap_err() else {
        panic!("it is the manifest that is refused");
    };
    assert!(error.message.contains("plugin `other`"), "{error}");
    assert!(error.message.contains("other.wat"), "{error}");
    assert!(error.message.contains("no compiler"), "{error}");
    assert!(error.help.unwrap().contains("give the program a compiler"));

    let with = Cairn::builder()
        .in_memory()
        .compiler(|_| Arc::new(InProcess));
    let error = with
        .build()
        .unwrap()
        .flow(&manifest)
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not export"), "{error}");
}

#[test]
fn settings_are_read_from_a_file() {
    let place = Place::new();
    let config = place.write(
        "cairn.toml",
        "db = 'named.db'\ncomponents = 'kept'\n[quota]\nvolumes = 3\n[records.dns]\nmax_keys = 1\n[compile]\ntime = '7s'\n",
    );
    let digest = cairn::value::Digest::of(b"bytes");
    let kept = place.0.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    place.write(&format!("kept/{digest}.wasm"), "bytes");
    let (tell, told) = std::sync::mpsc::channel();
    let cairn = Cairn::builder().config(&config).compiler(move |limits| {
        tell.send(limits.time.as_secs()).unwrap();
        Arc::new(InProcess)
    });
    let cairn = cairn.build().unwrap();
    assert_eq!(told.recv(), Ok(7));
    assert!(place.0.path().join("named.db").exists());
    let domains = cairn.host().store().domains();
    let quota = &cairn::volumes::Settings::of(domains.services()).quota;
    assert_eq!(quota.volumes, 3);
    let records = cairn::records::Settings::of(domains.services());
    assert!(records.collections.contains_key("dns"));
    cairn.flow_of(SIZES, "flow.toml").unwrap();
    // The folder of an older version is taken in, and stays.
    let store = cairn.host().store();
    assert_eq!(
        store.component(digest).unwrap().as_deref(),
        Some(&b"bytes"[..])
    );
    assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 1);

    let wrong = place.write("wrong.toml", "dbb = 'x'");
    let error = Cairn::builder()
        .config(wrong)
        .build()
        .unwrap_err()
        .to_string();
    assert!(error.contains("unknown key `dbb`"), "{error}");
    let error = Cairn::builder().build().unwrap_err().to_string();
    assert!(error.contains("no database is named"), "{error}");
}

#[test]
fn a_domain_is_handed_over_once() {
    let shelves = || {
        Extension::configured("shelves", &["shelves"], |_| {
            Ok(Domain {
                name: "shelves",
                ..Domain::default()
            })
        })
        .capability(SimpleCapability::new(
            SimpleGrantKind::new("shelves", &["acme:shelves/shelves"], &["put"]),
            |_| Ok(()),
        ))
    };
    let place = Place::new();
    let config = place.write("cairn.toml", "shelves = 1\n");
    let granted = SIZES.replace("[[task]]", "grants = { shelves = true }\n[[task]]");
    let cairn = place.builder().config(&config).domain(shelves());
    let cairn = cairn.build().unwrap();
    let domains = cairn.host().store().domains();
    assert!(domains.iter().any(|domain| domain.name == "shelves"));
    cairn.flow_of(&granted, "flow.toml").unwrap();

    let without = Cairn::builder().in_memory().build().unwrap();
    let error = without
        .flow_of(&granted, "flow.toml")
        .unwrap_err()
        .to_string();
    assert!(error.contains("shelves"), "{error}");
    let twice = Cairn::builder()
        .in_memory()
        .domain(shelves())
        .domain(shelves());
    let error = twice.build().unwrap_err().to_string();
    assert!(
        error.contains("two domains are called `shelves`"),
        "{error}"
    );
}
