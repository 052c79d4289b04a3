//! Admission checks before a flow's first task: when and how often they run, and how the flow ends.

#[path = "../../volumes/testing/any.rs"]
mod any;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cairn::admission::{Admission, Decision, Policy, Said};
use cairn::clock::SystemClock;
use cairn::error::Origin;
use cairn::event::{Event, FlowState};
use cairn::flow::Recovery;
use cairn::manifest::Mode;
use cairn::{
    Context, Flow, FlowError, FlowId, Identity, Object, Report, Sqlite, Store, Task, TaskError,
    TaskSpec, Value, Verdict,
};
use serde_json::json;

type Decide = dyn Fn() -> Result<Decision, TaskError> + Send + Sync;

/// A policy made of a function, which counts its calls.
struct Asked {
    answer: Box<Decide>,
    times: AtomicUsize,
}

impl Asked {
    fn new(answer: impl Fn() -> Result<Decision, TaskError> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            answer: Box::new(answer),
            times: AtomicUsize::new(0),
        })
    }

    fn times(&self) -> usize {
        self.times.load(Ordering::SeqCst)
    }
}

impl Policy for Asked {
    fn name(&self) -> &str {
        "asked"
    }

    fn check(
        &self,
        requester: &Identity,
        action: &str,
        target: &Object,
        _: &mut Said<'_>,
    ) -> Result<Decision, TaskError> {
        assert_eq!(
            (requester.user_id.as_str(), action),
            ("ann", "volume:create")
        );
        assert_eq!(
            Value::Object(target.clone()),
            json!({"size": 1, "project_id": "acme", "user_id": "ann"})
        );
        self.times.fetch_add(1, Ordering::SeqCst);
        (self.answer)()
    }
}

/// A task that counts its calls.
struct Counts(TaskSpec, Arc<AtomicUsize>);

impl Task for Counts {
    fn spec(&self) -> &TaskSpec {
        &self.0
    }

    fn call(&self, _: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(Value::Null)
    }
}

fn open(path: &Path) -> Arc<Sqlite> {
    Arc::new(
        Sqlite::open(
            path,
            crate::any::config(Default::default()),
            Arc::new(SystemClock),
        )
        .unwrap(),
    )
}

fn memory() -> Arc<Sqlite> {
    Arc::new(
        Sqlite::in_memory(
            crate::any::config(Default::default()),
            Arc::new(SystemClock),
        )
        .unwrap(),
    )
}

fn builder() -> cairn::flow::FlowBuilder {
    Flow::builder("test")
        .requester(Identity::new("ann", "acme"))
        .request(json!({"size": 1}))
}

/// Gives the flow one task and one policy; returns the counter of the task's calls.
fn furnish(flow: &Flow, policy: &Arc<Asked>, mode: Mode) -> Arc<AtomicUsize> {
    let calls = Arc::new(AtomicUsize::new(0));
    let task = Counts(TaskSpec::new("counts"), Arc::clone(&calls));
    flow.add(Arc::new(task)).unwrap();
    let policies = vec![(mode, Arc::clone(policy) as Arc<dyn Policy>)];
    flow.set_admission(Some(Arc::new(Admission::new(
        "volume:create",
        policies,
        Vec::new(),
    ))));
    calls
}

fn deny() -> Result<Decision, TaskError> {
    Ok(Decision::Deny("closed".to_owned()))
}

fn states(flow: &Flow) -> Vec<FlowState> {
    flow.with_history(|history| history.transitions.iter().map(|(to, _)| *to).collect())
}

fn report(flow: &Flow) -> Report {
    flow.with_history(|history| Report::new(flow.id(), history))
}

