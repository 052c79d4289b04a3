//! Guarantees of the store over any database. Each test runs over SQLite, over the database in memory, and over the one in memory with a
//! connection that breaks in the middle of commits.

#[path = "../../../volumes/testing/any.rs"]
mod any;
mod place;
mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

use crate::any::{Answer, Effect, Query};
use cairn_effects::effect::{Applied, Caller};
use cairn_effects::event::{Event, FlowState};
use cairn_effects::keyring::MasterKey;
use cairn_effects::rows::Cell;
use cairn_model::id::{CallId, FlowId, Identity, Phase, TaskId};
use cairn_model::idempotency::{Key, asked};
use cairn_model::value::{Digest, Value};
use cairn_store::operation::Operation;
use cairn_store::{Component, HostStore, Store, StoreError, WhenDurable};
use cairn_volumes::{Expiry, IsZoneValid, QuotaCommit, QuotaReserve, VolumeCreate, VolumeUpdate};
use serde_json::json;

use place::{Broken, InMemory, OnDisk, OnServer, Place};
use shared::{
    a_project_that_is_given_back_goes_on_at_the_next_host,
    a_request_that_was_refused_creates_no_flow,
    hosts_that_share_take_the_same_number_of_partitions,
    so_many_requests_of_a_project_wait_and_no_more, the_owner_of_a_project_takes_a_request_once,
};

macro_rules! over {
    ($backend:ident, $place:expr, $($test:ident,)*) => {
        mod $backend {
            $(#[test] fn $test() {
                // A server that is not installed is reported where it is looked for.
                if let Some(place) = $place {
                    super::$test(&place);
                }
            })*
        }
    };
}

macro_rules! over_every_backend {
    (
        every: [$($test:ident,)*],
        processes_write_in_turns: [$($in_turns:ident,)*],
        hosts_own_projects: [$($owned:ident,)*],
    ) => {
        over!(sqlite, Some(super::OnDisk::new()), $($test,)* $($in_turns,)*);
        over!(memory, Some(super::InMemory::new()), $($test,)* $($in_turns,)*);
        over!(broken_connection, Some(super::Broken::new()), $($test,)* $($in_turns,)*);
        over!(postgres, super::OnServer::new(), $($test,)* $($owned,)*);
    };
}

over_every_backend! {
    every: [
    an_effect_is_taken_back_and_both_are_in_the_journal,
    a_refused_effect_leaves_nothing,
    an_effect_of_a_call_that_is_over_is_refused,
    a_flow_is_in_one_hand_and_goes_on_in_another_when_its_process_is_gone,
    whoever_waits_is_told,
    many_flows_at_once_leave_books_that_are_right,
    a_flow_that_was_set_aside_is_taken_over_only_when_it_is_asked_for,
    a_plan_that_was_kept_is_there_with_its_components_for_every_process,
    a_damaged_component_is_an_error_until_it_is_stored_again,
    the_fingerprint_of_a_master_key_is_recorded_once,
    the_flow_of_a_key_is_found_by_the_same_request_alone,
    ],
    processes_write_in_turns: [
    what_a_flow_wrote_is_read_by_another_process,
    a_key_stands_for_the_first_request,
    a_flow_that_rested_is_not_written_to_behind_the_one_who_went_on,
    what_another_process_changed_is_seen,
    a_request_is_seen_by_the_process_that_has_the_flow_and_answered_once,
    ],
    hosts_own_projects: [
    a_project_belongs_to_one_host_until_that_ends,
    an_operator_changes_what_its_host_owns,
    every_host_decides_by_the_catalogue_that_one_has_changed,
    the_owner_of_a_project_takes_a_request_once,
    a_request_that_was_refused_creates_no_flow,
    so_many_requests_of_a_project_wait_and_no_more,
    a_project_that_is_given_back_goes_on_at_the_next_host,
    hosts_that_share_take_the_same_number_of_partitions,
    ],
}

