//! A process whose lease is over may still be in an act: what becomes of its flow in other processes.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use cairn::clock::{ManualClock, Timestamp};
use cairn::error::Cause;
use cairn::external::{ActError, ActLog, External, ExternalObject, Presence};
use cairn::flow::{Provider, Providers, Recovery, TaskOptions};
use cairn::id::HostId;
use cairn::store::hosts::{End, FileHosts, Hosts as _};
use cairn::value::Digest;
use cairn::{
    Flow, FlowError, FlowId, Identity, Report, Sqlite, SqliteConfig, Store as _, StoreError,
    TaskError, TaskId, Value, Verdict,
};

use crate::Makes;

/// The lease of each process.
const LEASE: Duration = Duration::from_secs(10);

/// The world, which all processes see.
#[derive(Default)]
struct Things {
    there: Mutex<BTreeMap<String, Value>>,
    /// The tokens of acts, in order.
    tokens: Mutex<Vec<u64>>,
    fences: bool,
}

/// An act that waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slow {
    Make,
    Remove,
}

/// A process's way to the world.
struct Hand {
    things: Arc<Things>,
    /// Waits once in this act, after it was begun and before it changes anything.
    slow: Mutex<Option<Gate>>,
}

/// Where an act waits.
struct Gate {
    act: Slow,
    begun: Sender<()>,
    go: Receiver<()>,
}

impl Hand {
    fn act(&self, which: Slow, object: &ExternalObject) -> Result<(), ActError> {
        let slow = self.slow.lock().unwrap().take_if(|slow| slow.act == which);
        if let Some(Gate { begun, go, .. }) = slow {
            begun.send(()).unwrap();
            go.recv().unwrap();
        }
        let mut tokens = self.things.tokens.lock().unwrap();
        let newest = tokens.iter().max().copied().unwrap_or(0);
        if self.things.fences && object.token < newest {
            return Err(ActError::Refused(TaskError::new("Stale", "it is late")));
        }
        tokens.push(object.token);
        Ok(())
    }
}

impl External for Hand {
    fn look(&self, object: &ExternalObject, _: &ActLog) -> Result<Presence, TaskError> {
        let there = self.things.there.lock().unwrap();
        let found = there.get(&object.id);
        Ok(found.map_or(Presence::Absent, |made| Presence::Whole(made.clone())))
    }

    fn make(&self, object: &ExternalObject, spec: &Value, _: &ActLog) -> Result<Value, ActError> {
        self.act(Slow::Make, object)?;
        let mut there = self.things.there.lock().unwrap();
        there.insert(object.id.clone(), spec.clone());
        Ok(spec.clone())
    }

    fn remove(&self, object: &ExternalObject, _: &ActLog) -> Result<(), ActError> {
        self.act(Slow::Remove, object)?;
        self.things.there.lock().unwrap().remove(&object.id);
        Ok(())
    }

    fn list(&self, _: &str, _: Option<&str>, _: &ActLog) -> Result<Vec<String>, TaskError> {
        Ok(Vec::new())
    }

    fn fences(&self) -> bool {
        self.things.fences
    }
}

/// A database in a file, the world, and the first process, which is in an act.
struct Scene {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    things: Arc<Things>,
    id: FlowId,
    task: TaskId,
    host: HostId,
    go: Sender<()>,
    first: Option<JoinHandle<Result<(), FlowError>>>,
}

/// A process that has taken the flow over.
struct Process {
    store: Arc<Sqlite>,
    flow: Flow,
}

fn open(folder: &tempfile::TempDir, clock: &Arc<ManualClock>) -> Arc<Sqlite> {
    let path = folder.path().join("cairn.db");
    Arc::new(Sqlite::open(&path, config(), Arc::clone(clock) as _).unwrap())
}

fn config() -> SqliteConfig {
    SqliteConfig {
        lease: LEASE,
        ..SqliteConfig::default()
    }
}