#[test]
fn a_flow_that_is_denied_fails_and_nothing_is_called_or_reverted() {
    let flow = builder().build(memory());
    let calls = furnish(&flow, &Asked::new(deny), Mode::Enforce);
    match flow.run() {
        Err(FlowError::Failed(cause)) => assert_eq!(cause.error.origin, Origin::Policy),
        other => panic!("a denial was expected, not {other:?}"),
    }
    assert_eq!(states(&flow), [FlowState::Started, FlowState::Failure]);
    assert_eq!(report(&flow).rollback, None);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    // After a reset the checks would run again.
    flow.reset().unwrap();
    flow.set_admission(None);
    flow.run().unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[test]
fn a_panic_of_a_native_policy_ends_the_flow() {
    let flow = builder().build(memory());
    let calls = furnish(&flow, &Asked::new(|| panic!("no")), Mode::Enforce);
    assert!(matches!(flow.run(), Err(FlowError::Failed(_))));
    assert_eq!(
        (flow.state(), calls.load(Ordering::SeqCst)),
        (FlowState::Failure, 0)
    );
}

#[test]
fn an_interrupt_while_policies_are_asked_stands_and_they_are_asked_again() {
    for (first, second, state) in [
        (deny as fn() -> _, deny as fn() -> _, FlowState::Failure),
        (|| Ok(Decision::Allow), deny, FlowState::Failure),
        (deny, || Ok(Decision::Allow), FlowState::Success),
    ] {
        let flow = builder().build(memory());
        let (inner, turn) = (Mutex::new(Some(flow.clone())), AtomicUsize::new(0));
        let policy = Asked::new(move || {
            if turn.fetch_add(1, Ordering::SeqCst) > 0 {
                return second();
            }
            let flow = inner.lock().unwrap().take().expect("the first time");
            flow.interrupt().unwrap();
            first()
        });
        let calls = furnish(&flow, &policy, Mode::Enforce);
        flow.run().unwrap();
        assert_eq!(states(&flow), [FlowState::Started, FlowState::Interrupted]);
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        let _ = flow.resume_to_end().wait();
        assert_eq!((flow.state(), policy.times()), (state, 2));
    }
}

#[test]
fn no_admission_check_is_repeated_once_a_task_has_started() {
    let flow = builder().build(memory());
    let policy = Asked::new(|| Ok(Decision::Allow));
    let calls = furnish(&flow, &policy, Mode::Enforce);
    let again = Arc::new(AtomicUsize::new(0));
    flow.add(Arc::new(Counts(
        TaskSpec::new("second"),
        Arc::clone(&again),
    )))
    .unwrap();
    let interrupt = |notice: &cairn::flow::TaskNotice| {
        if &*notice.name == "counts" {
            notice.flow.interrupt()?;
        }
        Ok(())
    };
    flow.task_notifier()
        .register(cairn::event::TaskState::Success, Arc::new(interrupt))
        .unwrap();
    flow.run().unwrap();
    assert_eq!(flow.state(), FlowState::Interrupted);
    flow.resume_to_end().wait().unwrap();
    assert_eq!(flow.state(), FlowState::Success);
    assert_eq!(
        (
            policy.times(),
            calls.load(Ordering::SeqCst),
            again.load(Ordering::SeqCst)
        ),
        (1, 1, 1)
    );
}

#[test]
fn what_monitor_mode_would_deny_is_in_the_journal() {
    let store = memory();
    let flow = builder().build(Arc::clone(&store) as _);
    furnish(&flow, &Asked::new(deny), Mode::Monitor);
    flow.run().unwrap();
    let journal = store
        .read(&Identity::default(), |view| view.journal(flow.id()))
        .unwrap();
    let denied = journal.iter().filter(|entry| {
        matches!(&entry.event, Event::WouldDeny { policy, error }
            if policy == "asked" && error.details["reason"] == "closed")
    });
    assert_eq!((denied.count(), flow.state()), (1, FlowState::Success));
}

/// Creates the state that a crash leaves: the database is copied while the flow's policy runs.
fn crashed(folder: &Path) -> (Arc<Sqlite>, FlowId) {
    let live = open(&folder.join("live.db"));
    let flow = builder().build(Arc::clone(&live) as _);
    let (id, folder_of) = (flow.id(), folder.to_owned());
    let policy = Asked::new(move || {
        live.barrier(id)?;
        for suffix in ["", "-wal"] {
            let from = folder_of.join(format!("live.db{suffix}"));
            std::fs::copy(from, folder_of.join(format!("crashed.db{suffix}"))).unwrap();
        }
        Ok(Decision::Allow)
    });
    furnish(&flow, &policy, Mode::Enforce);
    flow.run().unwrap();
    (open(&folder.join("crashed.db")), id)
}

#[test]
fn a_flow_whose_host_died_while_policies_were_asked_is_asked_again_or_rolled_back() {
    for (how, answer, state, calls, asked) in [
        (
            Recovery::Resume,
            (|| Ok(Decision::Allow)) as fn() -> _,
            FlowState::Success,
            1,
            1,
        ),
        (
            Recovery::Resume,
            deny as fn() -> _,
            FlowState::Failure,
            0,
            1,
        ),
        (Recovery::Rollback, deny, FlowState::Failure, 0, 0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (store, id) = crashed(folder.path());
        let journal = Store::load(&*store, id).unwrap();
        let flow = Flow::restore(id, Arc::clone(&store) as _, &journal).unwrap();
        assert_eq!(flow.state(), FlowState::Started);
        let policy = Asked::new(answer);
        let called = furnish(&flow, &policy, Mode::Enforce);
        let _ = flow.recover(how);
        assert_eq!(
            (flow.state(), called.load(Ordering::SeqCst), policy.times()),
            (state, calls, asked),
            "{how:?}"
        );
        let verdict = report(&flow).rollback.map(|rollback| rollback.verdict);
        match how {
            Recovery::Rollback => assert_eq!(verdict, Some(Verdict::Clean)),
            _ => assert_eq!(verdict, None),
        }
    }
}