fn ann() -> Identity {
    Identity::new("ann", "acme")
}

fn created(key: Option<&str>, request: Value) -> Event {
    Event::Created {
        name: "test".to_owned(),
        requester: ann(),
        asked: key.map(|_| asked("test", &request)),
        request,
        plan: None,
        key: key.map(str::to_owned),
    }
}

fn state(from: FlowState, to: FlowState) -> Event {
    Event::State { from, to }
}

/// Creates a flow with one open call.
fn begin(store: &dyn Store) -> CallId {
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
fn end(store: &dyn Store, call: CallId) {
    let succeeded = Event::Succeeded {
        task: call.task,
        result: Arc::new(Value::Null),
    };
    let success = state(FlowState::Running, FlowState::Success);
    store.append(call.flow, &[succeeded, success]).unwrap();
}

fn apply(store: &dyn Store, call: CallId, effect: Effect) -> Result<(Answer, Applied), StoreError> {
    let who = ann();
    let by = Caller {
        call: Some(call),
        requester: &who,
    };
    effect.apply_in(store, by)
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

fn id_of(answer: &Answer) -> String {
    match answer {
        Answer::Volume(volume) => volume["id"].as_str().unwrap().to_owned(),
        other => panic!("a volume was expected, not {other:?}"),
    }
}

fn volume(store: &dyn Store, id: &str) -> Result<Value, StoreError> {
    let who = ann();
    let by = Caller {
        call: None,
        requester: &who,
    };
    Query::Volume(id.to_owned()).ask_in(store, by)
}

fn refusal(result: Result<impl std::fmt::Debug, StoreError>) -> String {
    match result {
        Err(StoreError::Refused(error)) => error.kind,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

fn events(store: &dyn Store, flow: FlowId) -> Vec<Event> {
    let entries = store.load(flow).unwrap();
    entries.into_iter().map(|entry| entry.event).collect()
}

fn what_a_flow_wrote_is_read_by_another_process(place: &dyn Place) {
    let store = place.open();
    let call = begin(&*store);
    end(&*store, call);
    store.barrier(call.flow).unwrap();
    let found = events(&*place.open(), call.flow);
    let last = state(FlowState::Running, FlowState::Success);
    assert_eq!((found.len(), found.last()), (5, Some(&last)));
    let unknown = FlowId::new();
    assert!(matches!(store.load(unknown), Err(StoreError::UnknownFlow(flow)) if flow == unknown));
}

fn an_effect_is_taken_back_and_both_are_in_the_journal(place: &dyn Place) {
    let store = place.open();
    let call = begin(&*store);
    let (_, reserved) = apply(&*store, call, reserve(2)).unwrap();
    let (answer, made) = apply(&*store, call, create()).unwrap();
    assert_eq!(place.usage("volumes"), (0, 0), "nothing is on disk yet");
    store.barrier(call.flow).unwrap();
    assert_eq!(place.usage("volumes"), (0, 2));
    store.undo(&made).unwrap();
    store.undo(&reserved).unwrap();
    assert_eq!(refusal(volume(&*store, &id_of(&answer))), "VolumeNotFound");
    store.barrier(call.flow).unwrap();
    assert_eq!(place.usage("volumes"), (0, 0));
    let numbers = events(&*store, call.flow).into_iter();
    let numbers = numbers.filter_map(|event| match event {
        Event::Applied(applied) => Some((applied.number, "applied")),
        Event::Undone { number } => Some((number, "undone")),
        _ => None,
    });
    assert_eq!(
        numbers.collect::<Vec<_>>(),
        [(1, "applied"), (2, "applied"), (2, "undone"), (1, "undone")]
    );
}

fn a_refused_effect_leaves_nothing(place: &dyn Place) {
    let store = place.open();
    let call = begin(&*store);
    assert_eq!(refusal(apply(&*store, call, reserve(11))), "OverQuota");
    apply(&*store, call, reserve(10)).unwrap();
    store.barrier(call.flow).unwrap();
    assert_eq!(place.usage("volumes"), (0, 10));
}

fn an_effect_of_a_call_that_is_over_is_refused(place: &dyn Place) {
    let store = place.open();
    let call = begin(&*store);
    end(&*store, call);
    let late = apply(&*store, call, reserve(1));
    assert!(matches!(late, Err(StoreError::CallClosed)));
    store.barrier(call.flow).unwrap();
    assert_eq!(place.usage("volumes"), (0, 0));
}

fn a_key_stands_for_the_first_request(place: &dyn Place) {
    let store = place.open();
    let first = FlowId::new();
    store
        .append(first, &[created(Some("k"), json!({"size": 1}))])
        .unwrap();
    let taken = |store: &dyn Store, request| {
        let again = store.append(FlowId::new(), &[created(Some("k"), request)]);
        match again {
            Err(StoreError::KeyTaken { flow, same }) => (flow, same),
            other => panic!("the key was expected to be taken: {other:?}"),
        }
    };
    // In the batch that gives the key, after it, and from another process.
    assert_eq!(taken(&*store, json!({"size": 1})), (first, true));
    store.barrier(first).unwrap();
    assert_eq!(taken(&*store, json!({"size": 2})), (first, false));
    assert_eq!(taken(&*place.open(), json!({"size": 1})), (first, true));
    // A refused flow does not exist, and does not affect others.
    store
        .append(FlowId::new(), &[created(Some("other"), Value::Null)])
        .unwrap();
}

fn a_flow_is_in_one_hand_and_goes_on_in_another_when_its_process_is_gone(place: &dyn Place) {
    let (first, second) = (place.open(), place.open());
    let call = begin(&*first);
    let (_, reserved) = apply(&*first, call, reserve(3)).unwrap();
    first.barrier(call.flow).unwrap();
    assert!(matches!(
        second.load(call.flow),
        Err(StoreError::InHand { flow, .. }) if flow == call.flow
    ));
    drop(first);
    assert_eq!(second.load(call.flow).unwrap().len(), 4);
    second.undo(&reserved).unwrap();
    second.barrier(call.flow).unwrap();
    assert_eq!(place.usage("volumes"), (0, 0));
}

fn a_flow_that_rested_is_not_written_to_behind_the_one_who_went_on(place: &dyn Place) {
    let (first, second) = (place.open(), place.open());
    let flow = FlowId::new();
    let interrupted = state(FlowState::Pending, FlowState::Interrupted);
    first
        .append(flow, &[created(None, Value::Null), interrupted])
        .unwrap();
    first.barrier(flow).unwrap();
    second.load(flow).unwrap();
    let on = [state(FlowState::Interrupted, FlowState::Running)];
    second.append(flow, &on).unwrap();
    second.barrier(flow).unwrap();
    assert!(matches!(
        first.append(flow, &on),
        Err(StoreError::WentOn(went)) if went == flow
    ));
    assert_eq!(events(&*second, flow).len(), 3);
}

fn what_another_process_changed_is_seen(place: &dyn Place) {
    let (first, second) = (place.open(), place.open());
    let call = begin(&*first);
    let (answer, _) = apply(&*first, call, create()).unwrap();
    let id = id_of(&answer);
    end(&*first, call);
    first.barrier(call.flow).unwrap();
    // Both processes have the row in their caches from here on.
    for status in ["available", "in-use", "error"] {
        for store in [&first, &second] {
            let call = begin(&**store);
            apply(&**store, call, update(&id, status)).unwrap();
            end(&**store, call);
            store.barrier(call.flow).unwrap();
            for store in [&first, &second] {
                assert_eq!(volume(&**store, &id).unwrap()["status"], status);
            }
        }
    }
}

fn whoever_waits_is_told(place: &dyn Place) {
    let store = place.open();
    let call = begin(&*store);
    let (told, tells) = channel();
    let then = WhenDurable::new(move |result| told.send(result.is_ok()).unwrap());
    store.when_durable(call.flow, then);
    store.flush();
    assert_eq!(tells.recv(), Ok(true));
    let (told, tells) = channel();
    let then = WhenDurable::new(move |result| told.send(result.is_err()).unwrap());
    store.when_durable(FlowId::new(), then);
    store.flush();
    assert_eq!(tells.recv(), Ok(true), "of an unknown flow");
}

fn many_flows_at_once_leave_books_that_are_right(place: &dyn Place) {
    const THREADS: usize = 4;
    const FLOWS: usize = 40;
    let store = place.open();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &*store;
            scope.spawn(move || {
                for number in 0..FLOWS {
                    let call = begin(store);
                    let Ok((answer, reserved)) = apply(store, call, reserve(1)) else {
                        // Other threads hold the rest of the quota for a moment.
                        end(store, call);
                        continue;
                    };
                    let Answer::Reservations(reservations) = answer else {
                        panic!("reservations are answered");
                    };
                    if (thread + number) % 3 == 0 {
                        store.undo(&reserved).unwrap();
                        end(store, call);
                        continue;
                    }
                    let commit = Effect::QuotaCommit(QuotaCommit {
                        reservations,
                        project: None,
                    });
                    let (_, made) = apply(store, call, create()).unwrap();
                    let (_, committed) = apply(store, call, commit).unwrap();
                    if number > 1 {
                        store.undo(&committed).unwrap();
                        store.undo(&made).unwrap();
                        store.undo(&reserved).unwrap();
                    }
                    end(store, call);
                    if number % 4 == 0 {
                        store.barrier(call.flow).unwrap();
                    }
                }
            });
        }
    });
    drop(store);
    let (in_use, reserved) = place.usage("volumes");
    assert_eq!((in_use, reserved), (place.volumes() as i64, 0));
    assert!((1..=THREADS as i64 * 2).contains(&in_use), "{in_use}");
}

fn a_request_is_seen_by_the_process_that_has_the_flow_and_answered_once(place: &dyn Place) {
    let (first, second) = (place.open(), place.open());
    let call = begin(&*first);
    first.barrier(call.flow).unwrap();
    // The other process is a host too, and owns another flow.
    second.barrier(begin(&*second).flow).unwrap();
    let mut watch = first.watch().unwrap().expect("there are other processes");
    assert!(!watch.has_requests().unwrap());

    let id = second.ask(call.flow, &Operation::Interrupt).unwrap();
    assert!(watch.has_requests().unwrap());
    assert_eq!(
        second.requests().unwrap(),
        [],
        "another process owns the flow"
    );
    let asked = first.requests().unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].id, asked[0].flow), (id, call.flow));
    assert_eq!(asked[0].operation, Operation::Interrupt);
    assert_eq!(second.answer_to(id).unwrap(), None);

    first.answer(id, &json!({"state": "INTERRUPTED"})).unwrap();
    let answer = second.answer_to(id).unwrap().expect("it was answered");
    assert_eq!(answer["state"], "INTERRUPTED");
    assert_eq!(first.requests().unwrap(), []);
    assert!(!watch.has_requests().unwrap());
    assert!(matches!(
        second.answer_to(id + 1),
        Err(StoreError::Refused(error)) if error.kind == "NotFound"
    ));
}

