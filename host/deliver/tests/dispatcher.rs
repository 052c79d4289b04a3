//! What the dispatcher does with messages, whatever takes them.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cairn_deliver::{Limits, Outcome};
use cairn_effects::event::FlowState;
use cairn_effects::rows::Cell;
use cairn_store::HostStore;
use support::{Fake, LIMITS, ann, flow, hurry, open, outbox, retry, send, until};

fn folder() -> (tempfile::TempDir, Arc<dyn HostStore>) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("cairn.db"));
    (folder, store)
}

#[test]
fn what_a_flow_sent_is_published_once_it_succeeded_and_its_row_is_removed() {
    let (_folder, store) = folder();
    let fake = Fake::confirming();
    let dispatcher = fake.start(&store, LIMITS);
    flow(&store, &["failed"], FlowState::Failure);
    flow(&store, &["one"], FlowState::Success);
    dispatcher.wake();
    assert_eq!(dispatcher.settle(Duration::from_secs(20)).messages, 0);
    assert_eq!(fake.methods(), ["one"]);
    assert!(outbox(&store).is_empty());
}

#[test]
fn nothing_is_published_before_success_is_on_disk() {
    let (folder, store) = folder();
    // Another process, which sees what is on disk.
    let other = open(&folder.path().join("cairn.db"));
    let early = Arc::new(AtomicUsize::new(0));
    let fake = Fake::new({
        let early = Arc::clone(&early);
        move |message| {
            let flow = message.flow.unwrap();
            let id = Cell::Blob(flow.0.as_bytes().as_slice().into());
            let statement = "SELECT 1 FROM flows WHERE id = $1 AND state = 'SUCCESS'";
            let found = other.read(&ann(), |view| view.query(statement, &[id]));
            early.fetch_add(usize::from(found.unwrap().is_empty()), Ordering::SeqCst);
            Outcome::Confirmed
        }
    });
    let dispatcher = fake.start(&store, LIMITS);
    for number in 0..300 {
        let state = [FlowState::Success, FlowState::Failure][number % 2];
        send(&store, &[&format!("m{number}")], state);
        dispatcher.wake();
    }
    store.flush();
    assert_eq!(dispatcher.settle(Duration::from_secs(20)).messages, 0);
    assert_eq!(
        (fake.methods().len(), early.load(Ordering::SeqCst)),
        (150, 0)
    );
}

#[test]
fn messages_of_one_flow_go_in_their_order_and_wait_for_each_other() {
    let (_folder, store) = folder();
    let first = Arc::new(AtomicUsize::new(0));
    let fake = Fake::new({
        let first = Arc::clone(&first);
        move |message| match &*message.method {
            "a1" if first.fetch_add(1, Ordering::SeqCst) == 0 => retry("busy"),
            _ => Outcome::Confirmed,
        }
    });
    flow(&store, &["a1", "a2", "a3"], FlowState::Success);
    flow(&store, &["b1", "b2"], FlowState::Success);
    let dispatcher = fake.start(&store, LIMITS);
    until("the other flow is not held up", || {
        fake.methods().contains(&"b2".to_owned())
    });
    assert!(
        !fake.methods().contains(&"a2".to_owned()),
        "it waits for a1"
    );
    hurry(&store);
    assert_eq!(dispatcher.settle(Duration::from_secs(20)).messages, 0);
    let mut methods = fake.methods();
    methods.retain(|method| method.starts_with('a'));
    assert_eq!(methods, ["a1", "a1", "a2", "a3"]);
    assert!(
        fake.pages().iter().all(|page| *page <= 2),
        "one message of each flow at a time"
    );
}

