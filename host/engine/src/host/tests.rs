use std::sync::mpsc::sync_channel;
use std::time::Duration;

use cairn_effects::event::{Event, FlowState};
use cairn_manifest::manifest::{Limits, OnLost, Retry};
use cairn_model::audit::Asker;
use cairn_model::clock::SystemClock;
use cairn_model::id::Identity;
use cairn_model::idempotency::Key;
use cairn_model::value::Value;
use cairn_sandbox::plugin::PluginConfig;
use cairn_store::operation::{Asked, Operation};
use cairn_store::{Sqlite, SqliteConfig};

use super::*;
use cairn_store::flow_request::RequestError;

/// Longer than any operation here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Creates a host with one worker, on its own database.
fn host() -> Host {
    host_with_room_for(QUEUE)
}

fn host_with_room_for(requests: usize) -> Host {
    let store = Sqlite::in_memory(SqliteConfig::default(), Arc::new(SystemClock)).unwrap();
    let plugins = Plugins::new(&PluginConfig::default()).unwrap();
    let host = Host::builder(Arc::new(store), plugins);
    host.workers(1).queue(requests).build().unwrap()
}

/// Creates a submission of a flow without tasks.
fn submission(host: &Host, key: Option<&str>) -> Submission {
    let plan = Plan {
        name: "empty".to_owned(),
        action: None,
        on_lost: OnLost::Rollback,
        tasks: Vec::new(),
        policies: Vec::new(),
        validators: Vec::new(),
        externals: Default::default(),
        rule_plugins: Vec::new(),
        warnings: Vec::new(),
    };
    Submission {
        plan: host.ready(&plan).unwrap(),
        requester: Identity::new("ann", "acme"),
        request: Ok(Value::Null),
        key: key.map(|key| Key::new(key, "empty", &Value::Null).unwrap()),
    }
}

/// Starts a flow under the key `key` that nothing in the host runs.
fn started_elsewhere(host: &Host) -> FlowId {
    let flow = FlowId::new();
    let key = Key::new("key", "empty", &Value::Null).unwrap();
    let created = Event::Created {
        name: "empty".to_owned(),
        requester: Identity::new("ann", "acme"),
        request: Value::Null,
        plan: None,
        key: Some(key.text().to_owned()),
        asked: Some(key.asked()),
    };
    let (from, to) = (FlowState::Pending, FlowState::Started);
    let started = [created, Event::State { from, to }];
    host.store().append(flow, &started).unwrap();
    host.store().barrier(flow).unwrap();
    flow
}

#[track_caller]
fn one_more_is_run(host: &Host, key: Option<&str>) {
    let (tell, told) = sync_channel(1);
    let then = move |report: Result<Report, HostError>| {
        let _ = tell.send(report.map(|report| report.flow.state));
    };
    host.submit_then(submission(host, key), then).unwrap();
    let state = told.recv_timeout(PATIENCE);
    let state = state.expect("a worker runs it").unwrap();
    assert_eq!(state, FlowState::Success);
}

#[test]
fn a_worker_goes_on_after_a_job_that_panicked() {
    let host = host();
    for _ in 0..3 {
        let job = |_: &Arc<Core>| panic!("a job panics");
        host.core.pool.push(&host.core, job).unwrap();
    }
    one_more_is_run(&host, None);
    let since = std::time::Instant::now();
    while host.unfinished() > 0 {
        assert!(
            since.elapsed() < PATIENCE,
            "a job that panicked counts as unfinished"
        );
        std::thread::yield_now();
    }
}

/// A rollback is asked for while the last task runs: the flow succeeds before it can be interrupted.
#[test]
fn a_rollback_that_comes_too_late_to_interrupt_a_flow_rolls_it_back_all_the_same() {
    let host = host();
    let report = host
        .submit(submission(&host, None))
        .unwrap()
        .wait()
        .unwrap();
    assert_eq!(report.flow.state, FlowState::Success);
    let asked = Asked {
        operation: Operation::Rollback {
            reason: "too late".to_owned(),
        },
        by: Some(Asker::new("ann", "command line")),
    };
    let (tell, told) = sync_channel(1);
    let follower = operations::Follower {
        then: Some(asked),
        tell: Box::new(move |report| {
            let _ = tell.send(report.map(|report| report.flow.state));
        }),
    };
    let id = report.flow.id;
    host.core.tell(id, vec![follower], &Ok(report));
    host.store().flush();
    let state = told.recv_timeout(PATIENCE).expect("it is told");
    assert_eq!(state.unwrap(), FlowState::Failure);
}

