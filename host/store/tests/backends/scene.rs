//! Flows and effects that the tests make.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_effects::effect::{Applied, Caller};
use cairn_effects::event::{Event, FlowState};
use cairn_model::id::{CallId, FlowId, Identity, Phase, TaskId};
use cairn_model::idempotency::asked;
use cairn_model::value::Value;
use cairn_store::{Store, StoreError};
use cairn_volumes::{Expiry, QuotaReserve, VolumeCreate, VolumeUpdate};
use serde_json::json;

use crate::any::{Answer, Effect, Query};

pub(super) fn ann() -> Identity {
    Identity::new("ann", "acme")
}

pub(super) fn admin() -> Identity {
    Identity {
        is_admin: true,
        ..ann()
    }
}

pub(super) fn created(key: Option<&str>, request: Value) -> Event {
    Event::Created {
        name: "test".to_owned(),
        requester: ann(),
        asked: key.map(|_| asked("test", &request)),
        request,
        plan: None,
        key: key.map(str::to_owned),
    }
}

pub(super) fn state(from: FlowState, to: FlowState) -> Event {
    Event::State { from, to }
}

/// Creates a flow with one open call.
pub(super) fn begin(store: &dyn Store) -> CallId {
    let call = CallId {
        flow: FlowId::new(),
        task: TaskId::new(),
        phase: Phase::Call,
        attempt: 1,
    };
    let started = Event::Started {
        task: call.task,
        name: "one".to_owned(),
        attempt: 1,
    };
    let events = [
        created(None, Value::Null),
        state(FlowState::Pending, FlowState::Running),
        started,
    ];
    store.append(call.flow, &events).unwrap();
    call
}

/// Ends a flow that has an open call with success.
pub(super) fn end(store: &dyn Store, call: CallId) {
    let succeeded = Event::Succeeded {
        task: call.task,
        result: Arc::new(Value::Null),
    };
    let success = state(FlowState::Running, FlowState::Success);
    store.append(call.flow, &[succeeded, success]).unwrap();
}

pub(super) fn apply(
    store: &dyn Store,
    call: CallId,
    effect: Effect,
) -> Result<(Answer, Applied), StoreError> {
    let who = ann();
    let by = Caller {
        call: Some(call),
        requester: &who,
    };
    effect.apply_in(store, by)
}

pub(super) fn reserve(amount: i64) -> Effect {
    Effect::QuotaReserve(QuotaReserve {
        project: None,
        deltas: BTreeMap::from([("volumes".to_owned(), amount)]),
        expiry: Expiry::Default,
    })
}

pub(super) fn create() -> Effect {
    let properties = json!({"size": 1, "status": "creating"});
    Effect::VolumeCreate(VolumeCreate {
        properties: properties.as_object().cloned().unwrap(),
    })
}

pub(super) fn update(id: &str, status: &str) -> Effect {
    Effect::VolumeUpdate(VolumeUpdate {
        id: id.to_owned(),
        changes: [("status".to_owned(), status.into())].into_iter().collect(),
    })
}

pub(super) fn id_of(answer: &Answer) -> String {
    match answer {
        Answer::Volume(volume) => volume["id"].as_str().unwrap().to_owned(),
        other => panic!("a volume was expected, not {other:?}"),
    }
}

pub(super) fn volume(store: &dyn Store, id: &str) -> Result<Value, StoreError> {
    let who = ann();
    let by = Caller {
        call: None,
        requester: &who,
    };
    Query::Volume(id.to_owned()).ask_in(store, by)
}

pub(super) fn refusal(result: Result<impl std::fmt::Debug, StoreError>) -> String {
    match result {
        Err(StoreError::Refused(error)) => error.kind,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

pub(super) fn events(store: &dyn Store, flow: FlowId) -> Vec<Event> {
    let entries = store.load(flow).unwrap();
    entries.into_iter().map(|entry| entry.event).collect()
}
