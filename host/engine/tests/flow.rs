//! Flows of native tasks on a store in memory: what the engine promises, whoever wrote the tasks.

#[path = "../../volumes/testing/any.rs"]
mod any;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use crate::any::{Answer, Effect};
use cairn::clock::SystemClock;
use cairn::error::{Cause, TaskError};
use cairn::event::{Disposition, Event, FlowState, TaskState};
use cairn::flow::{Flow, FlowError, FlowNotice, TaskNotice, TaskOptions};
use cairn::history::History;
use cairn::id::Identity;
use cairn::outbox::Cast;
use cairn::report::{Report, Verdict};
use cairn::retry::Retry;
use cairn::store::{Sqlite, Store as _};
use cairn::task::{Context, Outcome, Task, TaskSpec};
use cairn::value::{Object, Value};
use cairn::volumes::operator::kind;
use cairn::volumes::{Expiry, QUOTA_COMMITTED, QuotaReserve, VolumeCreate, VolumeUpdate};
use serde_json::json;

type Call = dyn Fn(&Arc<dyn Context>, Object) -> Result<Value, TaskError> + Send + Sync;
type Revert = dyn Fn(&Arc<dyn Context>, &Outcome) -> Result<Disposition, TaskError> + Send + Sync;

/// A task made of two functions.
struct Step {
    spec: TaskSpec,
    call: Box<Call>,
    revert: Box<Revert>,
}

impl Step {
    fn new(
        spec: TaskSpec,
        call: impl Fn(&Arc<dyn Context>, Object) -> Result<Value, TaskError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            spec,
            call: Box::new(call),
            revert: Box::new(|_, _| Ok(Disposition::Undo)),
        }
    }

    fn revert(
        mut self,
        revert: impl Fn(&Arc<dyn Context>, &Outcome) -> Result<Disposition, TaskError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.revert = Box::new(revert);
        self
    }
}

impl Task for Step {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        (self.call)(context, inputs)
    }

    fn revert(
        &self,
        context: &Arc<dyn Context>,
        outcome: &Outcome,
        _: &Cause,
    ) -> Result<Disposition, TaskError> {
        (self.revert)(context, outcome)
    }
}

fn store() -> Arc<Sqlite> {
    Arc::new(
        Sqlite::in_memory(
            crate::any::config(Default::default()),
            Arc::new(SystemClock),
        )
        .unwrap(),
    )
}

fn flow(store: &Arc<Sqlite>, steps: impl IntoIterator<Item = Step>) -> Flow {
    let flow = Flow::builder("test")
        .requester(Identity::new("ann", "acme"))
        .build(Arc::clone(store) as _);
    for step in steps {
        flow.add(Arc::new(step)).unwrap();
    }
    flow
}

fn reserve(context: &Arc<dyn Context>, amount: i64) -> Result<(), TaskError> {
    let deltas = BTreeMap::from([("volumes".to_owned(), amount)]);
    let effect = Effect::QuotaReserve(QuotaReserve {
        project: None,
        deltas,
        expiry: Expiry::Default,
    });
    effect.apply(context).map(drop)
}

fn reserved(store: &Sqlite) -> i64 {
    let usages = store.read(&Identity::new("ann", "acme"), |view| {
        view.list(&kind::USAGE, None, false)
    });
    usages
        .unwrap()
        .iter()
        .map(|usage| usage["reserved"].as_i64().unwrap())
        .sum()
}

fn holds(name: &str, amount: i64) -> Step {
    Step::new(TaskSpec::new(name), move |context, _| {
        reserve(context, amount)?;
        Ok(Value::Null)
    })
}

fn fails(name: &str) -> Step {
    Step::new(TaskSpec::new(name), |_, _| {
        Err(TaskError::new("Broken", "it broke"))
    })
}

fn failed(flow: &Flow) -> Cause {
    match flow.run() {
        Err(FlowError::Failed(cause)) => *cause,
        other => panic!("a failed flow was expected, not {other:?}"),
    }
}

fn report(flow: &Flow) -> Report {
    Report::new(flow.id(), &flow.history())
}

