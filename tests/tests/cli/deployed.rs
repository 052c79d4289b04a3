//! `cairn flow deploy`, `versions` and `undeploy`.

use std::fs;
use std::sync::Arc;

use acceptance::program::{Program, volume_create};
use acceptance::stranger::Stranger;
use cairn::clock::SystemClock;
use cairn::store::deployments::NewDeployment;
use cairn::value::Digest;
use cairn::{Identity, Plan, StoreError, Value};
use serde_json::json;

use super::program;

const FIRST: Stranger = Stranger {
    name: "stranger",
    minor: 0,
    imports: &["quota"],
    requires: &["size"],
    provides: &["x"],
    schema: "{}",
    says: "reverted",
};

const SECOND: Stranger = Stranger { minor: 1, ..FIRST };

/// It imports more.
const GREEDY: Stranger = Stranger {
    minor: 2,
    imports: &["quota", "rpc"],
    ..FIRST
};

/// Writes a flow of a built-in plugin and a stranger.
fn flow(program: &Program, stranger: Stranger) {
    program
        .write("stranger.wat", stranger.component())
        .write(
            "flow.toml",
            "[flow]\nname = \"f\"\n\n[plugins.inject]\nbuiltin = \"inject\"\nsettings = { provides = [\"size\"] }\n\n\
             [plugins.stranger]\npath = \"stranger.wat\"\ngrants = { quota = true, rpc = true }\n\n\
             [[task]]\nplugin = \"inject\"\n\n[[task]]\nplugin = \"stranger\"\n",
        );
}

/// Writes a case of the stranger.
fn case(program: &Program, expect: &str) {
    fs::create_dir_all(program.path("cases")).unwrap();
    let case = format!("[[case]]\nname = 'here'\ninputs = {{ size = 1 }}\nexpect = {expect}\n");
    program.write("cases/stranger.toml", case);
}

/// Deploys the flow, which must succeed, with more arguments.
#[track_caller]
fn deploy(program: &Program, more: &[&str]) -> Value {
    program.json(&[&["flow", "deploy", "flow.toml", "--json"], more].concat())
}

fn versions(program: &Program) -> Value {
    program.json(&["flow", "versions", "--json"])
}

/// Returns the changes of a document as `part of`, with `!` before those that ask for more.
fn changes(document: &Value) -> Vec<String> {
    let changes = document["changes"].as_array().expect("a list").iter();
    let changes = changes.map(|change| {
        let asks = if change["asks"].is_null() { "" } else { "!" };
        let of = change["of"].as_str().unwrap_or("-");
        format!("{asks}{} {of}", change["part"].as_str().unwrap())
    });
    changes.collect()
}

/// Counts the rows of a table.
fn rows(program: &Program, table: &str) -> i64 {
    let database = rusqlite::Connection::open(program.path("cairn.db")).unwrap();
    let count = format!("SELECT count(*) FROM {table}");
    database.query_row(&count, [], |row| row.get(0)).unwrap()
}

/// Reads the stored plan of a deployed version, and asserts that its components are stored.
fn plan(program: &Program, name: &str, version: i64) -> Plan {
    let database = rusqlite::Connection::open(program.path("cairn.db")).unwrap();
    let statement =
        "SELECT body FROM plans JOIN deployments ON plan = digest WHERE name = ?1 AND version = ?2";
    let body: String = database
        .query_row(statement, (name, version), |row| row.get(0))
        .unwrap();
    let plan: Plan = serde_json::from_str(&body).unwrap();
    for (digest, whose) in plan.components() {
        let statement = "SELECT count(*) FROM components WHERE digest = ?1";
        let digest = digest.to_string();
        let found: i64 = database
            .query_row(statement, [&digest], |row| row.get(0))
            .unwrap();
        assert_eq!(found, 1, "the component of {whose}");
    }
    plan
}

