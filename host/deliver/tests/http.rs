//! Messages as HTTP requests, against a small server.

#![cfg(feature = "http")]

mod support;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_deliver::http::Http;
use cairn_deliver::{Outcome, Transport as _};
use cairn_effects::outbox::Message;
use cairn_manifest::config::{HttpConfig, Url};
use cairn_model::clock::Timestamp;
use cairn_model::secret::SecretSource;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// One request, as it came.
#[derive(Clone, Debug)]
struct Request {
    line: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// A server that notes requests, and answers each as a test says.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn new(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (noted, answer) = (Arc::clone(&requests), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (noted, answer) = (Arc::clone(&noted), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while let Some(request) = read(&mut reader) {
                        noted.lock().push(request.clone());
                        answer(&request, &mut stream);
                    }
                });
            }
        });
        Self { address, requests }
    }

    fn saying(head: &'static str) -> Self {
        Self::new(move |_, stream| {
            let _ = write!(stream, "HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n");
        })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader
        .read_line(&mut line)
        .ok()
        .filter(|length| *length > 0)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        line: line.trim_end().to_owned(),
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

fn transport(topics: &[(&str, String)], timeout: Duration) -> Http {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "secret key\n").unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let topics = topics.iter();
    let config = HttpConfig {
        topics: topics
            .map(|(topic, url)| ((*topic).to_owned(), Url::parse(url).unwrap()))
            .collect(),
        key: SecretSource::File(key),
        ca: None,
    };
    Http::open(&config, timeout).unwrap()
}

fn to(server: &Server) -> Http {
    transport(&[("*", server.url("/in"))], Duration::from_secs(10))
}

