//! Traces over OTLP: what a collector gets of flows, and what their requests and messages pass on.

use std::fs;
use std::time::{Duration, Instant};

use acceptance::flows::GREET;
use acceptance::program::{Program, end, volume_create};
use acceptance::receiver::Receiver;
use acceptance::serving::Serving;
use acceptance::slow::{slow_after, start_slow};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};

/// A flow that waits for a signal.
const WAITS: &str = r#"
    flow = { name = "waits" }
    plugins.inject = { builtin = "inject", settings = { provides = ["name"] } }
    task = [{ plugin = "inject" }, { wait = { signal = "approved", timeout = "7d", provides = ["by"] } }]
"#;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENDER: &str = "00f067aa0ba902b7";

/// How long spans may take to arrive: they wait a second for others.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program, with these settings besides those that send traces to a collector.
fn traced(collector: &Receiver, settings: &str) -> Program {
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    program
        .write(
            "cairn.toml",
            format!(
                "[records.greetings]\n[serve]\nmetrics = false\n[traces]\nendpoint = 'http://{}'\n{settings}",
                collector.address
            ),
        )
        .write("greet.toml", GREET)
        .write("waits.toml", WAITS);
    program
}

/// Returns the spans that the collector has got.
fn spans(collector: &Receiver) -> Vec<Span> {
    let mut spans = Vec::new();
    for request in collector.requests() {
        assert!(
            request.head.starts_with("POST /v1/traces HTTP/1.1"),
            "{}",
            request.head
        );
        assert_eq!(
            request.header("content-type"),
            Some("application/x-protobuf")
        );
        let sent = ExportTraceServiceRequest::decode(&*request.body).expect("OTLP");
        for resource in sent.resource_spans {
            let attributes = resource.resource.expect("a resource").attributes;
            let name = attributes.iter().find(|known| known.key == "service.name");
            let name = name.and_then(|name| name.value.clone()?.value);
            assert_eq!(name, Some(Attribute::StringValue("cairn".to_owned())));
            spans.extend(
                resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans),
            );
        }
    }
    spans
}

