//! Crashes during requests of operators, and flows that cannot be recovered.

use std::sync::Arc;

use acceptance::crash::{Death, Task, check};
use cairn::audit::Asker;
use cairn::clock::SystemClock;
use cairn::event::{Entry, Event, FlowState};
use cairn::store::HostStore as _;
use cairn::store::audit::AuditFilter;
use cairn::store::operation::{Asked, Operation};
use cairn::store::view::FlowFilter;
use cairn::{FlowId, Identity, Sqlite};
use rusqlite::Connection;

use super::{End, Lives};

/// Returns a flow whose process died while it ran forward.
fn left_behind() -> (Lives, FlowId) {
    let lives = Lives::new(None, false, 1);
    let death = Death {
        point: "EffectApplied".to_owned(),
        reverting: false,
        time: 3,
    };
    assert!(matches!(lives.live(Task::Run, Some(&death)), End::Death));
    let flows = flows(&lives);
    assert_eq!(flows.len(), 1);
    (lives, flows[0])
}

fn open(lives: &Lives) -> Sqlite {
    Sqlite::open(
        &lives.database(),
        acceptance::any::config(Default::default()),
        Arc::new(SystemClock),
    )
    .unwrap()
}

fn flows(lives: &Lives) -> Vec<FlowId> {
    let nobody = Identity::default();
    let flows = open(lives).read(&nobody, |view| view.flows(FlowFilter::default(), 10));
    flows.unwrap().iter().map(|flow| flow.id).collect()
}

fn at(point: &str) -> Death {
    Death {
        point: point.to_owned(),
        reverting: false,
        time: 1,
    }
}

#[test]
fn what_was_asked_of_a_flow_is_done_once_though_its_server_dies() {
    for point in ["RequestServed", "RequestAnswered"] {
        let (lives, flow) = left_behind();
        let request = open(&lives)
            .ask(flow, &Operation::Interrupt.into())
            .unwrap();
        assert!(
            matches!(lives.live(Task::Serve, Some(&at(point))), End::Death),
            "{point}"
        );
        assert!(matches!(lives.live(Task::Serve, None), End::Natural(_)));
        let answer = open(&lives).answer_to(request).unwrap().expect("an answer");
        assert_eq!(answer["state"], "INTERRUPTED", "{point}");
        let found = check(&lives.database()).unwrap();
        assert_eq!(found.flows[&flow].0, FlowState::Interrupted, "{point}");
    }
}

#[test]
fn an_operation_is_in_the_journal_and_in_the_audit_or_in_neither_wherever_its_server_dies() {
    let deaths =
        ["BatchWritten", "BatchCommitted"].map(|point| (1..=4).map(move |time| (point, time)));
    let mut died = 0;
    for (point, time) in deaths.into_iter().flatten() {
        let (lives, flow) = left_behind();
        let asked = Asked {
            operation: Operation::Interrupt,
            by: Some(Asker::new("ann", "here")),
        };
        open(&lives).ask(flow, &asked).unwrap();
        let of_flows = AuditFilter {
            action: Some("flow"),
            ..AuditFilter::default()
        };
        let recorded = || {
            let store = open(&lives);
            let nobody = Identity::default();
            let (journal, audit) = store
                .read(&nobody, |view| {
                    Ok((view.journal(flow)?, view.audit(of_flows, 9)?))
                })
                .unwrap();
            let is_asked = |entry: &&Entry| matches!(entry.event, Event::Operated { .. });
            assert!(audit.iter().all(|row| row.user_id == "ann"), "{audit:?}");
            (journal.iter().filter(is_asked).count(), audit.len())
        };
        let death = Death { time, ..at(point) };
        died += usize::from(matches!(lives.live(Task::Serve, Some(&death)), End::Death));
        let (events, rows) = recorded();
        assert!(
            events == rows && rows <= 1,
            "{point} {time}: {events}, {rows}"
        );
        assert!(matches!(lives.live(Task::Serve, None), End::Natural(_)));
        assert_eq!(recorded(), (1, 1), "{point} {time}");
    }
    assert!(died > 2, "{died}");
}

#[test]
fn a_flow_that_cannot_be_recovered_is_set_aside_until_it_can() {
    let (lives, flow) = left_behind();
    let db = Connection::open(lives.database()).unwrap();
    db.execute_batch("CREATE TABLE gone AS SELECT * FROM plans; DELETE FROM plans")
        .unwrap();
    assert!(matches!(
        lives.live(Task::Recover, Some(&at("FlowSetAside"))),
        End::Death
    ));
    let reason = |db: &Connection| {
        db.query_row("SELECT stuck FROM flows", [], |row| {
            row.get::<_, Option<String>>(0)
        })
        .unwrap()
    };
    assert!(reason(&db).unwrap().contains("is not stored"));
    assert!(matches!(lives.live(Task::Recover, None), End::Natural(_)));
    assert!(
        reason(&db).is_some(),
        "it is tried again, and set aside again"
    );
    db.execute_batch("INSERT INTO plans SELECT * FROM gone; DROP TABLE gone")
        .unwrap();
    let found = lives.recovered("with its plan back");
    assert_eq!(found.flows[&flow].0, FlowState::Failure);
    assert_eq!(reason(&db), None);
}
