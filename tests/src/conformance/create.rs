//! Runs requests for volumes: each is a flow of the built-in plugins.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use cairn::volumes::QUOTA_COMMITTED;
use cairn::{Flow, Host, Identity, Object, Value};
use serde_json::json;

use super::casts::Casts;
use super::faults::Faults;
use super::format::{Create, Request};
use super::names;
use super::probe::{Probe, Run, SeamedPolicy};
use super::record::{self, context_after, exception};
use super::sandbox::{self, Sandbox};
use super::world::World;

/// The name of a request's flow in the record.
const FLOW: &str = "main";

/// Runs a scenario and returns the outcome of each request.
///
/// # Errors
/// If the scenario cannot be set up.
pub fn run(case: &Create, sandbox: &Sandbox) -> Result<Vec<Value>> {
    let run = Arc::new(Run::default());
    let world = World::new(&sandbox.databases, &case.config, &case.state, &run.names)?;
    let policy = Arc::new(SeamedPolicy::new(Arc::clone(&run)));
    let host = sandbox.host(&world.store, Arc::clone(&policy))?;
    // Requests with the same context name have the same caller.
    let callers: BTreeMap<&str, Identity> = case
        .contexts
        .iter()
        .map(|(name, caller)| (name.as_str(), caller.identity()))
        .collect();
    let mut casts = Casts::new(&case.config.volume_topic);
    let mut outcomes = Vec::with_capacity(case.requests.len());
    for request in &case.requests {
        world.advance(request.advance_seconds);
        policy.set(request.policy.as_ref().unwrap_or(&case.policy))?;
        world.set_zones(request.az_check.as_ref().map(|zones| &*zones.valid))?;
        run.arm(faults(request)?);
        let caller = callers.get(&*request.context).context("no such caller")?;
        let what = world.with_keys(&request.create_what, &caller.project_id, &run.names)?;
        let flow = flow(case, caller, what.clone(), &host, &run)?;
        outcomes.push(outcome(&flow, &what, &world, &run, &mut casts)?);
    }
    Ok(outcomes)
}

/// Returns the faults of this request, without those of `az_check` if the request has no zone check.
fn faults(request: &Request) -> Result<Faults> {
    let mut faults = request.faults.clone();
    faults.retain(|fault| fault.target != "az_check" || request.az_check.is_some());
    Faults::new(&faults)
}

/// Builds the flow of one request.
fn flow(
    case: &Create,
    caller: &Identity,
    what: Object,
    host: &Host,
    run: &Arc<Run>,
) -> Result<Flow> {
    let flow = Flow::builder("volume_create_api")
        .requester(caller.clone())
        .request(Value::Object(what))
        .build(Arc::clone(host.store()) as _);
    for (options, task) in sandbox::flow(host, &case.config)? {
        let probe = Probe {
            task,
            flow: FLOW.to_owned(),
            request: None,
            run: Arc::clone(run),
        };
        flow.add_with(Arc::new(probe), options)?;
    }
    record::observe(run, &flow, FLOW)?;
    record::attach(run, &flow, FLOW)?;
    Ok(flow)
}

/// Runs the flow and returns its outcome.
fn outcome(
    flow: &Flow,
    what: &Object,
    world: &World,
    run: &Run,
    casts: &mut Casts,
) -> Result<Value> {
    let result = flow.run();
    let record = run.recorder.take();
    let events: Vec<Value> = record.events.iter().map(short).collect();
    let transitions = |kind: &str| -> Vec<Value> {
        let of_kind = events.iter().filter(|event| event[0] == kind);
        of_kind.map(|event| json!([event[1], event[2]])).collect()
    };
    let history = flow.history();
    let failed = history.tasks.iter().find(|task| task.error.is_some());
    let results = flow.results();
    let created = results
        .iter()
        .find(|result| names::task(&result.name) == "EntryCreateTask");
    let shown = results.iter().map(|result| {
        let task = names::task(&result.name);
        let value = match task {
            "InjectTask" => names::injected(&result.result, what),
            _ => Value::clone(&result.result),
        };
        json!({"task": task, "result": run.names.shown(&value)})
    });
    let reverts = record.reverts.iter().map(|revert| {
        json!({
            "task": revert.task,
            "had_result": revert.had_result(),
            "error": revert.error.as_ref().map(exception),
        })
    });
    Ok(json!({
        "flow_state": history.state.as_str(),
        "exception": run.names.shown(&record::outcome(&result)),
        "failed_task": failed.map(|task| names::task(&task.name)),
        "volume_id": created.map(|result| run.names.shown(&result.result["volume_id"])),
        "flow_transitions": transitions("flow"),
        "task_transitions": transitions("task"),
        "reverts": reverts.collect::<Vec<_>>(),
        "casts": casts.sent(world, &run.names)?,
        "results": shown.collect::<Vec<_>>(),
        "context_after": context_after(flow, flow.fact(QUOTA_COMMITTED)),
        "db_after": world.rows_after(&run.names)?,
        "events": events,
    }))
}

/// Returns an event without its flow, because there is only one, and without the result, which is compared elsewhere.
fn short(event: &Value) -> Value {
    match (event[0].as_str(), event) {
        (Some("flow"), _) => json!(["flow", event[2], event[3]]),
        (Some("task"), _) => json!(["task", event[2], event[3]]),
        _ => event.clone(),
    }
}
