//! Measures what an act outside the database costs: flows whose task makes one object, beside the same flows without it. The provider
//! answers at once, so what is left is the host's own cost: the intent, which waits for a commit, and the outcome.
//!
//! ```text
//! cargo run --release --example acts-cost
//! ```

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use cairn::clock::SystemClock;
use cairn::external::{ActError, ActLog, External, ExternalObject, Presence};
use cairn::host::ReadyPlan;
use cairn::plugin::Plugins;
use cairn::task::Wanted;
use cairn::{
    Context, Host, Identity, Manifest, Object, Report, Sqlite, SqliteConfig, Submission, Task,
    TaskError, TaskSpec, Value,
};
use cairn_bench::Folder;
use serde_json::json;

/// The number of flows in flight.
const IN_FLIGHT: usize = 64;

/// The number of flows of each measurement.
const FLOWS: usize = 6_000;

/// The number of flows that run one after the other.
const ALONE: usize = 500;

/// How often both kinds of flows are measured, by turns.
const ROUNDS: usize = 3;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let folder = Folder::within(Path::new("."))?;
    let plugins = Plugins::new(&cairn::plugin_config())?;
    println!("flow      flows/s  CPU us/flow  alone p50 us");
    for round in 0..ROUNDS {
        for labels in [0, 1] {
            let store = Sqlite::open(
                &folder.database(&format!("{round}-{labels}")),
                SqliteConfig::default(),
                Arc::new(SystemClock),
            )?;
            let task = Makes(TaskSpec::new("makes"), labels);
            let host = Host::builder(Arc::new(store), Arc::clone(&plugins))
                .native(Arc::new(task))
                .external("world", Arc::new(AtOnce))
                .queue(IN_FLIGHT)
                .build()?;
            measure(&host, ["no act", "one act"][labels])?;
        }
    }
    Ok(())
}

fn measure(host: &Host, name: &str) -> Result<(), Failure> {
    let text =
        "[flow]\nname = 'acts'\n[plugins.makes]\nbuiltin = 'makes'\n[[task]]\nplugin = 'makes'\n";
    let manifest = Manifest::parse(text, Path::new("flow.toml"), &cairn::grant_kinds())?;
    let plan = host.ready(&host.plan(&manifest)?)?;
    many(host, &plan, FLOWS / 10)?;

    let (cpu, begun) = (cpu(), Instant::now());
    many(host, &plan, FLOWS)?;
    let (took, used) = (begun.elapsed(), self::cpu() - cpu);

    let mut alone = Vec::with_capacity(ALONE);
    for _ in 0..ALONE {
        let begun = Instant::now();
        check(&host.submit(submission(&plan))?.wait()?)?;
        alone.push(begun.elapsed());
    }
    alone.sort_unstable();
    println!(
        "{name:8}  {:7.0}  {:11.0}  {:12.0}",
        FLOWS as f64 / took.as_secs_f64(),
        used.as_secs_f64() * 1e6 / FLOWS as f64,
        alone[ALONE / 2].as_secs_f64() * 1e6,
    );
    Ok(())
}

/// Runs flows, so many at a time.
fn many(host: &Host, plan: &Arc<ReadyPlan>, flows: usize) -> Result<(), Failure> {
    let (tell, told) = sync_channel(IN_FLIGHT);
    let mut running = 0;
    for _ in 0..flows {
        if running == IN_FLIGHT {
            check(&told.recv()??)?;
            running -= 1;
        }
        let tell = tell.clone();
        host.submit_then(submission(plan), move |report| {
            // The receiver lives until every flow has told.
            let _ = tell.send(report);
        })?;
        running += 1;
    }
    for _ in 0..running {
        check(&told.recv()??)?;
    }
    Ok(())
}

fn submission(plan: &Arc<ReadyPlan>) -> Submission {
    Submission {
        plan: Arc::clone(plan),
        requester: Identity::new("ann", "acme"),
        request: Ok(json!({})),
        key: None,
    }
}

fn check(report: &Report) -> Result<(), Failure> {
    match report.flow.state {
        cairn::event::FlowState::Success => Ok(()),
        state => Err(format!("a flow ended as {state}: {:?}", report.error).into()),
    }
}

/// Returns the CPU time of this process so far.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Makes so many objects.
struct Makes(TaskSpec, usize);

impl Task for Makes {
    fn spec(&self) -> &TaskSpec {
        &self.0
    }

    fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        let spec = json!({"name": "db", "content": "10.0.0.7"});
        for label in ["a", "b"].iter().take(self.1) {
            context.make_external(&Wanted {
                provider: "world",
                kind: "record",
                label,
                spec: &spec,
            })?;
        }
        Ok(Value::Null)
    }
}

/// A provider that answers at once.
struct AtOnce;

impl External for AtOnce {
    fn look(&self, _: &ExternalObject, _: &ActLog) -> Result<Presence, TaskError> {
        Ok(Presence::Absent)
    }

    fn make(&self, _: &ExternalObject, _: &Value, _: &ActLog) -> Result<Value, ActError> {
        Ok(Value::Null)
    }

    fn remove(&self, _: &ExternalObject, _: &ActLog) -> Result<(), ActError> {
        Ok(())
    }

    fn list(&self, _: &str, _: Option<&str>, _: &ActLog) -> Result<Vec<String>, TaskError> {
        Ok(Vec::new())
    }
}
