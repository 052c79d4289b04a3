//! Measures flows of several hosts on one PostgreSQL server, and of one host on SQLite in the same run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cairn::plugin::Plugins;
use cairn::store::postgres::{PostgresConfig, Scratch};
use cairn::store::shared::partition_of;
use cairn::{Diagnostic, Identity};
use serde::Serialize;

use crate::drive::{self, Load};
use crate::server::{self, Processes, Wait};
use crate::stage::{Stage, Tasks};
use crate::{BenchError, Case, Folder, figures, meter};

/// The options of a run on PostgreSQL.
#[derive(Clone, Debug)]
pub struct HostsOptions {
    /// A database on the server. It is not touched: the flows run in a database beside it, for which its role needs `CREATEDB`.
    pub server: PostgresConfig,
    /// The end of each flow.
    pub case: Case,
    /// The number of measured flows of all hosts, one or more.
    pub flows: usize,
    /// The number of flows in flight at each host, one or more.
    pub concurrency: usize,
    /// The number of hosts, one or more. They are threads of this process, each with its own connections.
    pub hosts: usize,
    /// The number of projects that the flows belong to by turns. A host that has none asks the owners of all.
    pub projects: usize,
}

/// The results of one run on PostgreSQL. `cairn bench --json` prints them as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct HostsFigures {
    /// The end of each flow.
    pub case: Case,
    /// Number of measured flows.
    pub flows: usize,
    /// Number of flows in flight at each host.
    pub concurrency: usize,
    /// Number of hosts.
    pub hosts: usize,
    /// Number of projects.
    pub projects: usize,
    /// Flows per second of all hosts.
    pub flows_per_s: f64,
    /// CPU time of all hosts, in microseconds per flow.
    pub hosts_cpu_us_per_flow: f64,
    /// CPU time of all processes of the server, in microseconds per flow; `None` of a server on another machine.
    pub server_cpu_us_per_flow: Option<f64>,
    /// Commits per flow.
    pub commits_per_flow: f64,
    /// Flows per second of one host on SQLite.
    pub sqlite_flows_per_s: f64,
    /// CPU time of one host on SQLite, in microseconds per flow.
    pub sqlite_cpu_us_per_flow: f64,
    /// What the server's sessions waited for.
    pub waits: Vec<Wait>,
    /// Number of processors that this process may use.
    pub cpus: usize,
    /// The machine's load average over a minute, before the run.
    pub load1: f64,
}

impl HostsFigures {
    /// Returns the CPU time of hosts and server, in microseconds per flow.
    pub fn cpu_us_per_flow(&self) -> Option<f64> {
        Some(self.hosts_cpu_us_per_flow + self.server_cpu_us_per_flow?)
    }
}

/// Measures flows on SQLite, then on PostgreSQL. The database on SQLite is created in `folder`.
///
/// # Errors
/// [`BenchError`], also for a flow that does not end as its case expects.
pub fn run(
    options: &HostsOptions,
    plugins: &Arc<Plugins>,
    folder: &Folder,
) -> Result<HostsFigures, BenchError> {
    if options.hosts > options.flows {
        return Err(Diagnostic::new("there are more hosts than flows")
            .help("raise --flows")
            .into());
    }
    let load1 = meter::load1();
    let projects = projects(options.projects);
    let load = Load {
        flows: options.flows,
        concurrency: options.concurrency,
        queued: false,
    };
    let path = folder.database("sqlite");
    let queue = options.concurrency;
    let mut stage = Stage::open(&path, options.case, plugins, Tasks::Plugins, queue)?;
    stage.requesters.clone_from(&projects);
    let sqlite = drive::measure(load, &Arc::new(stage))?;

    let mut scratch = Scratch::create(&options.server)?;
    let stages: Vec<Arc<Stage>> = (0..options.hosts)
        .map(|host| {
            let mut stage = Stage::on_server(scratch.config(), options.case, plugins, queue)?;
            stage.requesters = of_host(&projects, host, options.hosts);
            Ok(Arc::new(stage))
        })
        .collect::<Result<_, BenchError>>()?;
    let processes = Processes::of(&mut scratch)?;
    let measured = measure(options, &stages, &mut scratch, processes)?;
    // Before their database is dropped.
    drop(stages);
    drop(scratch);

    let flows = measured.flows as f64;
    Ok(HostsFigures {
        case: options.case,
        flows: measured.flows,
        concurrency: options.concurrency,
        hosts: options.hosts,
        projects: options.projects,
        flows_per_s: flows / measured.wall.as_secs_f64(),
        hosts_cpu_us_per_flow: figures::us(measured.hosts) / flows,
        server_cpu_us_per_flow: measured.server.map(|cpu| figures::us(cpu) / flows),
        commits_per_flow: measured.commits as f64 / flows,
        sqlite_flows_per_s: options.flows as f64 / sqlite.wall.as_secs_f64(),
        sqlite_cpu_us_per_flow: figures::us(sqlite.cpu) / options.flows as f64,
        waits: measured.waits,
        cpus: std::thread::available_parallelism()?.get(),
        load1,
    })
}

