//! Servers that are slow, cut the connection, or answer what is no HTTP or has no end; and the limits of a request.

mod support;

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_outbound::{OutboundError, RequestLimits, SecretHeader};
use http::Request;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use support::{Detour, LIMITS, Server, client, fetch, get, grant, head, ok, send};

const SHORT: RequestLimits = RequestLimits::new(1 << 20, 1 << 20, Duration::from_millis(300));

/// Waits until the other end closes the connection.
fn wait(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
}

/// Writes until the other end closes the connection.
fn flood(stream: &mut TcpStream, bytes: &[u8]) {
    while stream.write_all(bytes).is_ok() {}
}

#[track_caller]
fn is_late(server: &Server) {
    let since = Instant::now();
    let error = fetch(server, SHORT).unwrap_err();
    let elapsed = since.elapsed();
    assert!(matches!(error, OutboundError::Time { .. }), "{error}");
    assert!(
        error.to_string().contains("300ms: raise `http_time`"),
        "{error}"
    );
    assert!(!error.is_before_sending());
    assert!((300..2000).contains(&elapsed.as_millis()), "{elapsed:?}");
}

#[test]
fn a_server_may_close_the_connection_with_its_response() {
    for body in ["", "hello"] {
        for _ in 0..50 {
            let server = Server::answering(ok(body));
            assert_eq!(fetch(&server, LIMITS).unwrap().body(), body);
        }
    }
}

#[test]
fn a_server_that_is_slow_is_given_up() {
    // It says nothing; only a part of its head; its head and only a part of the body.
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
    ] {
        is_late(&Server::start(move |mut stream| {
            head(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
            wait(stream);
        }));
    }
}

#[test]
fn a_server_that_drips_is_given_up() {
    fn drip(stream: &mut TcpStream, bytes: &[u8]) {
        while stream.write_all(bytes).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    is_late(&Server::start(|mut stream| {
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").unwrap();
        drip(&mut stream, b"y");
    }));
    is_late(&Server::start(|mut stream| {
        head(&mut stream);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        drip(&mut stream, b"1\r\ny\r\n");
    }));
    // Answers that precede the real one.
    is_late(&Server::start(|mut stream| {
        head(&mut stream);
        drip(&mut stream, b"HTTP/1.1 103 Early Hints\r\n\r\n");
    }));
}

#[test]
fn a_plugins_own_times_are_kept() {
    let server = Server::start(|mut stream| {
        head(&mut stream);
        wait(stream);
    });
    let late = |limits: RequestLimits, server: &Server| {
        let error = fetch(server, limits).unwrap_err();
        assert!(matches!(error, OutboundError::PluginTime { .. }), "{error}");
    };
    let time = Some(Duration::from_millis(100));
    late(
        RequestLimits {
            first_byte: time,
            ..LIMITS
        },
        &server,
    );
    let pauses = Server::start(|mut stream| {
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").unwrap();
        wait(stream);
    });
    late(
        RequestLimits {
            between_bytes: time,
            ..LIMITS
        },
        &pauses,
    );
}

#[test]
fn a_connection_that_is_cut_is_not_a_response() {
    for answer in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let error = fetch(&Server::answering(answer), LIMITS).unwrap_err();
        assert!(
            matches!(error, OutboundError::Closed { .. }),
            "{answer:?}: {error:?}"
        );
        assert!(!error.is_before_sending());
    }
    // Reset, with the request unread.
    let server = Server::start(drop);
    let error = fetch(&server, LIMITS).unwrap_err();
    assert!(matches!(error, OutboundError::Closed { .. }), "{error:?}");
}

#[test]
fn an_answer_that_is_no_http_is_refused() {
    for answer in [
        &b"hello, world\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x00\x05hello\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ] {
        let error = fetch(&Server::answering(answer), LIMITS).unwrap_err();
        let shown = String::from_utf8_lossy(answer);
        assert!(
            matches!(error, OutboundError::NotHttp { .. }),
            "{shown}: {error:?}"
        );
    }
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n";
    assert!(fetch(&Server::answering(chunk), LIMITS).is_err());
}

#[test]
fn headers_without_an_end_are_refused() {
    let many = Server::start(|mut stream| {
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
        flood(&mut stream, b"X: y\r\n");
    });
    let long = Server::start(|mut stream| {
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").unwrap();
        flood(&mut stream, &[b'y'; 4096]);
    });
    let complete = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(40 << 10));
    for server in [many, long, Server::answering(complete)] {
        let error = fetch(&server, LIMITS).unwrap_err();
        assert!(
            matches!(error, OutboundError::HeadersTooLong { .. }),
            "{error:?}"
        );
    }
    let fits = format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n",
        "y".repeat(30 << 10)
    );
    fetch(&Server::answering(fits), LIMITS).unwrap();
}

#[test]
fn a_body_is_no_longer_than_its_limit() {
    const MOST: u64 = 1000;
    let limits = RequestLimits {
        response_bytes: MOST,
        ..LIMITS
    };
    let exact = "x".repeat(1000);
    assert_eq!(
        fetch(&Server::answering(ok(&exact)), limits)
            .unwrap()
            .body(),
        &exact
    );
    let over = "x".repeat(1001);
    let chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{over}\r\n0\r\n\r\n");
    let endless = |start: &'static [u8], part: &'static [u8]| {
        Server::start(move |mut stream| {
            head(&mut stream);
            stream.write_all(start).unwrap();
            flood(&mut stream, part);
        })
    };
    for server in [
        Server::answering(ok(&over)),
        Server::answering(chunked),
        Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n"),
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"xxxxxxxxxxxxxxxx"),
        endless(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"4\r\nxxxx\r\n",
        ),
    ] {
        let error = fetch(&server, limits).unwrap_err();
        assert_eq!(error, OutboundError::ResponseTooLong { most: MOST });
    }
}

