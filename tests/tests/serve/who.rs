//! Who is asking: tokens, passwords, browsers of other sites, proxies.

use std::time::{Duration, Instant};

use acceptance::serving::Serving;
use serde_json::json;

use super::deployed;
use super::roles::token;

#[test]
fn a_token_stands_for_a_user_until_it_ends() {
    let program = deployed("auth = 'tokens'");
    let two = token(
        &program,
        &["--user", "ann", "--project", "acme", "--project", "lab"],
    );
    let short = token(
        &program,
        &["--user", "ann", "--project", "acme", "--expires", "2s"],
    );
    let serving = Serving::start(&program, &[]);
    let greet = json!({"flow": "greet", "request": {"name": "Ada"}});
    let post = |token: &str, more: &[(&str, &str)]| {
        let bearer = format!("Bearer {token}");
        let headers = [&[("authorization", bearer.as_str())], more].concat();
        serving.post_with("/v1/flows", &headers, &greet)
    };
    // One of several projects must be named.
    post(&two, &[]).is_problem(400, "ProjectNotNamed");
    post(&two, &[("cairn-project", "other")]).is_problem(403, "ProjectNotAllowed");
    let id = post(&two, &[("cairn-project", "lab")]).is(202).id();
    let flow = program.json(&["flow", "list", "--json"]);
    assert_eq!(
        (&flow[0]["project_id"], &flow[0]["user_id"]),
        (&json!("lab"), &json!("ann"))
    );
    assert_eq!(flow[0]["id"], id.as_str());
    // The identity is the token's, never the body's.
    let forged = json!({"flow": "greet", "request": {"name": "Ada"}, "user": "root"});
    let bearer = format!("Bearer {two}");
    let headers = [("authorization", bearer.as_str()), ("cairn-project", "lab")];
    serving
        .post_with("/v1/flows", &headers, &forged)
        .is_problem(400, "InvalidInput");

    std::thread::sleep(Duration::from_secs(2));
    let refused = post(&short, &[]).is_problem(401, "Unauthorized");
    assert_eq!(
        refused.header("www-authenticate"),
        Some("Bearer realm=\"cairn\"")
    );
    let listed = program.json(&["token", "list", "--json"]);
    let ann = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["projects"][1] == "lab");
    let id = ann.unwrap()["id"].as_str().unwrap();
    program.run(&["token", "revoke", id]).exits(0);
    // It is remembered for a second.
    std::thread::sleep(Duration::from_millis(1_500));
    post(&two, &[("cairn-project", "lab")]).is_problem(401, "Unauthorized");
    // The token itself is nowhere in the database.
    let database = std::fs::read(program.path("cairn.db")).unwrap();
    let secret = two.as_bytes();
    assert!(!database.windows(secret.len()).any(|bytes| bytes == secret));
}

#[test]
fn a_stream_ends_with_its_token() {
    let program = deployed("auth = 'tokens'");
    let admin = token(
        &program,
        &["--user", "root", "--project", "acme", "--role", "admin"],
    );
    let short = token(
        &program,
        &["--user", "ann", "--project", "acme", "--expires", "4s"],
    );
    let serving = Serving::start(&program, &[]);
    let bearer = format!("Bearer {admin}");
    let waits = json!({"flow": "waits", "request": {"name": "Wil"}});
    let id = serving
        .post_with("/v1/flows", &[("authorization", &bearer)], &waits)
        .is(202)
        .id();
    let begun = Instant::now();
    let bearer = format!("Bearer {short}");
    let path = format!("/v1/flows/{id}/stream");
    let events = serving.events(&path, &[("Authorization", &bearer)], "bye");
    assert_eq!(events.last().unwrap().name, "bye");
    assert!(begun.elapsed() < Duration::from_secs(25));
}

#[test]
fn users_with_passwords_are_in_a_file() {
    let program = deployed("auth = 'basic'\nusers = 'users.toml'");
    let hash = hashed("secret");
    program.write(
        "users.toml",
        format!("[users.ann]\npassword = '{hash}'\nprojects = ['acme']\nroles = ['admin']\n"),
    );
    let serving = Serving::start(&program, &[]);
    let get = |user: &str, password: &str| {
        let basic = format!("Basic {}", base64(&format!("{user}:{password}")));
        serving.send("GET", "/v1/flows", &[("authorization", &basic)], None)
    };
    get("ann", "secret").is(200);
    get("bob", "secret").is_problem(401, "Unauthorized");
    let refused = get("ann", "wrong").is_problem(401, "Unauthorized");
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .starts_with("Basic")
    );
    // Who guesses is slowed down.
    let mut last = 0;
    for number in 0..30 {
        last = get("ann", &number.to_string()).status;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);

    // A file that is wrong is refused at the start, with the user.
    program.write(
        "users.toml",
        "[users.ann]\npassword = 'secret'\nprojects = ['acme']\n",
    );
    program
        .run(&["serve", "--listen", "127.0.0.1:0"])
        .exits(2)
        .says(&["the password of `ann` is no bcrypt hash", "htpasswd"]);
}

