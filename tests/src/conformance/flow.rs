//! Runs operations on flows that are built through the API.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use cairn::error::Cause;
use cairn::flow::{AlreadyRegistered, TaskOptions};
use cairn::volumes::QUOTA_COMMITTED;
use cairn::{Flow, FlowError, Host, Identity, Task, TaskError, TaskId, Value};
use serde_json::json;

use super::casts::Casts;
use super::faults::Faults;
use super::format::{
    ActionKind, Config, FlowCase, FlowOp, FlowSpec, ListenerSpec, Real, TaskEntry,
};
use super::names;
use super::probe::{Probe, Run, SeamedPolicy};
use super::record::{self, context_after, exception, flow_exception};
use super::sandbox::{self, Ready, Sandbox};
use super::stage::Stage;
use super::synth::{Finisher, Native};
use super::world::World;

/// Runs a scenario and returns the outcome of each operation.
///
/// # Errors
/// If the scenario cannot be set up.
pub fn run(case: FlowCase, sandbox: &Sandbox) -> Result<Vec<Value>> {
    let run = Arc::new(Run::default());
    let world = World::new(&sandbox.databases, &case.config, &case.state, &run.names)?;
    let policy = Arc::new(SeamedPolicy::new(Arc::clone(&run)));
    run.arm(Faults::new(&case.faults)?);
    let mut play = Play {
        host: sandbox.host(&world.store, policy)?,
        config: case.config.clone(),
        requester: case
            .context
            .as_ref()
            .map(|caller| Arc::new(caller.identity())),
        stage: Stage::new(run),
        ids: HashMap::new(),
        quota_committed: false,
        casts: Casts::new(&case.config.volume_topic),
    };
    let main = case.flows.last().context("no flow")?.name.clone();
    for flow in case.flows {
        play.enter(flow)?;
    }
    case.ops
        .into_iter()
        .map(|op| play.outcome(op, &main, &world))
        .collect()
}

/// A scenario in progress.
struct Play {
    host: Host,
    config: Config,
    /// The caller, if the database is compared.
    requester: Option<Arc<Identity>>,
    stage: Arc<Stage>,
    /// The ids of tasks, including removed ones, by flow and task name; the last one of a name counts.
    ids: HashMap<(String, String), TaskId>,
    /// Whether the flow had committed quota after its last operation.
    quota_committed: bool,
    casts: Casts,
}

/// The result of an operation, where that is compared, or its error.
type Returned = Result<Value, Value>;

impl Play {
    fn run(&self) -> &Arc<Run> {
        &self.stage.run
    }

    // ---- Building flows ------------------------------------------------------------------------------------------

    fn enter(&mut self, spec: FlowSpec) -> Result<()> {
        let parents = spec
            .parents
            .iter()
            .map(|parent| self.stage.flow(parent).context("no such parent"));
        let parents: Vec<Flow> = parents.collect::<Result<_>>()?;
        let mut builder = Flow::builder(&spec.name).parents(parents);
        if let Some(requester) = &self.requester {
            builder = builder.requester(Arc::clone(requester));
        }
        let flow = builder.build(Arc::clone(self.host.store()) as _);
        self.stage.enter(&spec.name, flow.clone())?;
        record::attach(self.run(), &flow, &spec.name)?;
        for listener in &spec.listeners {
            self.stage.register(&spec.name, &flow, listener)?;
        }
        if let Some(resumer) = spec.resumer {
            flow.set_resumer(Some(Arc::new(Finisher {
                spec: resumer,
                flow: spec.name.clone(),
                stage: Arc::downgrade(&self.stage),
            })));
        }
        for task in spec.tasks {
            let (options, task) = self.task(task, &spec.name)?;
            self.add(&spec.name, &flow, options, task)?;
        }
        Ok(())
    }

    /// Creates a task of the vector, with faults and recording.
    fn task(&self, entry: TaskEntry, flow: &str) -> Result<Ready> {
        let mut request = None;
        let (options, task) = match entry {
            TaskEntry::Synth(synth) => {
                let task: Arc<dyn Task> = Arc::new(Native::new(*synth, &self.stage));
                (TaskOptions::default(), task)
            }
            TaskEntry::Real(Real::Inject { what }) => {
                let keys: Vec<&str> = what.keys().map(String::as_str).collect();
                let ready = sandbox::inject(&self.host, &keys)?;
                request = Some(Value::Object(what));
                ready
            }
            TaskEntry::Real(Real::Cinder { class }) => {
                // A separate plan would lack the inputs that the vector's other tasks provide.
                let tasks = sandbox::flow(&self.host, &self.config)?;
                let found = tasks
                    .into_iter()
                    .find(|(_, task)| names::task(&task.spec().name) == class);
                match found {
                    Some(found) => found,
                    None => bail!("no plugin is `{class}`"),
                }
            }
        };
        let probe = Probe {
            task,
            flow: flow.to_owned(),
            request,
            run: Arc::clone(self.run()),
        };
        Ok((options, Arc::new(probe)))
    }

