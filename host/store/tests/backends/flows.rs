//! One store: effects and their inverses, calls that are over, and who is told of commits.

use std::sync::mpsc::channel;

use cairn_effects::event::{Event, FlowState};
use cairn_model::audit::Asker;
use cairn_model::id::FlowId;
use cairn_store::audit::AuditFilter;
use cairn_store::{StoreError, WhenDurable};
use cairn_volumes::QuotaCommit;
use serde_json::json;

use crate::any::{Answer, Effect};
use crate::place::Place;
use crate::scene::{
    ann, apply, begin, create, end, events, id_of, refusal, reserve, state, volume,
};

pub(super) fn an_effect_is_taken_back_and_both_are_in_the_journal(place: &dyn Place) {
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

pub(super) fn a_refused_effect_leaves_nothing(place: &dyn Place) {
    let store = place.open();
    let call = begin(&*store);
    assert_eq!(refusal(apply(&*store, call, reserve(11))), "OverQuota");
    apply(&*store, call, reserve(10)).unwrap();
    store.barrier(call.flow).unwrap();
    assert_eq!(place.usage("volumes"), (0, 10));
}

pub(super) fn an_effect_of_a_call_that_is_over_is_refused(place: &dyn Place) {
    let store = place.open();
    let call = begin(&*store);
    end(&*store, call);
    let late = apply(&*store, call, reserve(1));
    assert!(matches!(late, Err(StoreError::CallClosed)));
    store.barrier(call.flow).unwrap();
    assert_eq!(place.usage("volumes"), (0, 0));
}

pub(super) fn an_operation_on_a_flow_is_in_the_audit_with_its_event(place: &dyn Place) {
    let (store, other) = (place.open(), place.open());
    let call = begin(&*store);
    let operated = Event::Operated {
        operation: "interrupt".to_owned(),
        by: Asker::new("root", "here"),
        reason: Some("it must".to_owned()),
    };
    let interrupted = state(FlowState::Running, FlowState::Interrupted);
    let events = [operated.clone(), interrupted];
    store.append(call.flow, &events).unwrap();
    store.barrier(call.flow).unwrap();
    assert!(self::events(&*store, call.flow).contains(&operated));
    if store.operators().is_none() {
        return;
    }
    let filter = AuditFilter::default();
    let found = other.read(&ann(), |view| view.audit(filter, 9)).unwrap();
    let [row] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        (&*row.action, &*row.user_id, &*row.source, &*row.subject),
        ("flow.interrupt", "root", "here", &*call.flow.to_string())
    );
    assert_eq!(row.reason.as_deref(), Some("it must"));
    assert_eq!(row.project_id.as_deref(), Some("acme"));
    assert_eq!(
        (&row.before, &row.after),
        (
            &json!({"state": "RUNNING"}),
            &json!({"state": "INTERRUPTED"})
        )
    );
}

pub(super) fn whoever_waits_is_told(place: &dyn Place) {
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

pub(super) fn many_flows_at_once_leave_books_that_are_right(place: &dyn Place) {
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
