//! Injects faults between the host and a task (`cairn::Context`), into the policy (`Enforcer`) or, for quota
//! scenarios, into the store itself.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::{Result, bail};
use cairn::TaskError;
use cairn::id::Phase;
use cairn::rules::DynLookUp;

use super::format::{Fault, Timing};
use crate::any::Effect;

/// A place where a fault can be injected.
#[derive(Clone, Copy)]
pub enum Seam<'a> {
    /// An effect.
    Effect(&'a Effect),
    /// A look-up.
    LookUp(&'a dyn DynLookUp),
    /// A policy check.
    Policy,
}

/// The topic of the scheduler.
pub const SCHEDULER: &str = "cinder-scheduler";

/// Maps the targets of the vectors to the seams that do their work here.
fn meets(target: &str, seam: Seam<'_>) -> Option<bool> {
    use Effect::{
        Cast, KeyCopy, KeyCreate, QuotaCommit, QuotaReserve, QuotaRollback, VolumeCreate,
        VolumeDestroy, VolumeUpdate,
    };
    use Seam::{Effect as E, Policy};
    let asks = |function: &str| matches!(seam, Seam::LookUp(look_up) if look_up.function() == Some(function));
    Some(match target {
        "QUOTAS.reserve" | "db.quota_reserve" => matches!(seam, E(QuotaReserve(_))),
        "QUOTAS.commit" | "db.reservation_commit" => matches!(seam, E(QuotaCommit(_))),
        "QUOTAS.rollback" | "db.reservation_rollback" => matches!(seam, E(QuotaRollback(_))),
        "QUOTAS.add_volume_type_opts" => asks("quota.with-volume-type"),
        "db.volume_create" => matches!(seam, E(VolumeCreate(_))),
        "db.volume_update" => matches!(seam, E(VolumeUpdate(_))),
        "db.volume_destroy" => matches!(seam, E(VolumeDestroy(_))),
        "db.volume_get" => asks("catalog.volume"),
        "db.snapshot_get" => asks("catalog.snapshot"),
        "db.volume_type_get" => asks("quota.with-volume-type") || asks("catalog.volume-type"),
        "db.volume_type_get_by_name" => asks("catalog.default-volume-type"),
        "db.volume_type_encryption_get" => asks("catalog.encrypted"),
        "db.volume_type_qos_specs_get" => asks("catalog.qos-specs"),
        "policy.enforce_action" => matches!(seam, Policy),
        "image_service.show" => asks("images.show"),
        "key_manager.create_key" => matches!(seam, E(KeyCreate(_))),
        "key_manager.copy_key" => matches!(seam, E(KeyCopy(_))),
        "az_check" => asks("zones.valid"),
        "scheduler_rpcapi.create_volume" => {
            matches!(seam, E(Cast(cast)) if cast.topic == SCHEDULER)
        }
        "volume_rpcapi.create_volume" => matches!(seam, E(Cast(cast)) if cast.topic != SCHEDULER),
        _ => return None,
    })
}

/// The faults of one request or scenario.
#[derive(Debug, Default)]
pub struct Faults {
    armed: Vec<Armed>,
    reverting: AtomicBool,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    /// Calls of the target so far in the current phase.
    calls: AtomicU32,
}

impl Faults {
    /// Creates the faults, none of which has fired.
    ///
    /// # Errors
    /// If a target is not in the table.
    pub fn new(faults: &[Fault]) -> Result<Self> {
        for fault in faults {
            if meets(&fault.target, Seam::Policy).is_none() {
                bail!(
                    "nothing here is `{}`, which is to fail: add it to the table in faults.rs",
                    fault.target
                );
            }
        }
        let armed = faults.iter().cloned().map(|fault| Armed {
            fault,
            calls: AtomicU32::new(0),
        });
        Ok(Self {
            armed: armed.collect(),
            reverting: AtomicBool::new(false),
        })
    }

    /// Marks the beginning of a task's phase.
    pub fn enter(&self, phase: Phase) {
        self.reverting
            .store(phase == Phase::Revert, Ordering::SeqCst);
    }

    /// Runs `real`, unless a fault replaces it; fails after it if a fault says so.
    pub fn around<T>(
        &self,
        seam: Seam<'_>,
        real: impl FnOnce() -> Result<T, TaskError>,
    ) -> Result<T, TaskError> {
        let Some(fault) = self.firing(seam) else {
            return real();
        };
        if fault.timing == Timing::After {
            real()?;
        }
        Err(fault.raise.error())
    }

    /// Returns the first fault that fires at this call. Every fault whose target matches counts the call.
    fn firing(&self, seam: Seam<'_>) -> Option<&Fault> {
        let phase = if self.reverting.load(Ordering::SeqCst) {
            Phase::Revert
        } else {
            Phase::Call
        };
        let meeting = self.armed.iter().filter(|armed| {
            if !armed.fault.phase.is(phase) || meets(&armed.fault.target, seam) != Some(true) {
                return false;
            }
            let call = armed.calls.fetch_add(1, Ordering::SeqCst) + 1;
            armed.fault.nth.is_none_or(|nth| nth == call)
        });
        let mut meeting: Vec<_> = meeting.collect();
        (!meeting.is_empty()).then(|| &meeting.swap_remove(0).fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn::Value;
    use cairn::volumes::VolumeDestroy;
    use serde_json::json;

    /// Makes a few calls in alternating phases, and returns whether each was done, and its result.
    fn calls(fault: Value) -> Vec<(bool, Result<(), String>)> {
        let faults = Faults::new(&[serde_json::from_value(fault).unwrap()]).unwrap();
        let destroy = Effect::VolumeDestroy(VolumeDestroy { id: "v".to_owned() });
        let phases = [Phase::Call, Phase::Revert, Phase::Revert];
        let calls = phases.into_iter().map(|phase| {
            faults.enter(phase);
            let mut done = false;
            let result = faults.around(Seam::Effect(&destroy), || {
                done = true;
                Ok(())
            });
            (done, result.map_err(|error| error.kind))
        });
        calls.collect()
    }

    fn failed(done: bool) -> (bool, Result<(), String>) {
        (done, Err("E".to_owned()))
    }

    #[test]
    fn a_fault_comes_instead_of_the_real_thing_or_after_it() {
        let mut fault = json!({"target": "db.volume_destroy", "raise": {"class": "E"}});
        assert_eq!(
            calls(fault.clone()),
            [failed(false), failed(false), failed(false)]
        );
        fault["timing"] = json!("after");
        assert_eq!(calls(fault), [failed(true), failed(true), failed(true)]);
    }

    #[test]
    fn a_fault_keeps_to_its_phase_and_number() {
        let mut fault =
            json!({"target": "db.volume_destroy", "raise": {"class": "E"}, "phase": "revert"});
        assert_eq!(
            calls(fault.clone()),
            [(true, Ok(())), failed(false), failed(false)]
        );
        fault["nth"] = json!(2);
        assert_eq!(
            calls(fault),
            [(true, Ok(())), (true, Ok(())), failed(false)]
        );
    }

    #[test]
    fn a_fault_leaves_other_targets_alone() {
        let fault = json!({"target": "db.volume_update", "raise": {"class": "E"}});
        assert_eq!(
            calls(fault),
            [(true, Ok(())), (true, Ok(())), (true, Ok(()))]
        );
    }

    #[test]
    fn a_target_that_is_nothing_here_is_an_error() {
        let fault = json!({"target": "db.backup_create", "raise": {"class": "E"}});
        assert!(Faults::new(&[serde_json::from_value(fault).unwrap()]).is_err());
    }
}
