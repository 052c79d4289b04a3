//! Runs operations on quotas against the store itself.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::any::{Answer, Effect};
use anyhow::{Context as _, Result};
use cairn::clock::{Clock as _, Timestamp};
use cairn::effect::Caller;
use cairn::store::HostStore;
use cairn::volumes::operator::{OperateVolumes as _, ReadVolumes as _, kind};
use cairn::volumes::quota::{Measure, type_resource};
use cairn::volumes::{
    Expiry, QuotaCommit, QuotaReserve, QuotaRollback, VolumeDestroy, VolumeTypeName,
};
use cairn::{Identity, Object, StoreError, TaskError, Value};
use serde_json::json;

use super::database::Databases;
use super::faults::{Faults, Seam};
use super::format::{ExpireSpec, QuotaCase, QuotaOp};
use super::probe::Run;
use super::record::exception;
use super::world::{self, World};

/// Runs a scenario and returns the outcome of each operation.
///
/// # Errors
/// If the scenario cannot be set up.
pub fn run(case: &QuotaCase, databases: &Databases) -> Result<Vec<Value>> {
    let run = Run::default();
    let world = World::new(databases, &case.config, &case.state, &run.names)?;
    let callers: BTreeMap<&str, Identity> = case
        .contexts
        .iter()
        .map(|(name, caller)| (name.as_str(), caller.identity()))
        .collect();
    let mut outcomes = Vec::with_capacity(case.ops.len());
    for step in &case.ops {
        run.arm(Faults::new(&step.faults)?);
        let desk = Desk {
            world: &world,
            run: &run,
            caller: callers.get(&*step.context).context("no such caller")?,
        };
        let batches = run.names.batches();
        let result = desk.perform(&step.op);
        let mut outcome = desk.rows()?;
        outcome["exception"] = result.as_ref().err().map_or(Value::Null, exception);
        outcome["returned"] = run.names.shown(&result.unwrap_or_default());
        if let QuotaOp::Reserve { .. } = step.op {
            let made = run.names.batches();
            outcome["reservation_batch"] = (made > batches)
                .then(|| format!("$reservation_{made}"))
                .into();
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// A caller of the store.
struct Desk<'a> {
    world: &'a World,
    run: &'a Run,
    caller: &'a Identity,
}

impl Desk<'_> {
    fn caller(&self) -> Caller<'_> {
        Caller {
            call: None,
            requester: self.caller,
        }
    }

    fn apply(&self, effect: &Effect) -> Result<Answer, TaskError> {
        let answer = self.run.apply(effect, || {
            Ok(self.world.store.apply_dyn(self.caller(), effect.rule())?.0)
        })?;
        Ok(Answer::of(&answer))
    }

    fn perform(&self, op: &QuotaOp) -> Result<Value, TaskError> {
        let store = &self.world.store;
        let done = |result: Result<(), StoreError>| Ok(result.map(|()| Value::Null)?);
        match op {
            QuotaOp::Reserve {
                deltas,
                expire,
                project_id,
            } => {
                let answer = self.apply(&Effect::QuotaReserve(QuotaReserve {
                    project: project_id.clone(),
                    deltas: deltas.clone(),
                    expiry: expire.map_or(Expiry::Default, |expire| self.expiry(expire)),
                }))?;
                Ok(match answer {
                    Answer::Reservations(ids) => json!(ids),
                    _ => Value::Null,
                })
            }
            QuotaOp::Commit {
                reservations,
                project_id,
            } => self.close(&Effect::QuotaCommit(QuotaCommit {
                reservations: self.ids(reservations),
                project: project_id.clone(),
            })),
            QuotaOp::Rollback {
                reservations,
                project_id,
            } => self.close(&Effect::QuotaRollback(QuotaRollback {
                reservations: self.ids(reservations),
                project: project_id.clone(),
            })),
            QuotaOp::Expire => {
                done(store.admin(self.caller, |admin| admin.expire_reservations().map(drop)))
            }
            QuotaOp::GetProjectQuotas {
                project_id,
                quota_class,
                defaults,
                usages,
            } => {
                let class = quota_class.as_deref();
                let quotas = store.read(self.caller, |view| {
                    view.project_quotas(project_id, class, *defaults, *usages)
                })?;
                Ok(json!(quotas))
            }
            QuotaOp::GetClassQuotas {
                quota_class,
                defaults,
            } => Ok(json!(store.read(self.caller, |view| {
                view.class_quotas(quota_class, *defaults)
            })?)),
            QuotaOp::GetDefaults => Ok(json!(
                store.read(self.caller, |view| view.default_quotas())?
            )),
            QuotaOp::ResourceNames => Ok(json!(self.resources()?)),
            QuotaOp::Contains { resource } => Ok(self.resources()?.contains(resource).into()),
            QuotaOp::DestroyAllByProject { project_id } => {
                done(store.admin(self.caller, |admin| {
                    admin.destroy_project_quotas(project_id)
                }))
            }
            QuotaOp::AddVolumeTypeOpts {
                opts,
                volume_type_id,
            } => self.with_volume_type(opts, volume_type_id.as_deref()),
            QuotaOp::Advance { seconds } => {
                self.world.advance(*seconds);
                Ok(Value::Null)
            }
            QuotaOp::InsertVolume { row } => {
                let row = self.world.row(row, &self.run.names)?;
                done(
                    self.world
                        .import(&BTreeMap::from([("volumes".to_owned(), vec![booked(row)])])),
                )
            }
            QuotaOp::DeleteVolume { id } => {
                let destroy = Effect::VolumeDestroy(VolumeDestroy { id: id.clone() });
                self.apply(&destroy).map(|_| Value::Null)
            }
            QuotaOp::SetQuota {
                project_id,
                resource,
                hard_limit,
            } => done(store.admin(self.caller, |admin| {
                admin.set_project_limit(project_id, resource, *hard_limit)
            })),
        }
    }

    fn close(&self, effect: &Effect) -> Result<Value, TaskError> {
        self.apply(effect).map(|_| Value::Null)
    }

    fn resources(&self) -> Result<Vec<String>, TaskError> {
        Ok(self
            .world
            .store
            .read(self.caller, |view| view.quota_resources())?)
    }

    /// Returns the real ids of the names in a vector: batches, single reservations, and unknown ids.
    fn ids(&self, names: &[String]) -> Vec<String> {
        names
            .iter()
            .flat_map(|name| self.run.names.ids(name))
            .collect()
    }

    /// Converts an expiry; a negative time from now is in the past.
    fn expiry(&self, expire: ExpireSpec) -> Expiry {
        let at =
            |seconds: i64| Expiry::At(Timestamp(self.world.clock.now().0 + seconds * 1_000_000));
        match expire {
            ExpireSpec::Seconds(seconds) | ExpireSpec::TimedeltaSeconds(seconds) => {
                match u64::try_from(seconds) {
                    Ok(seconds) => Expiry::In(Duration::from_secs(seconds)),
                    Err(_) => at(seconds),
                }
            }
            ExpireSpec::AtSecondsFromNow(seconds) => at(seconds),
        }
    }

    /// Does the work of the host function `quota.with-volume-type`.
    fn with_volume_type(
        &self,
        opts: &Object,
        volume_type: Option<&str>,
    ) -> Result<Value, TaskError> {
        let mut opts = opts.clone();
        let Some(id) = volume_type.filter(|id| !id.is_empty()) else {
            return Ok(Value::Object(opts));
        };
        let query = VolumeTypeName(id.to_owned());
        let name = self.run.faults().around(Seam::LookUp(&query), || {
            look_up(&*self.world.store, self.caller(), &query)
        })?;
        for measure in Measure::ALL.map(Measure::as_str) {
            if let Some(amount) = opts.get(measure).cloned() {
                opts.insert(type_resource(measure, &name), amount);
            }
        }
        Ok(Value::Object(opts))
    }

    /// Returns usages and reservations, and the age of each usage.
    fn rows(&self) -> Result<Value, StoreError> {
        let now = self.world.clock.now();
        self.world.read(|view| {
            let mut ages = Object::new();
            for usage in view.list(&kind::USAGE, None, false)? {
                let text = |column: &str| {
                    usage
                        .get(column)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                };
                let updated = usage
                    .get("updated_at")
                    .and_then(Value::as_str)
                    .and_then(world::timestamp);
                let age = updated.map(|updated| now.since(updated).as_secs());
                ages.insert(
                    format!("{}/{}", text("project_id"), text("resource")),
                    age.into(),
                );
            }
            Ok(json!({
                "quota_usages_after": world::usages(view)?,
                "reservations_after": world::reservations(view, &self.run.names)?,
                "usage_updated_seconds_ago_after": ages,
            }))
        })
    }
}

/// Completes a volume row: without a status it is `available`. It counts as booked, like those of the initial state, so
/// the next refresh includes it.
fn booked(mut row: Object) -> Object {
    row.entry("status").or_insert_with(|| "available".into());
    row.insert("booked".to_owned(), true.into());
    row
}

/// Runs a query, and returns its own type of answer.
fn look_up(
    store: &dyn HostStore,
    by: Caller<'_>,
    query: &VolumeTypeName,
) -> Result<String, TaskError> {
    let name = store.look_up_dyn(by, query)?;
    Ok(*name.downcast().expect("a name"))
}
