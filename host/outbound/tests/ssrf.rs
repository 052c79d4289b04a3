//! Where requests may go: a plugin that is granted a URL reaches nothing else by it.

mod support;

use std::sync::Arc;

use cairn_outbound::{Authorities, Client, HttpGrant, OutboundError};
use support::{Detour, LIMITS, Names, Server, client, get, grant, ok, send};

/// Addresses that a request to a name may never go to: each class of the table in `address.rs`.
const REFUSED: &[&str] = &[
    "127.0.0.1",
    "127.8.8.8",
    "::1",
    "::ffff:127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "fd12::1",
    "::ffff:192.168.1.1",
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "fe80::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:a9fe:a9fe::1",
    "2002:7f00:1::",
    "2001:0:1::1",
    "::127.0.0.1",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "203.0.113.1",
    "2001:db8::1",
    "fec0::1",
    "4000::1",
];

/// Those of them that a grant reaches if it names them.
const NAMEABLE: &[&str] = &[
    "127.0.0.1",
    "127.8.8.8",
    "::1",
    "::ffff:127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "fd12::1",
    "::ffff:192.168.1.1",
];

fn url(host: &str) -> String {
    match host.contains(':') {
        true => format!("http://[{host}]/x"),
        false => format!("http://{host}/x"),
    }
}

#[test]
fn a_name_with_a_refused_address_is_never_connected_to() {
    let server = Server::answering(ok("secret"));
    for address in REFUSED {
        for answer in [&[*address][..], &["93.184.216.34", address]] {
            let names = Names::new(&[answer]);
            let detour = Detour::to(&server);
            let client = Client::new(Arc::clone(&names) as _, Authorities::default())
                .with_connector(Arc::clone(&detour) as _);
            let grant = grant(&["http://service.example/*"]);
            let request = get("http://service.example/x");
            let error = send(&client, &grant, request, None, LIMITS).unwrap_err();
            assert!(
                matches!(error, OutboundError::Address { .. }),
                "{address}: {error}"
            );
            assert!(error.to_string().contains("of service.example"), "{error}");
            assert!(error.is_before_sending());
            assert!(detour.connected().is_empty(), "{address}");
        }
    }
    assert_eq!(server.accepted(), 0);
}

#[test]
fn a_refused_address_is_refused_as_a_literal_too() {
    let server = Server::answering(ok("secret"));
    let everything = HttpGrant::default();
    for address in REFUSED {
        let detour = Detour::to(&server);
        let client = client().with_connector(Arc::clone(&detour) as _);
        // Granted as a whole, which names no address.
        let error = send(&client, &everything, get(&url(address)), None, LIMITS).unwrap_err();
        assert!(
            matches!(error, OutboundError::Address { .. }),
            "{address}: {error}"
        );
        assert!(detour.connected().is_empty(), "{address}");
    }
    assert_eq!(server.accepted(), 0);
}

#[test]
fn a_grant_that_names_a_private_address_reaches_it_alone() {
    let server = Server::answering(ok("hello"));
    for address in NAMEABLE {
        let detour = Detour::to(&server);
        let client = client().with_connector(Arc::clone(&detour) as _);
        let grant = grant(&[&url(address)]);
        let response = send(&client, &grant, get(&url(address)), None, LIMITS).unwrap();
        assert_eq!(response.body(), "hello");
        assert_eq!(detour.connected().len(), 1, "{address}");
        let error = send(&client, &grant, get("http://10.99.99.99/x"), None, LIMITS).unwrap_err();
        assert!(matches!(error, OutboundError::NotAllowed { .. }), "{error}");
    }
}

