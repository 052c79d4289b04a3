//! The process that crashes: it runs the volume-create flow on a database on disk, optionally with a task that fails.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cairn::clock::SystemClock;
use cairn::crash::{self, CrashPoint};
use cairn::deliver::{self, Limits, Transport};
use cairn::error::Cause;
use cairn::event::{Disposition, FlowState, FlowSummary};
use cairn::id::ContextPart;
use cairn::keyring::KeySource;
use cairn::outbox::{Message, Outgoing};
use cairn::plan::PlannedTask;
use cairn::plugin::{PluginConfig, Plugins};
use cairn::store::postgres::{Postgres, PostgresConfig};
use cairn::store::view::FlowFilter;
use cairn::store::{BatchConfig, HostStore, WalConfig};
use cairn::task::Outcome;
use cairn::volumes::Settings;
use cairn::{
    Context, Host, Identity, Manifest, Object, Sqlite, SqliteConfig, Submission, Task, TaskError,
    TaskSpec, Value,
};
use serde_json::json;
use signal_hook::consts::SIGSTOP;

use super::{Life, RECEIVED, Task as Purpose, Visits};
use crate::program::{repository, volume_create};
use crate::server;

static LIFE: OnceLock<Life> = OnceLock::new();
static REVERTING: AtomicBool = AtomicBool::new(false);
static VISITS: [[AtomicUsize; CrashPoint::ALL.len()]; 2] =
    [const { [const { AtomicUsize::new(0) }; CrashPoint::ALL.len()] }; 2];

/// Runs the life that the first argument describes in JSON.
pub fn main() -> ExitCode {
    match live() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn live() -> Result<()> {
    let life = std::env::args().nth(1).context("no life is given")?;
    let life: Life = serde_json::from_str(&life)?;
    let life = LIFE.get_or_init(|| life);
    ensure!(crash::observe(visit), "another observer is set");
    let host = host(life)?;
    match life.task {
        Purpose::Run => run(&host, life)?,
        Purpose::Recover => recover(&host)?,
        Purpose::Serve => serve(&host)?,
        Purpose::Share => share(&host)?,
    }
    if life.delivers {
        let unsent = host.settle(Duration::from_secs(20));
        ensure!(unsent.messages == 0, "messages are left: {unsent:?}");
    }
    drop(host);
    println!("{}", serde_json::to_string(&visits())?);
    Ok(())
}

/// Counts a visit of a crash point, and aborts or stops there if the life says so.
fn visit(point: CrashPoint) {
    let reverting = REVERTING.load(Ordering::SeqCst);
    let time = VISITS[usize::from(reverting)][point as usize].fetch_add(1, Ordering::SeqCst) + 1;
    let Some(life) = LIFE.get() else { return };
    if life.dies.as_ref().is_some_and(|death| {
        death.point == point.name() && death.reverting == reverting && death.time == time
    }) {
        if !life.stops {
            std::process::abort();
        }
        // All threads stop until the process receives SIGCONT.
        if let Err(error) = signal_hook::low_level::raise(SIGSTOP) {
            eprintln!("the process cannot be stopped: {error}");
            std::process::abort();
        }
    }
}

fn visits() -> Vec<Visits> {
    let points = [false, true]
        .into_iter()
        .flat_map(|reverting| CrashPoint::ALL.iter().map(move |point| (reverting, *point)));
    let visits = points.map(|(reverting, point)| Visits {
        point: point.name().to_owned(),
        reverting,
        times: VISITS[usize::from(reverting)][point as usize].load(Ordering::SeqCst),
    });
    visits.filter(|visits| visits.times > 0).collect()
}

fn host(life: &Life) -> Result<Host> {
    let defaults = SqliteConfig::default();
    let domains = crate::any::domains(Settings {
        keys: KeySource::NewFile(life.folder.join("cairn.db.key")),
        ..Settings::default()
    });
    let config = SqliteConfig {
        domains: match life.delivers {
            true => domains.with(Outgoing {
                context: ContextPart::DEFAULT.to_vec(),
            }),
            false => domains,
        },
        lease: life.lease.unwrap_or(defaults.lease),
        batch: BatchConfig {
            events: life.events,
            ..BatchConfig::default()
        },
        log: WalConfig {
            copy_above: 0,
            ..WalConfig::default()
        },
        ..defaults
    };
    let clock = Arc::new(SystemClock);
    let store: Arc<dyn HostStore> = match &life.server {
        None => Arc::new(Sqlite::open(&life.folder.join("cairn.db"), config, clock)?),
        Some(url) => {
            // A life that ended is known to be dead by its lock.
            let config = PostgresConfig {
                locks: Some(life.folder.join("locks")),
                ..server::config(url, config)?
            };
            Arc::new(Postgres::open(&config, clock)?)
        }
    };
    let plugins = Plugins::new(&PluginConfig {
        cache: Some(life.cache.clone()),
        ..cairn::plugin_config()
    })?;
    let fails = life.fails;
    let host = Host::builder(store, plugins)
        .builtins(cairn_bundle::PLUGINS)
        .intercept(move |planned, task| {
            Arc::new(Failing {
                fails: fails.is_some_and(|fails| is(planned, fails)),
                task,
            })
        });
    let host = host.share(life.task == Purpose::Share);
    let host = match life.delivers {
        true => host.deliver(Box::new(ToFile(life.folder.join(RECEIVED))), LIMITS),
        false => host,
    };
    Ok(host.build()?)
}

const LIMITS: Limits = Limits {
    attempts: 20,
    max_age: Duration::from_secs(3600),
    most: 1000,
};

/// Delivers to a file, which outlives the process.
struct ToFile(PathBuf);

impl Transport for ToFile {
    fn publish(&mut self, messages: &[Message]) -> Vec<deliver::Outcome> {
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).open(&self.0);
        let mut file = file.expect("the folder is ours");
        let outcomes = messages.iter().map(|message| {
            let flow = message.flow.map(|flow| flow.to_string());
            let line = format!("{} {}\n", flow.unwrap_or_default(), message.id);
            match file.write_all(line.as_bytes()) {
                Ok(()) => deliver::Outcome::Confirmed,
                Err(error) => deliver::Outcome::Unreached(error.to_string()),
            }
        });
        outcomes.collect()
    }
}

