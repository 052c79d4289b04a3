//! Hosts of one database: when a process is known to be dead, which settings they need, and what they see of each other's changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use cairn_model::clock::{Clock as _, SystemClock};
use cairn_model::id::{HostId, Identity};
use cairn_test_postgres::Database;

use super::config;
use crate::StoreError;
use crate::hosts::{End, HostInfo, Hosts as _};
use crate::postgres::hosts::OwnLease;
use crate::postgres::link::{Sender as _, Step};
use crate::postgres::session::{FENCE, Session};
use crate::postgres::{Postgres, PostgresConfig, ServerHosts, open};
use crate::shared::{Shared as _, Wishes};
use crate::survivors::survivor;

/// A database with tables, and the settings of a host on it, whose lease does not expire while the test runs.
fn place(
    locks: Option<&Path>,
    settings: &[(&str, &str)],
) -> Option<(Database<'static>, PostgresConfig)> {
    let database = cairn_test_postgres::shared()?.database();
    let config = PostgresConfig {
        lease: Duration::from_secs(60),
        ..with(&config(&database.url()), locks, settings)
    };
    drop(open(&config).unwrap());
    Some((database, config))
}

/// The same host with another folder of locks and other settings.
fn with(
    config: &PostgresConfig,
    locks: Option<&Path>,
    settings: &[(&str, &str)],
) -> PostgresConfig {
    let settings = settings
        .iter()
        .map(|(name, digest)| ((*name).into(), (*digest).into()));
    PostgresConfig {
        locks: locks.map(Path::to_owned),
        settings: settings.collect::<BTreeMap<_, _>>(),
        ..config.clone()
    }
}

fn registered(config: &PostgresConfig) -> Result<(OwnLease, Session), StoreError> {
    let session = Session::new(open(config)?);
    let mut lease = OwnLease::new(config);
    lease.register(&session, SystemClock.now())?;
    Ok((lease, session))
}

fn listed(config: &PostgresConfig) -> Vec<HostInfo> {
    ServerHosts::connect(config).unwrap().list().unwrap()
}

#[test]
fn a_process_whose_lock_is_free_is_ended_at_once_by_hosts_with_its_folder_alone() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some((database, config)) = place(Some(folder.path()), &[]) else {
        return;
    };
    let (dead, _) = registered(&config).unwrap();
    let (own, session) = registered(&with(&config, Some(other.path()), &[])).unwrap();
    let (near, near_session) = registered(&config).unwrap();
    near.end_others(&near_session, true).unwrap();
    assert_eq!(listed(&config).len(), 3, "its lock is held");
    // As the system does when a process is killed.
    drop(dead);
    own.end_others(&session, true).unwrap();
    assert_eq!(listed(&config).len(), 3, "it is seen by another folder");
    near.end_others(&near_session, true).unwrap();
    assert_eq!(listed(&config).len(), 2);
    assert_eq!(database.sql("SELECT count(*) FROM cairn.host_details"), "2");
}

#[test]
fn a_process_that_cannot_be_known_to_be_dead_is_ended_when_its_lease_has_expired() {
    let Some((_database, config)) = place(None, &[]) else {
        return;
    };
    let (dead, _) = registered(&PostgresConfig {
        lease: Duration::from_secs(4),
        ..config.clone()
    })
    .unwrap();
    drop(dead);
    let (own, session) = registered(&config).unwrap();
    own.end_others(&session, true).unwrap();
    assert_eq!(listed(&config).len(), 2);
    sleep(Duration::from_millis(4100));
    own.end_others(&session, true).unwrap();
    assert_eq!(listed(&config).len(), 1);
}

