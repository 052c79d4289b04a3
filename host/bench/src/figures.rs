use std::time::Duration;

use serde::Serialize;

use crate::{Case, Storage};

/// The results of one run. `cairn bench --json` prints them as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// The end of each flow.
    pub case: Case,
    /// The storage of the flows.
    pub storage: Storage,
    /// Number of measured flows.
    pub flows: usize,
    /// Number of flows in flight.
    pub concurrency: usize,
    /// Whether all were submitted at once.
    pub queued: bool,
    /// Number of volumes before the run.
    pub volumes: u32,
    /// Number of finished flows before the run.
    pub finished_flows: u32,
    /// Flows per second.
    pub flows_per_s: f64,
    /// Median time from submission to report, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of that time, in milliseconds.
    pub p99_ms: f64,
    /// CPU time of the whole process, user and system, in microseconds per flow.
    pub cpu_us_per_flow: f64,
    /// Commits per flow.
    pub commits_per_flow: f64,
    /// Peak resident memory of this process during the run, before any baseline ran, in MiB.
    pub max_rss_mib: f64,
    /// Flows per second of the SQL alone, in bulk.
    pub floor_flows_per_s: f64,
    /// CPU time of the SQL alone, in bulk, in microseconds per flow.
    pub floor_cpu_us_per_flow: f64,
    /// Flows per second of the SQL alone, statement by statement.
    pub statements_flows_per_s: f64,
    /// CPU time of the SQL alone, statement by statement, in microseconds per flow.
    pub statements_cpu_us_per_flow: f64,
    /// Flows per second of the engine with native tasks.
    pub native_flows_per_s: f64,
    /// CPU time of the engine with native tasks, in microseconds per flow.
    pub native_cpu_us_per_flow: f64,
    /// Time of one instance and its call without the engine, in microseconds.
    pub bare_call_us: f64,
    /// Time of the same instance and call by the engine, in microseconds.
    pub engine_call_us: f64,
    /// Median time of a small commit on a database of the same kind, in milliseconds.
    pub commit_ms: f64,
    /// Number of processors that this process may use.
    pub cpus: usize,
    /// The machine's load average over a minute, before the run.
    pub load1: f64,
}

impl Figures {
    /// Returns the ratio of the engine's time per call to that of a bare loop; 1 is no overhead.
    pub fn engine_to_bare(&self) -> f64 {
        self.engine_call_us / self.bare_call_us
    }

    /// Returns the ratio of the engine's rate, with native tasks, to that of the SQL alone, in bulk.
    pub fn native_to_floor(&self) -> f64 {
        self.native_flows_per_s / self.floor_flows_per_s
    }

    /// Returns the ratio of the engine's rate, with native tasks, to that of the SQL alone, statement by statement; 1 is as fast.
    pub fn native_to_statements(&self) -> f64 {
        self.native_flows_per_s / self.statements_flows_per_s
    }

    /// Returns the ratio of the median time of a flow to that of a commit.
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
