//! Requests between two hosts in one process: what callers are told, and who owns what, when a host stops, drains, or takes no more.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use acceptance::any;
use acceptance::hosts::{Which, drain, inbox, own};
use acceptance::program::{repository, volume_create};
use acceptance::server;
use acceptance::slow::eventually;
use cairn::clock::SystemClock;
use cairn::error::Cause;
use cairn::event::{Disposition, FlowState};
use cairn::host::Submitted;
use cairn::idempotency::Key;
use cairn::plugin::{InProcess, PluginConfig, Plugins};
use cairn::store::postgres::Postgres;
use cairn::store::shared::{INBOX_MOST, Partitions, Shared as _, Wishes, partition_of};
use cairn::task::Outcome;
use cairn::volumes::Settings;
use cairn::{
    Context, FlowId, Host, HostError, Identity, Manifest, Object, SqliteConfig, StoreError,
    Submission, Task, TaskError, TaskSpec, Value,
};
use cairn_test_postgres::Database;
use serde_json::json;

/// The lease of a host: flows that must move rest after half of it.
const LEASE: Duration = Duration::from_secs(3);

/// Compiled once for all hosts.
static PLUGINS: LazyLock<Arc<Plugins>> = LazyLock::new(|| {
    let plugins = Plugins::new(&PluginConfig {
        compiler: Some(Arc::new(InProcess)),
        ..cairn::plugin_config()
    });
    plugins.expect("a sandbox")
});

/// A plugin in the middle of a flow, and a later one.
const CREATE: &str = "entry-create";
const COMMIT: &str = "quota-commit";

/// A task that waits, before its work, until a test lets it go on.
struct Gated {
    task: Arc<dyn Task>,
    reached: SyncSender<()>,
    open: Arc<Mutex<Receiver<()>>>,
}

impl Task for Gated {
    fn spec(&self) -> &TaskSpec {
        self.task.spec()
    }

    fn call(&self, context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        // The test may have ended.
        let _ = self.reached.send(());
        let _ = self.open.lock().expect("no task panicked").recv();
        self.task.call(context, inputs)
    }

    fn revert(
        &self,
        context: &Arc<dyn Context>,
        outcome: &Outcome,
        cause: &Cause,
    ) -> Result<Disposition, TaskError> {
        self.task.revert(context, outcome, cause)
    }
}

/// Lets a test know that a flow is in the middle, and lets that flow go on. All flows do once it is dropped.
struct Gate {
    reached: Receiver<()>,
    open: SyncSender<()>,
}

impl Gate {
    #[track_caller]
    fn is_reached(&self) {
        let reached = self.reached.recv_timeout(Duration::from_secs(30));
        reached.expect("a flow comes to the gate");
    }

    fn open(&self) {
        self.open.send(()).expect("the host lives");
    }
}

/// Creates a database; `None` without PostgreSQL.
fn database() -> Option<Database<'static>> {
    Some(cairn_test_postgres::shared()?.database())
}

fn store(database: &Database<'_>) -> Postgres {
    let config = SqliteConfig {
        lease: LEASE,
        ..any::config(Settings::default())
    };
    let config = server::config(&database.url(), config).expect("a URL");
    Postgres::open(&config, Arc::new(SystemClock)).expect("a database")
}

/// Starts a host that takes a share. Its gate is before the work of this plugin.
fn host(database: &Database<'_>, gated: &'static str) -> (Host, Gate) {
    let ((reached, is_reached), (open, is_open)) = (sync_channel(100), sync_channel(100));
    let is_open = Arc::new(Mutex::new(is_open));
    let host = Host::builder(Arc::new(store(database)), Arc::clone(&PLUGINS))
        .builtins(cairn_bundle::PLUGINS)
        .intercept(move |planned, task| match *planned.plugin == *gated {
            true => Arc::new(Gated {
                task,
                reached: reached.clone(),
                open: Arc::clone(&is_open),
            }),
            false => task,
        })
        .share(true)
        .build()
        .expect("a host");
    let gate = Gate {
        reached: is_reached,
        open,
    };
    (host, gate)
}