#[test]
fn a_host_with_other_settings_than_a_live_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let own = [("a", "1"), ("b", "2")];
    let Some((_database, config)) = place(Some(folder.path()), &own) else {
        return;
    };
    let (first, _) = registered(&config).unwrap();
    drop(registered(&config).unwrap());
    let other = with(&config, Some(folder.path()), &[("a", "1"), ("b", "3")]);
    match registered(&other).map(drop) {
        Err(StoreError::OtherSettings { host, keys, .. }) => {
            assert_eq!((host, keys), (first.id, vec!["b".to_owned()]));
        }
        other => panic!("the settings differ: {other:?}"),
    }
    // A dead process does not count, even before its lease has expired.
    drop(first);
    registered(&other).unwrap();
    // Its row is there already: a try whose answer was lost is repeated.
    let (mut lease, session) = registered(&other).unwrap();
    lease.register(&session, SystemClock.now()).unwrap();
}

#[test]
fn a_host_that_may_renew_its_lease_is_ended_before_another_has_other_settings() {
    let own = [("a", "1")];
    let Some((database, config)) = place(None, &own) else {
        return;
    };
    let (first, session) = registered(&config).unwrap();
    // Its server was away for a while.
    database.sql("UPDATE cairn.hosts SET expires_at = clock_timestamp() - interval '1 second'");
    let (second, _) = registered(&with(&config, None, &[("a", "2")])).unwrap();
    let fence = first.fence();
    let steps = [
        Step::Script("BEGIN"),
        Step::run(FENCE, &fence),
        Step::Commit,
    ];
    assert_eq!(session.send(&steps).unwrap_err().code(), Some("CA001"));
    let hosts = listed(&config);
    assert_eq!(hosts.len(), 1);
    assert_eq!(hosts[0].id, second.id);
}

#[test]
fn a_host_that_was_ended_claims_nothing_and_writes_nothing() {
    let Some((database, config)) = place(None, &[]) else {
        return;
    };
    let store = Postgres::open(&config, Arc::new(SystemClock)).unwrap();
    store.claim("acme").unwrap();
    database.sql("DELETE FROM cairn.hosts");
    assert!(matches!(store.claim("globex"), Err(StoreError::Fenced)));
    database.sql("INSERT INTO cairn.facts VALUES ('mark', 'here')");
    let nothing = store.admin(&Identity::default(), |admin| {
        admin.execute("DELETE FROM facts WHERE name = 'mark'", &[])
    });
    assert!(matches!(nothing, Err(StoreError::Fenced)), "{nothing:?}");
    let wishes = Wishes {
        shares: true,
        ..Wishes::default()
    };
    let another = Postgres::open(&config, Arc::new(SystemClock)).unwrap();
    another.tend(&wishes).unwrap();
    database.sql("DELETE FROM cairn.hosts");
    assert!(matches!(another.tend(&wishes), Err(StoreError::Fenced)));
    assert_eq!(
        database.sql("SELECT count(*) FROM cairn.partitions WHERE host IS NOT NULL"),
        "0"
    );
}

#[test]
fn a_host_whose_connection_was_lost_can_be_ended_while_it_has_a_transaction_open() {
    let Some((_database, config)) = place(None, &[]) else {
        return;
    };
    let (lease, session) = registered(&config).unwrap();
    session.reconnect().unwrap();
    let fence = lease.fence();
    let steps = [
        Step::Script("BEGIN"),
        Step::run(FENCE, &fence),
        Step::Commit,
    ];
    session.send(&steps).unwrap();
    let own = [lease.cell()];
    let lock = Step::run("UPDATE hosts SET pid = pid WHERE id = $1", &own);
    session.send(&[Step::Script("BEGIN"), lock]).unwrap();
    let hosts = ServerHosts::connect(&config).unwrap();
    assert!(
        hosts
            .end(lease.id, End::Dead, &Identity::default())
            .unwrap()
    );
}

#[test]
fn a_held_database_that_is_released_is_worked_on_by_the_process_that_was_refused() {
    let Some((database, config)) = place(None, &[]) else {
        return;
    };
    let store = Postgres::open(&config, Arc::new(SystemClock)).unwrap();
    database.sql("INSERT INTO cairn.facts VALUES ('held', '2026-01-01T00:00:00Z')");
    let claim = || store.claim("acme");
    assert!(matches!(claim(), Err(StoreError::Held { .. })));
    assert!(listed(&config).is_empty());
    database.sql("DELETE FROM cairn.facts WHERE name = 'held'");
    claim().unwrap();
}