fn provide(flow: &Flow, hand: Hand) {
    let provider = Provider {
        external: Arc::new(hand),
        digest: Digest::of(b"world"),
    };
    flow.set_providers(Arc::new(Providers::from([("world".to_owned(), provider)])));
}

/// Starts a process that stays in an act for longer than its lease.
fn scene(slow: Slow, fences: bool) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp(1_000_000_000)));
    let things = Arc::new(Things {
        fences,
        ..Things::default()
    });
    let store = open(&folder, &clock);
    let flow = Flow::builder("acts")
        .requester(Identity::new("ann", "acme"))
        .build(Arc::clone(&store) as _);
    let (begun, begins) = channel();
    let (go, goes) = channel();
    provide(
        &flow,
        Hand {
            things: Arc::clone(&things),
            slow: Mutex::new(Some(Gate {
                act: slow,
                begun,
                go: goes,
            })),
        },
    );
    let mut makes = Makes::new(&["a"]);
    makes.fails = slow == Slow::Remove;
    let task = flow.add(Arc::new(makes)).unwrap();
    let (id, host) = (flow.id(), store.host());
    let first = std::thread::spawn(move || {
        let ended = flow.run_to_end().wait();
        drop((flow, store));
        ended
    });
    begins.recv().unwrap();
    clock.advance(LEASE * 2);
    Scene {
        folder,
        clock,
        things,
        id,
        task,
        host,
        go,
        first: Some(first),
    }
}

impl Scene {
    /// Takes the flow over in another process, which tries to roll it back.
    fn take_over(&self) -> Process {
        let store = open(&self.folder, &self.clock);
        assert_eq!(store.take_over(true).unwrap(), [self.id]);
        let journal = store.load(self.id).unwrap();
        let flow = Flow::restore(self.id, Arc::clone(&store) as _, &journal).unwrap();
        provide(
            &flow,
            Hand {
                things: Arc::clone(&self.things),
                slow: Mutex::default(),
            },
        );
        let options = TaskOptions {
            id: Some(self.task),
            ..TaskOptions::default()
        };
        flow.add_with(Arc::new(Makes::new(&["a"])), options)
            .unwrap();
        let recovered = flow.recover_to_end(Recovery::Rollback).wait();
        assert!(recovered.is_ok(), "{recovered:?}");
        Process { store, flow }
    }

    /// Lets the first process end its act, which must not be recorded, and then the process.
    fn let_go(&mut self) {
        self.go.send(()).unwrap();
        let ended = self.first.take().unwrap().join().unwrap();
        assert!(
            matches!(ended, Err(FlowError::Store(StoreError::Fenced))),
            "{ended:?}"
        );
    }
}

impl Things {
    fn count(&self) -> usize {
        self.there.lock().unwrap().len()
    }

    #[track_caller]
    fn has_growing_tokens(&self) {
        let tokens = self.tokens.lock().unwrap();
        assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
    }
}

impl Process {
    /// Looks once more whether the flow can be rolled back.
    fn try_again(&self) {
        let cause = Cause::requested("again");
        let done = self.flow.rollback_to_end(&cause).wait();
        assert!(done.is_ok(), "{done:?}");
    }

    /// Asserts that the flow waits until this host is known to be dead.
    #[track_caller]
    fn waits_for(&self, host: HostId) {
        assert!(self.flow.sleeps());
        let rollback = Report::new(self.flow.id(), &self.flow.history()).rollback;
        let rollback = rollback.unwrap();
        assert_eq!(rollback.verdict, Verdict::Unknown, "{rollback:#?}");
        let why = rollback.residue[0].why.as_ref().unwrap();
        let named = format!(
            "the host {host} (process {}) may still be in an act on it",
            std::process::id()
        );
        assert!(why.reason.contains(&named), "{why:?}");
    }

    #[track_caller]
    fn is_clean(&self) {
        let rollback = Report::new(self.flow.id(), &self.flow.history()).rollback;
        assert_eq!(rollback.unwrap().verdict, Verdict::Clean);
        let rows = self.store.read(&Identity::default(), |view| {
            view.query("SELECT state FROM externals", &[])
        });
        assert_eq!(rows.unwrap(), Vec::<Vec<_>>::new());
    }
}

