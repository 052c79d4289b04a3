//! Forms that change quotas, messages and objects outside the database, as a browser without a script sends them.

use acceptance::program::Program;
use acceptance::serving::{Answer, Serving};
use serde_json::{Value, json};

use super::deployed;
use super::pages::{form, token};

/// A server, and the token of its forms.
struct Scene {
    program: Program,
    serving: Serving,
    csrf: String,
}

impl Scene {
    fn new(rows: &str) -> Self {
        Self::of(deployed(""), rows)
    }

    fn of(program: Program, rows: &str) -> Self {
        rusqlite::Connection::open(program.path("cairn.db"))
            .and_then(|database| database.execute_batch(rows))
            .unwrap();
        let serving = Serving::start(&program, &[]);
        let csrf = token(&serving.get("/ui/quotas").is(200).body);
        Self {
            program,
            serving,
            csrf,
        }
    }

    fn page(&self, path: &str) -> String {
        self.serving.get(path).is(200).body
    }

    fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let fields = [&[("csrf", self.csrf.as_str())], fields].concat();
        form(&self.serving, path, "", &fields)
    }

    /// Checks that a form is refused without its token, and from another site, and that a visit of its path changes nothing.
    fn is_guarded(&self, path: &str, fields: &[(&str, &str)]) {
        let before = self.changes();
        form(&self.serving, path, "", fields).is(403);
        let wrong = [&[("csrf", "wrong")], fields].concat();
        form(&self.serving, path, "", &wrong).is(403);
        let foreign = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", "https://evil.example"),
        ];
        let body = format!("csrf={}", self.csrf);
        let refused = self.serving.send("POST", path, &foreign, Some(&body));
        refused.is(403);
        self.serving.get(path).is(303);
        assert_eq!(self.changes(), before);
    }

    fn changes(&self) -> Value {
        self.program.json(&["audit", "list", "--json"])
    }

    /// Returns the action, the reason and the source of the newest change.
    fn last(&self) -> Value {
        let row = &self.changes()[0];
        json!([row["action"], row["reason"], row["source"]])
    }
}

#[test]
fn limits_are_set_and_removed_and_usages_repaired_by_forms() {
    let scene = Scene::new(
        "INSERT INTO quota_usages (project_id, resource, in_use, reserved) VALUES ('demo', 'volumes', 77, 0)",
    );
    let set = |limit: &str, reason: &str| {
        let fields = [
            ("project", "demo"),
            ("resource", "volumes"),
            ("limit", limit),
            ("reason", reason),
        ];
        scene.send("/ui/quotas/set", &fields)
    };
    scene.is_guarded(
        "/ui/quotas/set",
        &[("project", "demo"), ("resource", "volumes"), ("limit", "1")],
    );
    for wrong in ["", "many", "1.5", "-2"] {
        set(wrong, "").is(400);
    }
    let done = set("4242", " they asked ").is(303);
    assert_eq!(done.header("location"), Some("/ui/quotas?project=demo"));
    assert!(scene.page("/ui/quotas").contains("4242"));
    assert_eq!(
        scene.last(),
        json!(["quota.set", " they asked ", "http, 127.0.0.1"])
    );
    set("4243", "").is(303);
    assert_eq!(scene.last()[1], Value::Null);
    let unset = [("project", "demo"), ("resource", "volumes")];
    scene.send("/ui/quotas/unset", &unset).is(303);
    assert!(!scene.page("/ui/quotas").contains("4243"));
    scene.send("/ui/quotas/unset", &unset).is(404);

    assert!(scene.page("/ui/quotas").contains(">77<"));
    scene.is_guarded("/ui/quotas/sync", &[("project", "demo")]);
    scene
        .send("/ui/quotas/sync", &[("project", "demo")])
        .is(303);
    assert!(!scene.page("/ui/quotas").contains(">77<"));
    assert_eq!(scene.last()[0], "quota.sync");
    scene.send("/ui/quotas/drop", &unset).is(404);
}