fn a_flow_that_was_set_aside_is_taken_over_only_when_it_is_asked_for(place: &dyn Place) {
    let first = place.open();
    let (stuck, other) = (begin(&*first).flow, begin(&*first).flow);
    first.flush();
    first.set_aside(stuck, "no component").unwrap();
    let reason = |store: &dyn HostStore| store.on_disk(stuck).unwrap().stuck;
    assert_eq!(reason(&*first).as_deref(), Some("no component"));
    drop(first);

    let second = place.open();
    assert_eq!(second.take_over(false).unwrap(), [other]);
    let mut all = second.take_over(true).unwrap();
    all.sort_by_key(|flow| flow.0);
    assert_eq!(all, [stuck, other]);
    // A write to the flow clears its mark.
    second.load(stuck).unwrap();
    let on = state(FlowState::Running, FlowState::Interrupted);
    second.append(stuck, &[on]).unwrap();
    second.barrier(stuck).unwrap();
    assert_eq!(reason(&*second), None);
    assert_eq!(second.on_disk(stuck).unwrap().journal.len(), 4);
    assert!(second.on_disk(FlowId::new()).unwrap().journal.is_empty());
}

fn a_plan_that_was_kept_is_there_with_its_components_for_every_process(place: &dyn Place) {
    let (first, second) = (place.open(), place.open());
    let digest = Digest::of(b"{}");
    assert_eq!(second.plan(digest).unwrap(), None);
    let bytes = [&b"one"[..], b"two", b""];
    let [one, two, none] = bytes.map(|bytes| Component {
        digest: Digest::of(bytes),
        bytes,
    });
    first.keep_plan(digest, "{}", &[one, none]).unwrap();
    first
        .keep_plan(digest, "kept as it was", &[one, two])
        .unwrap();
    assert_eq!(second.plan(digest).unwrap().as_deref(), Some("{}"));
    for component in [one, two, none] {
        let found = second.component(component.digest).unwrap();
        assert_eq!(found.as_deref(), Some(component.bytes));
    }
    assert_eq!(second.component(digest).unwrap(), None);
}