/// The measurements of all hosts.
struct Measured {
    flows: usize,
    wall: Duration,
    hosts: Duration,
    server: Option<Duration>,
    commits: u64,
    waits: Vec<Wait>,
}

fn measure(
    options: &HostsOptions,
    stages: &[Arc<Stage>],
    scratch: &mut Scratch,
    processes: Option<Processes>,
) -> Result<Measured, BenchError> {
    let each = options.flows.div_ceil(stages.len());
    let in_flight = options.concurrency.min(each);
    for stage in stages {
        drive::warm_up(stage, each, in_flight)?;
    }
    let commits = || -> u64 { stages.iter().map(|s| s.host.store().commits()).sum() };
    let server_cpu = || processes.map(Processes::cpu);
    let before = (commits(), meter::cpu(), server_cpu());
    let ended = AtomicBool::new(false);
    let begin = Instant::now();
    let (wall, waits) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| server::sample(scratch, &ended));
        let hosts: Vec<_> = stages
            .iter()
            .map(|stage| scope.spawn(move || drive::run(stage, each, in_flight)))
            .collect();
        let results: Vec<_> = hosts
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect();
        let wall = begin.elapsed();
        ended.store(true, Ordering::Relaxed);
        let waits = sampler.join().map_err(|_| panicked())??;
        for result in results {
            result.map_err(|_| panicked())??;
        }
        Ok::<_, BenchError>((wall, waits))
    })?;
    let server = server_cpu().zip(before.2);
    Ok(Measured {
        flows: each * stages.len(),
        wall,
        hosts: meter::cpu().saturating_sub(before.1),
        server: server.map(|(after, before)| after.saturating_sub(before)),
        commits: commits() - before.0,
        waits,
    })
}

fn panicked() -> BenchError {
    BenchError::Unexpected("a thread of the measurement panicked".to_owned())
}

/// Returns the requesters of flows, one for each project.
fn projects(count: usize) -> Vec<Identity> {
    let projects = (0..count).map(|project| Identity::new("demo", format!("project-{project}")));
    projects.collect()
}

/// Returns the requesters of the flows of one host: the projects of every `hosts`th partition, or all if those are none. Their owners run the
/// flows then.
fn of_host(projects: &[Identity], host: usize, hosts: usize) -> Vec<Identity> {
    let is_own =
        |requester: &&Identity| usize::from(partition_of(&requester.project_id)) % hosts == host;
    let own = projects.iter().filter(is_own);
    let own: Vec<Identity> = own.cloned().collect();
    if own.is_empty() {
        projects.to_vec()
    } else {
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_project_has_one_host() {
        let all = projects(100);
        let shares: Vec<Vec<Identity>> = (0..4).map(|host| of_host(&all, host, 4)).collect();
        assert_eq!(shares.iter().map(Vec::len).sum::<usize>(), 100);
        assert!(shares.iter().all(|share| share.len() > 10));
        // More hosts than projects: all ask for the one there is.
        let hot: Vec<usize> = (0..4)
            .map(|host| of_host(&projects(1), host, 4).len())
            .collect();
        assert_eq!(hot, [1; 4]);
    }
}