fn states(flow: &Flow) -> Vec<TaskState> {
    flow.history().tasks.iter().map(|task| task.state).collect()
}

#[test]
fn results_reach_the_tasks_that_require_them() {
    let seen = Arc::new(Mutex::new(Object::new()));
    let keep = Arc::clone(&seen);
    let flow = flow(
        &store(),
        [
            Step::new(
                TaskSpec::new("a").provides(["x", "left_out", "extra"]),
                |_, _| Ok(json!({"x": 1, "extra": 2, "undeclared": 3})),
            ),
            Step::new(
                TaskSpec::new("b").requires(["x", "left_out"]).optional([
                    "extra",
                    "undeclared",
                    "unknown",
                ]),
                move |_, inputs| {
                    *keep.lock().unwrap() = inputs;
                    Ok(Value::Null)
                },
            ),
        ],
    );
    flow.run().unwrap();
    assert_eq!(flow.state(), FlowState::Success);
    assert_eq!(
        Value::Object(seen.lock().unwrap().clone()),
        json!({"x": 1, "left_out": null, "extra": 2})
    );
}

#[test]
fn a_task_that_fails_half_way_is_undone_and_reverted_too() {
    let store = store();
    let reverted = Arc::new(Mutex::new(Vec::new()));
    let half = |name: &'static str, fail: bool| {
        let reverted = Arc::clone(&reverted);
        Step::new(TaskSpec::new(name), move |context, _| {
            reserve(context, 2)?;
            if fail {
                Err(TaskError::new("Broken", "half way"))
            } else {
                Ok(json!({"done": true}))
            }
        })
        .revert(move |_, outcome| {
            reverted
                .lock()
                .unwrap()
                .push((name, matches!(outcome, Outcome::Completed(_))));
            Ok(Disposition::Undo)
        })
    };
    let flow = flow(&store, [half("first", false), half("second", true)]);
    let cause = failed(&flow);
    assert_eq!(
        (cause.task.as_str(), cause.error.kind.as_str()),
        ("second", "Broken")
    );
    assert_eq!(
        *reverted.lock().unwrap(),
        [("second", false), ("first", true)]
    );
    assert_eq!(reserved(&store), 0);
    let rollback = report(&flow).rollback.unwrap();
    assert_eq!(
        (rollback.verdict, rollback.residue),
        (Verdict::Clean, vec![])
    );
    assert_eq!(rollback.reverted, ["second", "first"]);
}

#[test]
fn what_a_revert_keeps_is_residue() {
    let store = store();
    let keeps = holds("keeps", 3).revert(|_, _| Ok(Disposition::Keep));
    let flow = flow(&store, [keeps, fails("breaks")]);
    failed(&flow);
    let rollback = report(&flow).rollback.unwrap();
    assert_eq!(rollback.verdict, Verdict::Residue);
    let kinds: Vec<_> = rollback
        .residue
        .iter()
        .map(|left| left.kind.as_str())
        .collect();
    assert_eq!(kinds, ["reservation", "usage"]);
    assert_eq!(reserved(&store), 3);
}

#[test]
fn a_revert_that_fails_is_undone_itself_and_the_walk_goes_on() {
    let store = store();
    let bad = holds("bad", 1).revert(|context, _| {
        reserve(context, 5)?;
        Err(TaskError::new("Stuck", "cannot"))
    });
    let flow = flow(&store, [holds("good", 2), bad, fails("breaks")]);
    failed(&flow);
    let rollback = report(&flow).rollback.unwrap();
    assert_eq!(rollback.verdict, Verdict::Incomplete);
    assert_eq!(rollback.reverted, ["breaks", "good"]);
    assert_eq!(
        (rollback.failed[0].task.as_str(), rollback.failed.len()),
        ("bad", 1)
    );
    assert_eq!(reserved(&store), 1, "only what `bad` held is left");
    assert_eq!(
        report(&flow).error.unwrap().kind,
        "Broken",
        "the first error stays"
    );
}