#[test]
fn localhost_is_not_looked_up() {
    let server = Server::answering(ok("hello"));
    let names = Names::new(&[&["93.184.216.34"]]);
    let client = Client::new(Arc::clone(&names) as _, Authorities::default());
    let url = format!("http://localhost:{}/x", server.address.port());
    let response = send(&client, &grant(&[&url]), get(&url), None, LIMITS).unwrap();
    assert_eq!(response.body(), "hello");
    assert_eq!(names.asked(), 0);
    let error = send(&client, &HttpGrant::default(), get(&url), None, LIMITS).unwrap_err();
    assert!(error.to_string().contains("`localhost`"), "{error}");
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_name_that_is_bound_again_is_connected_to_where_it_was_checked() {
    let server = Server::answering(ok("hello"));
    let names = Names::new(&[&["93.184.216.34", "93.184.216.35"], &["127.0.0.1"]]);
    let detour = Detour::to(&server);
    let client = Client::new(Arc::clone(&names) as _, Authorities::default())
        .with_connector(Arc::clone(&detour) as _);
    let grant = grant(&["http://service.example/*"]);
    let request = || get("http://service.example/x");
    send(&client, &grant, request(), None, LIMITS).unwrap();
    // One look-up, whose answer was checked, and no second one for the connection.
    assert_eq!(names.asked(), 1);
    assert_eq!(detour.connected(), ["93.184.216.34:80"]);
    // The next request looks the name up again, and its answer is checked again.
    let error = send(&client, &grant, request(), None, LIMITS).unwrap_err();
    assert!(matches!(error, OutboundError::Address { .. }), "{error}");
    assert_eq!(names.asked(), 2);
    assert_eq!(detour.connected().len(), 1);
}

#[test]
fn a_redirect_is_passed_on_and_not_followed() {
    for (status, location) in [
        (
            "301 Moved Permanently",
            "http://169.254.169.254/latest/meta-data/",
        ),
        ("302 Found", "http://[fd00:ec2::254]/"),
        ("303 See Other", "//127.0.0.1/"),
        ("307 Temporary Redirect", "/other"),
        ("308 Permanent Redirect", "file:///etc/passwd"),
    ] {
        let answer =
            format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let server = Server::answering(answer);
        let detour = Detour::to(&server);
        let client = client().with_connector(Arc::clone(&detour) as _);
        let grant = grant(&[&server.url("/*")]);
        let response = send(&client, &grant, get(&server.url("/x")), None, LIMITS).unwrap();
        assert_eq!(response.status().as_str(), &status[..3]);
        assert_eq!(response.headers()["location"], location);
        assert_eq!(
            (server.accepted(), detour.connected().len()),
            (1, 1),
            "{status}"
        );
        // The plugin that follows it itself is refused.
        if let Ok(uri) = location.parse::<http::Uri>() {
            assert!(
                grant.permit(&http::Method::GET, &uri).is_err(),
                "{location}"
            );
        }
    }
}

#[test]
fn a_name_without_addresses_is_told_from_one_that_cannot_be_looked_up() {
    let client = Client::new(Names::new(&[]), Authorities::default());
    let grant = grant(&["http://service.example/*"]);
    let error = send(
        &client,
        &grant,
        get("http://service.example/x"),
        None,
        LIMITS,
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "service.example has no address");
}

#[test]
fn no_proxy_is_taken_from_the_environment() {
    const CHILD: &str = "CAIRN_TEST_BEHIND_A_PROXY";
    if let Some(url) = std::env::var_os(CHILD) {
        let url = url.into_string().unwrap();
        let response = send(&client(), &grant(&[&url]), get(&url), None, LIMITS).unwrap();
        assert_eq!(response.body(), "direct");
        return;
    }
    let (server, proxy) = (
        Server::answering(ok("direct")),
        Server::answering(ok("proxy")),
    );
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "ALL_PROXY",
        "all_proxy",
        "https_proxy",
    ] {
        child.env(name, proxy.url("/"));
    }
    child.env(CHILD, server.url("/x"));
    let done = child
        .args(["--exact", "no_proxy_is_taken_from_the_environment"])
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
    assert_eq!((server.accepted(), proxy.accepted()), (1, 0));
}
