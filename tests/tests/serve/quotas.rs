//! Limits and usages: as `cairn quota` shows and changes them.

use acceptance::serving::Serving;
use serde_json::{Value, json};

use super::{deployed, last_change, sql};

/// Returns a limit of the project `demo`.
fn limit(serving: &Serving, resource: &str) -> Value {
    let shown = serving.get("/v1/quotas/demo").is(200).json();
    shown["quotas"][resource]["limit"].clone()
}

#[test]
fn limits_of_a_project_are_set_and_removed_all_or_none() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let set = |limits: Value| serving.post("/v1/quotas/demo", &json!({"limits": limits}));
    let default = limit(&serving, "volumes");
    let asked = json!({"limits": {"volumes": 3}, "reason": "a small project"});
    serving.post("/v1/quotas/demo", &asked).is(204);
    assert_eq!(limit(&serving, "volumes"), 3);
    assert_eq!(
        last_change(&program),
        json!(["quota.set", "demo", "demo", null, {"volumes": 3}, "a small project"])
    );
    set(json!({"gigabytes": -1})).is(204);
    assert_eq!(limit(&serving, "gigabytes"), -1);

    // The first one would do.
    set(json!({"gigabytes": 7, "hats": 1})).is_problem(400, "QuotaResourceUnknown");
    set(json!({"gigabytes": 7, "volumes": -2})).is_problem(400, "InvalidInput");
    assert_eq!(limit(&serving, "gigabytes"), -1);
    set(json!({})).is_problem(400, "InvalidInput");
    for wrong in [json!(1.5), json!("3"), json!(null), json!(u64::MAX)] {
        set(json!({"volumes": wrong})).is_problem(400, "InvalidInput");
    }
    let long = json!({"limits": {"volumes": 1}, "reason": "x".repeat(256)});
    serving
        .post("/v1/quotas/demo", &long)
        .is_problem(400, "InvalidInput");
    let path = format!("/v1/quotas/{}", "x".repeat(256));
    serving.get(&path).is_problem(400, "InvalidInput");

    let unset =
        |resources: Value| serving.post("/v1/quotas/demo/unset", &json!({"resources": resources}));
    unset(json!(["volumes", "snapshots"])).is_problem(404, "LimitNotFound");
    assert_eq!(limit(&serving, "volumes"), 3, "all, or none");
    unset(json!(["volumes"])).is(204);
    assert_eq!(limit(&serving, "volumes"), default);
    assert_eq!(
        last_change(&program),
        json!(["quota.unset", "demo", "demo", {"volumes": 3}, null, null])
    );
    unset(json!(["volumes"])).is_problem(404, "LimitNotFound");
    unset(json!([])).is_problem(400, "InvalidInput");
    unset(json!(["hats"])).is_problem(400, "QuotaResourceUnknown");
}

#[test]
fn limits_of_a_class_apply_to_its_projects() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let class = |limits: Value| {
        let asked = json!({"limits": limits});
        serving.post("/v1/quota-classes/gold", &asked)
    };
    class(json!({"volumes": 5})).is(204);
    let change = last_change(&program);
    assert_eq!(
        change,
        json!(["quota.set", "class gold", null, null, {"volumes": 5}, null])
    );
    let shown = serving.get("/v1/quota-classes/gold").is(200).json();
    assert_eq!(
        (&shown["class"], &shown["limits"]["volumes"]),
        (&json!("gold"), &json!(5))
    );
    let unset = json!({"resources": ["volumes"]});
    serving.post("/v1/quota-classes/gold/unset", &unset).is(204);
    let after = serving.get("/v1/quota-classes/gold").is(200).json();
    assert_ne!(after["limits"]["volumes"], 5);
    serving
        .post("/v1/quota-classes/gold/unset", &unset)
        .is_problem(404, "LimitNotFound");
}

#[test]
fn usages_that_differ_are_found_and_repaired() {
    let program = deployed("");
    sql(
        &program,
        "INSERT INTO quota_usages (project_id, resource, in_use, reserved) VALUES ('demo', 'volumes', 3, 0), ('blue', 'volumes', 4, 1)",
    );
    let serving = Serving::start(&program, &[]);
    let check = |query: &str| {
        let checked = serving.get(&format!("/v1/quota-check{query}"));
        checked.is(200).json()
    };
    let demo = json!({
        "project": "demo",
        "resource": "volumes",
        "found": {"in_use": 3, "reserved": 0},
        "expected": {"in_use": 0, "reserved": 0},
    });
    assert_eq!(check("")["differences"], 2);
    assert_eq!(
        check("?project=demo"),
        json!({"differences": 1, "drift": [demo]})
    );
    assert_eq!(check("?project=red")["differences"], 0);
    // The check of all is noted for the status, which is remembered for a second.
    let status = serving.get("/v1/status").is(200).json();
    assert_eq!(status["checks"][0]["differences"], 2, "{status}");

    let sync = |asked: Value| serving.post("/v1/quota-sync", &asked);
    let asked = json!({"project": "demo", "reason": "counted by hand"});
    let synced = sync(asked).is(200).json();
    assert_eq!(
        synced,
        json!({"repaired": 1, "mended": [demo], "left": 0, "why": null})
    );
    assert_eq!(
        last_change(&program),
        json!([
            "quota.sync", "demo", "demo",
            {"volumes": {"in_use": 3, "reserved": 0}},
            {"volumes": {"in_use": 0, "reserved": 0}},
            "counted by hand"
        ])
    );
    let status = serving.get("/v1/status").is(200).json();
    assert_eq!(
        status["checks"][0]["differences"], 1,
        "it is compared again: {status}"
    );
    assert_eq!(
        sync(json!({})).is(200).json()["mended"][0]["project"],
        "blue"
    );
    assert_eq!(check("")["differences"], 0);
    program.run(&["quota", "check", "--admin"]).exits(0);
    sync(json!({"project": ""})).is_problem(400, "InvalidInput");
}

#[test]
fn reservations_past_their_expiry_are_rolled_back() {
    let program = deployed("");
    sql(
        &program,
        "INSERT INTO reservations (id, project_id, resource, delta, expire, created_at)
         VALUES ('a', 'demo', 'volumes', 2, 1, 0), ('b', 'blue', 'volumes', 1, 1, 0);
         INSERT INTO quota_usages (project_id, resource, in_use, reserved) VALUES ('demo', 'volumes', 0, 2), ('blue', 'volumes', 0, 1)",
    );
    let serving = Serving::start(&program, &[]);
    let expire = |asked: Value| serving.post("/v1/quota-expire", &asked).is(200).json();
    let one = json!({"rolled_back": 1, "kept": 0, "left": 0, "why": null});
    assert_eq!(expire(json!({"project": "demo"})), one);
    assert_eq!(
        last_change(&program),
        json!(["quota.expire", "demo", "demo", null, {"rolled_back": 1, "kept": 0}, null])
    );
    let shown = serving.get("/v1/quotas/demo").is(200).json();
    assert_eq!(shown["quotas"]["volumes"]["reserved"], 0);
    assert_eq!(expire(json!({})), one, "that of the other project");
    assert_eq!(expire(json!({}))["rolled_back"], 0);
}
