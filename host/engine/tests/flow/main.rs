//! Flows of native tasks on a store in memory: guarantees of the engine for any task.

#[path = "../../../volumes/testing/any.rs"]
mod any;
mod recover;
mod reset;
mod revert;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use crate::any::{Answer, Effect};
use cairn::clock::SystemClock;
use cairn::error::Cause;
use cairn::event::{Disposition, Event, FlowState, TaskState};
use cairn::flow::{FlowNotice, TaskNotice, TaskOptions};
use cairn::history::History;
use cairn::outbox::Cast;
use cairn::retry::Retry;
use cairn::task::Outcome;
use cairn::volumes::operator::kind;
use cairn::volumes::{Expiry, QUOTA_COMMITTED, QuotaReserve, VolumeCreate, VolumeUpdate};
use cairn::{
    Context, Flow, FlowError, Identity, Object, Report, Sqlite, Store as _, Task, TaskError,
    TaskSpec, Value, Verdict,
};
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

/// Rolls a flow back and returns the verdict and the kinds of what is left; checks that the journal yields the same.
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
    // An update that finds its value set still records it: another flow must not take back what this one counts on.
    assert_eq!(changes.collect::<Vec<_>>(), [1, 1, 1, 0]);
    assert_eq!(rolled_back(&store, &flow), (Verdict::Clean, vec![]));
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
fn a_panic_of_a_native_task_fails_it_and_a_panic_of_a_listener_fails_nothing() {
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
