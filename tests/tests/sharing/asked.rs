//! What the owner of a project decides about requests that other hosts forward to it.

use acceptance::hosts::{host, owns};
use acceptance::program::{Program, Run, volume_create};
use acceptance::stream::Stream;
use cairn_test_postgres::Database;

/// Messages go to a receiver that does not exist, and one of each project may wait.
const ONE_WAITS: &str = "[deliver]\ntransport = \"http\"\nkey_file = \"key\"\nattempts = 1\nmost = 1\nwait = \"100ms\"\n\
                         [deliver.topics]\n\"*\" = \"http://127.0.0.1:1/in\"\n";

/// Creates two hosts with more settings, of which the first one owns all projects and runs with these options; `None` without PostgreSQL.
fn owner_and_other(
    more: &str,
    options: &[&str],
) -> Option<(Database<'static>, Program, Program, Stream)> {
    let database = cairn_test_postgres::shared()?.database();
    let hosts = [(); 2].map(|()| {
        let host = host(
            env!("CARGO_BIN_EXE_cairn-under-test"),
            &database.url(),
            more,
        );
        host.write("policy.json", r#"{"volume:create": "project_id:blue"}"#);
        host.write_secret("key", "secret\n");
        host
    });
    let [owner, other] = hosts;
    let limits = ["quota", "set", "volumes=-1", "gigabytes=-1"];
    owner.run(&limits).exits(0);
    let stream = Stream::start(&owner, options);
    owns(&database, stream.pid(), 256);
    Some((database, owner, other, stream))
}

fn create(host: &Program, more: &[&str]) -> Run {
    let create = volume_create();
    let run = ["run", &create, "-i", r#"{"size": 1}"#, "--json"];
    host.run(&[&run[..], more].concat())
}

#[test]
fn the_owner_asks_its_policy_about_a_request_of_another_host() {
    let policy = ["--policy", "policy.json"];
    let Some((_database, _owner, other, stream)) = owner_and_other("", &policy) else {
        return;
    };
    let denied = create(&other, &policy).exits(3).json();
    assert_eq!(denied["flow"]["state"], "FAILURE");
    assert_eq!(denied["error"]["origin"], "policy", "{denied:#}");
    let allowed = [&policy[..], &["--project", "blue"]].concat();
    create(&other, &allowed).exits(0);
    // Who asks by another policy is no host of this database meanwhile.
    create(&other, &[]).exits(2).says(&["policy"]);
    stream.end().exits(0);
}

#[test]
fn the_owner_refuses_a_request_of_another_host_while_too_many_messages_of_the_project_wait() {
    let Some((database, _owner, other, stream)) = owner_and_other(ONE_WAITS, &[]) else {
        return;
    };
    create(&other, &[]).exits(0);
    create(&other, &[]).exits(6).says(&[
        "Backlog: project `acme` has 1 undelivered message",
        "cairn outbox list",
    ]);
    assert_eq!(database.sql("SELECT count(*) FROM cairn.flows"), "1");
    assert_eq!(database.sql("SELECT count(*) FROM cairn.inbox"), "0");
    // Each project has its own limit.
    create(&other, &["--project", "blue"]).exits(0);
    stream.end();
}

#[test]
fn a_request_is_taken_although_its_owner_is_not_told_of_it() {
    let Some((database, _owner, other, stream)) = owner_and_other("", &[]) else {
        return;
    };
    for _ in 0..3 {
        database.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE '%hints'",
        );
        create(&other, &[]).exits(0);
    }
    stream.end().exits(0);
}