fn a_damaged_component_is_an_error_until_it_is_stored_again(place: &dyn Place) {
    let store = place.open();
    if store.operators().is_none() {
        return;
    }
    let (plan, bytes) = (Digest::of(b"{}"), &b"one"[..]);
    let digest = Digest::of(bytes);
    let keep = || store.keep_plan(plan, "{}", &[Component { digest, bytes }]);
    keep().unwrap();
    let damage = |body: &[u8]| {
        let statement = "UPDATE components SET body = $1";
        let changed = store.admin(&ann(), |admin| {
            admin.execute(statement, &[Cell::Blob(body.into())])
        });
        assert_eq!(changed.unwrap(), 1);
    };
    for body in [&b"two"[..], b""] {
        damage(body);
        let error = store.component(digest).unwrap_err().to_string();
        assert!(error.contains(&digest.to_string()), "{error}");
        keep().unwrap();
        assert_eq!(store.component(digest).unwrap().as_deref(), Some(bytes));
    }
}

fn the_fingerprint_of_a_master_key_is_recorded_once(place: &dyn Place) {
    let (first, second) = (place.open(), place.open());
    if first.operators().is_none() {
        return;
    }
    let recorded = |store: &dyn HostStore| store.read(&ann(), |view| view.key_fingerprint());
    assert_eq!(recorded(&*first).unwrap(), None);
    let keys = [(); 2].map(|()| MasterKey::generate().unwrap().fingerprint());
    for (store, own) in [&*first, &*second].into_iter().zip(keys) {
        let found = store.admin(&ann(), |admin| admin.record_key_fingerprint(own));
        assert_eq!(found.unwrap(), keys[0]);
        assert_eq!(recorded(store).unwrap(), Some(keys[0]));
    }
}

