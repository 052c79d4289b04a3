//! Flows that remove objects of other flows: up to the first removal they can be rolled back, and from then on they only go forward.

use std::collections::VecDeque;
use std::sync::Mutex;

use cairn::external::ActLog;
use cairn::flow::TaskOptions;
use cairn::task::Unwanted;

use super::*;

/// Removes objects, and then fails as often as it is told.
struct Removes {
    spec: TaskSpec,
    ids: Vec<String>,
    failures: Mutex<usize>,
    /// What its removals answered, by the kinds of their errors.
    answers: Mutex<Vec<String>>,
}

impl Removes {
    fn new(ids: &[String], failures: usize) -> Arc<Self> {
        Arc::new(Self {
            spec: TaskSpec::new("removes"),
            ids: ids.to_vec(),
            failures: Mutex::new(failures),
            answers: Mutex::default(),
        })
    }
}

impl Task for Removes {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        for id in &self.ids {
            let removed = context.remove_external(&Unwanted {
                provider: "world",
                kind: "record",
                id,
            });
            let answer = removed.as_ref().err().map_or("ok", |error| &error.kind);
            self.answers.lock().unwrap().push(answer.to_owned());
            removed?;
        }
        fails(&self.failures)
    }
}

/// Fails as often as it is told.
struct Fails(TaskSpec, Mutex<usize>);

impl Task for Fails {
    fn spec(&self) -> &TaskSpec {
        &self.0
    }

    fn call(&self, _: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        fails(&self.1)
    }
}

fn fails(failures: &Mutex<usize>) -> Result<Value, TaskError> {
    let mut failures = failures.lock().unwrap();
    match failures.checked_sub(1) {
        Some(left) => {
            *failures = left;
            Err(TaskError::new("Failed", "it was told to"))
        }
        None => Ok(Value::Null),
    }
}

/// Makes the objects `a` and `b`, and then the flow that removes them: by its pivot, after which a task fails some times.
fn pivot_scene(removes: &[Fault], blind: usize, failures: [usize; 2]) -> (Scene, Arc<Removes>) {
    let world = World::new(&[], &[], 0);
    let mut scene = scene(&world, vec![Makes::new(&["a", "b"])]);
    scene.run().unwrap();
    world.goes_wrong(removes, blind);
    let ids = ids(&world);
    let task = Removes::new(&ids, failures[0]);
    scene.flow = scene.flow_of("removes");
    let pivot = TaskOptions {
        pivot: true,
        ..TaskOptions::default()
    };
    scene.flow.add_with(Arc::clone(&task) as _, pivot).unwrap();
    let last = Fails(TaskSpec::new("last"), Mutex::new(failures[1]));
    scene.flow.add(Arc::new(last)).unwrap();
    (scene, task)
}

fn ids(world: &World) -> Vec<String> {
    cairn::external::External::list(world, "record", None, &ActLog::new(|_, _| {})).unwrap()
}

fn states(scene: &Scene) -> VecDeque<String> {
    scene.rows().into()
}

#[test]
fn a_pivot_removes_objects_of_other_flows_with_their_rows() {
    let (scene, task) = pivot_scene(&[], 0, [0, 0]);
    scene.run().unwrap();
    assert_eq!((scene.world.len(), scene.rows().len()), (0, 0));
    assert_eq!(*task.answers.lock().unwrap(), ["ok", "ok"]);
    let report = scene.report();
    assert_eq!(report.flow.state, FlowState::Success);
    assert!(!report.flow.forward, "it has ended");

    let cause = Cause::requested("too late");
    let refused = scene.flow.rollback(&cause).unwrap_err();
    assert!(matches!(refused, FlowError::PastPivot), "{refused}");
    assert_eq!(scene.flow.state(), FlowState::Success);
}

#[test]
fn a_pivot_that_is_refused_first_rolls_back_and_one_that_is_refused_later_goes_forward() {
    let (scene, task) = pivot_scene(&[Fault::Refuses], 0, [0, 0]);
    assert!(matches!(scene.run(), Err(FlowError::Failed(_))));
    let rollback = scene.report().rollback.unwrap();
    assert_eq!(rollback.verdict, Verdict::Clean, "{rollback:#?}");
    assert_eq!(*task.answers.lock().unwrap(), ["Broken"]);
    assert_eq!(scene.world.len(), 2);
    assert!(
        scene.rows().iter().all(|row| row.contains("made")),
        "{:?}",
        scene.rows()
    );

    let (scene, task) = pivot_scene(&[Fault::Works, Fault::Refuses, Fault::Refuses], 0, [0, 0]);
    scene.run().unwrap();
    assert_eq!((scene.world.len(), scene.rows().len()), (0, 0));
    let answers = task.answers.lock().unwrap();
    assert_eq!(*answers, ["ok", "Broken", "ok", "Broken", "ok", "ok"]);
}

