//! Implements the flow's tasks in native code: the same effects, look-ups and results as the plugins for the benchmark's requests,
//! without a sandbox, to measure the engine alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn::capability::Enforcer as _;

use cairn::error::Cause;
use cairn::event::Disposition;
use cairn::host::{ReadyPlan, ReadyTask};
use cairn::outbox::Cast;
use cairn::plan::PlannedTask;
use cairn::policy::{NoPlugins, Policy};
use cairn::task::Outcome;
use cairn::volumes::{
    DefaultVolumeType, Expiry, IsZoneValid, QUOTA_COMMITTED, QuotaCommit, QuotaReserve,
    QuotaRollback, VolumeCreate, VolumeDestroy, VolumeUpdate,
};
use cairn::{Context, Object, Plan, Task, TaskError, TaskSpec, Value};
use serde_json::json;

use crate::BenchError;

/// Returns native counterparts of the tasks of a plan, in the same order and with the same wiring.
///
/// # Errors
/// [`BenchError::Unexpected`] for a plugin that has no native counterpart.
pub fn tasks(plan: &Plan, ready: &ReadyPlan) -> Result<Vec<ReadyTask>, BenchError> {
    let tasks = ready.tasks().iter().zip(&plan.tasks);
    tasks
        .map(|((options, task), planned)| {
            let native = planned.as_task().and_then(|planned| native(planned, task));
            let task = native.ok_or_else(|| {
                let message = format!("task `{}` has no native counterpart", planned.name());
                BenchError::Unexpected(message)
            })?;
            Ok((options.clone(), task))
        })
        .collect()
}

/// Returns the native counterpart of a plugin, or the plugin itself if there is none.
pub(crate) fn in_place_of(planned: &PlannedTask, task: Arc<dyn Task>) -> Arc<dyn Task> {
    native(planned, &task).unwrap_or(task)
}

fn native(planned: &PlannedTask, task: &Arc<dyn Task>) -> Option<Arc<dyn Task>> {
    let work = match planned.builtin.as_deref().unwrap_or(&planned.name) {
        "inject" => Work::Inject,
        "extract-volume-request" => Work::Extract(Arc::new(Policy::default())),
        "quota-reserve" => Work::Reserve,
        "entry-create" => Work::Create,
        "quota-commit" => Work::Commit,
        "on-failure-change-status" => Work::Arm,
        "volume-cast" => Work::Cast,
        "cast-fails" => Work::CastFails,
        _ => return None,
    };
    let spec = task.spec().clone();
    Some(Arc::new(Native { spec, work }))
}

struct Native {
    spec: TaskSpec,
    work: Work,
}

enum Work {
    Inject,
    Extract(Arc<Policy>),
    Reserve,
    Create,
    Commit,
    Arm,
    Cast,
    CastFails,
}

impl Task for Native {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        let context = context.as_ref();
        match &self.work {
            Work::Inject => Ok(inject(&self.spec, context.request())),
            Work::Extract(policy) => extract(policy, context, inputs),
            Work::Reserve => reserve(context, &inputs),
            Work::Create => create(context, inputs),
            Work::Commit => commit(context, inputs),
            Work::Arm => {
                Ok(json!({"volume_id": take(&mut { inputs }, "volume_id"), "volume_spec": null}))
            }
            Work::Cast => cast(context, inputs),
            Work::CastFails => {
                send(context, json!({}))?;
                let message = "nobody listens at the scheduler's topic";
                Err(TaskError::new("CastFailed", message))
            }
        }
    }

    fn revert(
        &self,
        context: &Arc<dyn Context>,
        outcome: &Outcome,
        _cause: &Cause,
    ) -> Result<Disposition, TaskError> {
        let context = context.as_ref();
        let Outcome::Completed(result) = outcome else {
            return Ok(match self.work {
                Work::Reserve | Work::Create | Work::Commit | Work::Arm => Disposition::Keep,
                _ => Disposition::Undo,
            });
        };
        match &self.work {
            Work::Inject | Work::Extract(_) | Work::Cast | Work::CastFails => {
                return Ok(Disposition::Undo);
            }
            Work::Reserve if !context.fact(QUOTA_COMMITTED) => {
                context.apply(&QuotaRollback {
                    reservations: texts(&result["reservations"]),
                    project: None,
                })?;
            }
            Work::Create if !context.fact(QUOTA_COMMITTED) => {
                let id = text(&result["volume_id"]);
                context.apply(&VolumeDestroy { id })?;
            }
            Work::Create => to_error(context, result)?,
            Work::Reserve => {}
            Work::Commit => {
                let size = result["volume_properties"]["size"]
                    .as_i64()
                    .unwrap_or_default();
                let reservations = hold(context, -1, -size)?;
                context.apply(&QuotaCommit {
                    reservations,
                    project: None,
                })?;
            }
            Work::Arm => {
                // The plugin searches all results for a `volume_spec`.
                std::hint::black_box(context.results());
                context.checkpoint()?;
                to_error(context, result)?;
                context.checkpoint()?;
            }
        }
        Ok(Disposition::Keep)
    }
}