fn the_flow_of_a_key_is_found_by_the_same_request_alone(place: &dyn Place) {
    let (first, second) = (place.open(), place.open());
    let flow = FlowId::new();
    first.append(flow, &[created(Some("k"), json!(1))]).unwrap();
    first.barrier(flow).unwrap();
    let key = |request: Value| Key::new("k", "test", &request).unwrap();
    let found = |who: &Identity, request| second.repeat_of(who, &key(request)).unwrap();
    assert_eq!(found(&ann(), json!(1)), Some(flow));
    assert_eq!(found(&ann(), json!(2)), None);
    assert_eq!(found(&Identity::new("bob", "other"), json!(1)), None);
}

fn a_project_belongs_to_one_host_until_that_ends(place: &dyn Place) {
    let (first, second) = (place.open(), place.open());
    let call = begin(&*first);
    apply(&*first, call, reserve(3)).unwrap();
    first.barrier(call.flow).unwrap();
    let create = || second.append(FlowId::new(), &[created(None, Value::Null)]);
    match create() {
        Err(StoreError::Elsewhere { pid, .. }) => assert_eq!(pid, std::process::id()),
        other => panic!("the project belongs to the other host: {other:?}"),
    }
    end(&*first, call);
    first.barrier(call.flow).unwrap();
    drop(first);
    create().unwrap();
    // It decides by what the first one left.
    let call = begin(&*second);
    assert_eq!(refusal(apply(&*second, call, reserve(11))), "OverQuota");
    apply(&*second, call, reserve(4)).unwrap();
    second.barrier(call.flow).unwrap();
    assert_eq!(place.usage("volumes"), (0, 7));
}

