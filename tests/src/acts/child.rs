//! The process that crashes: it runs a flow that makes two objects, whose last task may fail.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cairn::audit::Asker;
use cairn::clock::{Clock, ManualClock, SystemClock};
use cairn::crash;
use cairn::external::{ActLog, External as _, ExternalObject, name_of};
use cairn::plugin::Plugins;
use cairn::store::HostStore;
use cairn::store::operation::Operation;
use cairn::store::postgres::{Postgres, PostgresConfig};
use cairn::store::view::FlowFilter;
use cairn::task::{Unwanted, Wanted};
use cairn::{
    Context, FlowId, Host, Identity, Manifest, Object, Sqlite, SqliteConfig, Submission, Task,
    TaskError, TaskSpec, Value, Verdict,
};
use serde_json::json;

use super::world::World;
use super::{DATABASE, LABELS, Life, Mistake, Task as Purpose, points};
use crate::server;

/// The longest sleep of a flow, which each look at a sleeping one passes.
const SLEEP: Duration = Duration::from_secs(300);

/// How often flows are woken before the life fails.
const ROUNDS: usize = 50;

/// Longer than all lives by their clocks: a life that ended is known to be dead by its lock.
const LEASE: Duration = Duration::from_secs(1000 * 86_400);

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
    points::die_at(life.dies.clone(), life.host.stops);
    let is_first = crash::observe(|point| points::visit(point.name()));
    ensure!(is_first, "another observer is set");
    let clock = Arc::new(ManualClock::new(SystemClock.now().after(life.later)));
    let host = host(&life, &clock)?;
    match life.task {
        Purpose::Run => run(&host, &life, &clock, MANIFEST)?,
        Purpose::Remove => run(&host, &life, &clock, REMOVES)?,
        Purpose::Recover => recover(&host, &clock)?,
        Purpose::Look => {
            host.recover(true)?;
            host.wake_due(false)?;
        }
        Purpose::RollBack => {
            recover(&host, &clock)?;
            roll_back(&host, &clock)?;
        }
    }
    drop(host);
    println!("{}", serde_json::to_string(&points::visits())?);
    Ok(())
}

fn host(life: &Life, clock: &Arc<ManualClock>) -> Result<Host> {
    let config = SqliteConfig {
        lease: life.host.lease.unwrap_or(LEASE),
        locks: life.host.locks.clone(),
        ..SqliteConfig::default()
    };
    let time = Arc::clone(clock) as _;
    let store: Arc<dyn HostStore> = match &life.host.server {
        None => Arc::new(Sqlite::open(&life.folder.join(DATABASE), config, time)?),
        Some(url) => {
            let config = PostgresConfig {
                locks: life.host.locks.clone(),
                ..server::config(url, config)?
            };
            Arc::new(Postgres::open(&config, time)?)
        }
    };
    let world = Arc::new(World::new(life));
    let makes = Makes {
        spec: TaskSpec::new("makes"),
        early: (life.mistake == Some(Mistake::ActBeforeIntent)).then(|| Arc::clone(&world)),
    };
    let removes = Removes {
        spec: TaskSpec::new("removes"),
        world: Arc::clone(&world),
        has_failed: AtomicBool::new(false),
    };
    let ends = Ends {
        spec: TaskSpec::new("ends"),
        fails: life.fails,
    };
    let host = Host::builder(store, Plugins::new(&cairn::plugin_config())?)
        .native(Arc::new(makes))
        .native(Arc::new(removes))
        .native(Arc::new(ends))
        .external("world", world);
    Ok(host.workers(1).build()?)
}

/// Makes an object of each label.
struct Makes {
    spec: TaskSpec,
    /// The world, if the task makes them before it asks the host to.
    early: Option<Arc<World>>,
}

impl Task for Makes {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        for label in LABELS {
            let spec = json!({"name": label, "text": "an object of some length"});
            if let Some(world) = &self.early {
                let call = context.call();
                let object = ExternalObject {
                    kind: "file".to_owned(),
                    id: name_of(call.flow, call.task, label),
                    token: 1,
                };
                // The host asks again.
                let _ = world.make(&object, &spec, &ActLog::new(|_, _| {}));
            }
            context.make_external(&Wanted {
                provider: "world",
                kind: "file",
                label,
                spec: &spec,
            })?;
        }
        Ok(Value::Null)
    }
}