#[test]
fn what_a_checkpoint_ends_stays_when_the_revert_errs_later() {
    let store = store();
    let steps = holds("steps", 1).revert(|context, _| {
        reserve(context, 2)?;
        context.checkpoint()?;
        reserve(context, 3)?;
        Err(TaskError::new("Stuck", "after the second step"))
    });
    let flow = flow(&store, [steps, fails("breaks")]);
    failed(&flow);
    assert_eq!(reserved(&store), 1 + 2);
}

#[test]
fn a_failed_revert_can_be_asked_for_again_and_what_was_reverted_is_not() {
    let store = store();
    let count = Arc::new(Mutex::new((0, 0)));
    let (good, bad) = (Arc::clone(&count), Arc::clone(&count));
    let flow = flow(
        &store,
        [
            holds("good", 1).revert(move |_, _| {
                good.lock().unwrap().0 += 1;
                Ok(Disposition::Undo)
            }),
            holds("bad", 1).revert(move |_, _| {
                let mut count = bad.lock().unwrap();
                count.1 += 1;
                if count.1 == 1 {
                    Err(TaskError::new("Busy", "later"))
                } else {
                    Ok(Disposition::Undo)
                }
            }),
            fails("breaks"),
        ],
    );
    failed(&flow);
    assert_eq!(reserved(&store), 1);
    flow.rollback(&Cause::requested("again")).unwrap();
    assert_eq!(*count.lock().unwrap(), (1, 2));
    assert_eq!(reserved(&store), 0);
    assert_eq!(report(&flow).rollback.unwrap().verdict, Verdict::Clean);
}

#[test]
fn attempts_start_from_nothing_and_only_named_kinds_are_tried_again() {
    let run = |kind: &'static str| {
        let store = store();
        let made = Arc::new(Mutex::new(0));
        let count = Arc::clone(&made);
        let step = Step::new(TaskSpec::new("busy"), move |context, _| {
            reserve(context, 1)?;
            *count.lock().unwrap() += 1;
            if *count.lock().unwrap() < 3 {
                Err(TaskError::new(kind, "try again"))
            } else {
                Ok(Value::Null)
            }
        });
        let flow = flow(&store, []);
        let call = Retry {
            attempts: 3,
            on: Some(vec!["Busy".to_owned()]),
            ..Retry::default()
        };
        flow.add_with(
            Arc::new(step),
            TaskOptions {
                call,
                ..TaskOptions::default()
            },
        )
        .unwrap();
        let state = flow
            .run()
            .map(|()| flow.state())
            .unwrap_or(FlowState::Failure);
        let made = *made.lock().unwrap();
        (state, made, reserved(&store))
    };
    assert_eq!(run("Busy"), (FlowState::Success, 3, 1));
    assert_eq!(run("Other"), (FlowState::Failure, 1, 0));
}

#[test]
fn an_interrupted_flow_goes_on_where_it_left_off() {
    let ran = Arc::new(Mutex::new(VecDeque::new()));
    let step = |name: &'static str| {
        let ran = Arc::clone(&ran);
        Step::new(TaskSpec::new(name), move |_, _| {
            ran.lock().unwrap().push_back(name);
            Ok(Value::Null)
        })
    };
    let flow = flow(&store(), [step("a"), step("b"), step("c")]);
    let interrupt = |notice: &TaskNotice| {
        if &*notice.name == "a" {
            notice.flow.interrupt()?;
        }
        Ok(())
    };
    flow.task_notifier()
        .register(TaskState::Success, Arc::new(interrupt))
        .unwrap();
    flow.run().unwrap();
    assert_eq!(flow.state(), FlowState::Interrupted);
    assert!(matches!(flow.run(), Err(FlowError::InvalidState { .. })));
    let extra = flow.add(Arc::new(step("d"))).unwrap();
    flow.remove(flow.tasks()[1].0).unwrap();
    flow.soft_reset().unwrap();
    flow.run().unwrap();
    assert_eq!(*ran.lock().unwrap(), ["a", "c", "d"]);
    assert!(flow.result(extra).is_some());
}