#[test]
fn a_callback_of_a_flow_may_panic() {
    let host = host();
    // Called by the committing thread; under a key that was used before, by the keeper.
    for key in [None, Some("key"), Some("key"), Some("key")] {
        let (tell, told) = sync_channel(1);
        let then = move |report: Result<Report, HostError>| {
            let _ = tell.send(report.is_ok());
            panic!("the callback panics");
        };
        host.submit_then(submission(&host, key), then).unwrap();
        assert_eq!(told.recv_timeout(PATIENCE), Ok(true), "{key:?}");
    }
    one_more_is_run(&host, None);
    one_more_is_run(&host, Some("key"));
}

#[test]
fn a_stored_plan_that_grants_what_is_not_registered_is_refused_by_its_name() {
    let task = serde_json::json!({
        "name": "a", "plugin": "a", "display": "a", "version": [1, 0], "digest": Digest::of(b"a"), "size": 1, "builtin": null,
        "settings": {}, "grants": {"records": {"collections": ["dns"]}}, "limits": Limits::default(), "retry": Retry::default(),
        "revert": Retry::default(), "requires": [], "optional": [], "provides": [],
    });
    let plan = Plan {
        name: "one".to_owned(),
        action: None,
        on_lost: OnLost::Rollback,
        tasks: vec![serde_json::from_value(task).unwrap()],
        policies: Vec::new(),
        validators: Vec::new(),
        externals: Default::default(),
        rule_plugins: Vec::new(),
        warnings: Vec::new(),
    };
    let error = host().ready(&plan).err().expect("no host has records");
    assert_eq!(
        error.to_string(),
        "task `a` is granted `records`, a capability that this host does not have"
    );
}

#[test]
fn requests_that_wait_for_another_flow_take_room_in_the_queue() {
    const REQUESTS: usize = 10;
    let host = host_with_room_for(2);
    let first = started_elsewhere(&host);

    let (submitted, told) = sync_channel(REQUESTS);
    std::thread::scope(|scope| {
        let host = &host;
        scope.spawn(move || {
            for _ in 0..REQUESTS {
                let report = host.submit(submission(host, Some("key"))).unwrap();
                submitted.send(report).unwrap();
            }
        });
        let mut waiting = Vec::new();
        while let Ok(report) = told.recv_timeout(Duration::from_millis(200)) {
            waiting.push(report);
        }
        assert!(waiting.len() < REQUESTS, "all were taken");
        let (from, to) = (FlowState::Started, FlowState::Success);
        let ended = [Event::State { from, to }];
        host.store().append(first, &ended).unwrap();
        host.store().barrier(first).unwrap();
        waiting.extend(told);
        assert_eq!(waiting.len(), REQUESTS);
        for report in waiting {
            assert_eq!(report.wait().unwrap().flow.id, first);
        }
    });
}

#[test]
fn a_repeat_that_cannot_be_resolved_any_more_gets_the_first_report() {
    let host = host();
    let first = host.submit(submission(&host, Some("key"))).unwrap();
    let first = first.wait().unwrap();
    let again = |key: Option<Key>| {
        let gone = RequestError::Invalid(Diagnostic::new("the type is gone"));
        let submission = Submission {
            request: Err(gone),
            key,
            ..submission(&host, None)
        };
        host.submit(submission).unwrap().wait()
    };
    let key = |request: Value| Some(Key::new("key", "empty", &request).unwrap());
    assert_eq!(again(key(Value::Null)).unwrap(), first);
    let operator = Identity::default().into_admin();
    let pruned = host.store().prune_flows(&operator, Duration::ZERO).unwrap();
    assert_eq!(pruned.flows, 1);
    let kept = again(key(Value::Null)).unwrap();
    assert_eq!((kept.flow, kept.pruned), (first.flow, true));
    for key in [None, key(Value::from(1))] {
        let error = again(key).unwrap_err().to_string();
        assert_eq!(error, "the type is gone");
    }
}

#[test]
fn a_repeat_does_not_wait_for_a_flow_that_is_stuck() {
    let host = host();
    let stuck = started_elsewhere(&host);
    host.store().set_aside(stuck, "its plan is gone").unwrap();
    let error = host
        .submit(submission(&host, Some("key")))
        .unwrap()
        .wait()
        .unwrap_err();
    let expected = format!("flow {stuck} cannot be taken up: its plan is gone");
    assert_eq!(error.to_string(), expected);
}

