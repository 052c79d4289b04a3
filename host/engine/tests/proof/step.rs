//! A task made of two functions, for cases that a script cannot express.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::any::{Answer, Effect};
use cairn::clock::SystemClock;
use cairn::error::Cause;
use cairn::event::Disposition;
use cairn::flow::TaskOptions;
use cairn::report::RollbackReport;
use cairn::store::view::Kind;
use cairn::task::Outcome;
use cairn::volumes::operator::kind;
use cairn::volumes::{Expiry, QuotaCommit, QuotaReserve, VolumeCreate};
use cairn::{
    Context, Flow, FlowError, Identity, Object, Report, Sqlite, SqliteConfig, Store, Task,
    TaskError, TaskSpec, Value,
};
use serde_json::json;

type Call = dyn Fn(&Arc<dyn Context>) -> Result<Value, TaskError> + Send + Sync;
type Revert = dyn Fn(&Arc<dyn Context>) -> Result<Disposition, TaskError> + Send + Sync;

pub struct Step {
    spec: TaskSpec,
    call: Box<Call>,
    revert: Box<Revert>,
}

impl Step {
    pub fn new(
        name: &str,
        call: impl Fn(&Arc<dyn Context>) -> Result<(), TaskError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            spec: TaskSpec::new(name),
            call: Box::new(move |context| call(context).map(|()| Value::Null)),
            revert: Box::new(|_| Ok(Disposition::Undo)),
        }
    }

    pub fn revert(
        mut self,
        revert: impl Fn(&Arc<dyn Context>) -> Result<Disposition, TaskError> + Send + Sync + 'static,
    ) -> Self {
        self.revert = Box::new(revert);
        self
    }
}

impl Task for Step {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        (self.call)(context)
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

pub fn ann() -> Identity {
    Identity::new("ann", "acme")
}

pub fn memory(config: SqliteConfig) -> Arc<Sqlite> {
    Arc::new(Sqlite::in_memory(config, Arc::new(SystemClock)).unwrap())
}

pub fn flow(
    store: &Arc<impl Store + 'static>,
    steps: impl IntoIterator<Item = (Step, TaskOptions)>,
) -> Flow {
    let flow = Flow::builder("test")
        .requester(ann())
        .build(Arc::clone(store) as _);
    for (step, options) in steps {
        flow.add_with(Arc::new(step), options).unwrap();
    }
    flow
}

pub fn once(step: Step) -> (Step, TaskOptions) {
    (step, TaskOptions::default())
}

/// Runs a flow that must fail.
pub fn fail(flow: &Flow) {
    let result = flow.run();
    assert!(matches!(result, Err(FlowError::Failed(_))), "{result:?}");
}

pub fn breaks() -> (Step, TaskOptions) {
    once(Step::new("breaks", |_| {
        Err(TaskError::new("Broken", "it broke"))
    }))
}

pub fn rollback_of(flow: &Flow) -> RollbackReport {
    Report::new(flow.id(), &flow.history()).rollback.unwrap()
}

pub fn reserve(context: &Arc<dyn Context>, amount: i64) -> Result<Vec<String>, TaskError> {
    let effect = Effect::QuotaReserve(QuotaReserve {
        project: None,
        deltas: BTreeMap::from([("volumes".to_owned(), amount)]),
        expiry: Expiry::Default,
    });
    match effect.apply(context)? {
        Answer::Reservations(ids) => Ok(ids),
        other => panic!("a reservation answers ids, not {other:?}"),
    }
}

pub fn commit(context: &Arc<dyn Context>, reservations: Vec<String>) -> Result<(), TaskError> {
    let effect = Effect::QuotaCommit(QuotaCommit {
        reservations,
        project: None,
    });
    effect.apply(context).map(drop)
}

/// Creates a volume of 1 GiB, and returns its id.
pub fn create(context: &Arc<dyn Context>) -> Result<String, TaskError> {
    let effect = Effect::VolumeCreate(VolumeCreate {
        properties: [("size".to_owned(), json!(1))].into_iter().collect(),
    });
    match effect.apply(context)? {
        Answer::Volume(volume) => Ok(volume["id"].as_str().unwrap().to_owned()),
        other => panic!("a new volume is answered whole, not {other:?}"),
    }
}

pub fn list(store: &Sqlite, kind: &Kind) -> Vec<Object> {
    let rows = store.read(&ann(), |view| view.list(kind, None, false));
    rows.unwrap()
}

/// Sums of `in_use` and `reserved` of all usages.
pub fn usage(store: &Sqlite) -> (i64, i64) {
    let rows = list(store, &kind::USAGE);
    let sum = |counter: &str| rows.iter().map(|row| row[counter].as_i64().unwrap()).sum();
    (sum("in_use"), sum("reserved"))
}
