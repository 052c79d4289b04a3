mod batches;
mod bookings;
mod compare;
mod components;
mod files;
mod hands;
mod idempotency;
mod keys;
mod locks;
mod names;
mod on_disk;
mod scope;
mod survivors;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::any::{self, Answer, Effect, Query};
use cairn_effects::effect::Applied;
use cairn_effects::event::{Entry, Event, FlowState};
use cairn_effects::outbox::Cast;
use cairn_model::clock::{ManualClock, Timestamp};
use cairn_model::id::{CallId, FlowId, Identity, Phase, TaskId};
use cairn_model::value::{Object, Value};
use cairn_volumes::Settings;
use cairn_volumes::{Expiry, QuotaCommit, QuotaReserve, VolumeCreate, VolumeDestroy, VolumeUpdate};

use super::*;
use crate::config::Env;
use crate::operator::{OperateVolumes as _, ReadVolumes as _, kind};
use crate::view::{CAST, Kind};
use crate::{Caller, Store as _, WhenDurable};

fn memory() -> Sqlite {
    let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
    Sqlite::in_memory(any::config(Settings::default()), clock).unwrap()
}

fn ann() -> Identity {
    Identity::new("ann", "acme")
}

/// Creates a flow of `requester` with one open call.
fn begin(store: &Sqlite, requester: &Identity) -> CallId {
    let call = CallId {
        flow: FlowId::new(),
        task: TaskId::new(),
        phase: Phase::Call,
        attempt: 1,
    };
    let created = Event::Created {
        name: "test".to_owned(),
        requester: requester.clone(),
        request: Value::Null,
        plan: None,
        key: None,
        asked: None,
    };
    let started = Event::Started {
        task: call.task,
        name: "one".to_owned(),
        attempt: 1,
    };
    store.append(call.flow, &[created, started]).unwrap();
    call
}

fn apply(
    store: &Sqlite,
    call: CallId,
    who: &Identity,
    effect: Effect,
) -> Result<(Answer, Applied), StoreError> {
    let caller = Caller {
        call: Some(call),
        requester: who,
    };
    effect.apply_in(store, caller)
}

fn reserve(amount: i64) -> Effect {
    Effect::QuotaReserve(QuotaReserve {
        project: None,
        deltas: BTreeMap::from([("volumes".to_owned(), amount)]),
        expiry: Expiry::Default,
    })
}

fn create() -> Effect {
    let properties = json!({"size": 1, "status": "creating"});
    Effect::VolumeCreate(VolumeCreate {
        properties: properties.as_object().cloned().unwrap(),
    })
}

fn update(id: &str, status: &str) -> Effect {
    Effect::VolumeUpdate(VolumeUpdate {
        id: id.to_owned(),
        changes: [("status".to_owned(), status.into())].into_iter().collect(),
    })
}

fn made(result: Result<(Answer, Applied), StoreError>) -> (String, Applied) {
    match result.unwrap() {
        (Answer::Volume(volume), applied) => (volume["id"].as_str().unwrap().to_owned(), applied),
        (answer, _) => panic!("a volume was expected, not {answer:?}"),
    }
}

fn rows(store: &Sqlite, kind: &Kind) -> Vec<Object> {
    store
        .read(&ann(), |view| view.list(kind, None, true))
        .unwrap()
}

