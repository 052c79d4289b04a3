//! Flows that sleep, and the processes that wake them.

use std::time::Duration;

use cairn_effects::event::{Event, FlowState};
use cairn_model::clock::Timestamp;
use cairn_model::id::{CallId, FlowId, Phase, TaskId};
use cairn_model::value::{Digest, Value};
use cairn_store::host::Due;
use cairn_store::{HostStore, StoreError};

use crate::place::Place;
use crate::scene::{created, end, state};

/// Asks for flows that are due by this time.
fn by(now: Timestamp, most: usize) -> Due {
    Due {
        now,
        most,
        stuck_too: false,
    }
}

/// Creates a flow of a plan, with one open call.
fn begin(store: &dyn HostStore) -> CallId {
    let call = CallId {
        flow: FlowId::new(),
        task: TaskId::new(),
        phase: Phase::Call,
        attempt: 1,
    };
    let mut first = created(None, Value::Null);
    if let Event::Created { plan, .. } = &mut first {
        // A flow without a plan is woken by nobody else.
        *plan = Some(Digest::of(b"plan"));
    }
    let started = Event::Started {
        task: call.task,
        name: "one".to_owned(),
        attempt: 1,
    };
    let running = state(FlowState::Pending, FlowState::Running);
    store.append(call.flow, &[first, running, started]).unwrap();
    store.barrier(call.flow).unwrap();
    call
}

/// Creates a flow that sleeps until `wake_at`, on disk.
fn asleep(store: &dyn HostStore, wake_at: Timestamp) -> CallId {
    let call = begin(store);
    let task = call.task;
    append(store, call.flow, Event::Sleeps { task, wake_at });
    call
}

/// Appends an event to a flow, on disk.
fn append(store: &dyn HostStore, flow: FlowId, event: Event) {
    store.append(flow, &[event]).unwrap();
    store.barrier(flow).unwrap();
}

/// Returns a time that has not come.
fn later(store: &dyn HostStore, seconds: u64) -> Timestamp {
    store.now().after(Duration::from_secs(seconds))
}

pub(super) fn a_flow_that_sleeps_is_due_at_its_time(place: &dyn Place) {
    let store = place.open();
    let (early, late) = (later(&*store, 60), later(&*store, 120));
    let (second, first) = (asleep(&*store, late).flow, asleep(&*store, early).flow);
    // It does not sleep.
    let busy = begin(&*store).flow;

    let moment = Duration::from_micros(1);
    let due = |at, most| store.due(by(at, most)).unwrap();
    assert_eq!(due(early.before(moment), 10), []);
    assert_eq!(due(early, 10), [first]);
    assert_eq!(due(late.before(moment), 10), [first]);
    assert_eq!(due(late, 10), [first, second], "the longest due first");
    assert_eq!(due(late, 1), [first]);

    let all = [first, second, busy];
    let awake = |at| {
        let mut awake = store.awake(&all, at).unwrap();
        awake.sort_by_key(|flow| all.iter().position(|known| known == flow));
        awake
    };
    assert_eq!(awake(early.before(moment)), [busy]);
    assert_eq!(awake(early), [first, busy]);
    assert_eq!(awake(late), all);
}

pub(super) fn a_flow_that_woke_is_not_due_any_more(place: &dyn Place) {
    let store = place.open();
    let (now, late) = (store.now(), later(&*store, 60));
    let call = asleep(&*store, late);
    assert_eq!(store.awake(&[call.flow], now).unwrap(), []);
    append(&*store, call.flow, Event::Woke);
    assert_eq!(store.due(by(late, 10)).unwrap(), []);
    assert_eq!(store.awake(&[call.flow], now).unwrap(), [call.flow]);
    end(&*store, call);
    store.barrier(call.flow).unwrap();
    assert_eq!(store.due(by(late, 10)).unwrap(), []);
    assert_eq!(store.awake(&[call.flow], now).unwrap(), [call.flow]);
}

pub(super) fn a_flow_that_sleeps_is_left_alone_by_recovery_and_woken_by_the_next_process(
    place: &dyn Place,
) {
    let first = place.open();
    let late = later(&*first, 60);
    let (asleep, busy) = (asleep(&*first, late), begin(&*first));
    drop(first);
    let second = place.open();
    assert_eq!(second.take_over(true).unwrap(), [busy.flow]);
    assert_eq!(second.due(by(late, 10)).unwrap(), [asleep.flow]);
    second.load(asleep.flow).unwrap();
    append(&*second, asleep.flow, Event::Woke);
    assert_eq!(second.due(by(late, 10)).unwrap(), []);
}

pub(super) fn a_flow_that_another_process_woke_has_gone_on(place: &dyn Place) {
    let (first, second) = (place.open(), place.open());
    let late = later(&*first, 60);
    let call = asleep(&*first, late);
    assert_eq!(first.due(by(late, 10)).unwrap(), [call.flow]);
    assert_eq!(
        second.due(by(late, 10)).unwrap(),
        [call.flow],
        "it has no owner"
    );
    second.load(call.flow).unwrap();
    append(&*second, call.flow, Event::Woke);
    assert!(matches!(
        first.append(call.flow, &[Event::Woke]),
        Err(StoreError::WentOn(flow)) if flow == call.flow
    ));
    assert_eq!(first.due(by(late, 10)).unwrap(), []);
    assert!(matches!(
        first.load(call.flow),
        Err(StoreError::InHand { flow, .. }) if flow == call.flow
    ));
}
