//! Submitting, following and operating on flows.

use std::time::{Duration, Instant};

use acceptance::serving::Serving;
use serde_json::{Value, json};

use super::deployed;

fn greet(name: &str) -> Value {
    json!({"flow": "greet", "request": {"name": name}})
}

/// Waits until a flow is in this state.
fn reaches(serving: &Serving, id: &str, state: &str) -> Value {
    let begun = Instant::now();
    loop {
        let report = serving.get(&format!("/v1/flows/{id}")).is(200).json();
        if report["flow"]["state"] == state {
            return report;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{report}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a flow waits for its signal.
fn waits(serving: &Serving) -> String {
    let asked = json!({"flow": "waits", "request": {"name": "Wil"}});
    let id = serving.post("/v1/flows", &asked).is(202).id();
    let begun = Instant::now();
    loop {
        let report = serving.get(&format!("/v1/flows/{id}")).is(200).json();
        if report["flow"]["sleep"]["signal"] == "approved" {
            return id;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{report}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_flow_is_submitted_followed_and_rolled_back() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);

    let begun = serving.post("/v1/flows", &greet("Ada")).is(202);
    let id = begun.id();
    assert_eq!(
        begun.header("location"),
        Some(format!("/v1/flows/{id}").as_str())
    );
    let request_id = begun.header("x-request-id").unwrap().to_owned();
    let report = reaches(&serving, &id, "SUCCESS");
    assert_eq!(report["tasks"][2]["name"], "goodbye;greet");
    // The command line shows the same document, and finds the flow by the request's id.
    assert_eq!(program.json(&["flow", "show", &id, "--json"]), report);
    let found = serving
        .get(&format!("/v1/find?q={request_id}"))
        .is(200)
        .json();
    assert_eq!(found["flows"][0]["id"], id.as_str(), "{found}");

    // The events of the stream are those of the journal, numbered from 1.
    let path = format!("/v1/flows/{id}/stream");
    let events = serving.events(&path, &[], "end");
    let journal = serving
        .get(&format!("/v1/flows/{id}/events?limit=500"))
        .is(200)
        .json();
    let journal = journal["events"].as_array().unwrap();
    let sent: Vec<&Value> = (events.iter().filter(|sent| sent.name == "entry"))
        .map(|sent| &sent.data)
        .collect();
    assert_eq!(sent, journal.iter().collect::<Vec<_>>());
    let ids: Vec<i64> = events.iter().filter_map(|sent| sent.id).collect();
    assert_eq!(
        ids,
        (1..=i64::try_from(journal.len()).unwrap()).collect::<Vec<_>>()
    );
    assert_eq!(events.last().unwrap().data["state"], "SUCCESS");
    // After a reconnect only what the client lacks comes.
    let rest = serving.events(&path, &[("Last-Event-ID", "3")], "end");
    assert_eq!(rest[0].id, Some(4), "{rest:?}");
    assert_eq!(rest.len(), events.len() - 3);

    let rolled = serving
        .post(
            &format!("/v1/flows/{id}/rollback"),
            &json!({"reason": "a test"}),
        )
        .is(200)
        .json();
    assert_eq!(rolled["rollback"]["verdict"], "clean", "{rolled}");
    let audit = serving
        .get(&format!("/v1/audit?subject={id}"))
        .is(200)
        .json();
    let [row] = audit["rows"].as_array().unwrap().as_slice() else {
        panic!("{audit}");
    };
    assert_eq!(
        (&row["reason"], &row["user_id"]),
        (&json!("a test"), &json!("demo"))
    );
    assert_eq!(row["source"], "http, 127.0.0.1");
    let logs = serving.get(&format!("/v1/flows/{id}/logs")).is(200).json();
    assert!(logs["logs"].is_array(), "{logs}");
}

#[test]
fn the_end_of_a_flow_is_waited_for() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let wait = [("prefer", "wait=30")];
    let report = serving
        .post_with("/v1/flows", &wait, &greet("Ada"))
        .is(200)
        .json();
    assert_eq!(report["flow"]["state"], "SUCCESS");
    // A flow that fails is an answer, too.
    let report = serving
        .post_with("/v1/flows", &wait, &greet("fail"))
        .is(200)
        .json();
    assert_eq!(report["error"]["kind"], "NameRefused", "{report}");
    assert_eq!(report["rollback"]["verdict"], "clean", "{report}");
    // One that sleeps longer goes on.
    let asked = json!({"flow": "waits", "request": {"name": "Wil"}});
    let begun = Instant::now();
    let id = serving
        .post_with("/v1/flows", &[("prefer", "wait=1")], &asked)
        .is(202)
        .id();
    assert!(begun.elapsed() >= Duration::from_millis(900));
    // The signal ends it while another client waits.
    let serving = std::sync::Arc::new(serving);
    let follower = std::thread::spawn({
        let (serving, path) = (serving.clone(), format!("/v1/flows/{id}/stream"));
        move || serving.events(&path, &[], "end")
    });
    std::thread::sleep(Duration::from_millis(300));
    let signal = json!({"name": "approved", "payload": {"by": "ann"}});
    serving
        .post(&format!("/v1/flows/{id}/signal"), &signal)
        .is(200);
    let events = follower.join().unwrap();
    assert_eq!(
        events.last().unwrap().data["state"],
        "SUCCESS",
        "{events:?}"
    );
    let names: Vec<i64> = events.iter().filter_map(|sent| sent.id).collect();
    assert!(names.is_sorted_by(|a, b| a + 1 == *b), "{names:?}");
}

#[test]
fn operations_answer_with_what_became_of_the_flow() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let id = waits(&serving);
    let path = |operation: &str| format!("/v1/flows/{id}/{operation}");
    let interrupted = serving.post(&path("interrupt"), &json!({})).is(200).json();
    assert_eq!(interrupted["flow"]["state"], "INTERRUPTED", "{interrupted}");
    serving
        .post(&path("interrupt"), &json!({"reason": "x"}))
        .is_problem(400, "InvalidInput");
    serving
        .post(&path("rollback"), &json!({}))
        .is_problem(400, "InvalidInput");
    serving
        .post(&path("rollback"), &json!({"reason": " "}))
        .is_problem(400, "InvalidInput");
    serving
        .post(&path("accept"), &json!({"reason": "x"}))
        .is_problem(409, "InvalidState");
    serving
        .post(&path("signal"), &json!({"name": "other"}))
        .is_problem(400, "InvalidInput");
    serving
        .post(&path("explode"), &json!({}))
        .is_problem(404, "NotFound");
    let rolled = serving
        .post(&path("rollback"), &json!({"reason": "a test"}))
        .is(200)
        .json();
    assert_eq!(rolled["rollback"]["verdict"], "clean", "{rolled}");
    serving
        .post(&path("resume"), &json!({}))
        .is_problem(409, "InvalidState");
}

#[test]
fn lists_have_pages_and_filters() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let wait = [("prefer", "wait=30")];
    for name in ["a", "b", "fail", "c", "d"] {
        serving.post_with("/v1/flows", &wait, &greet(name)).is(200);
    }
    let mut ids = Vec::new();
    let mut next = String::new();
    loop {
        let page = serving
            .get(&format!("/v1/flows?limit=2{next}"))
            .is(200)
            .json();
        let flows = page["flows"].as_array().unwrap().clone();
        ids.extend(
            flows
                .iter()
                .map(|flow| flow["id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(before) => next = format!("&before={before}"),
            None => break,
        }
    }
    assert_eq!(ids.len(), 5);
    assert!(ids.is_sorted_by(|a, b| a > b), "{ids:?}");
    let failed = serving.get("/v1/flows?state=failure").is(200).json();
    assert_eq!(failed["flows"].as_array().unwrap().len(), 1, "{failed}");
    for wrong in [
        "state=x",
        "limit=0",
        "limit=501",
        "since=x",
        "before=x",
        "colour=red",
    ] {
        serving
            .get(&format!("/v1/flows?{wrong}"))
            .is_problem(400, "InvalidInput");
    }
    // The first event of the stream has the whole list.
    let events = serving.events("/v1/stream?state=failure", &[], "flows");
    assert_eq!(events[0].data["flows"], failed["flows"]);
    assert_eq!(events[0].id, None);
}

#[test]
fn a_deployment_is_taken_up_while_the_server_runs() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let other = json!({"flow": "other", "request": {"name": "Ada"}});
    serving
        .post("/v1/flows", &other)
        .is_problem(404, "NotFound");
    program
        .run(&["flow", "deploy", "greet.toml", "--as", "other"])
        .exits(0);
    let wait = [("prefer", "wait=30")];
    let report = serving.post_with("/v1/flows", &wait, &other).is(200).json();
    assert_eq!(report["flow"]["name"], "other");
    let versioned =
        |version: &str| json!({"flow": format!("other@{version}"), "request": {"name": "Bob"}});
    serving
        .post_with("/v1/flows", &wait, &versioned("1"))
        .is(200);
    serving
        .post("/v1/flows", &versioned("2"))
        .is_problem(404, "NotFound");
    serving
        .post("/v1/flows", &versioned("x"))
        .is_problem(400, "InvalidInput");
    program.run(&["flow", "undeploy", "other"]).exits(0);
    // A version is remembered for a tenth of a second.
    std::thread::sleep(Duration::from_millis(300));
    serving
        .post("/v1/flows", &other)
        .is_problem(404, "NotFound");
    let listed = serving.get("/v1/deployments").is(200).json();
    assert_eq!(
        listed["deployments"].as_array().unwrap().len(),
        3,
        "{listed}"
    );
}