#[test]
fn behind_its_pivot_a_flow_goes_forward_whatever_fails() {
    use Fault::{Panics, UnsureAfter, UnsureBefore, Works};
    for remove in [Works, UnsureBefore, UnsureAfter, Panics] {
        for blind in [0, 1, 3] {
            for failures in [[0, 0], [2, 0], [0, 2], [1, 1]] {
                let (scene, _) = pivot_scene(&[remove, remove], blind, failures);
                let what = format!("{remove:?} {blind} {failures:?}");
                scene
                    .run()
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!((scene.world.len(), scene.rows().len()), (0, 0), "{what}");
                assert_eq!(scene.report().flow.state, FlowState::Success, "{what}");
            }
        }
    }
}

#[test]
fn a_flow_behind_its_pivot_sleeps_and_says_why_and_is_not_rolled_back() {
    let (scene, _) = pivot_scene(&[], 0, [0, usize::MAX]);
    // Without a clock that moves it sleeps.
    scene.flow.run_to_end().wait().unwrap();
    assert!(scene.flow.sleeps());
    let report = scene.report();
    assert_eq!(report.flow.state, FlowState::Running);
    assert!(report.flow.forward);
    let sleep = report.flow.sleep.unwrap();
    assert_eq!(
        (&*sleep.task, sleep.error.unwrap().kind.as_str()),
        ("last", "Failed")
    );
    let refused = scene.flow.rollback(&Cause::requested("no")).unwrap_err();
    assert!(matches!(refused, FlowError::PastPivot), "{refused}");
    assert_eq!(scene.report().flow.state, FlowState::Running);

    // An operator may end it.
    scene.flow.accept("ann", "done by hand").unwrap();
    let report = scene.report();
    assert_eq!(report.flow.state, FlowState::Failure);
    assert!(!report.flow.forward);
    let rollback = report.rollback.unwrap();
    assert_eq!(rollback.verdict, Verdict::Residue);
    assert_eq!(rollback.accepted.as_deref(), Some("done by hand"));
    let kinds: Vec<_> = rollback.residue.iter().map(|left| &*left.kind).collect();
    assert_eq!(kinds, ["external", "external"], "{rollback:#?}");
    assert!(rollback.residue.iter().all(|left| left.after.is_null()));
    assert!(scene.flow.rollback(&Cause::requested("no")).is_err());
}

#[test]
fn a_flow_that_ends_with_a_removal_in_doubt_names_the_object() {
    let (scene, _) = pivot_scene(&[Fault::UnsureBefore], usize::MAX, [0, 0]);
    scene.flow.run_to_end().wait().unwrap();
    assert_eq!(states(&scene).len(), 2);
    scene.flow.accept("ann", "the server is gone").unwrap();
    let rollback = scene.report().rollback.unwrap();
    assert_eq!(rollback.verdict, Verdict::Residue);
    let why = rollback.residue[0].why.as_ref().unwrap();
    assert!(why.reason.contains("not known"), "{why:?}");
    assert_eq!(states(&scene).len(), 2, "the rows stay, for the operator");
}

#[test]
fn what_a_pivot_may_not_remove_is_refused() {
    let world = World::new(&[], &[], 0);
    let mut scene = scene(&world, vec![Makes::new(&["a"])]);
    scene.run().unwrap();
    let id = ids(&world);
    let mut answer = |requester: Identity, ids: &[String], is_pivot: bool| {
        let task = Removes::new(ids, 0);
        scene.flow = scene.flow_by("removes", requester);
        let options = TaskOptions {
            pivot: is_pivot,
            ..TaskOptions::default()
        };
        scene
            .flow
            .add_with(Arc::clone(&task) as _, options)
            .unwrap();
        assert!(matches!(scene.run(), Err(FlowError::Failed(_))));
        scene.report().rollback.unwrap();
        let answers = task.answers.lock().unwrap();
        answers.concat()
    };
    let ann = || Identity::new("ann", "acme");
    assert_eq!(answer(ann(), &id, false), "NotPivot");
    assert_eq!(
        answer(ann(), &["no-such".to_owned()], true),
        "ExternalNotFound"
    );
    let eve = Identity::new("eve", "other");
    assert_eq!(answer(eve, &id, true), "ExternalNotFound");
    assert_eq!(world.len(), 1);
}