/// Waits until a span of this name has arrived, and returns all of its trace, by their begin.
fn trace_with(collector: &Receiver, name: &str) -> Vec<Span> {
    let begun = Instant::now();
    loop {
        let all = spans(collector);
        if let Some(found) = all.iter().find(|span| span.name == name) {
            let trace = found.trace_id.clone();
            let mut spans: Vec<Span> = all
                .into_iter()
                .filter(|span| span.trace_id == trace)
                .collect();
            spans.sort_by_key(|span| (span.start_time_unix_nano, span.name.clone()));
            return spans;
        }
        assert!(begun.elapsed() < PATIENCE, "no span {name} came: {all:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|known| known.key == name)?;
    match found.value.clone()?.value? {
        Attribute::StringValue(text) => Some(text),
        Attribute::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Names of spans, without those of commits, whose number is not known.
fn named(spans: &[Span]) -> Vec<&str> {
    let mut names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    names.retain(|name| *name != "commit");
    names.sort_unstable();
    names
}

fn greet(program: &Program, name: &str, exit: i32) -> Value {
    let input = json!({ "name": name }).to_string();
    let run = program.run(&["run", "greet.toml", "--input", &input, "--json"]);
    run.exits(exit).json()
}

#[test]
fn a_flow_of_the_command_line_is_a_trace_whose_id_is_the_flows() {
    let collector = Receiver::answering(200);
    let program = traced(&collector, "");
    let report = greet(&program, "fail", 3);
    // The program has sent them before it ended.
    let spans = spans(&collector);
    let expected = [
        "call goodbye",
        "call hello",
        "call inject",
        "greet",
        "revert goodbye",
        "revert hello",
        "revert inject",
    ];
    assert_eq!(named(&spans), expected);
    let id = report["flow"]["id"].as_str().unwrap();
    let root = spans.iter().find(|span| span.name == "greet").unwrap();
    assert_eq!(hex(&root.trace_id), id.replace('-', ""));
    assert_eq!(root.parent_span_id, Vec::<u8>::new());
    assert_eq!(
        attribute(root, "cairn.flow.state").as_deref(),
        Some("FAILURE")
    );
    assert_eq!(
        attribute(root, "error.type").as_deref(),
        Some("NameRefused")
    );
    let failed = root.status.clone().unwrap();
    assert_eq!((failed.code, failed.message.is_empty()), (2, false));
    for span in &spans {
        assert_eq!(span.trace_id, root.trace_id);
        assert_eq!(attribute(span, "cairn.flow.id").as_deref(), Some(id));
        if span.name != "greet" {
            assert_eq!(span.parent_span_id, root.span_id, "{}", span.name);
        }
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    }
    let commits: Vec<_> = spans.iter().filter(|span| span.name == "commit").collect();
    assert!(!commits.is_empty());
    // `cairn find` takes the id as collectors show it.
    let found = program.json(&["find", &hex(&root.trace_id), "--json"]);
    assert_eq!(found["flows"][0]["id"], id);
}

#[test]
fn a_flow_over_http_belongs_to_the_trace_of_its_request() {
    let collector = Receiver::answering(200);
    let program = traced(&collector, "");
    program.run(&["flow", "deploy", "greet.toml"]).exits(0);
    let serving = Serving::start(&program, &["--log-format", "json", "--log-level", "info"]);
    let traceparent = format!("00-{TRACE}-{SENDER}-01");
    let headers = [("traceparent", traceparent.as_str()), ("prefer", "wait=30")];
    let body = json!({"flow": "greet", "request": {"name": "Ada"}});
    let id = serving
        .post_with("/v1/flows", &headers, &body)
        .is(200)
        .json();
    let id = id["flow"]["id"].as_str().unwrap().to_owned();
    let trace = trace_with(&collector, "greet");
    let root = trace.iter().find(|span| span.name == "greet").unwrap();
    assert_eq!(hex(&root.trace_id), TRACE);
    assert_eq!(hex(&root.parent_span_id), SENDER);
    assert_eq!(named(&trace).len(), 4);
    // Found by the trace, and by the log.
    let found = serving.get(&format!("/v1/find?q={TRACE}")).is(200).json();
    assert_eq!(found["flows"][0]["id"], *id, "{found}");
    let log = serving.end(15).stderr;
    let lines = log.lines().filter(|line| line.contains(TRACE));
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let access = lines.iter().find(|line| line["target"] == "cairn::access");
    assert_eq!(access.unwrap()["fields"]["trace_id"], TRACE, "{log}");
}

#[test]
fn a_traceparent_that_cannot_be_read_is_as_none_and_an_unsampled_one_is_not_recorded() {
    let collector = Receiver::answering(200);
    let program = traced(&collector, "");
    program.run(&["flow", "deploy", "greet.toml"]).exits(0);
    let serving = Serving::start(&program, &[]);
    let body = json!({"flow": "greet", "request": {"name": "Ada"}});
    let submit = |traceparent: &str| {
        let headers = [("traceparent", traceparent), ("prefer", "wait=30")];
        let answer = serving
            .post_with("/v1/flows", &headers, &body)
            .is(200)
            .json();
        answer["flow"]["id"].as_str().unwrap().replace('-', "")
    };
    submit(&format!("00-{TRACE}-{SENDER}-00"));
    let wrong = submit(&format!("00-{TRACE}-{SENDER}-1"));
    let trace = trace_with(&collector, "greet");
    assert_eq!(hex(&trace[0].trace_id), wrong);
    serving.end(15);
    assert!(
        spans(&collector)
            .iter()
            .all(|span| hex(&span.trace_id) == wrong)
    );
}

#[test]
fn a_flow_of_the_command_line_belongs_to_the_trace_that_started_it() {
    let collector = Receiver::answering(200);
    let program = traced(&collector, "");
    let input = r#"{"name": "Ada"}"#;
    let logged = ["--log-format", "json", "--log-level", "debug"];
    let run = [&["run", "greet.toml", "--input", input], &logged[..]].concat();
    let mut command = program.command(&run);
    command.env("TRACEPARENT", format!("00-{TRACE}-{SENDER}-01"));
    let run = end(command.spawn().expect("it starts")).exits(0);
    for kind in ["flow", "task"] {
        let lines = run.stderr.lines();
        let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut lines = lines
            .filter(|line| line["fields"]["message"] == kind)
            .peekable();
        assert!(lines.peek().is_some(), "{kind}: {}", run.stderr);
        assert!(
            lines.all(|line| line["fields"]["trace_id"] == TRACE),
            "{}",
            run.stderr
        );
    }
    let trace = trace_with(&collector, "greet");
    assert_eq!(hex(&trace[0].trace_id), TRACE);
    assert_eq!(trace.len(), spans(&collector).len());
}

#[test]
fn a_share_of_the_traces_is_sent() {
    let collector = Receiver::answering(200);
    let program = traced(&collector, "sample = 0.0");
    greet(&program, "Ada", 0);
    assert_eq!(collector.requests().len(), 0);
}

/// The flow begins in one process and ends in another: the span of the flow is sent once, and its wait is one span.
#[test]
fn a_flow_that_goes_on_in_another_process_stays_one_trace() {
    let collector = Receiver::answering(200);
    let program = traced(&collector, "");
    let waits = [
        "run",
        "waits.toml",
        "--input",
        r#"{"name": "Ada"}"#,
        "--no-wait",
        "--json",
    ];
    let run = program.run(&waits);
    let id = run.json()["flow"]["id"].as_str().unwrap().to_owned();
    assert_eq!(named(&spans(&collector)), ["call inject"]);
    program
        .run(&[
            "flow",
            "signal",
            &id,
            "approved",
            "--input",
            r#"{"by": "ann"}"#,
        ])
        .exits(0);
    program.run(&["recover"]).exits(0);
    let all = spans(&collector);
    assert_eq!(named(&all), ["call inject", "wait approved", "waits"]);
    assert!(
        all.iter()
            .all(|span| hex(&span.trace_id) == id.replace('-', ""))
    );
}

/// A process that dies takes the spans with it that it has not sent. They are on disk, and the next process sends them.
#[test]
fn spans_of_a_process_that_was_killed_are_sent_by_the_one_that_takes_its_flow_over() {
    let collector = Receiver::answering(200);
    let program = traced(&collector, "");
    slow_after(&program, "quota-reserve");
    let mut child = start_slow(&program, &["run", "slow.toml", "--input", "slow.json"]);
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    program.run(&["recover"]);
    let all = spans(&collector);
    let root: Vec<&Span> = all
        .iter()
        .filter(|span| attribute(span, "cairn.flow.state").is_some())
        .collect();
    assert_eq!(root.len(), 1, "{all:?}");
    let calls = all.iter().filter(|span| span.name.starts_with("call "));
    let calls: Vec<&str> = calls.map(|span| span.name.as_str()).collect();
    assert!(
        calls.iter().any(|name| name.starts_with("call inject")),
        "{calls:?}"
    );
    assert!(
        calls
            .iter()
            .any(|name| name.starts_with("call quota-reserve")),
        "{calls:?}"
    );
}

#[test]
fn a_message_passes_the_trace_on() {
    let (collector, receiver) = (Receiver::answering(200), Receiver::answering(204));
    let deliver = format!(
        "[deliver]\ntransport = 'http'\nkey_file = 'key'\n[deliver.topics]\n'*' = 'http://{}/in'\n",
        receiver.address
    );
    let program = traced(&collector, &deliver);
    program.write_secret("key", "secret\n");
    program.write("volume.toml", fs::read_to_string(volume_create()).unwrap());
    let run = program.run(&["run", "volume.toml", "--input", r#"{"size": 1}"#, "--json"]);
    let id = run.exits(0).json()["flow"]["id"]
        .as_str()
        .unwrap()
        .replace('-', "");
    let message = receiver.requests().remove(0);
    let traceparent = message
        .header("traceparent")
        .expect("it passes the trace on");
    let spans = spans(&collector);
    let cast = spans
        .iter()
        .find(|span| span.name.starts_with("call volume-cast"));
    let sender = hex(&cast.expect("the call that sent it").span_id);
    assert_eq!(traceparent, format!("00-{id}-{sender}-01"));
    let body: Value = serde_json::from_slice(&message.body).unwrap();
    assert_eq!(body["context"].as_object().unwrap().len(), 2, "{body}");
}

#[test]
fn a_collector_that_is_away_holds_nothing_up_and_is_told_once() {
    let collector = Receiver::answering(503);
    let program = traced(&collector, "");
    program.run(&["flow", "deploy", "greet.toml"]).exits(0);
    let serving = Serving::start(&program, &[]);
    let body = json!({"flow": "greet", "request": {"name": "Ada"}});
    for _ in 0..3 {
        serving
            .post_with("/v1/flows", &[("prefer", "wait=30")], &body)
            .is(200);
        std::thread::sleep(Duration::from_millis(1200));
    }
    let run = serving.end(15);
    assert_eq!(run.exit, 0, "{}", run.stderr);
    let told = run
        .stderr
        .matches("traces are not taken, and are dropped")
        .count();
    assert_eq!(told, 1, "{}", run.stderr);
}

#[test]
fn settings_that_send_nothing_are_refused() {
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    program.write("greet.toml", GREET);
    for (settings, expected) in [
        ("endpoint = 'http://otel.example:4318'", "is not encrypted"),
        (
            "endpoint = 'http://127.0.0.1:4318'\nheaders.x = { file = 'none' }",
            "the value of the header `x` is not there",
        ),
        (
            "endpoint = 'http://127.0.0.1:4318'\nca = 'none.pem'",
            "the authorities cannot be used",
        ),
    ] {
        program.write(
            "cairn.toml",
            format!("[records.greetings]\n[traces]\n{settings}\n"),
        );
        let run = program.run(&["run", "greet.toml", "--input", r#"{"name": "Ada"}"#]);
        assert!(run.stderr.contains(expected), "{settings}: {}", run.stderr);
        assert!([1, 2].contains(&run.exit), "{settings}: {}", run.exit);
    }
}
