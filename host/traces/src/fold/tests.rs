use std::sync::Arc;

use uuid::Uuid;

use cairn_effects::event::Disposition;
use cairn_model::error::Cause;
use cairn_model::value::Value;

use super::*;

const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn flow() -> FlowId {
    FlowId(Uuid::from_u128(0x01a2_24b9_6747_75f6_8b56_6ecb_f5e3_f709))
}

fn task(number: u128) -> TaskId {
    TaskId(Uuid::from_u128(number))
}

fn created(trace: Option<&str>) -> Event {
    let requester = Identity {
        trace: trace.map(|trace| trace.parse().unwrap()),
        request_id: "req-1".to_owned(),
        ..Identity::new("ann", "acme")
    };
    Event::Created {
        name: "greet".to_owned(),
        requester,
        request: Value::Null,
        plan: None,
        key: None,
        asked: None,
    }
}

fn started(number: u128, attempt: u32) -> Event {
    Event::Started {
        task: task(number),
        name: format!("t{number}"),
        attempt,
    }
}

fn succeeded(number: u128) -> Event {
    Event::Succeeded {
        task: task(number),
        result: Arc::new(Value::Null),
    }
}

fn error() -> TaskError {
    TaskError::new("NoDisk", "there is no disk")
}

fn state(from: FlowState, to: FlowState) -> Event {
    Event::State { from, to }
}

/// Folds events, each a second after the one before.
fn fold(events: Vec<Event>) -> (FlowTrace, Vec<Span>) {
    let (mut trace, mut spans) = (FlowTrace::new(flow()), Vec::new());
    for (second, event) in (1..).zip(events) {
        let at = Timestamp(second * 1_000_000);
        trace.note(&Entry { at, event }, &mut spans);
    }
    (trace, spans)
}

/// Name, begin, end, and the kind of the error.
fn told(spans: &[Span]) -> Vec<(&str, i64, i64, Option<&str>)> {
    let spans = spans.iter();
    spans
        .map(|span| {
            let error = span.error.as_ref().map(|(kind, _)| kind.as_str());
            let seconds = |at: Timestamp| at.0 / 1_000_000;
            (&*span.name, seconds(span.began), seconds(span.ended), error)
        })
        .collect()
}

fn failed_flow(trace: Option<&str>) -> Vec<Event> {
    vec![
        created(trace),
        state(FlowState::Pending, FlowState::Running),
        started(1, 1),
        succeeded(1),
        started(2, 1),
        Event::Retried {
            task: task(2),
            error: error(),
        },
        started(2, 2),
        Event::TaskFailed {
            task: task(2),
            error: error(),
        },
        Event::Failed(Cause {
            task: "t2".to_owned(),
            error: error(),
        }),
        state(FlowState::Running, FlowState::Reverting),
        Event::Reverting {
            task: task(1),
            attempt: 1,
        },
        Event::Reverted {
            task: task(1),
            disposition: Disposition::Undo,
        },
        state(FlowState::Reverting, FlowState::Failure),
    ]
}

#[test]
fn each_attempt_of_a_call_or_revert_is_a_span_and_so_is_the_flow() {
    let (trace, spans) = fold(failed_flow(None));
    let expected = [
        ("call t1", 3, 4, None),
        ("call t2", 5, 6, Some("NoDisk")),
        ("call t2", 7, 8, Some("NoDisk")),
        ("revert t1", 11, 12, None),
        ("greet", 1, 13, Some("NoDisk")),
    ];
    assert_eq!(told(&spans), expected);
    assert!(trace.is_over());
    let (root, parts) = spans.split_last().unwrap();
    assert_eq!(root.parent, None);
    assert_eq!(root.trace.to_string(), flow().0.simple().to_string());
    for span in parts {
        assert_eq!((span.trace, span.parent), (root.trace, Some(root.id)));
    }
    let mut ids: Vec<_> = spans.iter().map(|span| span.id.to_bytes()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len());
}

#[test]
fn the_trace_is_the_callers_if_the_request_names_one() {
    let (_, spans) = fold(failed_flow(Some(SENT)));
    let sent: TraceContext = SENT.parse().unwrap();
    assert!(spans.iter().all(|span| span.trace == sent.trace_id));
    let root = spans.last().unwrap();
    assert_eq!((root.parent, root.is_entry), (Some(sent.parent_id), true));
}

#[test]
fn nothing_is_recorded_of_a_trace_that_its_caller_does_not_record() {
    let (trace, spans) = fold(failed_flow(Some(&SENT.replace("-01", "-00"))));
    assert_eq!((spans, trace.is_recorded()), (vec![], false));
    let at = Timestamp(1);
    assert_eq!(trace.commit(0, 3, at, at), None);
}

#[test]
fn a_wait_is_one_span_however_often_it_is_interrupted() {
    let waits = || Event::Waits {
        task: task(1),
        name: "approval".to_owned(),
        signal: Some("approved".to_owned()),
        wake_at: None,
    };
    let interrupted = state(FlowState::Running, FlowState::Interrupted);
    let (trace, spans) = fold(vec![
        created(None),
        waits(),
        interrupted,
        waits(),
        succeeded(1),
    ]);
    assert_eq!(told(&spans), [("wait approval", 2, 5, None)]);
    assert!(!trace.is_over());
}

