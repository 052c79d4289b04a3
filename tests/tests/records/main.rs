//! Tests records through flows of native tasks: one named test for each guarantee of their isolation.

mod ends;
mod held;
mod limits;
mod numbers;
mod operators;
mod places;
mod reads;

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use cairn::clock::SystemClock;
use cairn::error::Cause;
use cairn::event::{Disposition, FlowState, TaskState};
use cairn::flow::{TaskNotice, TaskOptions};
use cairn::records::operator::{OperateRecords as _, ReadRecords as _, RecordListing};
use cairn::records::{
    CounterAdd, CounterValue, Expect, Page, RecordGet, RecordList, RecordPut, RecordRemove,
    SequenceNext, Settings,
};
use cairn::report::RollbackReport;
use cairn::task::Outcome;
use cairn::{
    Context, Domains, Flow, FlowError, Identity, Object, Report, Sqlite, SqliteConfig, StoreError,
    Task, TaskError, TaskSpec, Value, Verdict,
};
use serde_json::json;

/// The configuration of most of these tests.
const PLAIN: &str = "[records.c]\nsequences = ['s']\n[records.c.counters.n]\nmin = 0\nmax = 10\n[records.latest]\nreads = 'latest'";

type Call = dyn Fn(&Arc<dyn Context>) -> Result<(), TaskError> + Send + Sync;
type Revert = dyn Fn(&Arc<dyn Context>) -> Result<Disposition, TaskError> + Send + Sync;

/// A task that consists of two functions.
struct Step {
    spec: TaskSpec,
    call: Box<Call>,
    revert: Box<Revert>,
}

impl Task for Step {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        (self.call)(context).map(|()| Value::Null)
    }

    fn revert(
        &self,
        context: &Arc<dyn Context>,
        _: &Outcome,
        _: &Cause,
    ) -> Result<Disposition, TaskError> {
        (self.revert)(context)
    }
}

/// Returns a task whose effects the host undoes.
fn step(
    name: &str,
    call: impl Fn(&Arc<dyn Context>) -> Result<(), TaskError> + Send + Sync + 'static,
) -> Step {
    Step {
        spec: TaskSpec::new(name),
        call: Box::new(call),
        revert: Box::new(|_| Ok(Disposition::Undo)),
    }
}

impl Step {
    fn reverts(
        mut self,
        revert: impl Fn(&Arc<dyn Context>) -> Result<Disposition, TaskError> + Send + Sync + 'static,
    ) -> Self {
        self.revert = Box::new(revert);
        self
    }
}

fn fails() -> Step {
    step("fails", |_| Err(TaskError::new("Broken", "it broke")))
}

fn broken() -> TaskError {
    TaskError::new("Broken", "it broke")
}

/// Returns a task that puts a value into the collection `c`.
fn puts(key: &'static str, value: impl Into<Value>) -> Step {
    let value = value.into();
    step("put", move |context| {
        put(context, key, value.clone()).map(drop)
    })
}

fn put(context: &Arc<dyn Context>, key: &str, value: impl Into<Value>) -> Result<u64, TaskError> {
    put_if(context, key, value, Expect::Any)
}

fn put_if(
    context: &Arc<dyn Context>,
    key: &str,
    value: impl Into<Value>,
    expect: Expect,
) -> Result<u64, TaskError> {
    context.apply(&RecordPut {
        collection: "c".to_owned(),
        key: key.to_owned(),
        value: value.into(),
        expect,
    })
}

fn remove(context: &Arc<dyn Context>, key: &str) -> Result<(), TaskError> {
    context.apply(&RecordRemove {
        collection: "c".to_owned(),
        key: key.to_owned(),
        expect: Expect::Any,
    })
}

fn get(context: &Arc<dyn Context>, key: &str) -> Option<Value> {
    let get = RecordGet {
        collection: "c".to_owned(),
        key: key.to_owned(),
    };
    let found = context.look_up(&get).unwrap();
    found.map(|entry| entry.value)
}

fn list(context: &Arc<dyn Context>, prefix: &str) -> Page {
    let list = RecordList {
        collection: "c".to_owned(),
        prefix: prefix.to_owned(),
        cursor: None,
        limit: 100,
    };
    context.look_up(&list).unwrap()
}

fn add(context: &Arc<dyn Context>, delta: i64) -> Result<(), TaskError> {
    context.apply(&CounterAdd {
        collection: "c".to_owned(),
        counter: "n".to_owned(),
        delta,
    })
}

fn count(context: &Arc<dyn Context>) -> i64 {
    let value = CounterValue {
        collection: "c".to_owned(),
        counter: "n".to_owned(),
    };
    context.look_up(&value).unwrap()
}

fn next(context: &Arc<dyn Context>) -> u64 {
    let next = SequenceNext {
        collection: "c".to_owned(),
        sequence: "s".to_owned(),
    };
    context.apply(&next).unwrap()
}

/// A database with records. Cheap to copy.
#[derive(Clone)]
struct World(Arc<Sqlite>);

impl World {
    fn new(config: &str) -> Self {
        let settings = Settings::parse(config, Path::new("cairn.toml")).unwrap();
        let domains = Domains::new([cairn::records::domain(settings)]).unwrap();
        let config = SqliteConfig {
            domains,
            ..SqliteConfig::default()
        };
        let store = Sqlite::in_memory(config, Arc::new(SystemClock)).unwrap();
        Self(Arc::new(store))
    }