#[test]
fn each_deployment_is_a_new_version_that_says_what_it_changes() {
    let program = program();
    flow(&program, FIRST);
    let first = deploy(&program, &[]);
    assert_eq!(
        (&first["outcome"], &first["version"], &first["replaces"]),
        (&json!("deployed"), &json!(1), &Value::Null)
    );
    assert_eq!(changes(&first), Vec::<String>::new());
    assert_eq!(
        first["checks"],
        json!({
            "inject": {"result": "untested", "reason": "built in"},
            "stranger": {"result": "untested", "reason": "no cases"},
        })
    );
    assert_eq!(plan(&program, "f", 1).digest().to_string(), first["plan"]);

    // Neither a comment nor a repeat is a new version.
    let text = fs::read_to_string(program.path("flow.toml")).unwrap();
    program.write("flow.toml", format!("# A comment.\n{text}"));
    let again = deploy(&program, &[]);
    assert_eq!(
        (&again["outcome"], &again["version"]),
        (&json!("unchanged"), &json!(1))
    );
    let told = program.run(&["flow", "deploy", "flow.toml"]).exits(0);
    assert!(
        told.stdout.starts_with("f@1 is deployed already"),
        "{told:?}"
    );

    flow(&program, SECOND);
    let told = program
        .run(&["flow", "deploy", "flow.toml"])
        .exits(0)
        .stdout;
    for part in [
        "changes against f@1:",
        "sha256   stranger",
        "1.0 -> 1.1",
        "untested: built in",
        "untested: no cases",
        "deployed f@2  plan ",
    ] {
        assert!(told.contains(part), "`{part}` is not in:\n{told}");
    }

    let listed = versions(&program);
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (&listed[0]["version"], &listed[1]["version"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(listed[1]["plan"], first["plan"]);
    assert_eq!(listed[1]["checks"], first["checks"]);
    assert_eq!(listed[1]["user_id"], "demo");
    assert!(listed[1]["created_at"].is_string() && listed[1]["withdrawn_at"].is_null());
    let table = program.run(&["flow", "versions", "f"]).exits(0).stdout;
    assert!(table.contains("2 untested"), "{table}");
    assert!(table.contains(first["plan"].as_str().unwrap()), "{table}");
}

#[test]
fn a_flow_is_deployed_under_another_name() {
    let program = program();
    flow(&program, FIRST);
    assert_eq!(deploy(&program, &["--as", "other-name"])["version"], 1);
    assert_eq!(deploy(&program, &[])["version"], 1);
    assert_eq!(plan(&program, "other-name", 1).name, "other-name");
    assert_eq!(plan(&program, "f", 1).name, "f");
    let of_one = program.json(&["flow", "versions", "other-name", "--json"]);
    assert_eq!(of_one.as_array().unwrap().len(), 1);
    // A page goes on after the version that its cursor names.
    let page = program.json(&["flow", "versions", "--json", "--page", "--limit", "1"]);
    assert_eq!(
        (&page["rows"][0]["name"], &page["next"]),
        (&json!("f"), &json!("f@1"))
    );
    let rest = program.json(&["flow", "versions", "--json", "--cursor", "f@1"]);
    assert_eq!(rest, of_one);
    program
        .run(&["flow", "versions", "--cursor", "f"])
        .exits(2)
        .says(&["NAME@VERSION"]);
    program
        .run(&["flow", "versions", "unheard-of"])
        .exits(2)
        .says(&[
            "no version of `unheard-of` was ever deployed",
            "cairn flow deploy",
        ]);
}

#[test]
fn a_version_that_asks_for_more_needs_to_be_accepted() {
    let program = program();
    flow(&program, FIRST);
    deploy(&program, &[]);
    flow(&program, GREEDY);
    let before = (
        versions(&program),
        rows(&program, "plans"),
        rows(&program, "components"),
    );
    for json in [&[][..], &["--json"]] {
        let arguments = [&["flow", "deploy", "flow.toml"], json].concat();
        let refused = program.run(&arguments).exits(6).says(&[
            "the flow asks for more than `f@1`, in 1 change; nothing was written",
            "help: ",
            "--accept",
        ]);
        match json.is_empty() {
            true => assert!(
                refused.stdout.contains("+ { rpc = true }")
                    && refused.stdout.contains("a new grant"),
                "{refused:?}"
            ),
            false => {
                let document = refused.json();
                assert_eq!(document["outcome"], "refused");
                assert_eq!(document["version"], 1);
                assert_eq!(
                    changes(&document),
                    ["sha256 stranger", "version stranger", "!grants stranger"]
                );
            }
        }
    }
    let after = (
        versions(&program),
        rows(&program, "plans"),
        rows(&program, "components"),
    );
    assert_eq!(after, before);

    let accepted = deploy(&program, &["--accept"]);
    assert_eq!(accepted["version"], 2);
    assert_eq!(changes(&accepted).last().unwrap(), "!grants stranger");
    // Less than before needs nobody.
    flow(&program, FIRST);
    assert_eq!(deploy(&program, &[])["version"], 3);
}

#[test]
fn a_higher_limit_and_another_action_ask_for_more() {
    let program = program();
    flow(&program, FIRST);
    deploy(&program, &[]);
    let text = fs::read_to_string(program.path("flow.toml")).unwrap();
    for (old, new, change) in [
        (
            "path = ",
            "limits = { deadline = '6s' }\npath = ",
            "!limits stranger",
        ),
        (
            "name = \"f\"",
            "name = \"f\"\naction = \"names:create\"",
            "!action -",
        ),
        (
            "[plugins.stranger]",
            "[plugins.new]\npath = 'new.wat'\n[[task]]\nplugin = 'new'\n[plugins.stranger]",
            "!plugin new",
        ),
    ] {
        let other = Stranger {
            name: "new",
            ..Stranger::default()
        };
        program
            .write("new.wat", other.component())
            .write("flow.toml", text.replace(old, new));
        let refused = program.run(&["flow", "deploy", "flow.toml", "--json"]);
        let found = changes(&refused.exits(6).json());
        assert!(found.iter().any(|one| one == change), "{found:?}");
    }
    assert_eq!(versions(&program).as_array().unwrap().len(), 1);
}

#[test]
fn cases_and_laws_are_checked_before_a_flow_is_deployed() {
    let program = program();
    flow(&program, FIRST);
    case(&program, "{ result = { x = 'there' } }");
    let broken = program
        .run(&["flow", "deploy", "flow.toml"])
        .exits(3)
        .stdout;
    for part in [
        "BROKEN: 1 of 1 case",
        "case `here` has another result",
        "not deployed",
    ] {
        assert!(broken.contains(part), "`{part}` is not in:\n{broken}");
    }
    let arguments = ["flow", "deploy", "flow.toml", "--json"];
    let document = program.run(&arguments).exits(3).json();
    assert_eq!(document["outcome"], "broken");
    assert_eq!(document["version"], Value::Null);
    assert_eq!(document["checks"]["stranger"]["result"], "broken");
    assert_eq!(
        document["checks"]["stranger"]["cases"][0]["unexpected"]["found"],
        r#"/x is "here""#
    );
    assert!(!program.has_database(), "nothing was written");

    let untested = deploy(&program, &["--no-test"]);
    assert_eq!(untested["checks"]["stranger"], json!({"result": "skipped"}));
    assert_eq!(untested["checks"]["inject"], json!({"result": "skipped"}));

    flow(&program, SECOND);
    case(&program, "{ result = { x = 'here' } }");
    let passed = deploy(&program, &[]);
    assert_eq!(
        passed["checks"]["stranger"],
        json!({"result": "passed", "cases": 1, "laws": 6})
    );
    assert_eq!(versions(&program)[0]["checks"], passed["checks"]);
    let table = program.run(&["flow", "versions"]).exits(0).stdout;
    assert!(table.contains("1 passed, 1 untested"), "{table}");

    // A file of cases that cannot be read is a mistake, not a plugin without cases.
    flow(&program, FIRST);
    program.write("cases/stranger.toml", "[[case]]\nnam = 'here'\n");
    program
        .run(&arguments)
        .exits(2)
        .says(&["unknown field `nam`", "cases/stranger.toml:2"]);
}

#[test]
fn a_version_that_was_undeployed_is_not_used_again() {
    let program = program();
    flow(&program, FIRST);
    deploy(&program, &[]);
    flow(&program, SECOND);
    deploy(&program, &[]);
    let undeployed = program.json(&["flow", "undeploy", "f@2", "--json"]);
    assert_eq!(
        undeployed,
        json!({"name": "f", "undeployed": [2], "version": 1})
    );
    // The version that it is compared with is the one that clients get.
    assert_eq!(deploy(&program, &[])["version"], 3);
    let told = program.run(&["flow", "undeploy", "f"]).exits(0).stdout;
    assert_eq!(
        told,
        "undeployed f@1\nundeployed f@3\nno version of f is deployed any more\n"
    );
    for flow in ["f", "f@1", "f@9", "g"] {
        let message = format!("there is no deployed flow `{flow}`");
        program
            .run(&["flow", "undeploy", flow])
            .exits(2)
            .says(&[&message]);
    }
    let again = deploy(&program, &[]);
    assert_eq!(
        (&again["version"], &again["replaces"]),
        (&json!(4), &Value::Null)
    );
    let withdrawn = versions(&program);
    let withdrawn = withdrawn.as_array().unwrap().iter();
    let withdrawn: Vec<bool> = withdrawn
        .map(|one| one["withdrawn_at"].is_string())
        .collect();
    assert_eq!(withdrawn, [false, true, true, true]);
    // Each of these is in the audit, the newest first.
    let audit = program.json(&["audit", "list", "--subject", "f", "--json"]);
    let audit = audit.as_array().unwrap().iter();
    let audit = audit.map(|one| {
        let version = match &one["after"] {
            Value::Null => &one["before"][0]["version"],
            after => &after["version"],
        };
        format!("{} {version}", one["action"].as_str().unwrap())
    });
    assert_eq!(
        audit.collect::<Vec<_>>(),
        [
            "flow.deploy 4",
            "flow.undeploy 1",
            "flow.deploy 3",
            "flow.undeploy 2",
            "flow.deploy 2",
            "flow.deploy 1",
        ]
    );
}

#[test]
fn a_name_that_is_none_is_refused_before_anything_is_written() {
    let program = program();
    flow(&program, FIRST);
    let long = "a".repeat(129);
    for name in ["", "é", "a b", "a@1", "../a", "a\u{1b}[2J", "a\n", &long] {
        let run = program.run(&["flow", "deploy", "flow.toml", "--as", name]);
        let run = run.exits(2).says(&["--as"]);
        assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
        program.run(&["flow", "versions", name]).exits(2);
        if name != "a@1" {
            program.run(&["flow", "undeploy", name]).exits(2);
        }
    }
    for flow in [
        "a@",
        "a@0",
        "a@-1",
        "a@x",
        "a@1@2",
        "a@99999999999999999999",
    ] {
        program
            .run(&["flow", "undeploy", flow])
            .exits(2)
            .says(&["NAME@VERSION"]);
    }
    assert!(!program.has_database());
    program
        .run(&["flow", "undeploy", "f"])
        .exits(2)
        .says(&["there is no database"]);
}

#[test]
fn a_plugin_that_differs_from_the_lock_file_is_not_deployed() {
    let program = program();
    flow(&program, FIRST);
    program
        .run(&["flow", "deploy", "flow.toml", "--locked"])
        .exits(2)
        .says(&["there is no lock file"]);
    program.run(&["plan", "flow.toml", "--lock"]).exits(0);
    deploy(&program, &["--locked"]);
    flow(&program, SECOND);
    program
        .run(&["flow", "deploy", "flow.toml", "--locked"])
        .exits(2)
        .says(&["stranger: version 1.0 -> 1.1"]);
}

#[test]
fn a_deployed_plan_outlives_its_flows_and_comes_back_with_a_backup() {
    let program = program();
    flow(&program, FIRST);
    deploy(&program, &[]);
    program
        .run(&["run", "flow.toml", "--input", r#"{"size": 1}"#])
        .exits(0);
    let pruned = program.json(&["flow", "prune", "--older-than", "0s", "--json"]);
    assert_eq!(pruned["flows"], 1);
    let before = (versions(&program), plan(&program, "f", 1));
    program.run(&["db", "backup", "b.db"]).exits(0);
    fs::remove_file(program.path("cairn.db")).unwrap();
    program.run(&["db", "restore", "b.db"]).exits(0);
    assert_eq!((versions(&program), plan(&program, "f", 1)), before);
    assert_eq!(deploy(&program, &[])["outcome"], "unchanged");
}

#[test]
fn a_flow_is_deployed_to_a_server() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let program = program();
    let database = server.database();
    program.write("cairn.toml", database.settings(""));
    flow(&program, FIRST);
    assert_eq!(deploy(&program, &[])["version"], 1);
    assert_eq!(deploy(&program, &[])["outcome"], "unchanged");
    flow(&program, GREEDY);
    program.run(&["flow", "deploy", "flow.toml"]).exits(6);
    assert_eq!(deploy(&program, &["--accept"])["version"], 2);
    let listed = program.json(&["flow", "versions", "f", "--json", "--limit", "1"]);
    assert_eq!(listed[0]["version"], 2);
    let rest = program.json(&["flow", "versions", "f", "--json", "--cursor", "f@2"]);
    assert_eq!(rest[0]["version"], 1);
    assert_eq!(rest.as_array().unwrap().len(), 1);
    let undeployed = program.json(&["flow", "undeploy", "f", "--json"]);
    assert_eq!(undeployed["undeployed"], json!([1, 2]));
    assert_eq!(deploy(&program, &[])["version"], 3);
}

#[test]
fn the_first_examples_flow_is_deployed_as_it_is() {
    let program = program();
    let deployed = program.json(&["flow", "deploy", &volume_create(), "--json"]);
    assert_eq!(deployed["name"], "volume_create_api");
    let checks = deployed["checks"].as_object().unwrap();
    assert!(checks.len() > 5 && checks.values().all(|check| check["result"] == "untested"));
}

/// Why a deployment was refused, or its version.
fn outcome(deployed: Result<i64, StoreError>) -> String {
    match deployed {
        Ok(version) => format!("version {version}"),
        Err(StoreError::Refused(error)) => error.kind,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_deployment_is_refused_when_another_one_was_faster_or_its_plan_is_not_stored() {
    let program = program();
    flow(&program, FIRST);
    deploy(&program, &[]);
    let plan = plan(&program, "f", 1).digest();
    let config = acceptance::any::config(Default::default());
    let path = program.path("cairn.db");
    let store = cairn::Sqlite::open(&path, config, Arc::new(SystemClock)).unwrap();
    let admin = Identity::new("ann", "acme").into_admin();
    let deploy = |requester: &Identity, name, replaces, plan| {
        let checks = json!({});
        let new = NewDeployment {
            name,
            replaces,
            plan,
            manifest: "",
            checks: &checks,
        };
        outcome(store.admin(requester, |admin| admin.deploy(new)))
    };
    for stale in [None, Some(2)] {
        assert_eq!(deploy(&admin, "f", stale, plan), "Conflict");
    }
    let user = Identity::new("ann", "acme");
    assert_eq!(deploy(&user, "f", Some(1), plan), "AdminRequired");
    assert_eq!(deploy(&admin, "f\0", None, plan), "InvalidInput");
    let unknown = Digest::of(b"no plan");
    assert_eq!(deploy(&admin, "f", Some(1), unknown), "InvalidInput");
    assert_eq!(deploy(&admin, "f", Some(1), plan), "version 2");
    assert_eq!(deploy(&admin, "g", None, plan), "version 1");
}