#[test]
fn an_interrupted_flow_with_effects_is_not_reset() {
    let store = store();
    let flow = flow(&store, [holds("holds", 1), holds("next", 1)]);
    let interrupt = |notice: &TaskNotice| Ok(notice.flow.interrupt()?);
    flow.task_notifier()
        .register(TaskState::Started, Arc::new(interrupt))
        .unwrap();
    flow.run().unwrap();
    assert!(matches!(flow.reset(), Err(FlowError::EffectsStand)));
    flow.rollback(&Cause::requested("enough")).unwrap();
    assert_eq!(reserved(&store), 0);
    flow.reset().unwrap();
    flow.run().unwrap();
    assert_eq!((flow.state(), reserved(&store)), (FlowState::Success, 2));
}

#[test]
fn an_update_of_a_volume_that_names_nothing_writes_nothing() {
    let makes = Step::new(TaskSpec::new("makes"), |context, _| {
        let properties = Object::from_iter([("size".to_owned(), json!(1))]);
        let made = Effect::VolumeCreate(VolumeCreate { properties }).apply(context)?;
        let Answer::Volume(volume) = made else {
            panic!("a volume is answered");
        };
        let id = volume["id"].as_str().unwrap();
        for changes in [
            json!({"status": "error"}),
            json!({"status": "error"}),
            json!({}),
        ] {
            let update = VolumeUpdate {
                id: id.to_owned(),
                changes: changes.as_object().unwrap().clone(),
            };
            let answer = Effect::VolumeUpdate(update).apply(context)?;
            assert!(matches!(answer, Answer::Volume(volume) if volume["status"] == "error"));
        }
        Ok(Value::Null)
    });
    let store = store();
    let flow = flow(&store, [makes]);
    flow.run().unwrap();
    let journal = store.read(&Identity::default(), |view| view.journal(flow.id()));
    let journal = journal.unwrap().into_iter();
    let changes = journal.filter_map(|entry| match entry.event {
        Event::Applied(applied) => Some(applied.changes.len()),
        _ => None,
    });
    // One that finds what it would write takes note of it: another flow must not take back what this one counts on.
    assert_eq!(changes.collect::<Vec<_>>(), [1, 1, 1, 0]);
    assert_eq!(rolled_back(&store, &flow), (Verdict::Clean, vec![]));
}

/// The verdict of a rollback from here, with the kinds of what is left; the journal says the same.
fn rolled_back(store: &Arc<Sqlite>, flow: &Flow) -> (Verdict, Vec<String>) {
    flow.rollback(&Cause::requested("enough")).unwrap();
    let journal = store.read(&Identity::default(), |view| view.journal(flow.id()));
    let folded = History::fold(&journal.unwrap(), store.domains()).unwrap();
    let report = Report::new(flow.id(), &flow.history());
    assert_eq!(Report::new(flow.id(), &folded).rollback, report.rollback);
    let rollback = report.rollback.unwrap();
    let residue = rollback.residue.into_iter();
    (rollback.verdict, residue.map(|left| left.kind).collect())
}

#[test]
fn what_a_flow_left_before_a_reset_is_named_by_every_later_verdict() {
    let sends = Step::new(TaskSpec::new("sends"), |context, _| {
        let cast = Cast {
            topic: "t".to_owned(),
            method: "m".to_owned(),
            arguments: Value::Null,
        };
        context.apply(&cast).map(|()| Value::Null)
    });
    let store = store();
    let flow = flow(&store, [holds("holds", 1), sends]);
    flow.run().unwrap();
    assert!(matches!(flow.reset_clean(), Err(FlowError::EffectsStand)));
    flow.reset().unwrap();
    assert!(matches!(flow.reset_clean(), Err(FlowError::Left(left)) if left.len() == 3));
    assert!(!flow.fact(QUOTA_COMMITTED));
    let left = ["reservation", "usage", "cast"].map(str::to_owned);
    assert_eq!(
        rolled_back(&store, &flow),
        (Verdict::Residue, left.to_vec())
    );
    assert_eq!(reserved(&store), 1);
}

