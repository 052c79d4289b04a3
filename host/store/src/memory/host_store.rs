//! Implements [`HostStore`] for the database in memory.

use std::sync::Arc;

use cairn_model::clock::Timestamp;
use cairn_model::error::TaskError;
use cairn_model::id::{FlowId, HostId, Identity};
use cairn_model::idempotency::Key;
use cairn_model::value::{Digest, Value};

use super::{Memory, MemoryDatabase, Tables};
use crate::StoreError;
use crate::batched::Batched;
use crate::deliver::Outbox;
use crate::host::{Component, Due, FlowOnDisk, HostStore, Operators, Watch};
use crate::observer::Observer;
use crate::operation::{Asked, OperationRequest};

/// A requested operation on a flow.
pub(super) struct Request {
    flow: FlowId,
    asked: Asked,
    answer: Option<Value>,
}

impl Tables {
    /// Returns the open requests for flows that this host owns or no host owns.
    fn requests(&self, host: HostId) -> Vec<OperationRequest> {
        let open = self.requests.iter().filter(|(_, request)| {
            let flow = self.flows.get(&request.flow);
            let is_ours = |flow: &super::Flow| flow.host.is_none_or(|by| by == host);
            request.answer.is_none() && flow.is_some_and(is_ours)
        });
        open.map(|(id, request)| OperationRequest {
            id: *id,
            flow: request.flow,
            asked: request.asked.clone(),
        })
        .collect()
    }

    /// Returns flows that sleep and are to be woken by now, those that are due longest first.
    fn due(&self, host: HostId, asked: Due) -> Vec<FlowId> {
        let due = self.flows.iter().filter_map(|(id, flow)| {
            let is_free = flow.host.is_none_or(|by| by == host);
            let is_asked = is_free && (asked.stuck_too || flow.stuck.is_none());
            let wake_at = flow.wake_at.filter(|at| is_asked && *at <= asked.now)?;
            Some((wake_at, *id))
        });
        let mut due: Vec<_> = due.collect();
        due.sort();
        due.into_iter().take(asked.most).map(|(_, id)| id).collect()
    }

    /// Returns which of these flows do not sleep, or are to be woken by now.
    fn awake(&self, flows: &[FlowId], now: Timestamp) -> Vec<FlowId> {
        let sleeps = |flow: &FlowId| {
            let wake_at = self.flows.get(flow).and_then(|flow| flow.wake_at);
            wake_at.is_some_and(|at| at > now)
        };
        flows.iter().copied().filter(|flow| !sleeps(flow)).collect()
    }

    fn on_disk(&self, flow: FlowId) -> Result<FlowOnDisk, StoreError> {
        let damaged = |reason| StoreError::Damaged { flow, reason };
        Ok(FlowOnDisk {
            journal: self.journal(flow).map_err(damaged)?,
            stuck: self.flows.get(&flow).and_then(|flow| flow.stuck.clone()),
            // This database does not prune.
            kept: None,
        })
    }
}

impl Batched<Memory> {
    /// Commits the open batch, then runs `work` on the database.
    fn settled<T>(
        &self,
        work: impl FnOnce(&mut Tables, HostId) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.write(|writer| {
            writer.ledger.commit()?;
            let backend = &writer.ledger.backend;
            work(&mut backend.database.0.tables.lock(), backend.id)
        })
    }
}

impl HostStore for Batched<Memory> {
    fn commits(&self) -> u64 {
        Self::commits(self)
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.reason()
    }

    fn probe(&self) -> Result<(), StoreError> {
        self.write(|writer| writer.register())
    }

    fn observe(&self, observer: Arc<dyn Observer>) {
        Self::observe(self, observer);
    }

    fn register(&self) -> Result<(), StoreError> {
        self.write(|writer| writer.register())
    }

    fn take_over(&self, stuck_too: bool) -> Result<Vec<FlowId>, StoreError> {
        Self::take_over(self, stuck_too)
    }

    fn set_aside(&self, flow: FlowId, reason: &str) -> Result<(), StoreError> {
        self.settled(|tables, _| {
            if let Some(flow) = tables.flows.get_mut(&flow) {
                flow.stuck = Some(reason.to_owned());
            }
            Ok(())
        })
    }