/// Makes a request for a volume.
fn request(host: &Host, project: &str) -> Submission {
    let text = std::fs::read_to_string(volume_create()).expect("the example");
    let path = repository("examples/volume-create/flow.toml");
    let manifest = Manifest::parse(&text, Path::new(&path), &cairn::grant_kinds());
    let plan = host.plan(&manifest.expect("a manifest")).expect("a plan");
    let requester = Identity::new("ann", project);
    let request = host.store().try_read(&requester, |view| {
        let asked = json!({"size": 1});
        cairn::flow_request::resolve(plan.action.as_deref(), &asked, None, view)
    });
    Submission {
        plan: host.ready(&plan).expect("its tasks"),
        requester,
        request: Ok(request.expect("a request")),
        key: None,
    }
}

/// Asks for a volume.
fn ask(host: &Host, project: &str) -> Submitted {
    let submitted = host.submit(request(host, project));
    submitted.expect("it takes requests")
}

#[track_caller]
fn succeeds(submitted: Submitted) {
    let report = submitted.wait().expect("a report");
    assert_eq!(report.flow.state, FlowState::Success);
}

/// Opens the database as a host that owns all projects, and takes no requests.
fn idle_owner(database: &Database<'_>) -> Postgres {
    let owner = store(database);
    let wishes = Wishes {
        shares: true,
        ..Wishes::default()
    };
    let territory = owner.tend(&wishes).expect("a database");
    assert_eq!(territory.owned, Partitions::all());
    owner
}

#[track_caller]
fn is_refused(submitted: Submitted, kind: &str) {
    match submitted.wait() {
        Err(HostError::Store(StoreError::Refused(error))) => assert_eq!(error.kind, kind),
        other => panic!("not refused: {other:?}"),
    }
}

#[track_caller]
fn goes_on(submitted: Submitted) {
    let id = submitted.id();
    match submitted.wait() {
        Err(HostError::GoesOn(flow)) => assert_eq!(flow, id),
        other => panic!("it does not go on elsewhere: {other:?}"),
    }
}

#[track_caller]
fn ends_at(host: &Host, flow: FlowId) {
    eventually("the flow ends", || {
        let report = host.report(flow).expect("it is there");
        report.flow.state == FlowState::Success
    });
}

#[test]
fn a_host_that_stops_gives_its_projects_back_as_their_flows_end() {
    let Some(database) = database() else { return };
    let (first, gate) = host(&database, CREATE);
    own(&database, &[256]);
    let running = ask(&first, "acme");
    gate.is_reached();
    first.drain();
    own(&database, &[1]);

    // A host that stops takes no share any more.
    let (second, other_gate) = host(&database, CREATE);
    own(&database, &[1, 255]);
    other_gate.open();
    succeeds(ask(&second, "zeta"));
    // Longer than flows may go on at a host that is drained and has not stopped.
    std::thread::sleep(LEASE);
    let project = format!(
        "SELECT count(*) FROM cairn.partitions WHERE id = {} AND host = (SELECT id FROM cairn.hosts ORDER BY started_at, id LIMIT 1)",
        partition_of("acme")
    );
    assert_eq!(database.sql(&project), "1");
    gate.open();
    succeeds(running);
    eventually("all is given back", || database.sql(&project) == "0");
    other_gate.open();
    succeeds(ask(&second, "acme"));
    drop(first);
    own(&database, &[256]);
}

/// Ends a host: it stops, or is gone altogether.
const ENDS: [fn(Host) -> Option<Host>; 2] = [
    |host| {
        host.stop();
        Some(host)
    },
    |_| None,
];

#[test]
fn a_request_that_no_host_has_begun_is_withdrawn_when_its_host_stops() {
    let Some(database) = database() else { return };
    let _owner = idle_owner(&database);
    for end in ENDS {
        let (host, _gate) = host(&database, CREATE);
        let asked = ask(&host, "acme");
        eventually("it is forwarded", || inbox(&database) == "1");
        let _host = end(host);
        assert!(matches!(asked.wait(), Err(HostError::NotStarted)));
        assert_eq!(inbox(&database), "0");
    }
}