#[test]
fn a_call_whose_process_died_ends_with_the_next_attempt() {
    let (_, spans) = fold(vec![
        created(None),
        started(1, 1),
        started(1, 2),
        succeeded(1),
    ]);
    let expected = [("call t1", 2, 3, Some("Lost")), ("call t1", 3, 4, None)];
    assert_eq!(told(&spans), expected);
}

#[test]
fn a_rollback_after_the_end_is_a_span_of_its_own() {
    let (trace, spans) = fold(vec![
        created(None),
        started(1, 1),
        succeeded(1),
        state(FlowState::Running, FlowState::Success),
        state(FlowState::Success, FlowState::Reverting),
        Event::Reverting {
            task: task(1),
            attempt: 1,
        },
        Event::Reverted {
            task: task(1),
            disposition: Disposition::Undo,
        },
        state(FlowState::Reverting, FlowState::Failure),
    ]);
    let expected = [
        ("call t1", 2, 3, None),
        ("greet", 1, 4, None),
        ("revert t1", 6, 7, None),
        ("roll back greet", 5, 8, None),
    ];
    assert_eq!(told(&spans), expected);
    assert!(trace.is_over());
}

fn intent(effect: &'static str) -> Event {
    let call = CallId {
        flow: flow(),
        task: task(1),
        phase: Phase::Call,
        attempt: 1,
    };
    let id = ["dns", "record", "0193a1b2-0000-7000-8000-000000000001"].map(Arc::from);
    Event::Applied(Applied {
        number: 1,
        call,
        effect: effect.into(),
        changes: vec![cairn_effects::effect::Change::Row {
            table: "externals".into(),
            id: cairn_effects::rows::Key(id.into_iter().collect()),
            before: None,
            after: None,
        }],
    })
}

#[test]
fn an_act_is_a_span_within_its_call_and_its_undoing_one_within_the_revert() {
    let doubt = || Event::InDoubt {
        number: 1,
        error: error(),
    };
    let (_, spans) = fold(vec![
        created(None),
        started(1, 1),
        intent("external_make"),
        doubt(),
        Event::Settled {
            number: 1,
            result: Arc::new(Value::Null),
        },
        succeeded(1),
        state(FlowState::Running, FlowState::Reverting),
        Event::Reverting {
            task: task(1),
            attempt: 1,
        },
        Event::Removing { number: 1 },
        doubt(),
        Event::Removing { number: 1 },
        Event::Undone { number: 1 },
        Event::Reverted {
            task: task(1),
            disposition: Disposition::Undo,
        },
    ]);
    let expected = [
        ("make record", 3, 5, None),
        ("call t1", 2, 6, None),
        ("remove record", 9, 12, None),
        ("revert t1", 8, 13, None),
    ];
    assert_eq!(told(&spans), expected);
    assert_eq!(spans[0].parent, Some(spans[1].id));
    assert_eq!(spans[2].parent, Some(spans[3].id));
    // What the provider's requests name as their sender.
    let object = "0193a1b2-0000-7000-8000-000000000001";
    assert_eq!(spans[0].id, flow().span_of_act("make", object));
    assert_eq!(spans[2].id, flow().span_of_act("remove", object));
}

#[test]
fn an_act_that_is_in_doubt_when_the_flow_ends_has_failed() {
    let (trace, spans) = fold(vec![
        created(None),
        started(1, 1),
        intent("external_remove"),
        succeeded(1),
        state(FlowState::Running, FlowState::Failure),
    ]);
    let act = spans.iter().find(|span| span.name == "remove record");
    let error = act.and_then(|act| act.error.clone());
    assert_eq!(error.map(|(kind, _)| kind).as_deref(), Some("InDoubt"));
    assert!(trace.is_over());
}

#[test]
fn a_commit_is_a_span_of_the_flow() {
    let (trace, _) = fold(vec![created(None), started(1, 1)]);
    let span = trace.commit(0, 2, Timestamp(5), Timestamp(9)).unwrap();
    assert_eq!((&*span.name, span.parent), ("commit", Some(flow().span())));
    assert_eq!((span.began, span.ended), (Timestamp(5), Timestamp(9)));
    let entries = ("cairn.commit.entries", Attribute::Number(2));
    assert!(span.attributes.contains(&entries));
}

#[test]
fn a_clock_that_is_set_back_makes_no_span_that_ends_before_it_begins() {
    let (mut trace, mut spans) = (FlowTrace::new(flow()), Vec::new());
    for (at, event) in [(9, created(None)), (8, started(1, 1)), (3, succeeded(1))] {
        let at = Timestamp(at);
        trace.note(&Entry { at, event }, &mut spans);
    }
    assert_eq!(
        (spans[0].began, spans[0].ended),
        (Timestamp(8), Timestamp(8))
    );
}