    fn add(
        &mut self,
        name: &str,
        flow: &Flow,
        options: TaskOptions,
        task: Arc<dyn Task>,
    ) -> Result<TaskId, FlowError> {
        let task_name = names::task(&task.spec().name).to_owned();
        let id = flow.add_with(task, options)?;
        self.ids.insert((name.to_owned(), task_name), id);
        Ok(id)
    }

    // ---- Operations ----------------------------------------------------------------------------------------------

    /// Executes one operation and returns its outcome.
    fn outcome(&mut self, op: FlowOp, main: &str, world: &World) -> Result<Value> {
        let works = matches!(op, FlowOp::Run { .. } | FlowOp::Rollback { .. });
        let returned = self.perform(op, main)?;
        let flow = self.stage.flow(main).context("no such flow")?;
        // A reset of the flow clears this fact. In the original the caller kept it, so it is read before a reset.
        if works {
            self.quota_committed = flow.fact(QUOTA_COMMITTED);
        }
        let run = self.run();
        let record = run.recorder.take();
        let shown = |value: Value| run.names.shown(&value);
        let reverts = record.reverts.iter().map(|revert| {
            shown(json!({
                "task": revert.task,
                "had_result": revert.had_result(),
                "result": revert.result,
                "cause": revert.cause,
                "error": revert.error.as_ref().map(exception),
            }))
        });
        let mut outcome = json!({
            "returned": returned.as_ref().ok(),
            "exception": shown(returned.err().unwrap_or_default()),
            "events": shown(Value::from(record.events)),
            "reverts": reverts.collect::<Vec<_>>(),
            "flows": shown(self.stage.summary()),
        });
        if self.requester.is_some() {
            outcome["db_after"] = world.rows_after(&run.names)?;
            outcome["casts"] = Value::from(self.casts.sent(world, &self.stage.run.names)?);
            outcome["context_after"] = context_after(&flow, self.quota_committed);
        }
        Ok(outcome)
    }

    fn perform(&mut self, op: FlowOp, main: &str) -> Result<Returned> {
        let meant = op.flow().unwrap_or(main).to_owned();
        let name = meant.as_str();
        let flow = self.stage.flow(name).context("no such flow")?;
        Ok(match op {
            FlowOp::Run { .. } => done(self.stage.act(ActionKind::Run, name, &flow)),
            FlowOp::Interrupt { .. } => done(self.stage.act(ActionKind::Interrupt, name, &flow)),
            FlowOp::SoftReset { .. } => done(self.stage.act(ActionKind::SoftReset, name, &flow)),
            FlowOp::Reset { .. } => done(self.stage.act(ActionKind::Reset, name, &flow)),
            FlowOp::Add { task, .. } => {
                let (options, task) = self.task(task, name)?;
                done(self.add(name, &flow, options, task).map(drop))
            }
            FlowOp::AddMany { tasks, .. } => self.add_many(tasks, name, &flow)?,
            FlowOp::Remove { task, .. } => {
                let id = self.ids.get(&(name.to_owned(), task)).copied();
                done(flow.remove(id.unwrap_or_else(TaskId::new)))
            }
            FlowOp::Rollback { cause, .. } => done(flow.rollback(&asked_for(&cause))),
            FlowOp::Register { listener, .. } => self
                .stage
                .register(name, &flow, &listener)
                .map(|()| Value::Null)
                .map_err(|AlreadyRegistered| json!({"class": "ValueError", "fields": null})),
            FlowOp::Deregister {
                name: listener,
                on,
                state,
                ..
            } => {
                self.stage.deregister(
                    name,
                    &flow,
                    &ListenerSpec::registration(listener, on, state),
                );
                Ok(Value::Null)
            }
            FlowOp::AttachRecorder { .. } => {
                record::attach(self.run(), &flow, name)?;
                Ok(Value::Null)
            }
        })
    }

    /// Adds tasks, and returns the names of those whose ids were returned.
    fn add_many(&mut self, tasks: Vec<TaskEntry>, name: &str, flow: &Flow) -> Result<Returned> {
        let mut ready = Vec::with_capacity(tasks.len());
        for task in tasks {
            ready.push(self.task(task, name)?.1);
        }
        let ids = match flow.add_many(ready) {
            Ok(ids) => ids,
            Err(error) => return Ok(Err(flow_exception(&error))),
        };
        let tasks: HashMap<_, _> = flow.tasks().into_iter().collect();
        let mut added = Vec::with_capacity(ids.len());
        for id in ids {
            let task = tasks.get(&id).context("an id that is no task's")?;
            self.ids.insert((name.to_owned(), task.to_string()), id);
            added.push(names::task(task).to_owned());
        }
        Ok(Ok(json!(added)))
    }
}

fn done(result: Result<(), FlowError>) -> Returned {
    result
        .map(|()| Value::Null)
        .map_err(|error| flow_exception(&error))
}

/// Converts the given cause of a requested rollback: it has no task, and its error has no kind.
fn asked_for(cause: &Value) -> Cause {
    Cause {
        task: String::new(),
        error: TaskError::new("", cause.as_str().unwrap_or_default()),
    }
}