/// Sets the status of a result's volume to `error`.
fn to_error(context: &dyn Context, result: &Value) -> Result<(), TaskError> {
    let mut changes = Object::new();
    changes.insert("status".to_owned(), "error".into());
    let id = text(&result["volume_id"]);
    context.apply(&VolumeUpdate { id, changes })?;
    Ok(())
}

fn inject(spec: &TaskSpec, request: &Value) -> Value {
    let given = |name: &String| (name.clone(), request[name.as_str()].clone());
    Value::Object(spec.provides.iter().map(given).collect())
}

fn extract(policy: &Policy, context: &dyn Context, mut inputs: Object) -> Result<Value, TaskError> {
    let requester = context.requester();
    let mut target = Object::new();
    target.insert(
        "project_id".to_owned(),
        requester.project_id.as_str().into(),
    );
    target.insert("user_id".to_owned(), requester.user_id.as_str().into());
    policy.enforce(requester, "volume:create", &target, &NoPlugins)?;
    let zone = cairn::volumes::DEFAULT_ZONE;
    if !context.look_up(&IsZoneValid(zone.to_owned()))? {
        return Err(TaskError::new("InvalidInput", "the zone is not valid"));
    }
    let volume_type = match context.look_up(&DefaultVolumeType)? {
        Value::Object(default) => Value::Object(default),
        _ => json!({}),
    };
    Ok(json!({
        "availability_zone": zone,
        "size": take(&mut inputs, "size"),
        "snapshot_id": null,
        "source_volid": null,
        "volume_type": volume_type,
        "volume_type_id": null,
        "encryption_key_id": null,
        "qos_specs": null,
    }))
}

fn reserve(context: &dyn Context, inputs: &Object) -> Result<Value, TaskError> {
    let size = inputs
        .get("size")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    let reservations = hold(context, 1, size).map_err(|error| match error.kind.as_str() {
        "OverQuota" => {
            let message = format!("{size} GiB more exceed the quota of the project");
            TaskError::new("VolumeSizeExceedsAvailableQuota", message)
        }
        _ => error,
    })?;
    Ok(json!({"reservations": reservations}))
}

/// Reserves volumes and gigabytes, and returns the reservations' ids.
fn hold(context: &dyn Context, volumes: i64, gigabytes: i64) -> Result<Vec<String>, TaskError> {
    let deltas = BTreeMap::from([
        ("volumes".to_owned(), volumes),
        ("gigabytes".to_owned(), gigabytes),
    ]);
    context.apply(&QuotaReserve {
        project: None,
        deltas,
        expiry: Expiry::Default,
    })
}