fn message(topic: &str, number: u32) -> Message {
    Message {
        id: format!("0193a1b2-0000-7000-8000-{number:012}")
            .as_str()
            .into(),
        topic: topic.into(),
        method: "create".into(),
        arguments: r#"{"size":1}"#.into(),
        context: Some(r#"{"project_id":"acme"}"#.into()),
        created_at: Timestamp(1_000_000),
        ..Message::default()
    }
}

fn one(transport: &mut Http, topic: &str) -> Outcome {
    let outcomes = transport.publish(&[message(topic, 1)]);
    assert_eq!(outcomes.len(), 1);
    outcomes.into_iter().next().unwrap()
}

fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Retry { reason, .. } | Outcome::Refused(reason) | Outcome::Unroutable(reason) => {
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_has_the_message_in_its_body_its_id_as_key_and_a_signature() {
    let server = Server::saying("204 No Content");
    let mut http = to(&server);
    assert_eq!(one(&mut http, "a/../b?c=d#e @evil"), Outcome::Confirmed);
    let request = server.requests.lock()[0].clone();
    assert_eq!(request.line, "POST /in HTTP/1.1");
    let id = "0193a1b2-0000-7000-8000-000000000001";
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let expected = json!({
        "id": id, "topic": "a/../b?c=d#e @evil", "method": "create", "arguments": {"size": 1},
        "context": {"project_id": "acme"}, "created_at": "1970-01-01T00:00:01.000000Z",
    });
    assert_eq!(body, expected);
    assert_eq!(request.headers["idempotency-key"], id);
    assert_eq!(request.headers["content-type"], "application/json");
    for value in request.headers.values() {
        assert!(
            !value.contains("evil") && !value.contains("create"),
            "{value}"
        );
    }
    let timestamp = &request.headers["cairn-timestamp"];
    let signed = format!("{id}.{timestamp}.{}", request.body);
    let mut openssl = std::process::Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", "secret key", "-r"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("openssl is there");
    openssl
        .stdin
        .take()
        .unwrap()
        .write_all(signed.as_bytes())
        .unwrap();
    let digest = String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap();
    let digest = digest.split(' ').next().unwrap();
    assert_eq!(request.headers["cairn-signature"], format!("v1={digest}"));
}

#[test]
fn the_longest_pattern_that_a_topic_meets_says_where_it_goes() {
    let server = Server::saying("200 OK");
    let urls = [
        ("volume", server.url("/exact")),
        ("volume*", server.url("/volumes")),
        ("volume.host-*", server.url("/hosts")),
    ];
    let mut http = transport(&urls, Duration::from_secs(10));
    for (topic, path) in [
        ("volume", "/exact"),
        ("volume.x", "/volumes"),
        ("volume.host-1", "/hosts"),
        ("volume*", "/volumes"),
    ] {
        assert_eq!(one(&mut http, topic), Outcome::Confirmed);
        let line = server.requests.lock().last().unwrap().line.clone();
        assert_eq!(line, format!("POST {path} HTTP/1.1"), "{topic}");
    }
    let outcome = one(&mut http, "image");
    assert!(
        matches!(&outcome, Outcome::Unroutable(reason) if reason.contains("`image`")),
        "{outcome:?}"
    );
}

#[test]
fn what_an_answer_says_decides_whether_a_message_is_tried_again() {
    for (head, expected) in [
        ("200 OK", "done"),
        ("202 Accepted", "done"),
        ("408 Request Timeout", "again"),
        ("425 Too Early", "again"),
        ("429 Too Many Requests", "again"),
        ("500 Internal Server Error", "again"),
        ("503 Service Unavailable", "again"),
        ("400 Bad Request", "failed"),
        ("401 Unauthorized", "failed"),
        ("404 Not Found", "failed"),
        ("410 Gone", "failed"),
    ] {
        let server = Server::saying(head);
        let outcome = one(&mut to(&server), "x");
        let found = match &outcome {
            Outcome::Confirmed => "done",
            Outcome::Retry { after: None, .. } => "again",
            Outcome::Refused(_) => "failed",
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{head}");
        if found != "done" {
            assert!(reason(&outcome).contains(&head[..3]), "{outcome:?}");
        }
    }
}

#[test]
fn a_receiver_says_when_it_is_to_be_asked_again() {
    let server = Server::saying("503 Service Unavailable\r\nRetry-After: 77");
    let outcome = one(&mut to(&server), "x");
    let expected = Some(Duration::from_secs(77));
    assert!(
        matches!(outcome, Outcome::Retry { after, .. } if after == expected),
        "{outcome:?}"
    );
}

#[test]
fn a_redirect_is_not_followed() {
    let other = Server::saying("200 OK");
    let target = other.url("/stolen");
    for status in [301, 302, 303, 307, 308] {
        let target = target.clone();
        let server = Server::new(move |_, stream| {
            let _ = write!(
                stream,
                "HTTP/1.1 {status} Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
            );
        });
        let outcome = one(&mut to(&server), "x");
        assert!(
            matches!(&outcome, Outcome::Refused(reason) if reason.contains(&status.to_string())),
            "{outcome:?}"
        );
    }
    assert!(other.requests.lock().is_empty());
}

#[test]
fn no_proxy_is_taken_from_the_environment() {
    const INNER: &str = "CAIRN_TEST_WITHIN_PROXY";
    if std::env::var_os(INNER).is_some() {
        let server = Server::saying("200 OK");
        assert_eq!(one(&mut to(&server), "x"), Outcome::Confirmed);
        return;
    }
    let proxy = Server::saying("200 OK");
    let mut inner = std::process::Command::new(std::env::current_exe().unwrap());
    inner
        .args(["--exact", "no_proxy_is_taken_from_the_environment"])
        .env(INNER, "1");
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        inner.env(name, proxy.url(""));
    }
    let output = inner.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(proxy.requests.lock().is_empty());
}

#[test]
fn an_answer_is_read_to_four_kibibytes() {
    let sent = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&sent);
    let server = Server::new(move |_, stream| {
        let _ = write!(
            stream,
            "HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
        let mut bytes = 0_u64;
        // Until the other side hangs up.
        while stream.write_all(chunk.as_bytes()).is_ok() && bytes < 1 << 30 {
            bytes += chunk.len() as u64;
        }
        *noted.lock() = Some(bytes);
    });
    let since = Instant::now();
    let outcome = one(&mut to(&server), "x");
    assert!(
        matches!(&outcome, Outcome::Refused(reason) if reason.len() < 300),
        "{outcome:?}"
    );
    assert!(since.elapsed() < Duration::from_secs(5));
    support::until("the connection is closed", || sent.lock().is_some());
    let sent = sent.lock().unwrap_or_default();
    // What the system buffers between the two.
    assert!(sent < 64 << 20, "{sent} bytes were taken");
}

#[test]
fn a_receiver_that_does_not_answer_holds_up_no_message_to_another() {
    let silent = Server::new(|_, _| std::thread::sleep(Duration::from_secs(60)));
    let well = Server::saying("200 OK");
    let topics = [("silent", silent.url("/")), ("well", well.url("/"))];
    let mut http = transport(&topics, Duration::from_millis(700));
    let mut messages: Vec<Message> = (0..40).map(|number| message("silent", number)).collect();
    messages.extend((40..64).map(|number| message("well", number)));
    let since = Instant::now();
    let outcomes = http.publish(&messages);
    assert!(
        since.elapsed() < Duration::from_secs(3),
        "{:?}",
        since.elapsed()
    );
    for (message, outcome) in messages.iter().zip(&outcomes) {
        match &*message.topic {
            "well" => assert_eq!(*outcome, Outcome::Confirmed),
            _ => assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}"),
        }
    }
    assert_eq!(well.requests.lock().len(), 24);
}

#[test]
fn a_receiver_that_is_not_there_is_named_without_the_path() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{gone}/token-hunter2");
    let outcome = one(&mut transport(&[("*", url)], Duration::from_secs(5)), "x");
    let reason = reason(&outcome);
    assert!(reason.starts_with(&format!("http://{gone}: ")), "{reason}");
    assert!(!reason.contains("hunter2"), "{reason}");
}

#[test]
fn a_body_that_is_no_answer_is_tried_again() {
    let server = Server::new(|_, stream| {
        let _ = stream.write_all(b"220 smtp.example.com ESMTP\r\n");
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    let outcome = one(&mut to(&server), "x");
    assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
}
