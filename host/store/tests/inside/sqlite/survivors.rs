//! Hosts that may be in an act outside the database: what proves that they are dead, and what does not.

use std::fs;
use std::path::PathBuf;

use cairn_effects::rows::Cell;
use cairn_model::id::HostId;

use super::*;
use crate::hosts::{End, FileHosts, Hosts as _};
use crate::survivor::Survivor;

/// The lease of each process.
const LEASE: Duration = Duration::from_secs(10);

struct Place {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(ManualClock::new(Timestamp(1_000_000))),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self, locks: &str) -> SqliteConfig {
        SqliteConfig {
            locks: (!locks.is_empty()).then(|| self.path(locks)),
            lease: LEASE,
            ..any::config(Settings::default())
        }
    }

    fn open(&self, locks: &str) -> Sqlite {
        let clock = Arc::clone(&self.clock) as _;
        Sqlite::open(&self.path("a.db"), self.config(locks), clock).unwrap()
    }

    /// Opens the database as a process that begins a flow and an act of it, for longer than its lease.
    fn acting(&self, locks: &str) -> (Sqlite, FlowId) {
        let store = self.open(locks);
        let flow = begin(&store, &ann()).flow;
        store.barrier(flow).unwrap();
        let act = "INSERT INTO externals (provider, kind, id, project_id, flow, task, state, spec, digest, token, created_at, updated_at, host)
             VALUES ('p', 'k', 'i', 'acme', $1, 't', 'making', 'null', '', 1, 0, 0, $2)";
        change(&store, act, &[flow.into(), store.host().into()]);
        self.clock.advance(LEASE * 2);
        (store, flow)
    }

    /// Returns the file of a host's lock.
    fn lock(&self, locks: &str, host: HostId) -> Option<PathBuf> {
        let folder = match locks {
            "" => self.path("a.db.locks"),
            locks => {
                let mut folders = fs::read_dir(self.path(locks)).unwrap();
                folders.next().unwrap().unwrap().path()
            }
        };
        Some(folder.join(host.to_string())).filter(|lock| lock.exists())
    }
}

fn change(store: &Sqlite, statement: &str, parameters: &[Cell]) {
    let changed = store.admin(&ann(), |admin| admin.execute(statement, parameters));
    assert!(changed.unwrap() > 0, "{statement}");
}

fn known(store: &Sqlite) -> Vec<Vec<Cell>> {
    let read = "SELECT host, dead FROM host_locks ORDER BY host";
    store.read(&ann(), |view| view.query(read, &[])).unwrap()
}

#[test]
fn the_end_of_a_lease_is_no_death_and_the_end_of_the_process_is() {
    for (locks, others) in [("", ""), ("run", "run"), ("run", "other"), ("run", "")] {
        let place = Place::new();
        let (first, flow) = place.acting(locks);
        let host = first.host();
        let second = place.open(others);
        assert_eq!(second.take_over(false).unwrap(), [flow]);
        let alive = Survivor {
            id: host,
            name: None,
            pid: Some(std::process::id().into()),
        };
        for _ in 0..2 {
            assert_eq!(second.survivor(host).unwrap().as_ref(), Some(&alive));
            second.take_over(false).unwrap();
        }
        drop(first);
        assert_eq!(second.survivor(host).unwrap(), None, "{locks} {others}");
        second.take_over(false).unwrap();
        second.flush();
        let dead = [Cell::from(host), Cell::Int(1)].to_vec();
        assert!(known(&second).contains(&dead), "{:?}", known(&second));

        // It is forgotten with the last act that it was in.
        change(&second, "DELETE FROM externals", &[]);
        second.take_over(false).unwrap();
        let own = [Cell::from(second.host()), Cell::Int(0)].to_vec();
        assert_eq!(known(&second), [own]);
    }
}

#[test]
fn a_lock_that_is_gone_or_another_one_proves_nothing() {
    let place = Place::new();
    let (first, _) = place.acting("");
    let host = first.host();
    let second = place.open("");
    second.take_over(false).unwrap();
    second.flush();
    drop(first);
    let lives = || second.survivor(host).unwrap().is_some();
    assert!(!lives());
    let first = "UPDATE host_locks SET boot = 'another start' WHERE host = $1";
    let boot = place
        .open("")
        .read(&ann(), |view| {
            view.query(
                "SELECT boot FROM host_locks WHERE host = $1",
                &[host.into()],
            )
        })
        .unwrap();
    change(&second, first, &[host.into()]);
    assert!(lives(), "the machine was started since");
    let same = "UPDATE host_locks SET boot = $2 WHERE host = $1";
    change(&second, same, &[host.into(), boot[0][0].clone()]);
    assert!(!lives());
    let inode = "UPDATE host_locks SET inode = inode + $2 WHERE host = $1";
    change(&second, inode, &[host.into(), Cell::Int(1)]);
    assert!(lives(), "it is another file");
    change(&second, inode, &[host.into(), Cell::Int(-1)]);
    assert!(!lives());
    fs::remove_file(place.lock("", host).unwrap()).unwrap();
    assert!(lives(), "it is missing");
    // Of a database that was restored elsewhere nothing is known of the host.
    change(
        &second,
        "DELETE FROM host_locks WHERE host = $1",
        &[host.into()],
    );
    assert!(lives());
}

#[test]
fn a_process_that_is_in_no_act_removes_its_lock() {
    for locks in ["", "run"] {
        let place = Place::new();
        let (first, _) = place.acting(locks);
        let host = first.host();
        change(&first, "DELETE FROM externals", &[]);
        drop(first);
        let second = place.open(locks);
        second.take_over(false).unwrap();
        assert_eq!(place.lock(locks, host), None, "{locks}");
    }
}

#[test]
fn an_operator_ends_a_host_that_may_be_in_an_act_and_its_flow_is_due() {
    for lapsed in [false, true] {
        let place = Place::new();
        let (first, flow) = place.acting("");
        let host = first.host();
        let second = place.open("");
        if lapsed {
            second.take_over(false).unwrap();
        }
        let asleep = "UPDATE flows SET wake_at = $1 WHERE id = $2";
        let late = second.now().after(LEASE * 100);
        change(&second, asleep, &[late.into(), flow.into()]);
        let hosts = FileHosts {
            path: place.path("a.db"),
            config: place.config(""),
            clock: Arc::clone(&place.clock) as _,
        };
        let listed = hosts.list().unwrap();
        let listed = listed.iter().find(|listed| listed.id == host).unwrap();
        assert_eq!((listed.acts, listed.has_ended), (1, lapsed));
        assert_eq!(
            hosts.end(host, End::Expired, &Identity::default()).unwrap(),
            !lapsed
        );
        assert!(second.survivor(host).unwrap().is_some());
        let due = "SELECT count(*) FROM flows WHERE wake_at < $1";
        let due = || {
            let due = second.read(&ann(), |view| view.query(due, &[late.into()]));
            due.unwrap()[0][0].clone()
        };
        assert_eq!(due(), Cell::Int(0));
        assert!(hosts.end(host, End::Dead, &Identity::default()).unwrap());
        assert_eq!(second.survivor(host).unwrap(), None);
        assert_eq!(due(), Cell::Int(1), "it is tried again at once");
        let listed = hosts.list().unwrap();
        assert!(listed.iter().all(|listed| listed.id != host));
        assert!(
            !hosts
                .end(HostId::new(), End::Dead, &Identity::default())
                .unwrap(),
            "there is none"
        );
        drop(first);
    }
}