#[test]
fn a_message_that_cannot_be_delivered_fails_after_its_attempts_and_lets_the_next_go() {
    let (_folder, store) = folder();
    let fake = Fake::new(|message| match &*message.method {
        "lost" => Outcome::Unroutable("no queue".to_owned()),
        "refused" => Outcome::Refused("never".to_owned()),
        _ => Outcome::Confirmed,
    });
    flow(&store, &["lost", "after"], FlowState::Success);
    flow(&store, &["refused", "then"], FlowState::Success);
    let limits = Limits {
        attempts: 3,
        ..LIMITS
    };
    let dispatcher = fake.start(&store, limits);
    until("a refused message is not tried again", || {
        outbox(&store).get("refused") == Some(&("failed".to_owned(), 1, Some("never".to_owned())))
    });
    for attempt in 1..3 {
        until("the attempt is recorded", || {
            outbox(&store).get("lost")
                == Some(&("sending".to_owned(), attempt, Some("no queue".to_owned())))
        });
        hurry(&store);
        dispatcher.wake();
    }
    until("it is given up, and what waited for it goes", || {
        let outbox = outbox(&store);
        outbox.get("lost") == Some(&("failed".to_owned(), 3, Some("no queue".to_owned())))
            && !outbox.contains_key("after")
    });
    let unsent = dispatcher.settle(Duration::from_secs(20));
    assert_eq!(unsent.messages, 0, "what failed is not waited for");
    let methods: BTreeSet<String> = fake.methods().into_iter().collect();
    assert!(methods.contains("after") && methods.contains("then"));
}

#[test]
fn an_operator_retries_or_discards_what_failed() {
    let (_folder, store) = folder();
    let fake = Fake::new(|_| Outcome::Refused("closed".to_owned()));
    flow(&store, &["one"], FlowState::Success);
    flow(&store, &["two"], FlowState::Success);
    let dispatcher = fake.start(&store, LIMITS);
    let is_failed = || {
        outbox(&store)
            .values()
            .filter(|(state, ..)| state == "failed")
            .count()
    };
    until("both failed", || is_failed() == 2);
    let id = |method: &str| {
        let taken = fake.taken.lock();
        taken.iter().find(|(_, of)| of == method).unwrap().0.clone()
    };
    let (one, two) = (id("one"), id("two"));
    let admin = ann().into_admin();
    for change in [
        store.admin(&ann(), |admin| admin.retry_cast(&one)),
        store.admin(&ann(), |admin| admin.discard_cast(&two)),
    ] {
        assert!(change.unwrap_err().to_string().contains("AdminRequired"));
    }
    fake.answers(|_| Outcome::Confirmed);
    store
        .admin(&admin, |admin| admin.discard_cast(&two))
        .unwrap();
    store.admin(&admin, |admin| admin.retry_cast(&one)).unwrap();
    assert_eq!(dispatcher.settle(Duration::from_secs(20)).messages, 0);
    assert!(outbox(&store).is_empty());
    assert_eq!(
        fake.methods()
            .iter()
            .filter(|method| *method == "one")
            .count(),
        2
    );
    assert!(
        store.admin(&admin, |admin| admin.retry_cast(&one)).is_err(),
        "it is gone"
    );
}

#[test]
fn while_nobody_is_reached_messages_wait_and_no_attempt_is_counted() {
    let (_folder, store) = folder();
    let fake = Fake::new(|_| Outcome::Unreached("no route".to_owned()));
    for number in 0..3 {
        flow(&store, &[&format!("m{number}")], FlowState::Success);
    }
    let dispatcher = fake.start(&store, LIMITS);
    let unsent = dispatcher.settle(Duration::from_secs(20));
    assert_eq!(
        (unsent.messages, unsent.error.as_deref()),
        (3, Some("no route"))
    );
    let waiting = ("sending".to_owned(), 0, Some("no route".to_owned()));
    assert!(outbox(&store).values().all(|message| *message == waiting));
    fake.answers(|_| Outcome::Confirmed);
    until("they go when it is reached", || outbox(&store).is_empty());
}

#[test]
fn a_transport_that_panics_or_answers_too_little_loses_nothing() {
    let (_folder, store) = folder();
    let times = Arc::new(AtomicUsize::new(0));
    let fake = Fake::new(move |_| {
        assert!(
            times.fetch_add(1, Ordering::SeqCst) > 0,
            "the transport's own fault"
        );
        Outcome::Confirmed
    });
    flow(&store, &["one"], FlowState::Success);
    let _dispatcher = fake.start(&store, LIMITS);
    until("it is published again", || outbox(&store).is_empty());
}

