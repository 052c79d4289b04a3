//! Lost batches, flows that are loaded again, and what the journal records.

use super::*;
use crate::batched::INBOX_MOST;

/// Returns text of about this many bytes that does not compress, so that it takes as many in the journal.
fn unpackable(bytes: usize) -> String {
    let pieces = std::iter::repeat_with(|| uuid::Uuid::new_v4().to_string());
    pieces.take(bytes / 36).collect()
}

#[test]
fn a_lost_batch_takes_with_it_the_flows_that_have_an_event_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    // Only a barrier commits.
    let config = SqliteConfig {
        batch: BatchConfig {
            age: Duration::from_secs(3600),
            ..BatchConfig::default()
        },
        ..crate::any::config(Default::default())
    };
    let store = Sqlite::open(&folder.path().join("a.db"), config, clock).unwrap();
    let (first, second, quiet) = (
        begin(&store, &ann()),
        begin(&store, &ann()),
        begin(&store, &ann()),
    );
    apply(&store, first, &ann(), reserve(1)).unwrap();
    store.barrier(first.flow).unwrap();
    store.barrier(quiet.flow).unwrap();

    // The disk is full from here on.
    {
        let mut writer = store.writer();
        writer.ledger.commit().unwrap();
        let pages: i64 = writer
            .ledger
            .backend
            .connection
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .unwrap();
        let full = format!("PRAGMA max_page_count = {pages}");
        writer
            .ledger
            .backend
            .connection
            .query_row(&full, [], |_| Ok(()))
            .unwrap();
    }
    apply(&store, second, &ann(), reserve(1)).unwrap();
    let log = Event::Log {
        task: first.task,
        level: cairn_effects::event::LogLevel::Info,
        message: unpackable(1 << 20),
    };
    let operated = Event::Operated {
        operation: "resume".to_owned(),
        by: cairn_model::audit::Asker::new("root", "here"),
        reason: None,
    };
    store.append(first.flow, &[operated, log]).unwrap();
    assert!(matches!(
        store.barrier(first.flow),
        Err(StoreError::Lost(_))
    ));
    let audit = store.read(&ann(), |view| view.audit(Default::default(), 9));
    assert_eq!(audit.unwrap(), [], "it is lost with its event");

    // Both had events in the batch; the third had none. Each call on them returns the reason.
    for call in [first, second] {
        let lost = apply(&store, call, &ann(), reserve(1)).unwrap_err();
        assert!(matches!(lost, StoreError::Lost(_)));
        let told = lost.to_string();
        assert!(
            told.contains("could not be written to the database") && told.contains("is full"),
            "{told}"
        );
        assert!(matches!(
            store.append(call.flow, &[]),
            Err(StoreError::Lost(_))
        ));
    }
    apply(&store, quiet, &ann(), reserve(1)).unwrap();
    {
        let writer = store.writer();
        writer
            .ledger
            .backend
            .connection
            .query_row("PRAGMA max_page_count = 1000000", [], |_| Ok(()))
            .unwrap();
    }

    // The disk holds the state of the last commit, and the flows continue from it.
    let numbers = |flow| {
        let entries = store.load(flow).unwrap();
        entries
            .iter()
            .filter(|entry| matches!(entry.event, Event::Applied(_)))
            .count()
    };
    assert_eq!(
        (
            numbers(first.flow),
            numbers(second.flow),
            numbers(quiet.flow)
        ),
        (1, 0, 1)
    );
    assert_eq!(rows(&store, &kind::USAGE)[0]["reserved"], 2);
    assert!(matches!(
        apply(&store, first, &ann(), reserve(1)),
        Err(StoreError::CallClosed)
    ));
}

/// Gives the database's path to this test's child process, which may not write files above a size limit.
const ON_A_SMALL_DISK: &str = "CAIRN_TEST_ON_A_SMALL_DISK";