fn refusal(result: Result<impl std::fmt::Debug, StoreError>) -> String {
    match result {
        Err(StoreError::Refused(error)) => error.kind,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

fn events(store: &Sqlite, flow: FlowId) -> Vec<Event> {
    let entries = store.read(&ann(), |view| view.journal(flow)).unwrap();
    entries.into_iter().map(|entry| entry.event).collect()
}

#[test]
fn an_effect_that_is_refused_leaves_nothing() {
    let store = memory();
    let call = begin(&store, &ann());
    assert_eq!(
        refusal(apply(&store, call, &ann(), reserve(11))),
        "OverQuota"
    );
    assert_eq!(rows(&store, &kind::RESERVATION), Vec::<Object>::new());
    let usage = &rows(&store, &kind::USAGE)[0];
    assert_eq!(
        (&usage["in_use"], &usage["reserved"]),
        (&json!(0), &json!(0))
    );
    assert!(
        !events(&store, call.flow)
            .iter()
            .any(|event| matches!(event, Event::Applied(_)))
    );
}

#[test]
fn an_undone_effect_leaves_nothing_and_both_are_in_the_journal() {
    let store = memory();
    let call = begin(&store, &ann());
    let (_, reserved) = apply(&store, call, &ann(), reserve(2)).unwrap();
    let (_, created) = made(apply(&store, call, &ann(), create()));
    store.undo(&created).unwrap();
    store.undo(&reserved).unwrap();
    assert_eq!(rows(&store, &kind::VOLUME), Vec::<Object>::new());
    assert_eq!(rows(&store, &kind::RESERVATION), Vec::<Object>::new());
    assert_eq!(rows(&store, &kind::USAGE)[0]["reserved"], 0);
    let numbers: Vec<_> = events(&store, call.flow)
        .into_iter()
        .filter_map(|event| match event {
            Event::Applied(applied) => Some((applied.number, "applied")),
            Event::Undone { number } => Some((number, "undone")),
            _ => None,
        })
        .collect();
    assert_eq!(
        numbers,
        [(1, "applied"), (2, "applied"), (2, "undone"), (1, "undone")]
    );
}

#[test]
fn a_row_that_somebody_changed_since_is_not_undone() {
    let store = memory();
    let call = begin(&store, &ann());
    let (id, created) = made(apply(&store, call, &ann(), create()));
    let changes = [("status".to_owned(), json!("available"))]
        .into_iter()
        .collect();
    store
        .admin(&ann(), |admin| admin.update_volume(&id, changes))
        .unwrap();
    assert_eq!(refusal(store.undo(&created)), "UndoRefused");
    assert_eq!(rows(&store, &kind::VOLUME)[0]["status"], "available");
}

#[test]
fn a_value_that_another_flow_wrote_too_is_not_taken_back() {
    let store = memory();
    let (first, second) = (begin(&store, &ann()), begin(&store, &ann()));
    let (id, _) = made(apply(&store, first, &ann(), create()));
    let (_, updated) = made(apply(&store, first, &ann(), update(&id, "in-use")));
    let (_, confirmed) = made(apply(&store, second, &ann(), update(&id, "in-use")));
    assert_eq!(refusal(store.undo(&updated)), "UndoRefused");
    assert_eq!(rows(&store, &kind::VOLUME)[0]["status"], "in-use");
    store.undo(&confirmed).unwrap();
    store.undo(&updated).unwrap();
    assert_eq!(rows(&store, &kind::VOLUME)[0]["status"], "creating");
    // An effect that only confirmed a value has nothing to undo after others have changed it.
    made(apply(&store, first, &ann(), update(&id, "in-use")));
    let (_, confirmed) = made(apply(&store, second, &ann(), update(&id, "in-use")));
    made(apply(&store, first, &ann(), update(&id, "error")));
    store.undo(&confirmed).unwrap();
    assert_eq!(rows(&store, &kind::VOLUME)[0]["status"], "error");
}

#[test]
fn a_volume_that_a_snapshot_depends_on_is_not_undone() {
    let store = memory();
    let call = begin(&store, &ann());
    let (id, created) = made(apply(&store, call, &ann(), create()));
    store
        .admin(&ann(), |admin| {
            admin.create_snapshot(&id, None, "available")
        })
        .unwrap();
    assert_eq!(refusal(store.undo(&created)), "UndoRefused");
    assert_eq!(rows(&store, &kind::VOLUME).len(), 1);
}

#[test]
fn changes_of_one_row_are_undone_newest_first() {
    let store = memory();
    let call = begin(&store, &ann());
    let (id, created) = made(apply(&store, call, &ann(), create()));
    let (_, updated) = made(apply(&store, call, &ann(), update(&id, "error")));
    assert_eq!(
        refusal(store.undo(&created)),
        "UndoRefused",
        "the update comes first"
    );
    store.undo(&updated).unwrap();
    assert_eq!(rows(&store, &kind::VOLUME)[0]["status"], "creating");
    store.undo(&created).unwrap();
    assert_eq!(rows(&store, &kind::VOLUME), Vec::<Object>::new());
}

#[test]
fn an_effect_of_a_call_that_is_over_is_refused() {
    let store = memory();
    let call = begin(&store, &ann());
    let ended = Event::Succeeded {
        task: call.task,
        result: Arc::new(Value::Null),
    };
    store.append(call.flow, &[ended]).unwrap();
    assert!(matches!(
        apply(&store, call, &ann(), reserve(1)),
        Err(StoreError::CallClosed)
    ));
    let again = CallId { attempt: 2, ..call };
    assert!(matches!(
        apply(&store, again, &ann(), reserve(1)),
        Err(StoreError::CallClosed)
    ));
    assert_eq!(rows(&store, &kind::RESERVATION), Vec::<Object>::new());
}

#[test]
fn what_another_flow_made_is_as_if_it_did_not_exist() {
    let store = memory();
    let (first, second) = (begin(&store, &ann()), begin(&store, &ann()));
    let (id, _) = made(apply(&store, first, &ann(), create()));
    let Answer::Reservations(reservations) = apply(&store, first, &ann(), reserve(1)).unwrap().0
    else {
        panic!("reservations")
    };
    let commit = Effect::QuotaCommit(QuotaCommit {
        reservations,
        project: None,
    });
    apply(&store, second, &ann(), commit).unwrap();
    assert_eq!(rows(&store, &kind::RESERVATION)[0]["state"], "open");
    let destroy = Effect::VolumeDestroy(VolumeDestroy { id });
    assert_eq!(
        refusal(apply(&store, second, &ann(), destroy)),
        "VolumeNotFound"
    );
    let denied = events(&store, second.flow)
        .into_iter()
        .filter_map(|event| match event {
            Event::Denied { kind, .. } => Some(kind),
            _ => None,
        });
    assert_eq!(denied.collect::<Vec<_>>(), ["reservation", "volume"]);
}

#[test]
fn another_projects_volume_is_as_if_it_did_not_exist() {
    let store = memory();
    let bob = Identity::new("bob", "umbrella");
    let (mine, theirs) = (begin(&store, &ann()), begin(&store, &bob));
    let (id, _) = made(apply(&store, mine, &ann(), create()));
    assert_eq!(
        refusal(apply(&store, theirs, &bob, update(&id, "error"))),
        "VolumeNotFound"
    );
    let caller = Caller {
        call: Some(theirs),
        requester: &bob,
    };
    assert_eq!(
        refusal(Query::Volume(id).ask_in(&store, caller)),
        "VolumeNotFound"
    );
}

#[test]
fn a_flow_gives_back_at_most_what_it_committed() {
    let store = memory();
    let call = begin(&store, &ann());
    assert_eq!(
        refusal(apply(&store, call, &ann(), reserve(-1))),
        "QuotaGiveBackExceeded"
    );
    let Answer::Reservations(reservations) = apply(&store, call, &ann(), reserve(2)).unwrap().0
    else {
        panic!("reservations")
    };
    let commit = Effect::QuotaCommit(QuotaCommit {
        reservations,
        project: None,
    });
    apply(&store, call, &ann(), commit).unwrap();
    apply(&store, call, &ann(), reserve(-2)).unwrap();
    assert_eq!(
        refusal(apply(&store, call, &ann(), reserve(-1))),
        "QuotaGiveBackExceeded"
    );
}

#[test]
fn a_message_is_held_until_its_flow_succeeds() {
    for (state, expected) in [
        (FlowState::Success, Some("ready")),
        (FlowState::Failure, None),
    ] {
        let store = memory();
        let call = begin(&store, &ann());
        let cast = Effect::Cast(Cast {
            topic: "t".to_owned(),
            method: "m".to_owned(),
            arguments: json!({}),
        });
        apply(&store, call, &ann(), cast).unwrap();
        assert_eq!(rows(&store, &CAST)[0]["state"], "held");
        let ended = Event::State {
            from: FlowState::Running,
            to: state,
        };
        store.append(call.flow, &[ended]).unwrap();
        let states: Vec<_> = rows(&store, &CAST)
            .iter()
            .map(|row| row["state"].clone())
            .collect();
        assert_eq!(
            states,
            expected.map(Value::from).into_iter().collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_message_that_is_ready_is_withdrawn_until_somebody_took_it() {
    for taken in [false, true] {
        let store = memory();
        let call = begin(&store, &ann());
        let cast = Effect::Cast(Cast {
            topic: "t".to_owned(),
            method: "m".to_owned(),
            arguments: json!({}),
        });
        let (_, sent) = apply(&store, call, &ann(), cast).unwrap();
        let succeeded = Event::State {
            from: FlowState::Running,
            to: FlowState::Success,
        };
        store.append(call.flow, &[succeeded]).unwrap();
        if taken {
            let id = rows(&store, &CAST)[0]["id"].clone();
            store
                .admin(&ann(), |admin| {
                    admin.ack_cast(id.as_str().unwrap_or_default())
                })
                .unwrap();
            assert_eq!(refusal(store.undo(&sent)), "UndoRefused");
        } else {
            store.undo(&sent).unwrap();
        }
        assert_eq!(rows(&store, &CAST).len(), usize::from(taken));
    }
}

#[test]
fn deleting_gives_back_only_what_is_booked() {
    let store = memory();
    let volume = store
        .admin(&ann(), |admin| {
            let properties = json!({"size": 3, "status": "available"});
            admin.create_volume(properties.as_object().cloned().unwrap_or_default())
        })
        .unwrap();
    let usage = |resource: &str| {
        let usages = rows(&store, &kind::USAGE);
        let usage = usages.iter().find(|usage| usage["resource"] == resource);
        usage.unwrap()["in_use"].as_i64().unwrap()
    };
    assert_eq!((usage("volumes"), usage("gigabytes")), (1, 3));
    store
        .admin(&ann(), |admin| {
            admin.delete_volume(volume["id"].as_str().unwrap())
        })
        .unwrap();
    assert_eq!((usage("volumes"), usage("gigabytes")), (0, 0));
    let call = begin(&store, &ann());
    let (unbooked, _) = made(apply(&store, call, &ann(), create()));
    let failure = Event::State {
        from: FlowState::Running,
        to: FlowState::Failure,
    };
    store.append(call.flow, &[failure]).unwrap();
    store
        .admin(&ann(), |admin| admin.delete_volume(&unbooked))
        .unwrap();
    assert_eq!((usage("volumes"), usage("gigabytes")), (0, 0));
}

#[test]
fn the_resources_of_reservations_are_told_to_the_flow_that_made_them_while_they_are_open() {
    let store = memory();
    let (one, other) = (begin(&store, &ann()), begin(&store, &ann()));
    let ids = |call, amount| match apply(&store, call, &ann(), reserve(amount)).unwrap().0 {
        Answer::Reservations(ids) => ids,
        answer => panic!("{answer:?}"),
    };
    let (open, closed, foreign) = (ids(one, 1), ids(one, 2), ids(other, 1));
    let close = Effect::QuotaCommit(QuotaCommit {
        reservations: closed.clone(),
        project: None,
    });
    apply(&store, one, &ann(), close).unwrap();
    let asked = [open, closed, foreign, vec!["nobody".to_owned()]].concat();
    let caller = Caller {
        call: Some(one),
        requester: &ann(),
    };
    let told = store
        .look_up(caller, &cairn_volumes::ReservedResources(asked))
        .unwrap();
    assert_eq!(told, ["volumes"]);
}