#[test]
fn a_message_that_was_published_and_not_recorded_comes_again_with_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cairn.db");
    let (answer, asked) = std::sync::mpsc::channel::<()>();
    let first = Fake::new(move |_| {
        asked.recv_timeout(Duration::from_secs(20)).unwrap();
        Outcome::Confirmed
    });
    let store = open(&path);
    flow(&store, &["one"], FlowState::Success);
    let dispatcher = first.start(&store, LIMITS);
    until("it is published", || !first.taken.lock().is_empty());
    // The host ends before the other side has answered.
    drop((dispatcher, store));
    answer.send(()).unwrap();

    let store = open(&path);
    assert_eq!(
        outbox(&store).len(),
        1,
        "nothing says that it was delivered"
    );
    let second = Fake::confirming();
    let dispatcher = second.start(&store, LIMITS);
    assert_eq!(dispatcher.settle(Duration::from_secs(20)).messages, 0);
    assert_eq!(*second.taken.lock(), *first.taken.lock());
}

#[test]
fn one_process_delivers_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cairn.db");
    let (one, other) = (open(&path), open(&path));
    let (first, second) = (Fake::confirming(), Fake::confirming());
    let delivers = first.start(&one, LIMITS);
    flow(&one, &["mine"], FlowState::Success);
    assert_eq!(delivers.settle(Duration::from_secs(20)).messages, 0);
    let waits = second.start(&other, LIMITS);
    flow(&other, &["yours"], FlowState::Success);
    assert_eq!(waits.settle(Duration::from_secs(20)).messages, 0);
    assert_eq!(first.methods(), ["mine", "yours"]);
    assert_eq!(second.methods(), Vec::<String>::new());
    drop(delivers);
    flow(&other, &["now mine"], FlowState::Success);
    until("the other takes over", || second.methods() == ["now mine"]);
}

#[test]
fn a_project_with_too_many_undelivered_messages_begins_no_flow_until_there_is_room() {
    let (_folder, store) = folder();
    let fake = Fake::new(|_| Outcome::Refused("closed".to_owned()));
    let limits = Limits { most: 3, ..LIMITS };
    let dispatcher = fake.start(&store, limits);
    for number in 0..3 {
        dispatcher.admit("acme").unwrap();
        flow(&store, &[&format!("m{number}")], FlowState::Success);
    }
    let refused = || dispatcher.admit("acme").err();
    until("it is refused", || refused().is_some());
    let error = refused().unwrap();
    assert_eq!(error.kind, "Backlog");
    assert!(
        error
            .message
            .contains("`acme` has 3 undelivered messages, and may have 3"),
        "{error}"
    );
    dispatcher.admit("bolt").unwrap();
    let failed = || outbox(&store).values().all(|(state, ..)| state == "failed");
    until("failed messages count", failed);
    assert!(refused().is_some());
    store
        .admin(&ann(), |admin| admin.execute("DELETE FROM outbox", &[]))
        .unwrap();
    until("there is room", || refused().is_none());
}

#[test]
fn a_flow_that_sends_nothing_keeps_no_project_from_its_flows() {
    let (_folder, store) = folder();
    let fake = Fake::confirming();
    let dispatcher = fake.start(&store, Limits { most: 5, ..LIMITS });
    // Between two counts a flow counts as one message; at the limit they are counted again.
    let since = Instant::now();
    let mut admitted = 0;
    while admitted < 40 {
        admitted += usize::from(dispatcher.admit("acme").is_ok());
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "{admitted} were admitted"
        );
    }
}

#[test]
fn pages_are_full_while_there_are_messages() {
    let (_folder, store) = folder();
    for number in 0..200 {
        send(&store, &[&format!("m{number}")], FlowState::Success);
    }
    store.flush();
    let fake = Fake::confirming();
    let dispatcher = fake.start(&store, LIMITS);
    assert_eq!(dispatcher.settle(Duration::from_secs(20)).messages, 0);
    assert_eq!(fake.pages(), [64, 64, 64, 8]);
    let ids: BTreeSet<String> = fake.taken.lock().iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(ids.len(), 200);
}

#[test]
fn a_store_in_memory_is_refused() {
    let store = cairn_store::Sqlite::in_memory(
        Default::default(),
        Arc::new(cairn_model::clock::SystemClock),
    );
    let store: Arc<dyn HostStore> = Arc::new(store.unwrap());
    let started = cairn_deliver::Dispatcher::start(&store, Box::new(Fake::confirming()), LIMITS);
    let error = started.err().unwrap().to_string();
    assert!(error.contains("from a database on disk only"), "{error}");
}
