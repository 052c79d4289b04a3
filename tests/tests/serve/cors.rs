//! Pages of other origins: those that are configured use the interface with tokens, and nothing else.

use acceptance::serving::{Answer, Serving};
use serde_json::json;

use super::roles::token;
use super::{deployed, settings};

const PAGE: &str = "https://tools.example";

fn preflight(serving: &Serving, path: &str, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type,idempotency-key",
        ),
        ("sec-fetch-site", "cross-site"),
    ];
    serving.send("OPTIONS", path, &headers, None)
}

#[test]
fn a_page_of_a_configured_origin_uses_the_interface_with_a_token() {
    let program = deployed("auth = 'tokens'\ncors = ['HTTPS://Tools.Example:443']");
    let admin = token(
        &program,
        &["--user", "root", "--project", "acme", "--role", "admin"],
    );
    let serving = Serving::start(&program, &[]);
    let allowed = preflight(&serving, "/v1/flows", PAGE).is(200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some(PAGE));
    assert_eq!(allowed.header("access-control-allow-credentials"), None);
    for (header, word) in [
        ("access-control-allow-methods", "POST"),
        ("access-control-allow-headers", "authorization"),
        ("access-control-allow-headers", "idempotency-key"),
        ("access-control-allow-headers", "traceparent"),
        ("vary", "origin"),
    ] {
        let value = allowed.header(header).unwrap_or_default();
        assert!(
            value.to_lowercase().contains(&word.to_lowercase()),
            "{header}: {value}"
        );
    }
    let bearer = format!("Bearer {admin}");
    let headers = [
        ("origin", PAGE),
        ("sec-fetch-site", "cross-site"),
        ("authorization", bearer.as_str()),
    ];
    let greet = json!({"flow": "greet", "request": {"name": "Ada"}});
    let begun = serving.post_with("/v1/flows", &headers, &greet).is(202);
    assert_eq!(begun.header("access-control-allow-origin"), Some(PAGE));
    let exposed = begun
        .header("access-control-expose-headers")
        .unwrap_or_default();
    assert!(
        exposed.contains("x-request-id") && exposed.contains("location"),
        "{exposed}"
    );
    // Also an error can be read.
    let wrong = [("origin", PAGE), ("authorization", "Bearer x")];
    let refused = serving.send("GET", "/v1/flows", &wrong, None).is(401);
    assert_eq!(refused.header("access-control-allow-origin"), Some(PAGE));
}

#[test]
fn other_origins_other_paths_and_requests_without_a_token_are_refused() {
    let program = deployed("auth = 'tokens'\ncors = ['https://tools.example']");
    let serving = Serving::start(&program, &[]);
    for (path, origin) in [
        ("/v1/flows", "https://evil.example"),
        ("/v1/flows", "http://tools.example"),
        ("/v1/flows", "https://tools.example.evil.example"),
        ("/v1/flows", "null"),
        ("/ui", PAGE),
        ("/ui/login", PAGE),
    ] {
        let refused = preflight(&serving, path, origin).is_problem(403, "ForeignSite");
        assert_eq!(
            refused.header("access-control-allow-origin"),
            None,
            "{path} {origin}"
        );
    }
    let without = [("origin", PAGE), ("cookie", "cairn=x")];
    for path in ["/v1/flows", "/ui"] {
        let refused = serving.send("GET", path, &without, None);
        refused.is_problem(403, "ForeignSite");
    }
    // No preflight: it says of no method what it wants.
    let bare = [("origin", PAGE)];
    serving
        .send("OPTIONS", "/v1/flows", &bare, None)
        .is_problem(403, "ForeignSite");
    let elsewhere = [
        ("host", "evil.example"),
        ("origin", PAGE),
        ("access-control-request-method", "POST"),
    ];
    serving
        .send("OPTIONS", "/v1/flows", &elsewhere, None)
        .is_problem(421, "ForeignHost");
}

#[test]
fn without_the_setting_there_is_no_cors() {
    let program = deployed("auth = 'tokens'");
    let serving = Serving::start(&program, &[]);
    preflight(&serving, "/v1/flows", PAGE).is_problem(403, "ForeignSite");
    drop(serving);
    for (serve, says) in [
        (
            "cors = ['https://tools.example']",
            "has no effect without auth",
        ),
        (
            "auth = 'none'\ncors = ['https://tools.example']",
            "has no effect without auth",
        ),
        ("auth = 'tokens'\ncors = ['*']", "is no origin"),
        (
            "auth = 'tokens'\ncors = ['https://tools.example/']",
            "is no origin",
        ),
    ] {
        program.write("cairn.toml", settings(serve));
        program.run(&["serve"]).exits(2).says(&[says]);
    }
}
