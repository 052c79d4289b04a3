//! A host that is stopped, or that the network cuts off, for longer than its lease, while another one works.

use std::time::Duration;

use acceptance::crash::check_on_a_server;
use acceptance::hosts::owns;
use acceptance::load::Load;
use acceptance::program::Run;
use acceptance::slow::send;
use cairn_test_postgres::{Database, Proxy};

use super::{load, server};

/// Long enough for a host that is slow because the machine is busy.
pub const LEASE: &str = "lease = \"3s\"\n";

/// The error of a process whose flows were taken over (fenced).
const FENCED: &str = "another process took this one's flows over";

/// How long a host that is told that it is fenced may take to end.
pub const SOON: Duration = Duration::from_secs(20);

/// Two hosts, whose flows go on at another host when theirs is lost.
pub struct Two {
    pub doomed: Load,
    pub survivor: Load,
}

impl Two {
    /// Starts a second host.
    pub fn start(database: &Database<'_>, doomed: Load) -> Self {
        doomed.goes_on(0, 20);
        let survivor = load(&database.url(), LEASE, 1, "resume");
        owns(database, doomed.child().id(), 128);
        owns(database, survivor.child().id(), 128);
        for load in [&doomed, &survivor] {
            load.goes_on(load.reported(), 50);
        }
        Self { doomed, survivor }
    }

    /// Waits until the survivor owns all projects, and goes on with them.
    pub fn is_taken_over(&self, database: &Database<'_>) {
        owns(database, self.survivor.child().id(), 256);
        self.survivor.goes_on(self.survivor.reported(), 100);
    }
}

/// Ends a host that was fenced. Its reports must be of what is in the database.
pub fn end_fenced(database: &Database<'_>, mut doomed: Load) {
    doomed.stop();
    doomed.has_ended(SOON);
    let ended = doomed.end();
    let Run { exit, stderr, .. } = &ended.run;
    assert_eq!(*exit, 1, "{stderr}");
    assert!(stderr.contains(FENCED), "{stderr}");
    let hosts = database.sql("SELECT count(*) FROM cairn.hosts");
    assert_eq!(hosts, "0", "no host works");
    ended.program.run(&["recover"]).exits(0);
    ended.program.run(&["quota", "check", "--admin"]).exits(0);
    let found = check_on_a_server(&database.url(), false).expect("the invariants hold");
    ended.is_in(&found);
}

#[test]
fn a_host_that_is_stopped_for_longer_than_its_lease_is_fenced_and_writes_nothing_twice() {
    let Some(server) = server() else { return };
    let database = server.database();
    let two = Two::start(&database, load(&database.url(), LEASE, 0, "resume"));
    send(two.doomed.child(), "-STOP");
    two.is_taken_over(&database);
    send(two.doomed.child(), "-CONT");
    two.survivor.finish();
    end_fenced(&database, two.doomed);
}

#[test]
fn of_four_hosts_that_work_one_is_killed_and_one_is_stopped_for_longer_than_its_lease() {
    let Some(server) = server() else { return };
    let database = server.database();
    let work = |number| {
        let load = load(&database.url(), LEASE, number, "resume");
        load.goes_on(0, 20);
        load
    };
    let [killed, stopped, survivors @ ..]: [Load; 4] = [0, 1, 2, 3].map(work);
    let all = [&killed, &stopped].into_iter().chain(&survivors);
    all.clone()
        .for_each(|load| owns(&database, load.child().id(), 64));
    all.for_each(|load| load.goes_on(load.reported(), 50));
    send(killed.child(), "-KILL");
    send(stopped.child(), "-STOP");
    for load in &survivors {
        owns(&database, load.child().id(), 128);
        load.goes_on(load.reported(), 100);
    }
    send(stopped.child(), "-CONT");
    let killed = killed.end();
    for load in survivors {
        load.finish();
    }
    end_fenced(&database, stopped);
    let found = check_on_a_server(&database.url(), false).expect("the invariants hold");
    killed.is_in(&found);
}

/// Returns a digest of all that flows write.
fn written(database: &Database<'_>) -> String {
    let tables = [
        "flows",
        "journal",
        "volumes",
        "quota_usages",
        "reservations",
        "outbox",
    ];
    let digests = tables.map(|table| {
        database.sql(&format!(
            "SELECT count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM cairn.{table} t"
        ))
    });
    digests.join("\n")
}

#[test]
fn a_host_that_the_network_cuts_off_for_longer_than_its_lease_is_fenced_and_writes_nothing() {
    let Some(server) = server() else { return };
    let database = server.database();
    let proxy = Proxy::start(server.port()).expect("a port");
    let name = database.name();
    let url = format!("postgres://cairn@127.0.0.1:{}/{name}", proxy.port());
    let mut two = Two::start(&database, load(&url, LEASE, 0, "resume"));
    proxy.swallow();
    two.is_taken_over(&database);
    two.survivor.finish();
    let before = written(&database);
    proxy.pass();
    two.doomed.has_ended(SOON);
    assert_eq!(written(&database), before);
    end_fenced(&database, two.doomed);
}