    fn flow_of(&self, project: &str, steps: impl IntoIterator<Item = Step>) -> Flow {
        let flow = Flow::builder("test")
            .requester(Identity::new("ann", project))
            .build(Arc::clone(&self.0) as _);
        for (number, step) in steps.into_iter().enumerate() {
            let options = TaskOptions {
                name: Some(format!("{} {number}", step.spec.name)),
                ..TaskOptions::default()
            };
            flow.add_with(Arc::new(step), options).unwrap();
        }
        flow
    }

    /// Creates a flow of the project `acme`.
    fn flow(&self, steps: impl IntoIterator<Item = Step>) -> Flow {
        self.flow_of("acme", steps)
    }

    /// Runs a flow that must succeed.
    #[track_caller]
    fn succeeds(&self, steps: impl IntoIterator<Item = Step>) -> Flow {
        let flow = self.flow(steps);
        flow.run().unwrap();
        flow
    }

    /// Runs a flow that must fail, and returns its error.
    #[track_caller]
    fn fails(&self, steps: impl IntoIterator<Item = Step>) -> TaskError {
        failed(&self.flow(steps)).error
    }

    /// Runs a flow that stops after its first task.
    #[track_caller]
    fn waits(&self, first: Step) -> Flow {
        let flow = self.flow([first, step("later", |_| Ok(()))]);
        let interrupt = |notice: &TaskNotice| {
            if notice.name.ends_with('0') {
                notice.flow.interrupt()?;
            }
            Ok(())
        };
        flow.task_notifier()
            .register(TaskState::Success, Arc::new(interrupt))
            .unwrap();
        flow.run().unwrap();
        assert_eq!(flow.state(), FlowState::Interrupted);
        flow
    }

    /// Runs a function in a separate flow, and returns its result.
    fn sees<T: Send + 'static>(
        &self,
        what: impl Fn(&Arc<dyn Context>) -> T + Send + Sync + 'static,
    ) -> T {
        self.sees_as("acme", what)
    }

    fn sees_as<T: Send + 'static>(
        &self,
        project: &str,
        what: impl Fn(&Arc<dyn Context>) -> T + Send + Sync + 'static,
    ) -> T {
        let (tell, told) = std::sync::mpsc::channel();
        let tell = std::sync::Mutex::new(tell);
        let look = step("look", move |context| {
            tell.lock().unwrap().send(what(context)).unwrap();
            Ok(())
        });
        self.flow_of(project, [look]).run().unwrap();
        told.recv().unwrap()
    }

    /// Returns the value of a key of `c`, as another flow sees it.
    fn get(&self, key: &'static str) -> Option<Value> {
        self.sees(move |context| get(context, key))
    }

    // ---- Operators -----------------------------------------------------------------------------------------------

    fn operator() -> Identity {
        Identity::new("root", "acme")
    }

    fn shows(&self, key: &str) -> Result<Object, StoreError> {
        self.0.read(&Self::operator(), |view| view.record("c", key))
    }

    fn lists(&self) -> Vec<Object> {
        let listing = RecordListing {
            collection: "c",
            prefix: "",
            after: Bound::Unbounded,
            limit: 100,
        };
        self.0
            .read(&Self::operator(), |view| view.records(listing))
            .unwrap()
    }

    fn counters(&self) -> Object {
        let counters = self.0.read(&Self::operator(), |view| view.counters("c"));
        counters.unwrap().remove(0)
    }

    fn puts(&self, key: &str, value: impl Into<Value>) -> Result<u64, StoreError> {
        let value = value.into();
        self.0.admin(&Self::operator(), |admin| {
            admin.put_record("c", key, &value, Expect::Any)
        })
    }

    fn removes(&self, key: &str) -> Result<(), StoreError> {
        self.0.admin(&Self::operator(), |admin| {
            admin.remove_record("c", key, Expect::Any)
        })
    }

    fn releases(&self, key: &str, flow: &Flow) -> Result<(), StoreError> {
        self.0.admin(&Self::operator(), |admin| {
            admin.release_record("c", key, flow.id(), "it is stuck")
        })
    }
}

#[track_caller]
fn failed(flow: &Flow) -> Cause {
    match flow.run() {
        Err(FlowError::Failed(cause)) => *cause,
        other => panic!("a failed flow was expected, not {other:?}"),
    }
}

/// Returns the report of a rollback.
#[track_caller]
fn rollback(flow: &Flow) -> RollbackReport {
    Report::new(flow.id(), &flow.history()).rollback.unwrap()
}

/// Rolls a flow back, and returns the report.
#[track_caller]
fn roll_back(flow: &Flow) -> RollbackReport {
    flow.rollback(&Cause::requested("enough")).unwrap();
    rollback(flow)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) -> TaskError {
    match result {
        Err(StoreError::Refused(error)) => error,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

/// Returns the kinds and ids of the changes that a rollback left.
fn left(rollback: &RollbackReport) -> Vec<(&str, &str)> {
    let left = rollback.residue.iter();
    left.map(|left| (left.kind.as_str(), left.id.as_str()))
        .collect()
}
