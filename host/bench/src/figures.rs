use std::time::Duration;

use serde::Serialize;

use crate::{Case, Storage};

/// What one run measured. Its JSON is the document that `cairn bench --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// How each flow ended.
    pub case: Case,
    /// What the flows were kept in.
    pub storage: Storage,
    /// Flows that were measured.
    pub flows: usize,
    /// Flows in flight.
    pub concurrency: usize,
    /// Whether all were submitted at once.
    pub queued: bool,
    /// Volumes that were there before.
    pub volumes: u32,
    /// Finished flows that were there before.
    pub finished_flows: u32,
    /// Flows a second.
    pub flows_per_s: f64,
    /// Half of the flows were reported within this many milliseconds of being submitted.
    pub p50_ms: f64,
    /// 99 of 100 were.
    pub p99_ms: f64,
    /// CPU time of the whole process, user and system, in microseconds a flow.
    pub cpu_us_per_flow: f64,
    /// Commits a flow.
    pub commits_per_flow: f64,
    /// Most memory that was resident during the run, in MiB: of this process, before any baseline ran.
    pub max_rss_mib: f64,
    /// Flows a second of the SQL alone, in bulk.
    pub floor_flows_per_s: f64,
    /// CPU time of the SQL alone, in bulk, in microseconds a flow.
    pub floor_cpu_us_per_flow: f64,
    /// Flows a second of the SQL alone, statement by statement.
    pub statements_flows_per_s: f64,
    /// CPU time of the SQL alone, statement by statement, in microseconds a flow.
    pub statements_cpu_us_per_flow: f64,
    /// Flows a second of the engine with native tasks.
    pub native_flows_per_s: f64,
    /// CPU time of the engine with native tasks, in microseconds a flow.
    pub native_cpu_us_per_flow: f64,
    /// One instance and its call, made without the engine, in microseconds.
    pub bare_call_us: f64,
    /// The same instance and call, made by the engine.
    pub engine_call_us: f64,
    /// One small commit on a database of the same kind, in milliseconds; the median.
    pub commit_ms: f64,
    /// Processors that this process may use.
    pub cpus: usize,
    /// The machine's load average over a minute, before the run.
    pub load1: f64,
}

impl Figures {
    /// What the engine adds to a call; 1 is nothing.
    pub fn engine_to_bare(&self) -> f64 {
        self.engine_call_us / self.bare_call_us
    }

    /// How much of the rate of the SQL alone, in bulk, the engine leaves.
    pub fn native_to_floor(&self) -> f64 {
        self.native_flows_per_s / self.floor_flows_per_s
    }

    /// The engine's rate against that of the SQL alone, statement by statement; 1 is as fast.
    pub fn native_to_statements(&self) -> f64 {
        self.native_flows_per_s / self.statements_flows_per_s
    }

    /// How many commits a flow takes, in time.
    pub fn p50_to_commit(&self) -> f64 {
        self.p50_ms / self.commit_ms
    }
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub(crate) fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