#[test]
fn a_host_is_ended_when_its_lease_has_expired_or_it_is_known_to_be_dead() {
    let Some((database, config)) = place(None, &[]) else {
        return;
    };
    let (lease, session) = registered(&config).unwrap();
    database.sql("UPDATE cairn.partitions SET host = (SELECT id FROM cairn.hosts) WHERE id < 3");
    let hosts = ServerHosts::connect(&config).unwrap();
    let host = hosts.list().unwrap().pop().unwrap();
    assert_eq!(
        (host.id, host.partitions, host.flows),
        (lease.id, Some(3), 0)
    );
    assert!(host.lease > 0 && host.lease <= 60_000, "{host:?}");
    assert!(
        !hosts
            .end(host.id, End::Expired, &Identity::default())
            .unwrap(),
        "its lease has not expired"
    );
    assert!(hosts.drain(host.id, &Identity::default()).unwrap());
    assert!(hosts.list().unwrap()[0].is_draining);
    // A session that is stuck in a transaction, with the row locked.
    let own = [lease.cell()];
    let lock = Step::run("UPDATE hosts SET pid = pid WHERE id = $1", &own);
    session.send(&[Step::Script("BEGIN"), lock]).unwrap();
    assert!(hosts.end(host.id, End::Dead, &Identity::default()).unwrap());
    assert!(hosts.list().unwrap().is_empty());
    assert!(!hosts.end(host.id, End::Dead, &Identity::default()).unwrap());
    assert!(!hosts.drain(host.id, &Identity::default()).unwrap());
    assert_eq!(
        database.sql("SELECT count(*) FROM cairn.partitions WHERE host IS NOT NULL"),
        "0"
    );
}

#[test]
fn a_change_of_the_catalogue_waits_for_hosts_that_live_and_no_longer_than_a_lease() {
    let Some((database, config)) = place(None, &[]) else {
        return;
    };
    let config = PostgresConfig {
        lease: Duration::from_secs(2),
        ..config
    };
    let store = Postgres::open(&config, Arc::new(SystemClock)).unwrap();
    database.sql(
        "CREATE TABLE cairn.colours (name text);
         CREATE TRIGGER raise AFTER INSERT ON cairn.colours FOR EACH STATEMENT EXECUTE FUNCTION cairn.raise_catalogue();
         INSERT INTO cairn.hosts (id, name, pid, started_at, expires_at) VALUES
             ('\\x00', 'far', 7, 0, clock_timestamp() - interval '1 hour')",
    );
    let change = || {
        let since = Instant::now();
        let changed = store.admin(&Identity::default(), |admin| {
            admin.execute("INSERT INTO colours VALUES ('red')", &[])
        });
        (changed.map(drop), since.elapsed())
    };
    let (changed, took) = change();
    changed.unwrap();
    assert!(
        took < Duration::from_secs(4),
        "a host that is gone is not waited for: {took:?}"
    );
    database.sql("UPDATE cairn.hosts SET expires_at = clock_timestamp() + interval '1 hour' WHERE name = 'far'");
    let (changed, took) = change();
    let error = changed.unwrap_err().to_string();
    assert!(
        error.contains("the change is made, but the host `far` (process 7)"),
        "{error}"
    );
    assert!(
        took >= Duration::from_secs(4) && took < Duration::from_secs(20),
        "{took:?}"
    );
    assert_eq!(database.sql("SELECT count(*) FROM cairn.colours"), "2");
}

/// Names a host in an act, of a flow that sleeps.
fn acts(database: &Database<'_>, host: HostId) {
    database.sql(&format!(
        "INSERT INTO cairn.flows (id, part, name, project_id, user_id, state, created_at, updated_at, entries, wake_at)
             VALUES ('\\x01', 1, 'f', 'acme', 'ann', 'REVERTING', 1, 2, 1, 1000);
         INSERT INTO cairn.externals (provider, kind, id, project_id, flow, task, state, spec, digest, token, created_at, updated_at, host)
             VALUES ('p', 'k', 'i', 'acme', '\\x01', 't', 'making', 'null', '', 1, 0, 0, decode('{}', 'hex'))",
        host.0.simple()
    ));
}