#[test]
fn after_an_io_error_in_a_commit_the_connection_is_a_new_one_and_flows_go_on() {
    if let Some(path) = std::env::var_os(ON_A_SMALL_DISK) {
        return go_on_after_an_io_error(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    // A write beyond the limit is an error, not a signal.
    let shell = r#"trap '' XFSZ; ulimit -f 2000; exec "$0" "$@""#;
    let name = std::thread::current().name().unwrap().to_owned();
    let run = std::process::Command::new("sh")
        .args(["-c", shell])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(ON_A_SMALL_DISK, folder.path().join("a.db"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
}

fn go_on_after_an_io_error(path: &Path) {
    let config = SqliteConfig {
        // Only a barrier commits.
        batch: BatchConfig {
            age: Duration::from_secs(3600),
            ..BatchConfig::default()
        },
        patience: Duration::from_millis(1234),
        ..crate::any::config(Default::default())
    };
    let store = Sqlite::open(path, config, Arc::new(ManualClock::new(Timestamp(0)))).unwrap();
    let (large, quiet) = (begin(&store, &ann()), begin(&store, &ann()));
    apply(&store, large, &ann(), reserve(1)).unwrap();
    store.barrier(large.flow).unwrap();
    store.barrier(quiet.flow).unwrap();
    let marks = |store: &Sqlite| -> i64 {
        let query = "SELECT count(*) FROM temp.sqlite_schema WHERE name = 'mark'";
        let writer = store.writer();
        writer
            .ledger
            .backend
            .connection
            .query_row(query, [], |row| row.get(0))
            .unwrap()
    };
    {
        let writer = store.writer();
        // The temporary table exists only as long as its connection.
        writer
            .ledger
            .backend
            .connection
            .execute_batch("CREATE TEMP TABLE mark (x)")
            .unwrap();
    }
    assert_eq!(marks(&store), 1);

    apply(&store, large, &ann(), reserve(1)).unwrap();
    let log = Event::Log {
        task: large.task,
        level: cairn_effects::event::LogLevel::Info,
        message: unpackable(2 << 20),
    };
    store.append(large.flow, &[log]).unwrap();
    let lost = store.barrier(large.flow).unwrap_err().to_string();
    // SQLITE_IOERR_WRITE.
    assert!(lost.contains("SQLite code 778"), "{lost}");

    assert_eq!(marks(&store), 0, "it is the connection that failed");
    {
        let writer = store.writer();
        assert!(writer.ledger.backend.connection.is_autocommit());
        for (pragma, expected) in [
            ("busy_timeout", 1234),
            ("synchronous", 2),
            ("foreign_keys", 1),
            ("wal_autocheckpoint", 0),
        ] {
            let query = format!("PRAGMA {pragma}");
            let value: i64 = writer
                .ledger
                .backend
                .connection
                .query_row(&query, [], |row| row.get(0))
                .unwrap();
            assert_eq!(value, expected, "{pragma}");
        }
    }
    // The flow without entries in the batch continues; the other one continues from its state on disk.
    apply(&store, quiet, &ann(), reserve(1)).unwrap();
    store.barrier(quiet.flow).unwrap();
    assert!(matches!(
        apply(&store, large, &ann(), reserve(1)),
        Err(StoreError::Lost(_))
    ));
    let journal = store.load(large.flow).unwrap();
    let applied = journal.iter();
    let applied = applied.filter(|entry| matches!(entry.event, Event::Applied(_)));
    assert_eq!(applied.count(), 1);
    let again = Event::Started {
        task: large.task,
        name: "one".to_owned(),
        attempt: 2,
    };
    store.append(large.flow, &[again]).unwrap();
    let again = CallId {
        attempt: 2,
        ..large
    };
    apply(&store, again, &ann(), reserve(1)).unwrap();
    store.barrier(large.flow).unwrap();
    assert_eq!(rows(&store, &kind::USAGE)[0]["reserved"], 3);
}

#[test]
fn a_batch_is_committed_though_whoever_waited_for_the_last_one_panicked() {
    let store = memory();
    for _ in 0..2 {
        let call = begin(&store, &ann());
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        // Only the flusher commits, and so runs the callback.
        let then = move |durable: Result<(), StoreError>| {
            let _ = tell.send(durable.is_ok());
            panic!("whoever is told panics");
        };
        store.when_durable(call.flow, WhenDurable::new(then));
        assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(true));
    }
}

#[test]
fn so_many_flows_that_have_ended_commit_a_batch_and_flows_that_go_on_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let config = SqliteConfig {
        batch: BatchConfig {
            age: Duration::from_secs(3600),
            waiting: 2,
            ..BatchConfig::default()
        },
        ..crate::any::config(Default::default())
    };
    let store = Sqlite::open(&folder.path().join("a.db"), config, clock).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let wait = |call: CallId, said: &'static str| {
        let tell = tell.clone();
        let then = move |durable: Result<(), StoreError>| {
            durable.unwrap();
            tell.send(said).unwrap();
        };
        store.when_durable(call.flow, WhenDurable::new(then));
    };
    let end = |call: CallId| {
        let succeeded = Event::Succeeded {
            task: call.task,
            result: Arc::new(Value::Null),
        };
        let ended = Event::State {
            from: FlowState::Running,
            to: FlowState::Success,
        };
        store.append(call.flow, &[succeeded, ended]).unwrap();
    };
    let [one, two, three] = [(); 3].map(|()| begin(&store, &ann()));
    for call in [one, two, three] {
        wait(call, "began");
    }
    end(one);
    wait(one, "ended");
    end(two);
    // Messages to the writer are taken by its next user.
    store.write(|_| ());
    assert_eq!(store.commits(), 0, "three wait, and one of them has ended");
    wait(two, "ended");
    store.write(|_| ());
    assert_eq!(store.commits(), 1);
    let said: Vec<&str> = told.try_iter().collect();
    assert_eq!(said, ["began", "began", "began", "ended", "ended"]);
}

#[test]
fn a_batch_that_nobody_waits_for_is_committed_soon() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(0)));
    let store = Sqlite::open(
        &path,
        crate::any::config(Default::default()),
        Arc::clone(&clock),
    )
    .unwrap();
    let call = begin(&store, &ann());
    let reader =
        crate::view::Reader::open(&path, crate::any::config(Default::default()), clock).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let somebody = ann();
    while reader
        .view(&somebody)
        .journal(call.flow)
        .unwrap()
        .is_empty()
    {
        assert!(Instant::now() < deadline, "the batch is still open");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let open = || {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        Sqlite::open(&path, crate::any::config(Default::default()), clock)
    };
    drop(open().unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    drop(connection);
    let error = open().err().unwrap().to_string();
    assert!(
        error.contains("newer version") && error.contains("a.db"),
        "{error}"
    );
}

#[test]
fn a_key_is_copied_and_deleted_within_its_flow_and_its_project() {
    let store = memory();
    let call = begin(&store, &ann());
    let key = |result: Result<(Answer, Applied), StoreError>| match result.unwrap() {
        (Answer::Key(id), applied) => (id, applied),
        (other, _) => panic!("a key was expected, not {other:?}"),
    };
    let (first, _) = key(apply(
        &store,
        call,
        &ann(),
        Effect::KeyCreate(cairn_volumes::KeyCreate),
    ));
    let copy = |id: &str| Effect::KeyCopy(cairn_volumes::KeyCopy { id: id.to_owned() });
    let (second, copied) = key(apply(&store, call, &ann(), copy(&first)));
    assert_ne!(first, second);
    store.undo(&copied).unwrap();
    assert_eq!(
        refusal(apply(&store, call, &ann(), copy(&second))),
        "KeyNotFound"
    );
    let bob = Identity::new("bob", "umbrella");
    let theirs = begin(&store, &bob);
    assert_eq!(
        refusal(apply(&store, theirs, &bob, copy(&first))),
        "KeyNotFound"
    );
    let delete = Effect::KeyDelete(cairn_volumes::KeyDelete { id: first.clone() });
    let (_, deleted) = apply(&store, call, &ann(), delete).unwrap();
    assert_eq!(
        refusal(apply(&store, call, &ann(), copy(&first))),
        "KeyNotFound"
    );
    store.undo(&deleted).unwrap();
    apply(&store, call, &ann(), copy(&first)).unwrap();
}

#[test]
fn an_amount_that_no_counter_can_hold_is_refused_and_costs_nobody_else_anything() {
    let store = memory();
    let limit =
        |admin: &mut crate::admin::Admin<'_>| admin.set_project_limit("acme", "volumes", Some(-1));
    store.admin(&ann(), limit).unwrap();
    let (first, second) = (begin(&store, &ann()), begin(&store, &ann()));
    apply(&store, first, &ann(), reserve(2)).unwrap();
    let refused = refusal(apply(&store, second, &ann(), reserve(i64::MAX)));
    assert_eq!(refused, "OverQuota");
    apply(&store, first, &ann(), reserve(1)).unwrap();
    assert_eq!(rows(&store, &kind::USAGE)[0]["reserved"], 3);
}

#[test]
fn a_look_up_of_what_is_anothers_is_noted() {
    let store = memory();
    let bob = Identity::new("bob", "umbrella");
    let (mine, theirs) = (begin(&store, &ann()), begin(&store, &bob));
    let (id, _) = made(apply(&store, mine, &ann(), create()));
    let caller = Caller {
        call: Some(theirs),
        requester: &bob,
    };
    refusal(Query::Volume(id.clone()).ask_in(&store, caller));
    let noted = events(&store, theirs.flow);
    assert!(
        noted
            .iter()
            .any(|event| matches!(event, Event::Denied { id: named, .. } if *named == id))
    );
}

#[test]
fn a_flow_that_was_loaded_anew_outlives_its_old_handle() {
    let store = memory();
    let call = begin(&store, &ann());
    store.barrier(call.flow).unwrap();
    store.load(call.flow).unwrap();
    store.release(call.flow);
    let log = Event::Log {
        task: call.task,
        level: cairn_effects::event::LogLevel::Info,
        message: "still here".to_owned(),
    };
    store.append(call.flow, &[log]).unwrap();
    store.release(call.flow);
    store.barrier(call.flow).unwrap();
    assert!(
        store.append(call.flow, &[]).is_err(),
        "nobody writes to it any more"
    );
}

#[test]
fn who_says_more_than_the_inbox_holds_waits_for_the_writer() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    const MESSAGES: usize = 64;
    let store = memory();
    let call = begin(&store, &ann());
    let log = Event::Log {
        task: call.task,
        level: cairn_effects::event::LogLevel::Info,
        message: "x".repeat(1 << 20),
    };
    let log: Arc<[Event]> = [log].into();
    let said = AtomicUsize::new(0);
    let writer = store.writer();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..MESSAGES {
                store.post(call.flow, &log);
                said.fetch_add(1, Ordering::SeqCst);
            }
        });
        let since = Instant::now();
        while said.load(Ordering::SeqCst) < INBOX_MOST >> 21 {
            assert!(since.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(50));
        assert!(said.load(Ordering::SeqCst) <= INBOX_MOST >> 20);
        drop(writer);
    });
    store.barrier(call.flow).unwrap();
    let entries = store.load(call.flow).unwrap();
    let logs = entries.iter();
    let logs = logs.filter(|entry| matches!(entry.event, Event::Log { .. }));
    assert_eq!(logs.count(), MESSAGES, "nothing is lost");
}