#[test]
fn a_flow_waits_for_the_process_that_may_be_in_an_act_to_end() {
    for slow in [Slow::Make, Slow::Remove] {
        let mut scene = scene(slow, false);
        let host = scene.host;
        let second = scene.take_over();
        second.waits_for(host);
        second.try_again();
        second.waits_for(host);
        // The one that took it over was in no act. Its end does not count.
        drop(second);
        let third = scene.take_over();
        third.try_again();
        third.waits_for(host);
        scene.let_go();
        assert_eq!(scene.things.count(), usize::from(slow == Slow::Make));
        third.try_again();
        third.is_clean();
        assert_eq!(scene.things.count(), 0);
        scene.things.has_growing_tokens();
    }
}

#[test]
fn a_flow_whose_provider_fences_is_taken_over_at_once() {
    let mut scene = scene(Slow::Make, true);
    let second = scene.take_over();
    second.is_clean();
    scene.let_go();
    assert_eq!(scene.things.count(), 0, "the late act was refused");
}

#[test]
fn an_operator_says_that_the_process_is_dead() {
    let mut scene = scene(Slow::Make, false);
    let host = scene.host;
    let second = scene.take_over();
    second.waits_for(host);
    let hosts = FileHosts {
        path: scene.folder.path().join("cairn.db"),
        config: config(),
        clock: Arc::clone(&scene.clock) as _,
    };
    let listed = hosts.list().unwrap();
    let listed = listed.iter().find(|listed| listed.id == host).unwrap();
    assert_eq!((listed.has_ended, listed.acts), (true, 1));
    assert!(
        !hosts.end(host, End::Expired, &Identity::default()).unwrap(),
        "it has no lease"
    );
    second.try_again();
    second.waits_for(host);
    assert!(hosts.end(host, End::Dead, &Identity::default()).unwrap());
    second.try_again();
    second.is_clean();
    let gone = hosts.list().unwrap();
    assert!(gone.iter().all(|listed| listed.id != host), "{gone:?}");
    scene.let_go();
}

#[test]
fn an_act_whose_end_is_recorded_names_no_process() {
    use crate::world::{Fault, World};
    for (makes, removes, blind) in [
        (&[][..], &[][..], 0),
        (&[Fault::UnsureAfter], &[], usize::MAX),
        (&[], &[Fault::Refuses], 0),
        (&[], &[Fault::UnsureBefore], usize::MAX),
    ] {
        let world = World::new(makes, removes, blind);
        let scene = crate::scene(&world, vec![Makes::new(&["a"])]);
        let ended = scene.flow.run_to_end().wait();
        if !removes.is_empty() {
            ended.unwrap();
            let cause = Cause::requested("enough");
            let ended = scene.flow.rollback_to_end(&cause).wait();
            assert!(ended.is_ok(), "{ended:?}");
        }
        let hosts = scene.store.read(&Identity::default(), |view| {
            view.query("SELECT host FROM externals", &[])
        });
        let hosts = hosts.unwrap();
        assert_eq!(hosts, [[cairn::rows::Cell::Null]], "{makes:?} {removes:?}");
    }
}

#[test]
fn a_process_does_not_wait_for_itself() {
    use crate::world::World;
    let world = World::new(&[], &[], 0);
    let scene = crate::scene(&world, vec![Makes::new(&["a"])]);
    scene.run().unwrap();
    // As after an act whose outcome could not be recorded.
    let own = scene.store.host();
    let acting = scene.store.admin(&Identity::default(), |admin| {
        admin.execute("UPDATE externals SET host = $1", &[own.into()])
    });
    assert_eq!(acting.unwrap(), 1);
    let cause = Cause::requested("enough");
    scene.flow.rollback_to_end(&cause).wait().unwrap();
    scene.is_clean();
}
