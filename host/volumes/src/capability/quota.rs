use std::collections::BTreeMap;

use crate::quota::type_resource;
use crate::rules::{
    Expiry, QuotaCommit, QuotaReserve, QuotaRollback, ReservedResources, VolumeTypeName,
};
use cairn_effects::rules::Effect;
use cairn_manifest::manifest::{Grant, SimpleGrantKind};
use cairn_model::error::TaskError;
use cairn_model::value::Value;

use super::wit::cairn::plugin::quota::{self, Delta, Host, OverQuota, QuotaError, Usage};
use cairn_sandbox::capability::{SimpleCapability, State, to_wit};
use cairn_sandbox::wasmtime;
use cairn_sandbox::wasmtime::component::HasSelf;

/// The capability `quota`.
pub(super) const CAPABILITY: SimpleCapability = SimpleCapability::new(
    SimpleGrantKind::new(
        "quota",
        &["cairn:plugin/quota"],
        &["reserve", "commit", "rollback"],
    )
    .narrowed_by("resources"),
    |linker| quota::add_to_linker::<State, HasSelf<State>>(linker, State::enter),
);

type Reply<T> = wasmtime::Result<Result<T, QuotaError>>;

fn translate(error: TaskError) -> QuotaError {
    let details = &error.details;
    let names = |name: &str| -> Vec<String> {
        let names = details[name].as_array().into_iter().flatten();
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    match error.kind.as_str() {
        "OverQuota" => {
            let quotas = details["quotas"].as_object().into_iter().flatten();
            let usages = quotas.map(|(resource, limit)| Usage {
                resource: resource.clone(),
                limit: limit.as_i64(),
                in_use: details["usages"][resource]["in_use"].as_i64().unwrap_or(0),
                reserved: details["usages"][resource]["reserved"]
                    .as_i64()
                    .unwrap_or(0),
            });
            QuotaError::Over(OverQuota {
                overs: names("overs"),
                usages: usages.collect(),
            })
        }
        "QuotaResourceUnknown" => QuotaError::UnknownResource(names("unknown")),
        _ => QuotaError::Other(to_wit(error)),
    }
}

/// Refuses resources outside of a narrowed grant; the error names the first one.
fn within<'n>(
    grant: &Grant,
    mut resources: impl Iterator<Item = &'n str>,
) -> Result<(), QuotaError> {
    match resources.find(|resource| !grant.reaches("resources", resource)) {
        None => Ok(()),
        Some(resource) => {
            let message = format!("the grant of `quota` does not reach `{resource}`");
            Err(QuotaError::Other(to_wit(TaskError::new(
                "NotGranted",
                message,
            ))))
        }
    }
}

fn resources(deltas: &[Delta]) -> impl Iterator<Item = &str> {
    deltas.iter().map(|delta| delta.resource.as_str())
}

/// Refuses open reservations of this flow whose resources are outside of the grant.
fn check_reach(state: &mut State, reservations: &[String]) -> Reply<()> {
    // A grant that is not narrowed covers all resources.
    if !state.grant("quota")?.is_narrowed("resources") {
        return Ok(Ok(()));
    }
    let reserved = match state.look_up(&ReservedResources(reservations.to_vec()))? {
        Ok(reserved) => reserved,
        Err(error) => return Ok(Err(translate(error))),
    };
    let names = reserved.iter().map(String::as_str);
    Ok(within(state.grant("quota")?, names))
}

fn close(state: &mut State, effect: &impl Effect<Answer = ()>) -> Reply<()> {
    Ok(state.apply(effect)?.map_err(translate))
}

impl Host for State {
    fn with_volume_type(
        &mut self,
        mut deltas: Vec<Delta>,
        volume_type_id: Option<String>,
    ) -> Reply<Vec<Delta>> {
        if let Err(refused) = within(self.grant("quota")?, resources(&deltas)) {
            return Ok(Err(refused));
        }
        let Some(id) = volume_type_id.filter(|id| !id.is_empty()) else {
            return Ok(Ok(deltas));
        };
        let name = match self.look_up(&VolumeTypeName(id))? {
            Ok(name) => name,
            Err(error) => return Ok(Err(translate(error))),
        };
        let own: Vec<Delta> = deltas
            .iter()
            .map(|delta| Delta {
                resource: type_resource(&delta.resource, &name),
                amount: delta.amount,
            })
            .collect();
        deltas.extend(own);
        let reach = within(self.grant("quota")?, resources(&deltas));
        Ok(reach.map(|()| deltas))
    }

    fn reserve(&mut self, deltas: Vec<Delta>) -> Reply<Vec<String>> {
        if let Err(refused) = within(self.grant("quota")?, resources(&deltas)) {
            return Ok(Err(refused));
        }
        let mut wanted = BTreeMap::<String, i64>::new();
        for delta in deltas {
            let sum = wanted.get(&delta.resource).copied().unwrap_or(0);
            let Some(sum) = sum.checked_add(delta.amount) else {
                let message = format!(
                    "no counter holds the deltas of `{}` together",
                    delta.resource
                );
                let error = TaskError::new("QuotaOutOfRange", message);
                return Ok(Err(QuotaError::Other(to_wit(error))));
            };
            wanted.insert(delta.resource, sum);
        }
        let reserve = QuotaReserve {
            project: None,
            deltas: wanted,
            expiry: Expiry::Default,
        };
        Ok(self.apply(&reserve)?.map_err(translate))
    }

    fn commit(&mut self, reservations: Vec<String>) -> Reply<()> {
        if let Err(refused) = check_reach(self, &reservations)? {
            return Ok(Err(refused));
        }
        close(
            self,
            &QuotaCommit {
                reservations,
                project: None,
            },
        )
    }

    fn rollback(&mut self, reservations: Vec<String>) -> Reply<()> {
        if let Err(refused) = check_reach(self, &reservations)? {
            return Ok(Err(refused));
        }
        close(
            self,
            &QuotaRollback {
                reservations,
                project: None,
            },
        )
    }
}