/// A server that answers each request once it is there, and passes it on.
fn recorder() -> (Server, mpsc::Receiver<String>) {
    let (sender, receiver) = mpsc::channel();
    let server = Server::start(move |mut stream| {
        let mut said = head(&mut stream);
        let lower = said.to_lowercase();
        let length = lower.split("content-length: ").nth(1);
        let length = length.map(|rest| rest.lines().next().unwrap().parse::<usize>().unwrap());
        let is_whole = |body: &[u8]| match length {
            Some(length) => body.len() >= length,
            None => !lower.contains("chunked") || body.ends_with(b"0\r\n\r\n"),
        };
        let (mut body, mut byte) = (Vec::new(), [0]);
        while !is_whole(&body) && stream.read(&mut byte).is_ok_and(|read| read == 1) {
            body.push(byte[0]);
        }
        said.push_str(&String::from_utf8_lossy(&body));
        let _ = stream.write_all(ok("").as_bytes());
        let _ = sender.send(said);
    });
    (server, receiver)
}

/// A body of two parts, whose length is not known before they are sent.
fn parts(first: &'static str, second: &'static str) -> UnsyncBoxBody<Bytes, Infallible> {
    let mut parts = [second, first].map(Bytes::from).to_vec();
    let next = move || parts.pop().map(|part| Ok(Frame::data(part)));
    StreamBody::new(futures_util::stream::iter(std::iter::from_fn(next))).boxed_unsync()
}

#[test]
fn a_request_is_no_longer_than_its_limit() {
    let limits = RequestLimits {
        request_bytes: 10,
        ..LIMITS
    };
    let (server, said) = recorder();
    let detour = Detour::to(&server);
    let client = client().with_connector(Arc::clone(&detour) as _);
    let grant = grant(&[&server.url("/*")]);
    let put = || Request::put(server.url("/x"));
    let whole = put().body(Full::from("0123456789")).unwrap();
    send(&client, &grant, whole, None, limits).unwrap();
    let sent = said.recv().unwrap();
    assert!(sent.ends_with("\r\n\r\n0123456789"), "{sent}");
    let whole = put().body(parts("01234", "56789")).unwrap();
    send(&client, &grant, whole, None, limits).unwrap();
    let sent = said.recv().unwrap();
    assert!(
        sent.ends_with("5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"),
        "{sent}"
    );
    // One whose length is known is not sent.
    let long = OutboundError::RequestTooLong { most: 10 };
    let known = put().body(Full::from("0123456789a")).unwrap();
    let error = send(&client, &grant, known, None, limits).unwrap_err();
    assert_eq!(error, long);
    let declared = put().header("content-length", "11");
    let declared = declared.body(parts("01234", "")).unwrap();
    let error = send(&client, &grant, declared, None, limits).unwrap_err();
    assert_eq!(error, long);
    assert_eq!(detour.connected().len(), 2);
    let unknown = put().body(parts("01234", "56789a")).unwrap();
    let error = send(&client, &grant, unknown, None, limits).unwrap_err();
    assert_eq!(error, long);
    assert!(
        !said.recv().unwrap().contains("56789a"),
        "the rest is not sent"
    );
}

#[test]
fn a_request_is_sent_as_it_was_checked_with_the_hosts_own_headers() {
    let (server, said) = recorder();
    let grant = grant(&[&server.url("/a/*")]);
    let request = Request::get(server.url("/%61/%7e?x=%7e"))
        .header("Host", "evil.example")
        .header("Connection", "keep-alive, x-mine")
        .header("Transfer-Encoding", "chunked")
        .header("Upgrade", "websocket")
        .header("Proxy-Authorization", "Basic eDp5")
        .header("X-Api-Key", "the plugin's")
        .header("X-Mine", "1")
        .body(Full::<Bytes>::default())
        .unwrap();
    let secret = SecretHeader::new("x-api-key".parse().unwrap(), "hunter2");
    assert!(secret.is_some());
    send(&client(), &grant, request, secret, LIMITS).unwrap();
    let said = said.recv().unwrap().to_lowercase();
    let (first, rest) = said.split_once("\r\n").unwrap();
    assert_eq!(first, "get /a/~?x=%7e http/1.1");
    let mut headers: Vec<&str> = rest.trim_end().split("\r\n").collect();
    headers.sort_unstable();
    let host = format!("host: {}", server.address);
    assert_eq!(
        headers,
        [
            "connection: close",
            &host,
            "x-api-key: hunter2",
            "x-mine: 1"
        ]
    );
    assert!(SecretHeader::new("x-api-key".parse().unwrap(), "a\r\nX-Other: b").is_none());
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", server.local_addr().unwrap());
    drop(server);
    let error = send(&client(), &grant(&[&url]), get(&url), None, LIMITS).unwrap_err();
    assert!(matches!(error, OutboundError::Connect { .. }), "{error}");
    assert!(
        error.to_string().contains("cannot be connected to"),
        "{error}"
    );
    assert!(error.is_before_sending());
}
