//! A database that is held after a restore: reads are served, and nothing else.

use std::time::{Duration, Instant};

use acceptance::program::Program;
use acceptance::serving::Serving;
use serde_json::json;

use super::roles::token;
use super::{csrf, deployed, form, settings};

/// Restores a backup of a program's database, which is held then, as there is a transport.
fn restored(first: &Program, serve: &str) -> Program {
    first.run(&["db", "backup", "copy"]).exits(0);
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    let deliver = "[deliver]\ntransport = 'http'\nkey_file = 'k'\n[deliver.topics]\n'*' = 'http://127.0.0.1:9/'\n";
    program
        .write("cairn.toml", settings(serve) + deliver)
        .write_secret("k", "0123456789abcdef0123456789abcdef");
    let copy = first.path("copy");
    program
        .run(&["db", "restore", copy.to_str().unwrap()])
        .exits(0);
    program
}

/// Releases the database, and waits until flows can be submitted.
fn release(program: &Program, serving: &Serving) {
    program.run(&["db", "release"]).exits(0);
    let begun = Instant::now();
    while serving.get("/readyz").status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_held_database_is_read_until_it_is_released() {
    let first = deployed("");
    let id = {
        let serving = Serving::start(&first, &[]);
        let asked = json!({"flow": "greet", "request": {"name": "Ada"}});
        serving.post("/v1/flows", &asked).is(202).id()
    };
    let program = restored(&first, "");
    let serving = Serving::open(&program, &[]);
    let ready = serving.get("/readyz").is(503);
    assert!(ready.body.starts_with("held"), "{}", ready.body);
    serving.get(&format!("/v1/flows/{id}")).is(200);
    let status = serving.get("/v1/status").is(200).json();
    assert!(status["held"].is_string(), "{status}");
    let asked = json!({"flow": "greet", "request": {"name": "Bob"}});
    serving.post("/v1/flows", &asked).is_problem(503, "held");
    let reason = json!({"reason": "a test"});
    serving
        .post(&format!("/v1/flows/{id}/rollback"), &reason)
        .is_problem(503, "held");

    let limits = json!({"limits": {"volumes": 1}});
    serving
        .post("/v1/quotas/demo", &limits)
        .is_problem(503, "held");
    serving.get("/v1/quota-check").is(200);

    release(&program, &serving);
    serving.post("/v1/flows", &asked).is(202);
    serving.post("/v1/quotas/demo", &limits).is(204);
}

/// Logs in at the dashboard, and returns the cookie.
fn log_in(serving: &Serving, token: &str) -> String {
    let page = serving.get("/ui/login").is(200).body;
    let done = form(
        serving,
        "/ui/login",
        "",
        csrf(&page),
        &format!("token={token}"),
    );
    let done = done.is(303);
    let cookie = done.header("set-cookie").unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

#[test]
fn a_login_at_a_held_database_shows_pages_and_outlasts_its_release() {
    let first = deployed("auth = 'tokens'");
    let create = |user: &str| {
        token(
            &first,
            &["--user", user, "--project", "acme", "--role", "admin"],
        )
    };
    let (ann, bob) = (create("ann"), create("bob"));
    let program = restored(&first, "auth = 'tokens'");
    let serving = Serving::open(&program, &[]);
    let page = |cookie: &str, path: &str| serving.send("GET", path, &[("cookie", cookie)], None);
    let wrong = form(
        &serving,
        "/ui/login",
        "",
        csrf(&serving.get("/ui/login").body),
        "token=x",
    );
    wrong.is(403);
    let (anns, bobs) = (log_in(&serving, &ann), log_in(&serving, &bob));
    for path in ["/ui", "/ui/flows", "/ui/audit", "/ui/quotas"] {
        let shown = page(&anns, path).is(200).body;
        assert!(shown.contains("ann"), "{path}: {shown}");
    }
    // Nothing is changed, and the cookie of another one is none.
    let quotas = page(&anns, "/ui/quotas").body;
    let set = "project=acme&resource=volumes&limit=1";
    form(&serving, "/ui/quotas/set", &anns, csrf(&quotas), set).is(503);
    page("cairn=nothing", "/ui").is(303);
    let flows = page(&bobs, "/ui/flows").body;
    form(&serving, "/ui/logout", &bobs, csrf(&flows), "").is(303);
    page(&bobs, "/ui").is(303);

    release(&program, &serving);
    // It is a session of the database then, for every server.
    let quotas = page(&anns, "/ui/quotas").is(200).body;
    form(&serving, "/ui/quotas/set", &anns, csrf(&quotas), set).is(303);
    page(&bobs, "/ui").is(303);
    let address = serving.address.clone();
    drop(serving);
    let serving = Serving::start_at(&program, &address);
    let page = |cookie: &str| serving.send("GET", "/ui", &[("cookie", cookie)], None);
    page(&anns).is(200);
    let tokens = program.json(&["token", "list", "--json"]);
    let of_ann = tokens.as_array().unwrap().iter();
    let of_ann = of_ann.filter(|token| token["user_id"] == "ann" || token["user"] == "ann");
    for token in of_ann {
        let id = token["id"].as_str().unwrap();
        program.run(&["token", "revoke", id]).exits(0);
    }
    page(&anns).is(303);
}
