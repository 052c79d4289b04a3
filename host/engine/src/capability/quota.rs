use std::collections::BTreeMap;

use super::{State, to_wit};
use crate::effect::{Answer, Effect, Expiry, Query, QuotaCommit, QuotaReserve, QuotaRollback};
use crate::error::TaskError;
use crate::manifest::Capability;
use crate::quota::type_resource;
use crate::value::Value;
use crate::wit::cairn::plugin::quota::{Delta, Host, OverQuota, QuotaError, Usage};

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

impl State {
    fn close(&mut self, effect: &Effect) -> Reply<()> {
        self.grant(Capability::Quota)?;
        Ok(self.apply(effect)?.map(drop).map_err(translate))
    }
}

impl Host for State {
    fn with_volume_type(
        &mut self,
        mut deltas: Vec<Delta>,
        volume_type_id: Option<String>,
    ) -> Reply<Vec<Delta>> {
        self.grant(Capability::Quota)?;
        let Some(id) = volume_type_id.filter(|id| !id.is_empty()) else {
            return Ok(Ok(deltas));
        };
        let name = match self.query(&Query::VolumeTypeName(id))? {
            Ok(name) => name,
            Err(error) => return Ok(Err(translate(error))),
        };
        let own: Vec<Delta> = deltas
            .iter()
            .map(|delta| Delta {
                resource: type_resource(&delta.resource, name.as_str().unwrap_or_default()),
                amount: delta.amount,
            })
            .collect();
        deltas.extend(own);
        Ok(Ok(deltas))
    }

    fn reserve(&mut self, deltas: Vec<Delta>) -> Reply<Vec<String>> {
        let grant = self.grant(Capability::Quota)?;
        if let Some(delta) = deltas
            .iter()
            .find(|delta| !grant.reaches_resource(&delta.resource))
        {
            let message = format!("the grant of `quota` does not reach `{}`", delta.resource);
            return Ok(Err(QuotaError::Other(to_wit(TaskError::new(
                "NotGranted",
                message,
            )))));
        }
        let mut wanted = BTreeMap::<String, i64>::new();
        for delta in deltas {
            let sum = wanted.entry(delta.resource).or_default();
            *sum = sum.saturating_add(delta.amount);
        }
        let reserve = Effect::QuotaReserve(QuotaReserve {
            project: None,
            deltas: wanted,
            expiry: Expiry::Default,
        });
        Ok(match self.apply(&reserve)? {
            Ok(Answer::Reservations(ids)) => Ok(ids),
            Ok(_) => Ok(Vec::new()),
            Err(error) => Err(translate(error)),
        })
    }

    fn commit(&mut self, reservations: Vec<String>) -> Reply<()> {
        self.close(&Effect::QuotaCommit(QuotaCommit {
            reservations,
            project: None,
        }))
    }

    fn rollback(&mut self, reservations: Vec<String>) -> Reply<()> {
        self.close(&Effect::QuotaRollback(QuotaRollback {
            reservations,
            project: None,
        }))
    }
}