fn an_operator_changes_what_its_host_owns(place: &dyn Place) {
    let store = place.open();
    let limit = |store: &dyn HostStore, most: i64| {
        store.admin(&ann(), |admin| {
            let statement = "INSERT INTO quotas (project_id, resource, hard_limit) VALUES ($1, $2, $3)
                             ON CONFLICT (project_id, resource) DO UPDATE SET hard_limit = excluded.hard_limit";
            admin.execute(statement, &["acme".into(), "volumes".into(), most.into()])
        })
    };
    let call = begin(&*store);
    apply(&*store, call, reserve(1)).unwrap();
    limit(&*store, 2).unwrap();
    assert_eq!(refusal(apply(&*store, call, reserve(2))), "OverQuota");
    // A refused change leaves nothing, and the store goes on.
    let refused = store.admin(&ann(), |admin| {
        admin.execute("DELETE FROM quotas", &[])?;
        admin.require_admin("delete limits")
    });
    assert!(matches!(refused, Err(StoreError::Refused(_))));
    assert_eq!(refusal(apply(&*store, call, reserve(2))), "OverQuota");
    limit(&*store, 20).unwrap();
    apply(&*store, call, reserve(2)).unwrap();
    store.barrier(call.flow).unwrap();
    assert_eq!(place.usage("volumes"), (0, 3));
}

fn every_host_decides_by_the_catalogue_that_one_has_changed(place: &dyn Place) {
    let (first, second) = (place.open(), place.open());
    let call = begin(&*first);
    let is_valid = |store: &dyn Store, zone: &str| {
        let who = ann();
        let by = Caller {
            call: None,
            requester: &who,
        };
        let answer = store
            .look_up_dyn(by, &IsZoneValid(zone.to_owned()))
            .unwrap();
        *answer.downcast::<bool>().unwrap()
    };
    assert!(is_valid(&*first, "north"), "there are no zones");
    first.barrier(call.flow).unwrap();
    let statement = "INSERT INTO zones (name) VALUES ($1)";
    for zone in ["south", "west"] {
        assert!(zone == "south" || !is_valid(&*first, zone));
        let added = second.admin(&ann(), |admin| admin.execute(statement, &[zone.into()]));
        assert_eq!(added.unwrap(), 1);
        assert!(!is_valid(&*first, "north"), "{zone}");
        assert!(is_valid(&*first, zone));
    }
    // In the middle of a batch, too: it is the next batch that decides by the change.
    let other = begin(&*first);
    let added = second.admin(&ann(), |admin| admin.execute(statement, &["north".into()]));
    assert_eq!(added.unwrap(), 1);
    assert!(is_valid(&*first, "north"));
    first.barrier(other.flow).unwrap();
}