/// The tasks of the flow, in order.
const TASKS: [&str; 7] = [
    "inject",
    "extract-volume-request",
    "quota-reserve",
    "entry-create",
    "quota-commit",
    "on-failure-change-status",
    "volume-cast",
];

fn is(planned: &PlannedTask, number: usize) -> bool {
    TASKS.get(number - 1) == Some(&planned.plugin.as_str())
}

/// A task that fails after its work if the life says so.
struct Failing {
    fails: bool,
    task: Arc<dyn Task>,
}

impl Task for Failing {
    fn spec(&self) -> &TaskSpec {
        self.task.spec()
    }

    fn call(&self, context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        let result = self.task.call(context, inputs)?;
        if self.fails {
            return Err(TaskError::new("Injected", "this task fails"));
        }
        Ok(result)
    }

    fn revert(
        &self,
        context: &Arc<dyn Context>,
        outcome: &Outcome,
        cause: &Cause,
    ) -> Result<Disposition, TaskError> {
        REVERTING.store(true, Ordering::SeqCst);
        self.task.revert(context, outcome, cause)
    }
}

fn run(host: &Host, life: &Life) -> Result<()> {
    let text = std::fs::read_to_string(volume_create())?;
    let text = match life.resumes {
        true => text.replace("[flow]\n", "[flow]\non_lost = \"resume\"\n"),
        false => text,
    };
    let path = repository("examples/volume-create/flow.toml");
    let manifest = Manifest::parse(&text, Path::new(&path), &cairn::grant_kinds())?;
    let plan = host.plan(&manifest)?;
    let requester = Identity::new("ann", "acme");
    let entered = host.store().try_read(&requester, |view| {
        let asked = json!({"size": 2, "name": "data", "volume_type": "gold"});
        cairn::flow_request::enter(
            &plan.name,
            plan.action.as_deref(),
            &asked,
            Some("key"),
            None,
            view,
        )
    })?;
    host.recover(false)?;
    let submission = Submission {
        plan: host.ready(&plan)?,
        requester,
        request: entered.request,
        key: entered.key,
    };
    host.submit(submission)?.wait()?;
    Ok(())
}

fn recover(host: &Host) -> Result<()> {
    host.recover(true)?;
    Ok(())
}

/// Waits until a flow that another process has asked for has ended, here or there.
fn share(host: &Host) -> Result<()> {
    let since = Instant::now();
    let nobody = Identity::default();
    let has_ended = || {
        let flows = host
            .store()
            .read(&nobody, |view| view.flows(FlowFilter::default(), 1))?;
        let ended =
            |flow: &FlowSummary| matches!(flow.state, FlowState::Success | FlowState::Failure);
        anyhow::Ok(flows.iter().any(ended))
    };
    while !has_ended()? {
        if since.elapsed() > Duration::from_secs(30) {
            bail!("no flow has ended");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Waits until all requests have been answered.
fn serve(host: &Host) -> Result<()> {
    host.recover(true)?;
    let since = Instant::now();
    while !host.store().requests()?.is_empty() {
        if since.elapsed() > Duration::from_secs(20) {
            bail!("a request was not served");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