#[test]
fn a_flow_of_another_host_goes_on_when_the_host_that_waits_for_it_stops() {
    let Some(database) = database() else { return };
    let (owner, gate) = host(&database, CREATE);
    for end in ENDS {
        let (host, _gate) = host(&database, CREATE);
        own(&database, &[128, 128]);
        let asked = ask(&host, "acme");
        let flow = asked.id();
        gate.is_reached();
        let host = end(host);
        goes_on(asked);
        drop(host);
        gate.open();
        ends_at(&owner, flow);
        own(&database, &[256]);
    }
}

#[test]
fn a_flow_that_has_moved_to_another_host_goes_on_when_its_first_host_stops() {
    for end in ENDS {
        let Some(database) = database() else { return };
        let (first, gate) = host(&database, CREATE);
        let asked = ask(&first, "acme");
        let flow = asked.id();
        gate.is_reached();
        let (second, other_gate) = host(&database, COMMIT);
        drain(&database, Which::First);
        own(&database, &[1, 255]);
        // Until it is time for the flow to rest.
        std::thread::sleep(LEASE);
        gate.open();
        other_gate.is_reached();
        let first = end(first);
        goes_on(asked);
        drop(first);
        other_gate.open();
        ends_at(&second, flow);
    }
}

#[test]
fn a_host_that_drains_refuses_what_no_other_host_takes() {
    let Some(database) = database() else { return };
    let owner = idle_owner(&database);
    let (host, _gate) = host(&database, CREATE);
    let asked = ask(&host, "acme");
    eventually("it is forwarded", || inbox(&database) == "1");
    drain(&database, Which::Last);
    drop(owner);
    is_refused(asked, "Draining");
    assert_eq!(inbox(&database), "0");
    is_refused(ask(&host, "acme"), "Draining");
}

#[test]
fn a_host_that_drains_does_not_wait_for_flows_that_no_host_goes_on_with() {
    let Some(database) = database() else { return };
    let (owner, gate) = host(&database, CREATE);
    let (other, _gate) = host(&database, CREATE);
    own(&database, &[128, 128]);
    let asked = ask(&other, "acme");
    gate.is_reached();
    drain(&database, Which::Last);
    own(&database, &[256, 0]);
    // As if its process had died.
    database.sql("DELETE FROM cairn.hosts WHERE NOT draining");
    goes_on(asked);
    drop(gate);
    drop(owner);
}

#[test]
fn a_project_of_which_too_many_requests_wait_is_refused_more() {
    let Some(database) = database() else { return };
    let _owner = idle_owner(&database);
    let (host, _gate) = host(&database, CREATE);
    database.sql(&format!(
        "INSERT INTO cairn.inbox (id, part, project_id, request, created_at)
         SELECT decode(lpad(to_hex(n), 32, '0'), 'hex'), {}, 'acme', '{{}}', 0 FROM generate_series(1, {INBOX_MOST}) AS n",
        partition_of("acme")
    ));
    is_refused(ask(&host, "acme"), "InboxFull");
}

#[test]
fn requests_that_wait_for_another_flow_do_not_keep_others_out() {
    let Some(database) = database() else { return };
    let (owner, gate) = host(&database, CREATE);
    let (other, _gate) = host(&database, CREATE);
    own(&database, &[128, 128]);
    let mut submission = request(&other, "acme");
    submission.key = Some(Key::new("k", "volume-create", &json!({"size": 1})).expect("a key"));
    // More than are read at once.
    let repeats: Vec<Submitted> = (0..600)
        .map(|_| {
            let submitted = other.submit(submission.clone());
            submitted.expect("it takes requests")
        })
        .collect();
    gate.is_reached();
    let another = ask(&other, "acme");
    gate.is_reached();
    gate.open();
    gate.open();
    succeeds(another);
    repeats.into_iter().for_each(succeeds);
    drop(owner);
}
