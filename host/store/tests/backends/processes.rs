//! Several stores of one database, as of several processes.

use cairn_effects::event::{Event, FlowState, LogLevel};
use cairn_model::id::{FlowId, Identity, TaskId};
use cairn_model::idempotency::Key;
use cairn_model::value::Value;
use cairn_store::host::FlowOnDisk;
use cairn_store::operation::Operation;
use cairn_store::{HostStore, Store, StoreError};
use serde_json::json;

use crate::place::Place;
use crate::scene::{
    ann, apply, begin, create, created, end, events, id_of, reserve, state, update, volume,
};

pub(super) fn what_a_flow_wrote_is_read_by_another_process(place: &dyn Place) {
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

pub(super) fn a_key_stands_for_the_first_request(place: &dyn Place) {
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

pub(super) fn the_flow_of_a_key_is_found_by_the_same_request_alone(place: &dyn Place) {
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

pub(super) fn a_flow_is_in_one_hand_and_goes_on_in_another_when_its_process_is_gone(
    place: &dyn Place,
) {
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

pub(super) fn a_flow_that_rested_is_not_written_to_behind_the_one_who_went_on(place: &dyn Place) {
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

pub(super) fn what_another_process_changed_is_seen(place: &dyn Place) {
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

pub(super) fn a_request_is_seen_by_the_process_that_has_the_flow_and_answered_once(
    place: &dyn Place,
) {
    let (first, second) = (place.open(), place.open());
    let call = begin(&*first);
    first.barrier(call.flow).unwrap();
    // The other process is a host too, and owns another flow.
    second.barrier(begin(&*second).flow).unwrap();
    let mut watch = first.watch().unwrap().expect("there are other processes");
    assert!(!watch.has_requests().unwrap());

    let id = second.ask(call.flow, &Operation::Interrupt.into()).unwrap();
    assert!(watch.has_requests().unwrap());
    assert_eq!(
        second.requests().unwrap(),
        [],
        "another process owns the flow"
    );
    let asked = first.requests().unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].id, asked[0].flow), (id, call.flow));
    assert_eq!(asked[0].asked.operation, Operation::Interrupt);
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

pub(super) fn a_flow_that_was_set_aside_is_taken_over_only_when_it_is_asked_for(place: &dyn Place) {
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

pub(super) fn what_is_read_of_many_flows_together_is_what_is_read_of_each(place: &dyn Place) {
    let first = place.open();
    let mut flows: Vec<FlowId> = (0..70).map(|_| begin(&*first).flow).collect();
    // A long entry, several blocks, a mark, and a flow that is not there.
    let long = Event::Log {
        task: TaskId::new(),
        level: LogLevel::Info,
        message: noise(300_000),
    };
    first.append(flows[3], &[long]).unwrap();
    first.flush();
    let on = state(FlowState::Running, FlowState::Interrupted);
    first.append(flows[5], &[on]).unwrap();
    first.flush();
    first.set_aside(flows[7], "no component").unwrap();
    flows.insert(11, FlowId::new());
    flows.reverse();

    let second = place.open();
    let watch = second.watch().unwrap().expect("there are other processes");
    let shown = |found: FlowOnDisk| format!("{found:?}");
    for many in [1, 2, 32, 33, flows.len()] {
        let found = watch.on_disk(&flows[..many]).into_iter();
        let found: Vec<String> = found.map(|found| shown(found.unwrap())).collect();
        let each = flows[..many].iter();
        let each = each.map(|flow| shown(second.on_disk(*flow).unwrap()));
        assert!(found == each.collect::<Vec<_>>(), "{many} flows");
    }
    let read = watch.on_disk(&flows);
    let lengths = read
        .iter()
        .map(|found| found.as_ref().unwrap().journal.len());
    assert_eq!(lengths.sum::<usize>(), 70 * 3 + 2);
    assert!(watch.on_disk(&[]).is_empty());
}

/// Returns a text that hardly gets shorter when it is packed.
fn noise(length: usize) -> String {
    let mut state: u64 = 1;
    let letters = (0..length).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'!' + (state >> 58) as u8)
    });
    letters.collect()
}