fn create(context: &dyn Context, mut inputs: Object) -> Result<Value, TaskError> {
    let requester = context.requester();
    let mut properties = json!({
        "size": take(&mut inputs, "size"),
        "user_id": requester.user_id,
        "project_id": requester.project_id,
        "status": "creating",
        "attach_status": "detached",
        "encryption_key_id": take(&mut inputs, "encryption_key_id"),
        "display_description": take(&mut inputs, "description"),
        "display_name": take(&mut inputs, "name"),
        "availability_zone": take(&mut inputs, "availability_zone"),
        "metadata": take(&mut inputs, "metadata"),
        "reservations": take(&mut inputs, "reservations"),
        "snapshot_id": take(&mut inputs, "snapshot_id"),
        "source_volid": take(&mut inputs, "source_volid"),
        "volume_type_id": take(&mut inputs, "volume_type_id"),
    });
    let create = VolumeCreate {
        properties: properties.as_object().cloned().unwrap_or_default(),
    };
    let volume = context.apply(&create)?;
    properties["id"] = volume["id"].clone();
    Ok(json!({
        "volume_id": volume["id"].clone(),
        "volume_properties": properties,
        "volume": volume,
    }))
}

fn commit(context: &dyn Context, mut inputs: Object) -> Result<Value, TaskError> {
    context.apply(&QuotaCommit {
        reservations: texts(&take(&mut inputs, "reservations")),
        project: None,
    })?;
    Ok(json!({"volume_properties": take(&mut inputs, "volume_properties")}))
}

fn cast(context: &dyn Context, mut inputs: Object) -> Result<Value, TaskError> {
    let mut take = |name: &str| take(&mut inputs, name);
    let specification = json!({
        "image_id": take("image_id"),
        "snapshot_id": take("snapshot_id"),
        "source_volid": take("source_volid"),
        "volume_id": take("volume_id"),
        "volume_type": take("volume_type"),
        "volume_properties": take("volume_properties"),
    });
    let arguments = json!({
        "topic": "cinder-volume",
        "volume_id": specification["volume_id"],
        "snapshot_id": specification["snapshot_id"],
        "image_id": specification["image_id"],
        "request_spec": specification,
        "filter_properties": {},
    });
    send(context, arguments)?;
    Ok(Value::Null)
}

fn send(context: &dyn Context, arguments: Value) -> Result<(), TaskError> {
    context.apply(&Cast {
        topic: "cinder-scheduler".to_owned(),
        method: "create_volume".to_owned(),
        arguments,
    })
}

fn take(inputs: &mut Object, name: &str) -> Value {
    inputs.get_mut(name).map(Value::take).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use cairn::plugin::Plugins;

    use super::*;
    use crate::Case;
    use crate::recorded::variables;
    use crate::stage::Stage;

    /// Runs a flow; returns its journal, with ids and times replaced by names in order of their appearance.
    fn journal(stage: &Stage, tasks: &[ReadyTask]) -> Vec<Value> {
        let flow = stage.flow(tasks, stage.ask()).unwrap();
        // The journal contains its end.
        let _ = flow.run();
        let entries = stage
            .host
            .store()
            .read(stage.requester(), |view| view.journal(flow.id()))
            .unwrap();
        let mut ids = HashMap::new();
        let entries = entries.iter().map(|entry| {
            let text = serde_json::to_string(&entry.event).unwrap();
            serde_json::from_str(&variables::named(&text, &mut ids)).unwrap()
        });
        entries.collect()
    }

    #[test]
    fn native_tasks_do_what_the_plugins_do() {
        let plugins = Plugins::new(&cairn::plugin_config()).unwrap();
        for case in Case::ALL {
            let stage = Stage::in_memory(case, &plugins).unwrap();
            let plugins = journal(&stage, stage.ready.tasks());
            let native = journal(&stage, &tasks(&stage.plan, &stage.ready).unwrap());
            assert!(plugins.len() > 15, "{plugins:#?}");
            let differs =
                |(one, other): &(&Value, &Value)| without_words(one) != without_words(other);
            if let Some((one, other)) = plugins.iter().zip(&native).find(differs) {
                panic!("{}: {one:#}\n{other:#}", case.as_str());
            }
            assert_eq!(plugins.len(), native.len(), "{}", case.as_str());
        }
    }

    /// Removes messages and times from an event.
    fn without_words(event: &Value) -> Value {
        match event {
            Value::Object(fields) => fields
                .iter()
                .filter(|(name, _)| !["message", "created_at"].contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), without_words(value)))
                .collect(),
            Value::Array(items) => items.iter().map(without_words).collect(),
            other => other.clone(),
        }
    }
}
