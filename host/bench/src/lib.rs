//! Measures the cost of flows, and of the same work without Cairn.
//!
//! [`run`] runs the volume-create flow on a [`Host`](cairn::Host) with a database on disk, every call in a fresh sandboxed
//! instance. The same run measures the baselines: the SQL alone, in bulk and statement by statement ([`recorded`]), the engine with
//! native tasks ([`native`]), and a bare loop of instances ([`calls`]). The parts are public so that `benches/parts.rs` can measure
//! them separately.

#![warn(missing_docs)]

pub mod bare;
pub mod calls;
mod canned;
mod case;
mod drive;
mod error;
mod figures;
mod fill;
mod folder;
pub mod hosts;
mod meter;
pub mod native;
pub mod publish;
pub mod recorded;
mod server;
pub mod stage;

pub use case::Case;
pub use error::BenchError;
pub use figures::Figures;
pub use folder::Folder;
pub use server::Wait;

use std::path::Path;
use std::sync::Arc;

use cairn::Diagnostic;
use cairn::plugin::Plugins;

use drive::{Drive, Load};
use fill::Fill;
use recorded::{Recording, Way};
use stage::{Stage, Storage, Tasks};

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The end of each flow.
    pub case: Case,
    /// The storage of the flows. The baselines are always on disk.
    pub storage: Storage,
    /// The number of measured flows, one or more.
    pub flows: usize,
    /// The number of flows in flight, one or more.
    pub concurrency: usize,
    /// Whether all flows are submitted at once.
    pub queued: bool,
    /// The number of volumes before the run; 0 with [`Storage::Memory`].
    pub volumes: u32,
    /// The number of finished flows before the run; 0 with [`Storage::Memory`].
    pub finished_flows: u32,
}

/// Measures flows and baselines. Databases are created in `folder`, and removed when this returns.
///
/// The flows run first, so that their peak memory is read before the baselines run.
///
/// # Errors
/// [`BenchError`], also for a flow that does not end as its case expects and for a store that cannot be filled.
pub fn run(
    options: &Options,
    plugins: &Arc<Plugins>,
    folder: &Folder,
) -> Result<Figures, BenchError> {
    if options.storage == Storage::Memory && options.volumes + options.finished_flows > 0 {
        let help = "leave out --volumes and --finished-flows, or keep the flows in SQLite";
        return Err(Diagnostic::new("a store in memory begins empty")
            .help(help)
            .into());
    }
    let load = Load {
        flows: options.flows,
        concurrency: options.concurrency,
        queued: options.queued,
    };
    let fill = Fill {
        volumes: options.volumes,
        finished_flows: options.finished_flows,
    };
    let template = fill.template(&folder.database("template"), options.case)?;
    let fresh = |name: &str| -> Result<std::path::PathBuf, BenchError> {
        let path = folder.database(name);
        if let Some(template) = &template {
            copy(template, &path)?;
        }
        Ok(path)
    };
    let load1 = meter::load1();

    let queue = if options.queued {
        options.flows
    } else {
        options.concurrency
    };
    let drive = |name: &str, tasks: Tasks| -> Result<Drive, BenchError> {
        let stage = match options.storage {
            Storage::Sqlite => Stage::open(&fresh(name)?, options.case, plugins, tasks, queue)?,
            Storage::Memory => Stage::without_sql(options.case, plugins, tasks, queue)?,
        };
        drive::measure(load, &Arc::new(stage))
    };
    let real = drive("real", Tasks::Plugins)?;
    let native = drive("native", Tasks::Native)?;
    let replay = |name: &str, way: Way| {
        let recording = Recording::of(way, options.case);
        recording.replay(&fresh(name)?, options.flows, real.commits)
    };
    let floor = replay("floor", Way::Floor)?;
    let statements = replay("statements", Way::Statements)?;
    let commit = meter::median_commit(&folder.database("commit"))?;
    let calls = calls::compare(plugins, calls::ROUNDS)?;

    let flows = options.flows as f64;
    Ok(Figures {
        case: options.case,
        storage: options.storage,
        flows: options.flows,
        concurrency: options.concurrency,
        queued: options.queued,
        volumes: options.volumes,
        finished_flows: options.finished_flows,
        flows_per_s: flows / real.wall.as_secs_f64(),
        p50_ms: figures::ms(real.percentile(50)),
        p99_ms: figures::ms(real.percentile(99)),
        cpu_us_per_flow: real.cpu.as_secs_f64() * 1e6 / flows,
        commits_per_flow: real.commits as f64 / flows,
        max_rss_mib: real.max_rss_mib,
        floor_flows_per_s: flows / floor.wall.as_secs_f64(),
        floor_cpu_us_per_flow: floor.cpu.as_secs_f64() * 1e6 / flows,
        statements_flows_per_s: flows / statements.wall.as_secs_f64(),
        statements_cpu_us_per_flow: statements.cpu.as_secs_f64() * 1e6 / flows,
        native_flows_per_s: flows / native.wall.as_secs_f64(),
        native_cpu_us_per_flow: native.cpu.as_secs_f64() * 1e6 / flows,
        bare_call_us: figures::us(calls.bare),
        engine_call_us: figures::us(calls.engine),
        commit_ms: figures::ms(commit),
        cpus: std::thread::available_parallelism()?.get(),
        load1,
    })
}

/// Copies a database that is not open.
fn copy(from: &Path, to: &Path) -> Result<(), BenchError> {
    std::fs::copy(from, to).map(drop).map_err(|error| {
        let message = format!("{}: {error}", to.display());
        std::io::Error::new(error.kind(), message).into()
    })
}