    fn on_disk(&self, flow: FlowId) -> Result<FlowOnDisk, StoreError> {
        self.settled(|tables, _| tables.on_disk(flow))
    }

    fn repeat_of(&self, requester: &Identity, key: &Key) -> Result<Option<FlowId>, StoreError> {
        let lapsed = self.writer().env.keys_lapse_before();
        self.settled(|tables, _| {
            let holder = tables.holder(&requester.project_id, key.text(), lapsed);
            let same = holder
                .filter(|holder| holder.stands && holder.asked.as_ref() == Some(&key.asked()));
            Ok(same.map(|holder| holder.flow))
        })
    }

    fn keep_plan(
        &self,
        digest: Digest,
        body: &str,
        components: &[Component<'_>],
    ) -> Result<(), StoreError> {
        self.settled(|tables, _| {
            for component in components {
                let kept = tables.components.entry(component.digest);
                kept.or_insert_with(|| component.bytes.into());
            }
            let plan = tables.plans.entry(digest);
            plan.or_insert_with(|| Arc::from(body));
            Ok(())
        })
    }

    fn plan(&self, digest: Digest) -> Result<Option<String>, StoreError> {
        self.settled(|tables, _| Ok(tables.plans.get(&digest).map(|plan| plan.to_string())))
    }

    fn component(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.settled(|tables, _| Ok(tables.components.get(&digest).cloned()))
    }

    fn ask(&self, flow: FlowId, asked: &Asked) -> Result<i64, StoreError> {
        self.settled(|tables, _| {
            let last = tables.requests.last_key_value();
            let id = last.map_or(1, |(id, _)| id + 1);
            let request = Request {
                flow,
                asked: asked.clone(),
                answer: None,
            };
            tables.requests.insert(id, request);
            Ok(id)
        })
    }

    fn answer(&self, request: i64, answer: &Value) -> Result<(), StoreError> {
        self.settled(|tables, _| {
            if let Some(request) = tables.requests.get_mut(&request) {
                request.answer = Some(answer.clone());
            }
            Ok(())
        })
    }

    fn answer_to(&self, request: i64) -> Result<Option<Value>, StoreError> {
        self.settled(|tables, _| match tables.requests.get(&request) {
            Some(request) => Ok(request.answer.clone()),
            None => {
                Err(TaskError::new("NotFound", format!("there is no request {request}")).into())
            }
        })
    }

    fn requests(&self) -> Result<Vec<OperationRequest>, StoreError> {
        self.settled(|tables, host| Ok(tables.requests(host)))
    }

    fn due(&self, due: Due) -> Result<Vec<FlowId>, StoreError> {
        self.settled(|tables, host| Ok(tables.due(host, due)))
    }

    fn awake(&self, flows: &[FlowId], now: Timestamp) -> Result<Vec<FlowId>, StoreError> {
        self.settled(|tables, _| Ok(tables.awake(flows, now)))
    }

    fn watch(&self) -> Result<Option<Box<dyn Watch>>, StoreError> {
        let writer = self.writer();
        let backend = &writer.ledger.backend;
        Ok(Some(Box::new(Beside {
            database: backend.database.clone(),
            host: backend.id,
        })))
    }

    fn outbox(&self) -> Result<Option<Box<dyn Outbox>>, StoreError> {
        Ok(None)
    }

    fn operators(&self) -> Option<&dyn Operators> {
        None
    }
}

/// Reads the database concurrently with the store.
struct Beside {
    database: MemoryDatabase,
    host: HostId,
}

impl Watch for Beside {
    fn on_disk(&self, flows: &[FlowId]) -> Vec<Result<FlowOnDisk, StoreError>> {
        let tables = self.database.0.tables.lock();
        flows.iter().map(|flow| tables.on_disk(*flow)).collect()
    }

    fn has_requests(&mut self) -> Result<bool, StoreError> {
        Ok(!self.database.0.tables.lock().requests(self.host).is_empty())
    }

    fn due(&self, due: Due) -> Result<Vec<FlowId>, StoreError> {
        Ok(self.database.0.tables.lock().due(self.host, due))
    }

    fn awake(&self, flows: &[FlowId], now: Timestamp) -> Result<Vec<FlowId>, StoreError> {
        Ok(self.database.0.tables.lock().awake(flows, now))
    }
}
