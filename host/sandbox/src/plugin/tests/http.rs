//! Requests of a guest that uses `wstd`, against servers on loopback.

mod guest;

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cairn_manifest::manifest::Limits;

use guest::{CALL, TRACEPARENT, call, echo, get, grant, limits, request, server, silent};

#[test]
fn a_guest_sends_requests_and_reads_responses() {
    let url = server(echo);
    let called = get(limits(), "get", &url);
    let answer = called.answer().unwrap();
    assert!(
        answer.starts_with("200 GET /x?key=value HTTP/1.1\r\n"),
        "{answer}"
    );
    let called = get(limits(), "put hello", &url);
    let answer = called.answer().unwrap();
    assert!(answer.contains("\r\n5\r\nhello\r\n0\r\n"), "{answer}");
    // A body larger than the buffers between guest and connection.
    let called = get(limits(), "put-bytes 300000", &url);
    assert!(called.answer().unwrap().len() > 300_000);
}

#[test]
fn a_request_names_the_trace_of_its_flow_and_the_call_that_sends_it() {
    let url = server(echo);
    let sender = CALL.span();
    let expected = TRACEPARENT.replace("00f067aa0ba902b7", &sender.to_string());
    let answer = get(limits(), "get", &url);
    let answer = answer.answer().unwrap().to_lowercase();
    assert!(
        answer.contains(&format!("\r\ntraceparent: {expected}\r\n")),
        "{answer}"
    );
    // A plugin that knows better is left alone.
    let answer = get(limits(), "set traceparent its-own", &url);
    let answer = answer.answer().unwrap().to_lowercase();
    assert!(answer.contains("traceparent: its-own\r\n"), "{answer}");
    assert_eq!(answer.matches("traceparent").count(), 1, "{answer}");
}

#[test]
fn each_request_is_in_the_flows_log_without_headers_and_values() {
    let url = server(echo);
    let shown = url.replace("value", "…");
    let called = get(limits(), "set authorization hunter2", &url);
    assert!(called.answer().unwrap().contains("hunter2"));
    let [line] = &called.log[..] else {
        panic!("{:?}", called.log);
    };
    assert!(
        line.starts_with(&format!("Info http: GET {shown}: 200 (")),
        "{line}"
    );
    assert!(
        !line.contains("hunter2") && !line.contains("value"),
        "{line}"
    );
    // A guest that fills its log does not hide its requests.
    let called = get(limits(), "log 100", &url);
    let requests: Vec<_> = called
        .log
        .iter()
        .filter(|line| line.contains("http: GET"))
        .collect();
    assert_eq!(requests.len(), 1, "{:?}", called.log);
}