/// A callback that submits the next flow would block the worker that is to make room.
#[test]
fn jobs_of_the_host_leave_the_queue_to_its_callers() {
    let host = Arc::new(host_with_room_for(1));
    let (open, gate) = sync_channel::<()>(0);
    let waits = move |_: &Arc<Core>| {
        let _ = gate.recv();
    };
    host.core.pool.push(&host.core, waits).unwrap();
    for _ in 0..3 {
        host.core.pool.push(&host.core, |_| {}).unwrap();
    }
    let (tell, told) = sync_channel(1);
    let caller = std::thread::spawn({
        let (host, submission) = (Arc::clone(&host), submission(&host, None));
        move || tell.send(host.submit(submission).map(drop).is_ok())
    });
    assert_eq!(told.recv_timeout(PATIENCE), Ok(true), "there is room");
    drop(open);
    caller.join().unwrap().unwrap();
}

/// Returns requests whose callbacks run on each kind of thread: any that commits, a worker, and the keeper.
fn on_each_thread(host: &Host) -> [(Option<&'static str>, Submission); 3] {
    one_more_is_run(host, Some("key"));
    let wrong = Submission {
        request: Err(RequestError::Invalid(Diagnostic::new("it is wrong"))),
        ..submission(host, None)
    };
    [
        (None, submission(host, None)),
        (Some("cairn-worker-0"), wrong),
        (Some("cairn-keeper"), submission(host, Some("key"))),
    ]
}

/// Submits a request, whose callback submits the next one, and so on.
fn one_after_another(host: &Arc<Host>, submission: &Submission, many: usize, then: Then) {
    let (next, again) = (Arc::clone(host), submission.clone());
    let ended = move |_| match many {
        0 => then(),
        many => one_after_another(&next, &again, many - 1, then),
    };
    host.submit_then(submission.clone(), ended).unwrap();
}

type Then = Box<dyn FnOnce() + Send>;

#[test]
fn a_callback_submits_the_next_request_while_other_threads_wait_for_room() {
    const MANY: usize = 200;
    for (thread, submission) in on_each_thread(&host()) {
        let host = Arc::new(host_with_room_for(1));
        one_more_is_run(&host, Some("key"));
        let (tell, told) = sync_channel(3);
        for _ in 0..2 {
            let (host, submission) = (Arc::clone(&host), submission.clone());
            let tell = tell.clone();
            // Not joined: without room it would never end.
            std::thread::spawn(move || {
                for _ in 0..MANY {
                    host.submit_then(submission.clone(), |_| {}).unwrap();
                }
                let _ = tell.send(());
            });
        }
        let ended = move || {
            let _ = tell.send(());
        };
        one_after_another(&host, &submission, MANY, Box::new(ended));
        for _ in 0..3 {
            assert_eq!(told.recv_timeout(PATIENCE), Ok(()), "{thread:?}");
        }
    }
}

#[test]
fn the_last_host_may_be_dropped_by_a_callback() {
    for at in 0..3 {
        let host = host();
        let (thread, submission) = on_each_thread(&host)[at].clone();
        let host = Arc::new(host);
        let (last, is_last) = sync_channel::<Arc<Host>>(1);
        let (tell, told) = sync_channel(1);
        let then = move |_| {
            drop(is_last.recv());
            let name = std::thread::current().name().map(str::to_owned);
            let _ = tell.send(name);
        };
        host.submit_then(submission, then).unwrap();
        last.send(host).unwrap();
        let dropped_by = told.recv_timeout(PATIENCE).expect("it is dropped");
        assert!(thread.is_none() || dropped_by.as_deref() == thread);
    }
}

/// Also those that the keeper is looking at.
#[test]
fn every_caller_that_waits_for_another_flow_is_told_when_the_host_is_dropped() {
    const CALLERS: usize = 40;
    for _ in 0..50 {
        let host = host();
        started_elsewhere(&host);
        let (tell, told) = sync_channel(CALLERS);
        for _ in 0..CALLERS {
            let tell = tell.clone();
            let then = move |report: Result<Report, HostError>| {
                let _ = tell.send(report.map(drop));
            };
            host.submit_then(submission(&host, Some("key")), then)
                .unwrap();
        }
        while host.unfinished() > 0 {
            std::thread::yield_now();
        }
        // Until the keeper looks at them again.
        std::thread::sleep(Duration::from_millis(10));
        drop((host, tell));
        let told: Vec<_> = told.iter().collect();
        assert_eq!(told.len(), CALLERS);
        assert!(
            told.iter()
                .all(|told| matches!(told, Err(HostError::NotStarted)))
        );
    }
}