#[test]
fn what_a_rollback_left_or_could_not_revert_is_not_forgotten_by_a_reset() {
    let store = store();
    let keeps = holds("keeps", 1).revert(|_, _| Ok(Disposition::Keep));
    let kept = flow(&store, [keeps, fails("fails")]);
    assert!(kept.run().is_err());
    assert!(
        matches!(kept.reset_clean(), Err(FlowError::Left(left)) if left[0].kind == "reservation")
    );

    let broken = Step::new(TaskSpec::new("broken"), |_, _| Ok(Value::Null))
        .revert(|_, _| Err(TaskError::new("Broken", "it broke")));
    let incomplete = flow(&store, [broken, fails("fails")]);
    assert!(incomplete.run().is_err());
    assert!(matches!(
        incomplete.reset_clean(),
        Err(FlowError::Unreverted)
    ));
    incomplete.accept("ann", "it is nothing").unwrap();
    incomplete.reset_clean().unwrap();

    let clean = flow(&store, [holds("holds", 1), fails("fails")]);
    assert!(clean.run().is_err());
    clean.reset_clean().unwrap();
    assert_eq!(rolled_back(&store, &clean), (Verdict::Clean, vec![]));
}

#[test]
fn a_flow_is_not_run_changed_or_reset_from_inside_itself() {
    let flow = flow(&store(), []);
    let inside = flow.clone();
    flow.add(Arc::new(Step::new(
        TaskSpec::new("meddles"),
        move |_, _| {
            let refused = |result: Result<(), FlowError>| {
                assert!(matches!(result, Err(FlowError::InvalidState { .. })))
            };
            refused(inside.run());
            refused(inside.reset());
            refused(inside.soft_reset());
            refused(inside.rollback(&Cause::requested("me")));
            refused(inside.add(Arc::new(fails("more"))).map(drop));
            Ok(Value::Null)
        },
    )))
    .unwrap();
    flow.run().unwrap();
    assert_eq!(flow.state(), FlowState::Success);
}

#[test]
fn parents_are_rolled_back_after_their_child() {
    let store = store();
    let parent = flow(&store, [holds("parent", 4)]);
    parent.run().unwrap();
    let child = Flow::builder("child")
        .requester(Identity::new("ann", "acme"))
        .parents([parent.clone()])
        .build(Arc::clone(&store) as _);
    child.add(Arc::new(fails("breaks"))).unwrap();
    failed(&child);
    assert_eq!((parent.state(), reserved(&store)), (FlowState::Failure, 0));
}

#[test]
fn a_missing_input_fails_the_flow_before_anything_runs() {
    let flow = flow(
        &store(),
        [
            holds("first", 1),
            Step::new(TaskSpec::new("needs").requires(["b", "a"]), |_, _| {
                Ok(Value::Null)
            }),
        ],
    );
    match flow.run() {
        Err(FlowError::MissingDependencies(error)) => {
            assert_eq!(error.details["missing"], json!(["a", "b"]))
        }
        other => panic!("missing dependencies were expected, not {other:?}"),
    }
    assert_eq!((flow.state(), states(&flow)), (FlowState::Failure, vec![]));
    assert_eq!(report(&flow).rollback, None);
}

#[test]
fn a_panic_of_a_native_task_fails_it_and_a_listener_hurts_nobody() {
    let flow = flow(
        &store(),
        [Step::new(TaskSpec::new("panics"), |_, _| panic!("ouch"))],
    );
    let noisy = |_: &FlowNotice| Err("not listening".into());
    flow.notifier().register(None, Arc::new(noisy)).unwrap();
    let rude = |_: &FlowNotice| panic!("a listener");
    flow.notifier()
        .register(FlowState::Failure, Arc::new(rude))
        .unwrap();
    let cause = failed(&flow);
    assert_eq!(cause.error.kind, "Trap");
    assert!(cause.error.message.contains("ouch"), "{cause}");
}

#[test]
fn the_journal_folds_to_what_the_flow_was() {
    let store = store();
    let flow = flow(&store, [holds("good", 2), fails("breaks")]);
    failed(&flow);
    let live = flow.history();
    let journal = store
        .read(&Identity::default(), |view| view.journal(flow.id()))
        .unwrap();
    let folded = History::fold(&journal, store.domains()).unwrap();
    assert_eq!(
        Report::new(flow.id(), &folded),
        Report::new(flow.id(), &live)
    );
}

