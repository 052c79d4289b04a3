//! Objects outside the database, made by native tasks: what becomes of them when acts fail, and when flows are rolled back.

mod pivot;
mod takeover;
mod world;

use std::sync::Arc;
use std::time::Duration;

use cairn::clock::{ManualClock, Timestamp};
use cairn::error::Cause;
use cairn::event::{Disposition, Event, FlowState};
use cairn::flow::{Provider, Providers, Recovery};
use cairn::history::History;
use cairn::outbox::Cast;
use cairn::task::{Outcome, Wanted};
use cairn::value::Digest;
use cairn::{
    Context, Flow, FlowError, Identity, Object, Report, Sqlite, SqliteConfig, Store as _, Task,
    TaskError, TaskSpec, Value, Verdict,
};
use serde_json::json;

use world::{Fault, World};

/// A task that makes objects, and then fails if it is told so.
struct Makes {
    spec: TaskSpec,
    labels: &'static [&'static str],
    fails: bool,
}

impl Makes {
    fn new(labels: &'static [&'static str]) -> Self {
        Self {
            spec: TaskSpec::new("makes"),
            labels,
            fails: false,
        }
    }
}

impl Task for Makes {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        for label in self.labels {
            let spec = json!({"name": label});
            let wanted = Wanted {
                provider: "world",
                kind: "record",
                label,
                spec: &spec,
            };
            let made = context.make_external(&wanted)?;
            assert_eq!(made, spec);
        }
        match self.fails {
            true => Err(TaskError::new("Failed", "it was told to")),
            false => Ok(Value::Null),
        }
    }
}

/// A flow that makes objects in a world.
struct Scene {
    store: Arc<Sqlite>,
    clock: Arc<ManualClock>,
    world: Arc<World>,
    flow: Flow,
}

fn scene(world: &Arc<World>, tasks: Vec<Makes>) -> Scene {
    let clock = Arc::new(ManualClock::new(Timestamp(1_000_000_000)));
    let store = Sqlite::in_memory(SqliteConfig::default(), Arc::clone(&clock) as _).unwrap();
    let store = Arc::new(store);
    let flow = flow(&store, world, "acts", Identity::new("ann", "acme"));
    for task in tasks {
        flow.add(Arc::new(task)).unwrap();
    }
    Scene {
        store,
        clock,
        world: Arc::clone(world),
        flow,
    }
}

/// Makes a flow without tasks, which has the world as its provider.
fn flow(store: &Arc<Sqlite>, world: &Arc<World>, name: &str, requester: Identity) -> Flow {
    let flow = Flow::builder(name)
        .requester(requester)
        .build(Arc::clone(store) as _);
    let provider = Provider {
        external: Arc::clone(world) as _,
        digest: Digest::of(b"world"),
    };
    flow.set_providers(Arc::new(Providers::from([("world".to_owned(), provider)])));
    flow
}

impl Scene {
    /// Makes another flow of the same project.
    fn flow_of(&self, name: &str) -> Flow {
        self.flow_by(name, Identity::new("ann", "acme"))
    }

    fn flow_by(&self, name: &str, requester: Identity) -> Flow {
        flow(&self.store, &self.world, name, requester)
    }

    /// Returns the states of the objects' rows.
    fn rows(&self) -> Vec<String> {
        let rows = self.store.read(&Identity::default(), |view| {
            view.query("SELECT state FROM externals ORDER BY id", &[])
        });
        let rows = rows.unwrap().into_iter().flatten();
        rows.map(|cell| format!("{cell:?}")).collect()
    }

    /// Runs the flow while another thread moves the clock, so that it never sleeps long.
    fn run(&self) -> Result<(), FlowError> {
        self.moving(|| self.flow.run())
    }