/// Removes all objects, and then fails once.
struct Removes {
    spec: TaskSpec,
    world: Arc<World>,
    has_failed: AtomicBool,
}

impl Task for Removes {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        for id in self.world.list("file", None, &ActLog::new(|_, _| {}))? {
            context.remove_external(&Unwanted {
                provider: "world",
                kind: "file",
                id: &id,
            })?;
        }
        match self.has_failed.swap(true, Ordering::SeqCst) {
            false => Err(TaskError::new("Injected", "this task fails once")),
            true => Ok(Value::Null),
        }
    }
}

/// Is the last task.
struct Ends {
    spec: TaskSpec,
    fails: bool,
}

impl Task for Ends {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, _: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        match self.fails {
            true => Err(TaskError::new("Injected", "this task fails")),
            false => Ok(Value::Null),
        }
    }
}

const MANIFEST: &str = "[flow]\nname = 'acts'\n[plugins.makes]\nbuiltin = 'makes'\n[plugins.ends]\nbuiltin = 'ends'\n\
    [[task]]\nplugin = 'makes'\n[[task]]\nplugin = 'ends'\n";

const REMOVES: &str = "[flow]\nname = 'removes'\n[plugins.removes]\nbuiltin = 'removes'\n[plugins.ends]\nbuiltin = 'ends'\n\
    [[task]]\nplugin = 'removes'\npivot = true\n[[task]]\nplugin = 'ends'\n";

fn run(host: &Host, life: &Life, clock: &ManualClock, manifest: &str) -> Result<()> {
    let text = match life.resumes {
        true => manifest.replace("[flow]\n", "[flow]\non_lost = 'resume'\n"),
        false => manifest.to_owned(),
    };
    let manifest = Manifest::parse(&text, Path::new("flow.toml"), &cairn::grant_kinds())?;
    let submission = Submission {
        plan: host.ready(&host.plan(&manifest)?)?,
        requester: Identity::new("ann", "acme"),
        request: Ok(json!({})),
        key: None,
    };
    let submitted = host.submit(submission)?;
    while_time_passes(clock, || submitted.wait())?;
    Ok(())
}

/// Works while a thread moves the clock, so that flows never sleep long.
fn while_time_passes<T>(clock: &ManualClock, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(2));
                clock.advance(SLEEP);
            }
        });
        let result = work();
        done.store(true, Ordering::SeqCst);
        result
    })
}

/// Recovers flows, and wakes them until none sleeps.
fn recover(host: &Host, clock: &ManualClock) -> Result<()> {
    host.recover(true)?;
    for _ in 0..ROUNDS {
        host.wake_due(false)?;
        if !sleeps(host)? {
            return Ok(());
        }
        clock.advance(SLEEP);
    }
    bail!("a flow still sleeps")
}

fn sleeps(host: &Host) -> Result<bool> {
    let nobody = Identity::default();
    let flows = host
        .store()
        .read(&nobody, |view| view.flows(FlowFilter::default(), 10))?;
    Ok(flows.iter().any(|flow| flow.wake_at.is_some()))
}

/// Rolls the flows back whose rollback is incomplete.
fn roll_back(host: &Host, clock: &ManualClock) -> Result<()> {
    let nobody = Identity::default();
    let flows = host
        .store()
        .read(&nobody, |view| view.flows(FlowFilter::default(), 10))?;
    let is_incomplete = |id: FlowId| -> Result<bool> {
        let rollback = host.report(id)?.rollback;
        Ok(rollback.is_some_and(|rollback| rollback.verdict == Verdict::Incomplete))
    };
    for flow in flows {
        if is_incomplete(flow.id)? {
            let reason = "again".to_owned();
            let operation = Operation::Rollback { reason };
            let by = Asker::new("ann", "test");
            while_time_passes(clock, || host.operate(flow.id, &operation, &by))?;
        }
    }
    recover(host, clock)
}