/// A flow that is copied, database and all, while its second task is in hand: what a crash at that point leaves.
fn crashed(folder: &std::path::Path) -> (Arc<Sqlite>, cairn::id::FlowId) {
    let path = folder.join("live.db");
    let live = Arc::new(
        Sqlite::open(
            &path,
            crate::any::config(Default::default()),
            Arc::new(SystemClock),
        )
        .unwrap(),
    );
    let (writer, target) = (Arc::clone(&live), folder.to_owned());
    let flow = flow(
        &live,
        [
            holds("first", 2),
            Step::new(TaskSpec::new("second"), move |context, _| {
                reserve(context, 1)?;
                cairn::store::Store::barrier(&*writer, context.call().flow)?;
                for suffix in ["", "-wal"] {
                    let from = target.join(format!("live.db{suffix}"));
                    std::fs::copy(from, target.join(format!("crashed.db{suffix}"))).unwrap();
                }
                Ok(Value::Null)
            }),
        ],
    );
    flow.run().unwrap();
    let path = folder.join("crashed.db");
    let store = Sqlite::open(
        &path,
        crate::any::config(Default::default()),
        Arc::new(SystemClock),
    )
    .unwrap();
    (Arc::new(store), flow.id())
}

#[test]
fn a_flow_whose_host_died_is_rolled_back_or_goes_on() {
    use cairn::flow::Recovery;
    for (how, state, left) in [
        (Recovery::Rollback, FlowState::Failure, 0),
        (Recovery::Resume, FlowState::Success, 2 + 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (store, id) = crashed(folder.path());
        assert_eq!(
            reserved(&store),
            2 + 1,
            "the effect of the call in hand is on disk"
        );
        let journal = cairn::store::Store::load(&*store, id).unwrap();
        let flow = Flow::restore(id, Arc::clone(&store) as _, &journal).unwrap();
        let known = flow.history();
        assert_eq!(states(&flow), [TaskState::Success, TaskState::Started]);
        let runs = Arc::new(Mutex::new(Vec::new()));
        for name in ["first", "second"] {
            let runs = Arc::clone(&runs);
            let step = Step::new(TaskSpec::new(name), move |context, _| {
                runs.lock().unwrap().push(name);
                reserve(context, 1)?;
                Ok(Value::Null)
            });
            let id = known
                .tasks
                .iter()
                .find(|task| task.name == name)
                .map(|task| task.id);
            flow.add_with(
                Arc::new(step),
                TaskOptions {
                    id,
                    ..TaskOptions::default()
                },
            )
            .unwrap();
        }
        let result = flow.recover(how);
        assert!(
            matches!(result, Ok(()) | Err(FlowError::Failed(_))),
            "{result:?}"
        );
        assert_eq!((flow.state(), reserved(&store)), (state, left));
        let expected: &[&str] = if how == Recovery::Resume {
            &["second"]
        } else {
            &[]
        };
        assert_eq!(
            *runs.lock().unwrap(),
            expected,
            "only the task that was in hand is called again"
        );
    }
}

#[test]
fn a_revert_that_is_tried_again_starts_from_nothing() {
    let store = store();
    let made = Arc::new(Mutex::new(0));
    let count = Arc::clone(&made);
    let step = holds("busy", 1).revert(move |context, _| {
        let mut made = count.lock().unwrap();
        *made += 1;
        if *made == 1 {
            reserve(context, 5)?;
            return Err(TaskError::new("Busy", "later"));
        }
        Ok(Disposition::Undo)
    });
    let flow = flow(&store, []);
    let options = TaskOptions {
        revert: Retry {
            attempts: 2,
            ..Retry::default()
        },
        ..TaskOptions::default()
    };
    flow.add_with(Arc::new(step), options).unwrap();
    flow.add(Arc::new(fails("breaks"))).unwrap();
    failed(&flow);
    assert_eq!((*made.lock().unwrap(), reserved(&store)), (2, 0));
    assert_eq!(report(&flow).rollback.unwrap().verdict, Verdict::Clean);
}
