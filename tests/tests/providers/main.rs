//! Providers that deceive, and servers that break down: whatever they do, their flow ends accounted, and flows beside it are untouched.

mod backend;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use acceptance::rust_plugin;
use backend::{Backend, Fault};
use cairn::audit::Asker;
use cairn::clock::SystemClock;
use cairn::event::FlowState;
use cairn::plugin::{InProcess, PluginConfig, Plugins};
use cairn::rows::Cell;
use cairn::store::operation::Operation;
use cairn::task::Wanted;
use cairn::{
    Context, FlowId, Host, Identity, Manifest, Object, Report, Sqlite, SqliteConfig, Submission,
    Task, TaskError, TaskSpec, Value, Verdict,
};
use serde_json::json;
use tempfile::TempDir;

/// The number of honest flows beside each.
const BESIDE: usize = 20;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the component of the provider.
fn component() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let program = env!("CARGO_BIN_EXE_cairn-under-test");
    let built = BUILT.get_or_init(|| rust_plugin::build("tests/guests/rust", program));
    built.join("deceives.wasm")
}

/// Returns the sandbox of all tests, so that the provider is compiled once.
fn plugins() -> Arc<Plugins> {
    static PLUGINS: OnceLock<Arc<Plugins>> = OnceLock::new();
    let plugins = PLUGINS.get_or_init(|| {
        let config = PluginConfig {
            compiler: Some(Arc::new(InProcess)),
            ..cairn::plugin_config()
        };
        Plugins::new(&config).expect("this machine runs the sandbox")
    });
    Arc::clone(plugins)
}

/// Makes an object.
struct Makes(TaskSpec);

impl Task for Makes {
    fn spec(&self) -> &TaskSpec {
        &self.0
    }

    fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        context.make_external(&Wanted {
            provider: "store",
            kind: "object",
            label: "main",
            spec: &json!({"name": "main"}),
        })
    }
}

/// Fails.
struct Fails(TaskSpec);

impl Task for Fails {
    fn spec(&self) -> &TaskSpec {
        &self.0
    }

    fn call(&self, _: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        Err(TaskError::new("Injected", "this task fails"))
    }
}

/// A host, with a server for the flow that is tested and one for those beside it.
struct Arena {
    folder: TempDir,
    host: Host,
    backend: Backend,
    honest: Backend,
}