#[test]
fn a_message_is_retried_by_a_form_where_there_is_a_transport() {
    let program = deployed("");
    let settings = "[serve]\nmetrics = false\n[deliver]\ntransport = 'http'\nkey_file = 'k'\n[deliver.topics]\n'*' = 'http://127.0.0.1:9/'\n";
    program
        .write("cairn.toml", settings)
        .write_secret("k", "0123456789abcdef0123456789abcdef");
    let rows = "INSERT INTO outbox (id, state, topic, method, arguments, created_at, project_id) VALUES ('a', 'failed', 't', 'm', '{}', 0, 'demo')";
    let scene = Scene::of(program, rows);
    let page = scene.page("/ui/outbox");
    assert!(page.contains("/ui/outbox/a/retry"), "{page}");
    scene.is_guarded("/ui/outbox/a/retry", &[]);
    scene
        .send("/ui/outbox/a/retry", &[("reason", "it is up")])
        .is(303);
    assert_eq!(
        scene.last(),
        json!(["outbox.retry", "it is up", "http, 127.0.0.1"])
    );
}

#[test]
fn messages_are_discarded_by_a_form_unless_they_were_taken() {
    let scene = Scene::new(
        "INSERT INTO outbox (id, state, topic, method, arguments, created_at, project_id) VALUES
         ('a', 'failed', 't', 'm', '{}', 0, 'demo'), ('b', 'acked', 't', 'm', '{}', 0, 'demo')",
    );
    let page = scene.page("/ui/outbox");
    assert!(page.contains("/ui/outbox/a/discard"), "{page}");
    // Nothing would send it, and one that was taken is not dropped.
    assert!(
        !page.contains("/ui/outbox/a/retry") && !page.contains("/ui/outbox/b/"),
        "{page}"
    );
    scene.send("/ui/outbox/a/retry", &[]).is(409);
    scene.is_guarded("/ui/outbox/a/discard", &[("reason", "sent by hand")]);
    let done = scene.send("/ui/outbox/a/discard", &[("reason", "sent by hand")]);
    assert_eq!(done.is(303).header("location"), Some("/ui/outbox"));
    assert_eq!(
        scene.last(),
        json!(["outbox.discard", "sent by hand", "http, 127.0.0.1"])
    );
    assert!(!scene.page("/ui/outbox").contains("/ui/outbox/a/"));
    scene.send("/ui/outbox/a/discard", &[]).is(404);
    scene.send("/ui/outbox/b/eat", &[]).is(404);
}

#[test]
fn objects_are_adopted_with_a_reason_by_a_form() {
    let scene = Scene::new("");
    let page = scene.page("/ui/externals");
    assert!(page.contains("/ui/externals/adopt"), "{page}");
    let id = "6f0c1f6e-7b64-4c0e-9d3b-0a4a7c2f5a11";
    let object = [("provider", "shelf"), ("kind", "book"), ("id", id)];
    scene.is_guarded("/ui/externals/adopt", &object);
    scene.send("/ui/externals/adopt", &object).is(400);
    let adopt = [&object[..], &[("reason", "it is ours")]].concat();
    // No plan names this provider.
    let refused = scene.send("/ui/externals/adopt", &adopt).is(409);
    assert!(
        refused.body.contains("no stored plan has a provider"),
        "{}",
        refused.body
    );
    scene.is_guarded("/ui/externals/remove", &object);
    scene.send("/ui/externals/remove", &object).is(409);
    scene.send("/ui/externals/eat", &adopt).is(404);
}

#[test]
fn who_may_only_read_sees_no_form_and_changes_nothing() {
    let program = deployed("auth = 'tokens'");
    program.write(
        "policy.json",
        r#"{"api:quota:read": "", "api:outbox:read": "", "api:external:read": "is_admin:True or role:reader"}"#,
    );
    let created = program.json(&[
        "token",
        "create",
        "--json",
        "--user",
        "ann",
        "--project",
        "acme",
        "--role",
        "reader",
    ]);
    let bearer = format!("Bearer {}", created["token"].as_str().unwrap());
    let serving = Serving::start(&program, &["--policy", "policy.json"]);
    let with = [("authorization", bearer.as_str())];
    for path in ["/ui/quotas", "/ui/outbox", "/ui/externals"] {
        let page = serving.send("GET", path, &with, None).is(200).body;
        assert!(!page.contains("method=\"post\""), "{path}: {page}");
    }
    let csrf = "x";
    for path in [
        "/ui/quotas/sync",
        "/ui/outbox/a/discard",
        "/ui/externals/remove",
    ] {
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let body = format!("csrf={csrf}&project=acme");
        serving.send("POST", path, &headers, Some(&body)).is(403);
    }
}
