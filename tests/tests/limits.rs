//! Four hosts on one database, at the limits of quotas: no committed state exceeds one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use acceptance::program::{repository, volume_create};
use acceptance::{any, server};
use cairn::clock::SystemClock;
use cairn::error::Cause;
use cairn::event::Disposition;
use cairn::plugin::{InProcess, PluginConfig, Plugins};
use cairn::rows::Cell;
use cairn::store::postgres::{Postgres, PostgresConfig};
use cairn::store::view::Reader;
use cairn::task::Outcome;
use cairn::volumes::Settings;
use cairn::volumes::quota::QuotaConfig;
use cairn::{
    Context, Host, HostError, Identity, Manifest, Object, Report, Submission, Task, TaskError,
    TaskSpec, Value,
};
use cairn_test_postgres::Database;
use serde_json::json;

const HOSTS: usize = 4;
const LIMIT: i64 = 10;

/// Requests at each host at the same time.
const ASKING: usize = 6;

/// A task whose calls are counted, and that may fail every second time after its work.
struct Counted {
    task: Arc<dyn Task>,
    calls: Arc<AtomicUsize>,
    fails: bool,
}

impl Task for Counted {
    fn spec(&self) -> &TaskSpec {
        self.task.spec()
    }

    fn call(&self, context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        let result = self.task.call(context, inputs)?;
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.fails && calls.is_multiple_of(2) {
            true => Err(TaskError::new("Injected", "this task fails")),
            false => Ok(result),
        }
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

fn config(database: &Database<'_>) -> PostgresConfig {
    let config = any::config(Settings {
        quota: QuotaConfig {
            volumes: LIMIT,
            ..QuotaConfig::default()
        },
        ..Settings::default()
    });
    server::config(&database.url(), config).expect("a URL")
}

/// Starts a host, and counts the flows that run there.
fn host(database: &Database<'_>, plugins: &Arc<Plugins>) -> (Host, Arc<AtomicUsize>) {
    let store = Postgres::open(&config(database), Arc::new(SystemClock)).expect("a database");
    let (ran, calls) = (Arc::<AtomicUsize>::default(), Arc::default());
    let host = Host::builder(Arc::new(store), Arc::clone(plugins))
        .builtins(cairn_bundle::PLUGINS)
        .intercept({
            let ran = Arc::clone(&ran);
            move |planned, task| match &*planned.plugin {
                // Before any quota is asked for.
                "extract-volume-request" => Arc::new(Counted {
                    task,
                    calls: Arc::clone(&ran),
                    fails: false,
                }),
                // After the quota was committed.
                "on-failure-change-status" => Arc::new(Counted {
                    task,
                    calls: Arc::clone(&calls),
                    fails: true,
                }),
                _ => task,
            }
        })
        .share(true)
        .build()
        .expect("a host");
    (host, ran)
}

/// How flows ended.
#[derive(Default)]
struct Ends {
    succeeded: AtomicUsize,
    failed: AtomicUsize,
    over_quota: AtomicUsize,
}

impl Ends {
    fn count(&self, ended: &Result<Report, HostError>) {
        let report = ended.as_ref().expect("a report");
        let counter = match report.error.as_ref().map(|error| &*error.kind) {
            None => &self.succeeded,
            Some("Injected") => &self.failed,
            Some("VolumeLimitExceeded") => &self.over_quota,
            Some(other) => panic!("a flow failed with {other}"),
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Asks a host for flows of all projects by turns.
fn ask(host: &Host, flows: usize, (first, projects): (usize, usize), ends: &Ends) {
    let text = std::fs::read_to_string(volume_create()).expect("the example");
    let path = repository("examples/volume-create/flow.toml");
    let manifest = Manifest::parse(&text, Path::new(&path), &cairn::grant_kinds());
    let plan = host.plan(&manifest.expect("a manifest")).expect("a plan");
    let ready = host.ready(&plan).expect("its tasks");
    for number in 0..flows {
        let project = format!("project-{}", (first + number * 7) % projects);
        let requester = Identity::new("ann", &project);
        let request = host.store().try_read(&requester, |view| {
            let asked = json!({"size": 1});
            cairn::flow_request::resolve(plan.action.as_deref(), &asked, None, view)
        });
        let submission = Submission {
            plan: Arc::clone(&ready),
            requester,
            request: Ok(request.expect("a request")),
            key: None,
        };
        let submitted = host.submit(submission).expect("it takes requests");
        ends.count(&submitted.wait());
    }
}

/// Looks at usages until `is_over`, and returns how often.
fn watch(database: &Database<'_>, is_over: &AtomicBool) -> usize {
    let clock = Arc::new(SystemClock);
    let reader = Reader::connect(&config(database), clock).expect("a database");
    let operator = Identity::new("olga", "operators").into_admin();
    let above = "SELECT project_id, in_use, reserved FROM quota_usages
         WHERE resource = 'volumes' AND (in_use + reserved > $1 OR in_use < 0 OR reserved < 0)";
    let mut looks = 0;
    while !is_over.load(Ordering::Relaxed) {
        let found = reader.view(&operator).query(above, &[Cell::Int(LIMIT)]);
        let found = found.expect("the usages");
        assert_eq!(found, Vec::<Vec<Cell>>::new(), "above the limit");
        looks += 1;
        // The hosts need the processors, too.
        thread::sleep(Duration::from_millis(2));
    }
    looks
}

fn at_the_limit(projects: usize, flows: usize) {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    let plugins = Plugins::new(&PluginConfig {
        compiler: Some(Arc::new(InProcess)),
        ..cairn::plugin_config()
    });
    let plugins = plugins.expect("a sandbox");
    let hosts = (0..HOSTS).map(|_| host(&database, &plugins));
    let (hosts, ran): (Vec<Host>, Vec<_>) = hosts.unzip();
    let ends = Ends::default();
    let is_over = AtomicBool::new(false);
    let since = Instant::now();
    let looks = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&database, &is_over));
        let askers: Vec<_> = (0..HOSTS * ASKING)
            .map(|number| {
                let (host, ends) = (&hosts[number % HOSTS], &ends);
                scope.spawn(move || ask(host, flows, (number * 3, projects), ends))
            })
            .collect();
        let asked: Vec<_> = askers.into_iter().map(|asker| asker.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        let looks = watcher.join().expect("no usage was above its limit");
        assert!(
            asked.iter().all(Result::is_ok),
            "every flow ended as it may"
        );
        looks
    });
    let took = since.elapsed();
    let owners = "SELECT count(DISTINCT host) FROM cairn.partitions";
    assert_ne!(database.sql(owners), "1", "one host owns all");
    drop(hosts);
    let ran: Vec<usize> = ran.iter().map(|ran| ran.load(Ordering::Relaxed)).collect();
    // Some may own none of the projects.
    assert!(ran.iter().filter(|ran| **ran > 0).count() > 1, "{ran:?}");
    let asked = ASKING * flows;
    assert!(
        ran.iter().any(|ran| *ran != asked),
        "each ran what it was asked for: {ran:?}"
    );
    let [succeeded, failed, over_quota] = [&ends.succeeded, &ends.failed, &ends.over_quota]
        .map(|count| count.load(Ordering::Relaxed));
    println!(
        "{succeeded} succeeded, {failed} failed, {over_quota} were over quota; {looks} looks; the hosts ran {ran:?} in {took:?}"
    );
    // A failed flow leaves its volume in `error`, and gives its quota back.
    let volumes = "SELECT count(*) FROM cairn.volumes WHERE status = 'creating'";
    assert_eq!(database.sql(volumes), succeeded.to_string());
    let full = "SELECT count(*) FROM cairn.quota_usages WHERE resource = 'volumes' AND in_use = 10 AND reserved = 0";
    assert_eq!(database.sql(full), projects.to_string());
    assert_eq!(
        succeeded,
        projects * usize::try_from(LIMIT).expect("a size")
    );
    assert!(failed > 0 && over_quota > 0 && looks > 10);
}

#[test]
fn four_hosts_exceed_no_limit() {
    at_the_limit(15, 40);
}

#[test]
#[ignore = "takes some minutes"]
fn four_hosts_exceed_no_limit_for_long() {
    at_the_limit(50, 1_000);
}