    fn moving<T>(&self, work: impl FnOnce() -> T) -> T {
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    self.clock.advance(Duration::from_secs(1));
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let result = work();
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            result
        })
    }

    /// Returns the report, which the journal must give, too.
    fn report(&self) -> Report {
        let journal = self
            .store
            .read(&Identity::default(), |view| view.journal(self.flow.id()));
        let folded = History::fold(&journal.unwrap(), self.store.domains()).unwrap();
        let report = Report::new(self.flow.id(), &self.flow.history());
        assert_eq!(Report::new(self.flow.id(), &folded), report);
        report
    }

    #[track_caller]
    fn is_clean(&self) {
        let report = self.report();
        let verdict = report.rollback.as_ref().map(|rollback| rollback.verdict);
        assert_eq!(verdict, Some(Verdict::Clean), "{report:#?}");
        assert_eq!(self.world.len(), 0, "{report:#?}");
        assert_eq!(self.rows(), Vec::<String>::new());
    }
}

#[test]
fn an_object_is_made_with_its_flow_and_removed_with_it() {
    let world = World::new(&[], &[], 0);
    let scene = scene(&world, vec![Makes::new(&["a", "b"])]);
    scene.run().unwrap();
    assert_eq!((world.len(), scene.rows().len()), (2, 2));
    let cause = Cause::requested("enough");
    scene.moving(|| scene.flow.rollback(&cause)).unwrap();
    scene.is_clean();
}

#[test]
fn whatever_an_act_says_a_flow_succeeds_with_its_object_or_leaves_nothing() {
    use Fault::{Panics, Refuses, UnsureAfter, UnsureBefore, UnsureWithin, Works};
    for make in [
        Works,
        Refuses,
        UnsureBefore,
        UnsureWithin,
        UnsureAfter,
        Panics,
    ] {
        for remove in [Works, UnsureBefore, UnsureAfter, Panics] {
            for blind in 0..4 {
                for fails in [false, true] {
                    let world = World::new(&[Works, make], &[remove], blind);
                    let mut task = Makes::new(&["a", "b"]);
                    task.fails = fails;
                    let scene = scene(&world, vec![task]);
                    let what = format!("{make:?} {remove:?} {blind} {fails}");
                    match scene.run() {
                        Ok(()) => {
                            assert!(!fails, "{what}");
                            assert_eq!((world.len(), scene.rows().len()), (2, 2), "{what}");
                        }
                        Err(FlowError::Failed(_)) => {
                            assert_eq!(scene.flow.state(), FlowState::Failure, "{what}");
                            scene.is_clean();
                        }
                        other => panic!("{what}: {other:?}"),
                    }
                }
            }
        }
    }
}

#[test]
fn while_it_is_not_known_what_there_is_the_verdict_says_so() {
    let world = World::new(&[Fault::UnsureAfter], &[], 6);
    let scene = scene(&world, vec![Makes::new(&["a"])]);
    // Without a clock that moves it sleeps.
    let failed = scene.flow.run_to_end().wait();
    assert!(failed.is_ok(), "{failed:?}");
    assert!(scene.flow.sleeps());
    let report = scene.report();
    assert_eq!(report.flow.state, FlowState::Reverting);
    let rollback = report.rollback.unwrap();
    assert_eq!(rollback.verdict, Verdict::Unknown);
    let left = &rollback.residue[0];
    let why = left.why.as_ref().unwrap();
    assert!(why.reason.contains("not known"), "{why:?}");
    assert_eq!(
        scene.rows().len(),
        1,
        "its row stays until it is gone for sure"
    );

    // It is looked for again, ever more seldom, until it is known.
    let cause = Cause::requested("again");
    scene.moving(|| scene.flow.rollback(&cause)).unwrap();
    scene.is_clean();
}

#[test]
fn an_operator_may_accept_that_it_is_not_known() {
    let world = World::new(&[Fault::UnsureAfter], &[], usize::MAX);
    let scene = scene(&world, vec![Makes::new(&["a"])]);
    scene.flow.run_to_end().wait().unwrap();
    scene.flow.accept("ann", "the server is gone").unwrap();
    let report = scene.report();
    assert_eq!(report.flow.state, FlowState::Failure);
    let rollback = report.rollback.unwrap();
    assert_eq!(rollback.verdict, Verdict::Residue);
    assert_eq!(rollback.residue[0].kind, "external");
    assert_eq!(scene.rows().len(), 1, "the row stays, for the operator");
}