#[test]
fn a_host_in_an_act_is_dead_when_its_process_is_also_for_hosts_with_another_folder() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some((database, config)) = place(Some(folder.path()), &[]) else {
        return;
    };
    let (first, _) = registered(&config).unwrap();
    let host = first.id;
    acts(&database, host);
    database.sql("UPDATE cairn.hosts SET expires_at = clock_timestamp() - interval '1 second'");
    let (second, session) = registered(&with(&config, Some(other.path()), &[])).unwrap();
    second.end_others(&session, true).unwrap();
    let alive = survivor(&session, host).unwrap().expect("its lock is held");
    assert_eq!(alive.pid, Some(std::process::id().into()));
    assert!(alive.name.is_some(), "{alive}");
    let ended = listed(&config);
    let ended = ended.iter().find(|listed| listed.id == host).unwrap();
    assert_eq!((ended.has_ended, ended.acts), (true, 1));
    let state = || {
        database.sql(
            "SELECT dead, wake_at FROM cairn.host_locks, cairn.flows ORDER BY dead DESC LIMIT 1",
        )
    };
    assert_eq!(state(), "f|1000");
    // As the system does when a process is killed.
    drop(first);
    assert_eq!(survivor(&session, host).unwrap(), None);
    second.end_others(&session, true).unwrap();
    assert_eq!(state(), "t|2", "the flow is due at once");
    assert!(listed(&config).iter().all(|listed| listed.id != host));
    database.sql("DELETE FROM cairn.externals");
    second.end_others(&session, true).unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM cairn.host_locks"), "1");
}

#[test]
fn a_host_that_ends_regularly_keeps_the_proof_while_it_may_be_in_an_act() {
    for is_acting in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let Some((database, config)) = place(Some(folder.path()), &[]) else {
            return;
        };
        let (mut first, session) = registered(&config).unwrap();
        let host = first.id;
        if is_acting {
            acts(&database, host);
        }
        first.give_up(&session).unwrap();
        assert_eq!(
            survivor(&session, host).unwrap().map(|alive| alive.id),
            Some(host)
        );
        drop(first);
        let locks = std::fs::read_dir(folder.path()).unwrap().count();
        let known = database.sql("SELECT count(*) FROM cairn.host_locks");
        assert_eq!(
            (locks, known),
            (usize::from(is_acting), u8::from(is_acting).to_string())
        );
        let dead = survivor(&session, host).unwrap().is_none();
        assert_eq!(
            dead, is_acting,
            "of one in no act nothing is known any more"
        );
    }
}

#[test]
fn an_operator_says_that_a_host_in_an_act_is_dead() {
    let Some((database, config)) = place(None, &[]) else {
        return;
    };
    for has_lease in [true, false] {
        let (first, session) = registered(&config).unwrap();
        let host = first.id;
        database.sql("DELETE FROM cairn.flows; DELETE FROM cairn.externals");
        acts(&database, host);
        let hosts = ServerHosts::connect(&config).unwrap();
        if !has_lease {
            // Nothing is known of a host in an act of a database that was restored.
            database.sql("DELETE FROM cairn.hosts; DELETE FROM cairn.host_locks");
        }
        assert!(!hosts.end(host, End::Expired, &Identity::default()).unwrap());
        assert!(survivor(&session, host).unwrap().is_some());
        assert!(hosts.end(host, End::Dead, &Identity::default()).unwrap());
        assert_eq!(survivor(&session, host).unwrap(), None);
        assert_eq!(database.sql("SELECT wake_at FROM cairn.flows"), "2");
        assert!(
            !hosts
                .end(HostId::new(), End::Dead, &Identity::default())
                .unwrap()
        );
    }
}
