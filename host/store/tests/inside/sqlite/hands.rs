//! A flow at rest, and two processes that may continue it: two stores on one database.

use std::path::Path;

use rusqlite::types::Value as Cell;

use super::*;
use FlowState::{Interrupted, Pending, Running, Started};

fn open(path: &Path) -> Sqlite {
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    Sqlite::open(path, crate::any::config(Default::default()), clock).unwrap()
}

fn changes(states: &[FlowState]) -> Vec<Event> {
    let changes = states.windows(2).map(|two| Event::State {
        from: two[0],
        to: two[1],
    });
    changes.collect()
}

/// Creates a flow at rest in INTERRUPTED; returns its call and the effect of its one task.
fn interrupted(store: &Sqlite) -> (CallId, Applied) {
    let call = begin(store, &ann());
    let (_, applied) = made(apply(store, call, &ann(), create()));
    let succeeded = Event::Succeeded {
        task: call.task,
        result: Arc::new(Value::Null),
    };
    store.append(call.flow, &[succeeded]).unwrap();
    store
        .append(call.flow, &changes(&[Running, Interrupted]))
        .unwrap();
    store.barrier(call.flow).unwrap();
    (call, applied)
}

/// Loads a flow at rest, and takes it through these states.
fn take_up(store: &Sqlite, flow: FlowId, states: &[FlowState]) {
    store.load(flow).unwrap();
    store.append(flow, &changes(states)).unwrap();
    store.barrier(flow).unwrap();
}

/// Returns the rows that flows write, as they are on disk.
fn written(path: &Path) -> Vec<Vec<Cell>> {
    let db = rusqlite::Connection::open(path).unwrap();
    let mut all = Vec::new();
    for table in ["flows", "journal", "volumes", "quota_usages", "outbox"] {
        let mut statement = db
            .prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2"))
            .unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect());
        all.extend(rows.unwrap().map(Result::unwrap));
    }
    all
}

#[test]
fn a_flow_that_another_process_went_on_with_is_not_written_to() {
    type Tries = fn(&Sqlite, &CallId, &Applied) -> Result<(), StoreError>;
    let ways: [(&str, Tries); 3] = [
        ("an event", |store, call, _| {
            let events = changes(&[Interrupted, Pending, Started]);
            store.append(call.flow, &events).map(drop)
        }),
        ("a posted event", |store, call, _| {
            store.post(call.flow, &changes(&[Interrupted, Pending]).into());
            store.barrier(call.flow)
        }),
        ("an effect that is undone", |store, _, applied| {
            store.undo(applied)
        }),
    ];
    // The other process still owns it, or it is at rest again.
    let others = [
        &[Interrupted, Pending, Started][..],
        &[Interrupted, Pending, Started, Interrupted],
    ];
    for ((way, tries), states) in ways
        .into_iter()
        .flat_map(|way| others.map(|states| (way, states)))
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let (first, second) = (open(&path), open(&path));
        let (call, applied) = interrupted(&first);
        let flow = call.flow;
        take_up(&second, flow, states);
        let before = written(&path);

        let tried = tries(&first, &call, &applied);
        assert!(
            matches!(tried, Err(StoreError::WentOn(which)) if which == flow),
            "{way}, {states:?}: {tried:?}"
        );
        // Later writes fail too, until the flow is loaded again.
        let again = first.append(flow, &changes(&[Interrupted, Pending]));
        assert!(again.is_err(), "{way}, {states:?}");
        assert!(first.barrier(flow).is_err(), "{way}, {states:?}");
        first.flush();
        assert_eq!(written(&path), before, "{way}, {states:?}");

        if states.ends_with(&[Interrupted]) {
            take_up(&first, flow, &[Interrupted, Pending]);
            let last = events(&first, flow).pop();
            assert!(matches!(last, Some(Event::State { to: Pending, .. })));
        } else {
            let loaded = first.load(flow);
            assert!(
                matches!(loaded, Err(StoreError::InHand { .. })),
                "{way}: {loaded:?}"
            );
        }
    }
}

#[test]
fn of_two_processes_that_load_a_flow_the_first_that_writes_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let (first, second) = (open(&path), open(&path));
    let flow = interrupted(&first).0.flow;
    // Loading alone does not take ownership.
    second.load(flow).unwrap();
    let resumed = changes(&[Interrupted, Pending, Started]);
    first.append(flow, &resumed).unwrap();
    first.barrier(flow).unwrap();
    let before = written(&path);
    let late = second.append(flow, &resumed);
    assert!(matches!(late, Err(StoreError::WentOn(_))), "{late:?}");
    second.flush();
    assert_eq!(written(&path), before);
    first.append(flow, &changes(&[Started, Running])).unwrap();
    first.barrier(flow).unwrap();
}