#[test]
fn an_object_of_the_same_flow_is_not_removed_by_its_pivot() {
    let world = World::new(&[], &[], 0);
    let scene = scene(&world, vec![Makes::new(&["a"])]);
    let own = Own(TaskSpec::new("own"), Arc::clone(&world));
    let options = TaskOptions {
        pivot: true,
        ..TaskOptions::default()
    };
    scene.flow.add_with(Arc::new(own), options).unwrap();
    match scene.run() {
        Err(FlowError::Failed(cause)) => assert_eq!(cause.error.kind, "InvalidInput"),
        other => panic!("{other:?}"),
    }
    scene.is_clean();
}

/// Removes what is there.
struct Own(TaskSpec, Arc<World>);

impl Task for Own {
    fn spec(&self) -> &TaskSpec {
        &self.0
    }

    fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        let ids = ids(&self.1);
        context.remove_external(&Unwanted {
            provider: "world",
            kind: "record",
            id: &ids[0],
        })?;
        Ok(Value::Null)
    }
}

#[test]
fn an_object_that_an_operator_removes_meanwhile_counts_as_removed() {
    let (scene, task) = pivot_scene(&[Fault::UnsureBefore], 1, [0, 0]);
    let id = ids(&scene.world).remove(0);
    let ended = std::thread::scope(|scope| {
        let run = scope.spawn(|| scene.flow.run());
        while !scene.flow.sleeps() {
            std::thread::yield_now();
        }
        let operator = Identity::new("op", "acme").into_admin();
        let provider = Provider {
            external: Arc::clone(&scene.world) as _,
            digest: Digest::of(b"world"),
        };
        let key = cairn::external::ExternalKey::new("world", "record", &id);
        let removed = cairn::externals::remove(&*scene.store, &operator, &provider, &key, None);
        removed.unwrap();
        scene.moving(|| run.join().unwrap())
    });
    ended.unwrap();
    assert_eq!(scene.report().flow.state, FlowState::Success);
    assert_eq!((scene.world.len(), scene.rows().len()), (0, 0));
    let answers = task.answers.lock().unwrap();
    assert_eq!(*answers, ["InDoubt", "ok", "ok"]);
}

/// Removes an object, makes another one, and then fails once.
struct Replaces {
    spec: TaskSpec,
    id: String,
    calls: Mutex<usize>,
}

impl Task for Replaces {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        *self.calls.lock().unwrap() += 1;
        context.remove_external(&Unwanted {
            provider: "world",
            kind: "record",
            id: &self.id,
        })?;
        context.make_external(&Wanted {
            provider: "world",
            kind: "record",
            label: "new",
            spec: &Value::Null,
        })?;
        match *self.calls.lock().unwrap() {
            1 => Err(TaskError::new("Failed", "it was told to")),
            _ => Ok(Value::Null),
        }
    }
}

#[test]
fn behind_its_pivot_a_task_is_not_called_again_before_its_last_call_is_undone() {
    let world = World::new(&[], &[], 0);
    let mut scene = scene(&world, vec![Makes::new(&["a"])]);
    scene.run().unwrap();
    let task = Arc::new(Replaces {
        spec: TaskSpec::new("replaces"),
        id: ids(&world).concat(),
        calls: Mutex::new(0),
    });
    // The new object is not taken away at once.
    world.goes_wrong(&[Fault::Works, Fault::Refuses, Fault::Refuses], 0);
    scene.flow = scene.flow_of("replaces");
    let options = TaskOptions {
        pivot: true,
        call: cairn::retry::Retry {
            attempts: 5,
            ..Default::default()
        },
        ..TaskOptions::default()
    };
    scene
        .flow
        .add_with(Arc::clone(&task) as _, options)
        .unwrap();
    scene.run().unwrap();
    assert_eq!(*task.calls.lock().unwrap(), 2);
    assert_eq!((world.len(), scene.rows().len()), (1, 1));
}