/// Returns the bcrypt hash of a password, as `htpasswd` makes it.
fn hashed(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}

#[test]
fn pages_of_other_sites_and_proxies_are_refused() {
    let program = deployed("hosts = ['cairn.example']");
    let serving = Serving::start(&program, &[]);
    let get = |headers: &[(&str, &str)]| serving.send("GET", "/v1/flows", headers, None);
    get(&[("host", "evil.example")]).is_problem(421, "ForeignHost");
    get(&[("host", "evil.example:7411")]).is_problem(421, "ForeignHost");
    get(&[("host", "cairn.example")]).is(200);
    get(&[("host", "localhost:7411")]).is(200);
    get(&[("origin", "http://evil.example")]).is_problem(403, "ForeignSite");
    get(&[("origin", "null")]).is_problem(403, "ForeignSite");
    get(&[("origin", &format!("http://{}", serving.address))]).is(200);
    get(&[("sec-fetch-site", "cross-site")]).is_problem(403, "ForeignSite");
    get(&[("sec-fetch-site", "same-site")]).is_problem(403, "ForeignSite");
    get(&[("sec-fetch-site", "same-origin")]).is(200);
    get(&[("sec-fetch-site", "none")]).is(200);
    get(&[("x-forwarded-for", "10.0.0.1")]).is_problem(403, "Forwarded");
    get(&[("x-forwarded-proto", "https")]).is_problem(403, "Forwarded");
    let answer = get(&[]).is(200);
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    let policy = answer.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'"),
        "{policy}"
    );
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn a_server_without_protection_listens_on_this_machine_only() {
    let program = deployed("");
    let serve = ["serve", "--listen", "0.0.0.0:0"];
    program
        .run(&serve)
        .exits(2)
        .says(&["can be reached from other machines", "--insecure-no-auth"]);
    program.write("cairn.toml", super::settings("auth = 'tokens'"));
    program
        .run(&serve)
        .exits(2)
        .says(&["clear text", "tls_cert"]);
    program.write("cairn.toml", super::settings("auth = 'none'"));
    program.run(&serve).exits(2);
    for (settings, says) in [
        ("auth = 'basic'", "needs the file of users"),
        ("auth = 'magic'", "is `magic`"),
        ("listen = 'nowhere'", "is no address"),
        ("tls_cert = 'a'", "has no `tls_key`"),
        ("trusted_proxies = ['x']", "is no address or network"),
    ] {
        program.write("cairn.toml", super::settings(settings));
        program.run(&["serve"]).exits(2).says(&[says]);
    }
}

/// Writes a certificate and its key.
fn certificate(program: &acceptance::program::Program) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    program
        .write("chain.pem", made.cert.pem())
        .write_secret("key.pem", made.signing_key.serialize_pem());
}

#[test]
fn with_tls_tokens_are_taken_from_other_machines() {
    let program = deployed("auth = 'tokens'");
    certificate(&program);
    let admin = token(
        &program,
        &["--user", "root", "--project", "acme", "--role", "admin"],
    );
    let tls = ["--tls-cert", "chain.pem", "--tls-key", "key.pem"];
    let serving = Serving::start(&program, &tls);
    assert!(serving.address.starts_with("https://"));
    let bearer = format!("Bearer {admin}");
    let get = |headers: &[(&str, &str)]| serving.send("GET", "/v1/flows", headers, None);
    get(&[("authorization", &bearer)]).is(200);
    get(&[]).is_problem(401, "Unauthorized");
    // Clear text is no TLS.
    let plain = serving.address.trim_start_matches("https://");
    assert!(acceptance::serving::try_send(plain, "GET", "/healthz", &[], None).is_err());
    drop(serving);
    program.write("chain.pem", "nothing");
    program
        .run(&[&["serve"][..], &tls].concat())
        .exits(2)
        .says(&["chain.pem", "no certificate"]);
}

#[test]
fn a_trusted_proxy_says_who_is_behind_it() {
    let program = deployed("auth = 'tokens'\ntrusted_proxies = ['127.0.0.1']");
    let admin = token(
        &program,
        &["--user", "root", "--project", "acme", "--role", "admin"],
    );
    let serving = Serving::start(&program, &[]);
    let bearer = format!("Bearer {admin}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-forwarded-for", "9.9.9.9, 203.0.113.7"),
        ("x-forwarded-proto", "https"),
    ];
    let greet = json!({"flow": "greet", "request": {"name": "Ada"}});
    let id = serving
        .post_with("/v1/flows", &headers, &greet)
        .is(202)
        .id();
    let path = format!("/v1/flows/{id}/rollback");
    let reason = json!({"reason": "a test"});
    serving.post_with(&path, &headers, &reason).is(200);
    let rows = program.json(&["audit", "list", "--json"]);
    assert_eq!(rows[0]["source"], "http, 203.0.113.7", "{rows}");
}