#[test]
fn a_provider_that_refuses_to_remove_leaves_the_rollback_incomplete() {
    let world = World::new(&[], &[Fault::Refuses], 0);
    let scene = scene(&world, vec![Makes::new(&["a"])]);
    scene.run().unwrap();
    let cause = Cause::requested("enough");
    scene.moving(|| scene.flow.rollback(&cause)).unwrap();
    let rollback = scene.report().rollback.unwrap();
    assert_eq!(rollback.verdict, Verdict::Incomplete, "{rollback:#?}");
    assert_eq!((world.len(), scene.rows().len()), (1, 1));
    scene.moving(|| scene.flow.rollback(&cause)).unwrap();
    scene.is_clean();
}

#[test]
fn the_same_call_names_the_same_object() {
    let world = World::new(&[], &[], 0);
    let scene = scene(&world, vec![Makes::new(&["a", "a", "b"])]);
    scene.run().unwrap();
    assert_eq!((world.len(), world.acts()), (2, 2));
}

#[test]
fn a_call_cannot_succeed_while_it_is_not_known_what_it_made() {
    struct Ignores(TaskSpec);
    impl Task for Ignores {
        fn spec(&self) -> &TaskSpec {
            &self.0
        }

        fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
            let wanted = Wanted {
                provider: "world",
                kind: "record",
                label: "a",
                spec: &Value::Null,
            };
            // Its error is passed over.
            let _ = context.make_external(&wanted);
            Ok(Value::Null)
        }
    }
    let world = World::new(&[Fault::UnsureAfter], &[], 1);
    let scene = scene(&world, vec![]);
    let task = Ignores(TaskSpec::new("ignores"));
    scene.flow.add(Arc::new(task)).unwrap();
    assert!(matches!(scene.run(), Err(FlowError::Failed(_))));
    scene.is_clean();
}

/// Makes an object; its revert sends a message, and lets the host undo the call.
struct Tells(TaskSpec);

impl Task for Tells {
    fn spec(&self) -> &TaskSpec {
        &self.0
    }

    fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        context.make_external(&Wanted {
            provider: "world",
            kind: "record",
            label: "a",
            spec: &Value::Null,
        })
    }

    fn revert(
        &self,
        context: &Arc<dyn Context>,
        _: &Outcome,
        _: &Cause,
    ) -> Result<Disposition, TaskError> {
        context.apply(&Cast {
            topic: "told".to_owned(),
            method: "removed".to_owned(),
            arguments: json!({}),
        })?;
        Ok(Disposition::Undo)
    }
}

#[test]
fn what_a_revert_has_done_stays_when_the_removal_after_it_is_repeated() {
    let world = World::new(&[], &[Fault::UnsureBefore], 0);
    let scene = scene(&world, vec![]);
    scene
        .flow
        .add(Arc::new(Tells(TaskSpec::new("tells"))))
        .unwrap();
    let mut fails = Makes::new(&[]);
    fails.spec = TaskSpec::new("fails");
    fails.fails = true;
    scene.flow.add(Arc::new(fails)).unwrap();
    world.goes_wrong(&[Fault::UnsureBefore], 1);
    // Without a clock that moves it sleeps.
    scene.flow.run_to_end().wait().unwrap();
    assert!(scene.flow.sleeps());
    // An operator does not wait.
    scene
        .flow
        .recover_to_end(Recovery::Interrupt)
        .wait()
        .unwrap();
    let cause = Cause::requested("again");
    scene.moving(|| scene.flow.rollback(&cause)).unwrap();
    assert_eq!((world.len(), scene.rows().len()), (0, 0));
    let journal = scene
        .store
        .read(&Identity::default(), |view| view.journal(scene.flow.id()));
    let events: Vec<Event> = journal.unwrap().into_iter().map(|it| it.event).collect();
    let casts = events.iter().filter_map(|event| match event {
        Event::Applied(applied) if applied.effect == "cast" => Some(applied.number),
        _ => None,
    });
    let casts: Vec<u32> = casts.collect();
    assert_eq!(casts.len(), 1, "the revert is called once");
    let is_undone =
        |event: &Event| matches!(event, Event::Undone { number } if *number == casts[0]);
    assert!(!events.iter().any(is_undone), "{events:#?}");
}