#[test]
fn what_the_grant_does_not_permit_is_refused_with_the_fix_in_the_log() {
    let url = server(echo);
    let here = grant(&url);
    let other = r#"{"allow":["http://127.0.0.1:1/*"]}"#;
    let reads = here.replace('}', r#","methods":["GET"]}"#);
    for (grant, what, url, code, log) in [
        (
            other,
            "get",
            url.as_str(),
            "HttpRequestDenied",
            "add a pattern for it to `allow`",
        ),
        (
            &reads,
            "put x",
            &url,
            "HttpRequestDenied",
            "add it to `methods`",
        ),
        (
            &here,
            "method TRACE",
            &url,
            "HttpRequestMethodInvalid",
            "TRACE is never sent",
        ),
        (
            "{}",
            "get",
            &url,
            "DestinationIpProhibited",
            "is this machine",
        ),
        (
            "{}",
            "get",
            "http://169.254.169.254/latest/",
            "DestinationIpProhibited",
            "link-local",
        ),
        (
            other,
            "get",
            "http://127.0.0.1:1/",
            "ConnectionRefused",
            "cannot be connected to",
        ),
        (
            &here,
            "get",
            &url.replace("/x", "/%2e%2e/x"),
            "HttpRequestUriInvalid",
            "`.` or `..`",
        ),
    ] {
        let called = call(Some(grant), limits(), what, url);
        let error = called.answer().unwrap_err();
        assert!(error.contains(code), "{what} {url}: {error}");
        let [line] = &called.log[..] else {
            panic!("{:?}", called.log);
        };
        assert!(
            line.starts_with("Warn http: ") && line.contains(log),
            "{line}"
        );
        assert!(!line.contains("value"), "{line}");
    }
}

#[test]
fn a_call_without_a_grant_ends() {
    let url = server(echo);
    for (grant, expected) in [
        (None, "the operator's settings do not allow it"),
        (Some(r#"{"allow":["nowhere"]}"#), "cannot be read"),
    ] {
        let called = call(grant, limits(), "get", &url);
        assert_eq!(called.ended(), "NotGranted");
        let message = called.result.unwrap_err().message;
        assert!(message.contains(expected), "{message}");
        assert!(called.log.is_empty(), "{:?}", called.log);
    }
}

#[test]
fn a_secret_is_sent_and_never_seen_by_the_guest() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (record, secret) = (
        Arc::clone(&sent),
        r#","auth":{"header":"x-api-key","secret":"pdns"}}"#,
    );
    let url = server(move |mut stream| {
        record.lock().unwrap().push(request(&mut stream));
        let _ = stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Api-Key: hunter2\r\nX-Other: shown\r\n\r\nok",
        );
    });
    let grant = grant(&url).replace('}', secret);
    let called = call(Some(&grant), limits(), "get", &url);
    assert_eq!(called.answer(), Ok("200 ok"));
    assert!(sent.lock().unwrap()[0].contains("x-api-key: hunter2\r\n"));
    assert!(!format!("{:?}", called.log).contains("hunter2"));
    // A server that echoes the header does not tell the guest, either.
    for (name, expected) in [("x-api-key", "none"), ("x-other", "shown")] {
        let called = call(Some(&grant), limits(), &format!("header {name}"), &url);
        assert_eq!(called.answer(), Ok(expected), "{name}");
    }
    let called = call(Some(&grant), limits(), "set x-api-key mine", &url);
    assert!(
        called.answer().unwrap_err().contains("Forbidden"),
        "{:?}",
        called.answer()
    );
    let missing = grant.replace("pdns", "gone");
    let called = call(Some(&missing), limits(), "get", &url);
    assert!(called.answer().unwrap_err().contains("ConfigurationError"));
    assert!(
        called.log[0].contains("the secret `gone` is not set up"),
        "{:?}",
        called.log
    );
}

#[test]
fn one_request_too_many_ends_the_call() {
    let url = server(echo);
    let few = Limits {
        http_requests: 3,
        ..limits()
    };
    assert_eq!(get(few.clone(), "many 3", &url).answer(), Ok("3"));
    let called = get(few, "many 4", &url);
    assert_eq!(called.ended(), "HttpRequestsExceeded");
    assert_eq!(called.log.len(), 3, "{:?}", called.log);
}

#[test]
fn a_body_or_a_time_over_its_limit_fails_the_request_alone() {
    let url = server(echo);
    let small = Limits {
        http_request_bytes: 10,
        ..limits()
    };
    let called = get(small, "put-bytes 11", &url);
    let error = called.answer().unwrap_err();
    assert!(error.contains("HttpRequestBodySize(Some(10))"), "{error}");
    assert!(
        called.log[0].contains("raise `http_request_bytes`"),
        "{:?}",
        called.log
    );
    let small = Limits {
        http_response_bytes: 10,
        ..limits()
    };
    let called = get(small, "get", &url);
    let error = called.answer().unwrap_err();
    assert!(error.contains("HttpResponseBodySize(Some(10))"), "{error}");
    let short = Limits {
        http_time: Duration::from_millis(200),
        ..limits()
    };
    let called = get(short, "get", &server(silent));
    let error = called.answer().unwrap_err();
    assert!(error.contains("HttpResponseTimeout"), "{error}");
    assert!(
        called.log[0].contains("raise `http_time`"),
        "{:?}",
        called.log
    );
    assert!(called.time < Duration::from_secs(5), "{:?}", called.time);
}

#[test]
fn the_deadline_of_a_call_holds_while_it_waits_for_a_server() {
    let short = Limits {
        deadline: Duration::from_millis(500),
        ..limits()
    };
    // The rest of its body does not come.
    let stalls = server(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
        silent(stream);
    });
    // It reads nothing, so that the connection's buffers fill.
    let deaf = server(|stream| {
        std::thread::sleep(Duration::from_secs(10));
        drop(stream);
    });
    let silent = server(silent);
    let large = Limits {
        http_request_bytes: 256 << 20,
        ..short.clone()
    };
    for (limits, what, url) in [
        (&short, "get", &silent),
        (&short, "get", &stalls),
        (&short, "read", &silent),
        (&short, "read", &stalls),
        (&short, "spin", &silent),
        (&large, "write", &deaf),
    ] {
        let called = get(limits.clone(), what, url);
        assert_eq!(called.ended(), "DeadlineExceeded", "{what} {url}");
        let late = called.time.saturating_sub(short.deadline);
        assert!(
            late < Duration::from_secs(2),
            "{what} {url}: {:?}",
            called.time
        );
    }
}

#[test]
fn a_request_that_a_call_leaves_behind_is_logged() {
    let called = get(limits(), "abandon", &server(silent));
    assert_eq!(called.answer(), Ok("sent"));
    assert!(
        called.log[0].contains("no response after"),
        "{:?}",
        called.log
    );
}

#[test]
fn the_connection_of_a_call_that_ended_is_closed() {
    let (sender, closed) = std::sync::mpsc::channel();
    let url = server(move |stream| {
        silent(stream);
        let _ = sender.send(());
    });
    let short = Limits {
        deadline: Duration::from_millis(500),
        ..limits()
    };
    assert_eq!(get(short, "get", &url).ended(), "DeadlineExceeded");
    closed
        .recv_timeout(Duration::from_secs(5))
        .expect("the server sees the end");
}