impl Arena {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::copy(component(), folder.path().join("store.wasm")).expect("it is ours");
        Self {
            host: host(folder.path()),
            folder,
            backend: Backend::start(),
            honest: Backend::start(),
        }
    }

    fn submit(&self, how: &str, url: &str, fails: bool) -> cairn::host::Submitted {
        let mut text = format!(
            "[flow]\nname = 'f'\n\
             [externals.store]\npath = 'store.wasm'\nsettings = {{ url = '{url}', how = '{how}' }}\n\
             limits = {{ deadline = '2s', http_time = '500ms' }}\n\
             grants = {{ http = {{ allow = ['{url}/*'] }} }}\n\
             [plugins.makes]\nbuiltin = 'makes'\n[plugins.fails]\nbuiltin = 'fails'\n\
             [[task]]\nplugin = 'makes'\n"
        );
        if fails {
            text.push_str("[[task]]\nplugin = 'fails'\n");
        }
        let file = self.folder.path().join("flow.toml");
        let manifest = Manifest::parse(&text, &file, &cairn::grant_kinds()).expect("it is right");
        let plan = self.host.plan(&manifest).expect("it is planned");
        let submission = Submission {
            plan: self.host.ready(&plan).expect("its components are there"),
            requester: Identity::new("ann", "acme"),
            request: Ok(json!({})),
            key: None,
        };
        self.host.submit(submission).expect("there is room")
    }

    /// Runs a flow with honest ones beside it, which must all succeed; returns its id.
    fn run(&self, how: &str, fails: bool) -> FlowId {
        let beside = (0..BESIDE).map(|_| self.submit("honest", &self.honest.url, false));
        let beside: Vec<_> = beside.collect();
        let id = self.submit(how, &self.backend.url, fails).id();
        for flow in beside {
            let report = flow.wait().expect("the host goes on");
            assert_eq!(report.flow.state, FlowState::Success, "{report:#?}");
        }
        assert_eq!(self.honest.objects().len(), BESIDE);
        id
    }

    /// Waits until a flow is as it must be.
    fn until(&self, id: FlowId, is_so: impl Fn(&Report) -> bool) -> Report {
        let begun = Instant::now();
        loop {
            // It may not be on disk yet.
            let report = self.host.report(id);
            if let Ok(report) = &report
                && is_so(report)
            {
                return report.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "{report:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ended(&self, id: FlowId) -> Report {
        self.until(id, |report| {
            matches!(report.flow.state, FlowState::Success | FlowState::Failure)
        })
    }

    /// Returns the ids of the objects of this flow that have rows.
    fn rows(&self, id: FlowId) -> Vec<String> {
        let rows = self.host.store().read(&Identity::default(), |view| {
            let statement = "SELECT id FROM externals WHERE flow = $1 ORDER BY id";
            view.query(statement, &[id.into()])
        });
        let rows = rows.expect("the database is read").into_iter().flatten();
        rows.map(|cell| match cell {
            Cell::Text(id) => id.to_string(),
            other => panic!("{other:?}"),
        })
        .collect()
    }

    /// Checks that each object of the server has a row, and the other way round.
    #[track_caller]
    fn is_accounted(&self, id: FlowId) {
        assert_eq!(self.backend.objects(), self.rows(id));
    }
}

fn host(folder: &Path) -> Host {
    let config = SqliteConfig::default();
    let store = Sqlite::open(&folder.join("cairn.db"), config, Arc::new(SystemClock));
    Host::builder(Arc::new(store.expect("it opens")), plugins())
        .native(Arc::new(Makes(TaskSpec::new("makes"))))
        .native(Arc::new(Fails(TaskSpec::new("fails"))))
        .wake(true)
        .build()
        .expect("it starts")
}

fn verdict(report: &Report) -> Option<Verdict> {
    report.rollback.as_ref().map(|rollback| rollback.verdict)
}

#[test]
fn whatever_a_server_does_its_objects_and_their_rows_agree() {
    use Fault::{Cuts, Garbage, Redirects, Slow, Unavailable};
    for (fault, times, fails, succeeds) in [
        (Cuts, 0, false, true),
        (Cuts, 0, true, false),
        // What it did is found out, also if it is not asked for the first time.
        (Slow, 1, false, true),
        (Cuts, 1, false, true),
        (Garbage, 1, false, true),
        // It did nothing.
        (Unavailable, 1, false, false),
        (Redirects, 1, false, false),
        // It did something, and does not answer for a while.
        (Cuts, 2, false, false),
        (Unavailable, 4, false, false),
        (Garbage, 4, true, false),
    ] {
        let arena = Arena::new();
        arena.backend.breaks(fault, times);
        let id = arena.run("honest", fails);
        let report = arena.ended(id);
        let what = format!("{fault:?} {times} {fails}: {report:#?}");
        match succeeds {
            true => assert_eq!(report.flow.state, FlowState::Success, "{what}"),
            false => assert_eq!(verdict(&report), Some(Verdict::Clean), "{what}"),
        }
        assert_eq!(
            arena.backend.objects().len(),
            usize::from(succeeds),
            "{what}"
        );
        arena.is_accounted(id);
    }
}

#[test]
fn while_a_server_does_not_answer_the_flow_is_unknown_and_it_ends_when_it_does() {
    let arena = Arena::new();
    arena.backend.breaks(Fault::Unavailable, usize::MAX);
    let id = arena.run("honest", false);
    let report = arena.until(id, |report| report.flow.sleep.is_some());
    assert_eq!(report.flow.state, FlowState::Reverting);
    assert_eq!(verdict(&report), Some(Verdict::Unknown));
    assert_eq!(arena.rows(id).len(), 1);
    arena.backend.is_well();
    let report = arena.ended(id);
    assert_eq!(verdict(&report), Some(Verdict::Clean), "{report:#?}");
    arena.is_accounted(id);
}

#[test]
fn a_provider_that_follows_a_server_to_the_metadata_address_is_stopped() {
    let arena = Arena::new();
    arena.backend.breaks(Fault::Redirects, 1);
    let id = arena.run("follows", false);
    let report = arena.ended(id);
    assert_eq!(verdict(&report), Some(Verdict::Clean), "{report:#?}");
    let error = &report.error.expect("it failed").message;
    assert!(error.contains("HttpRequestDenied"), "{error}");
    arena.is_accounted(id);
}

#[test]
fn a_provider_that_loops_when_it_is_asked_what_there_is_leaves_it_unknown_until_an_operator_accepts_that()
 {
    let arena = Arena::new();
    arena.backend.breaks(Fault::Cuts, 1);
    let id = arena.run("loops-in-look", false);
    let report = arena.until(id, |report| report.flow.sleep.is_some());
    assert_eq!(verdict(&report), Some(Verdict::Unknown), "{report:#?}");
    let operation = Operation::Accept {
        user_id: "ann".to_owned(),
        reason: "it loops".to_owned(),
    };
    let by = Asker::new("ann", "test");
    let begun = Instant::now();
    // It may have woken meanwhile.
    while let Err(error) = arena.host.operate(id, &operation, &by) {
        assert!(begun.elapsed() < PATIENCE, "{error}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let report = arena.ended(id);
    assert_eq!(verdict(&report), Some(Verdict::Residue), "{report:#?}");
    assert_eq!(arena.rows(id).len(), 1, "the row stays, for the operator");
}

/// The host cannot know: it relies on what providers promise. The object can be found by the provider's list.
#[test]
fn a_lie_costs_an_object_without_a_row_and_nothing_else() {
    for (how, fails) in [("says-refused", false), ("says-absent", true)] {
        let arena = Arena::new();
        let id = arena.run(how, fails);
        let report = arena.ended(id);
        assert_eq!(verdict(&report), Some(Verdict::Clean), "{how}: {report:#?}");
        assert_eq!(arena.rows(id), Vec::<String>::new(), "{how}");
        assert_eq!(arena.backend.objects().len(), 1, "{how}");
    }
}

#[test]
fn an_object_in_doubt_is_removed_by_the_component_that_made_it_after_its_file_has_changed() {
    let mut arena = Arena::new();
    // The object is made, and nobody knows.
    arena.backend.breaks(Fault::Garbage, usize::MAX);
    let id = arena.run("honest", false);
    arena.until(id, |report| report.flow.sleep.is_some());
    assert_eq!(
        verdict(&arena.host.report(id).unwrap()),
        Some(Verdict::Unknown)
    );
    std::fs::write(arena.folder.path().join("store.wasm"), "an upgrade").expect("it is ours");
    arena.host.stop();
    // The database has one host at a time here.
    let folder = arena.folder.path().to_owned();
    arena.host = host(&folder);
    arena.backend.is_well();
    let before = arena.backend.requests();
    let report = arena.ended(id);
    assert_eq!(verdict(&report), Some(Verdict::Clean), "{report:#?}");
    assert!(arena.backend.requests() > before);
    assert_eq!(arena.backend.objects(), Vec::<String>::new());
    arena.is_accounted(id);
}
