//! Runs flows on a stage with a given number in flight, and measures them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use cairn::{HostError, Report};

use crate::stage::Stage;
use crate::{BenchError, meter};

/// The number of flows, and how many run at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) flows: usize,
    pub(crate) concurrency: usize,
    /// Whether all are submitted at once.
    pub(crate) queued: bool,
}

/// The measurements of a run.
#[derive(Debug)]
pub(crate) struct Drive {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) commits: u64,
    pub(crate) max_rss_mib: f64,
    /// The time of each flow, sorted.
    times: Vec<Duration>,
}

impl Drive {
    /// Returns the time within which this percentage of flows were reported.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.times.len() * percent).div_ceil(100);
        let time = self.times.get(rank.saturating_sub(1));
        time.copied().unwrap_or_default()
    }
}

/// The number of projects that are warmed up at most.
const WARM_PROJECTS: usize = 10_000;

/// Returns how many of so many flows are run to warm up: one or more of each project, so that its rows are known to its host, as they are in
/// the long run.
fn warm_up_of(flows: usize, projects: usize) -> usize {
    (flows / 10).clamp(1, 200).max(projects.min(WARM_PROJECTS))
}

/// Runs flows that are not measured, before `flows` that are.
pub(crate) fn warm_up(
    stage: &Arc<Stage>,
    flows: usize,
    in_flight: usize,
) -> Result<(), BenchError> {
    let warm_up = warm_up_of(flows, stage.requesters.len());
    run(stage, warm_up, in_flight.min(warm_up)).map(drop)
}

/// Runs the flows, submitting one when another is reported, after a [`warm_up`].
pub(crate) fn measure(load: Load, stage: &Arc<Stage>) -> Result<Drive, BenchError> {
    let in_flight = if load.queued {
        load.flows
    } else {
        load.concurrency.min(load.flows)
    };
    warm_up(stage, load.flows, in_flight)?;

    meter::forget_max_rss();
    let commits = stage.host.store().commits();
    let cpu = meter::cpu();
    let begin = Instant::now();
    let mut times = run(stage, load.flows, in_flight)?;
    let wall = begin.elapsed();
    times.sort_unstable();
    Ok(Drive {
        wall,
        cpu: meter::cpu().saturating_sub(cpu),
        commits: stage.host.store().commits() - commits,
        max_rss_mib: meter::max_rss_mib(),
        times,
    })
}

/// Runs `flows` flows, `in_flight` of them at once, and returns the time of each from submission to report.
pub(crate) fn run(
    stage: &Arc<Stage>,
    flows: usize,
    in_flight: usize,
) -> Result<Vec<Duration>, BenchError> {
    let (tell, told) = channel();
    let round = Arc::new(Round {
        stage: Arc::clone(stage),
        left: AtomicUsize::new(flows),
        times: Mutex::new(Vec::with_capacity(flows)),
        flows,
        tell,
    });
    for _ in 0..in_flight {
        round.submit()?;
    }
    let ended = told.recv();
    ended.unwrap_or_else(|_| Err(BenchError::Unexpected("a flow was not reported".to_owned())))?;
    Ok(std::mem::take(&mut *round.times()))
}

/// A run of flows. The callback that receives a report submits the next flow, so that no thread has to be woken for it.
struct Round {
    stage: Arc<Stage>,
    /// The number of flows that are not submitted yet.
    left: AtomicUsize,
    times: Mutex<Vec<Duration>>,
    flows: usize,
    /// Receives the end of the run, or the first error.
    tell: Sender<Result<(), BenchError>>,
}

impl Round {
    fn times(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.times.lock()
    }

    fn submit(self: &Arc<Self>) -> Result<(), HostError> {
        let one_less = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        if self.left.fetch_update(order, order, one_less).is_err() {
            return Ok(());
        }
        let (round, begin) = (Arc::clone(self), Instant::now());
        self.stage.submit(self.stage.ask(), move |report| {
            let result = round.reported(begin.elapsed(), report);
            let tell = round.tell.clone();
            // Dropped before the receiver is told, so that no thread of the host drops the last handle of the stage.
            drop(round);
            if let Some(result) = result {
                // The receiver is gone if it got another flow's error before.
                let _ = tell.send(result);
            }
        })
    }

    /// Takes a flow's report, and submits the next flow; returns the end of the run or an error, if any.
    fn reported(
        self: &Arc<Self>,
        time: Duration,
        report: Result<Report, HostError>,
    ) -> Option<Result<(), BenchError>> {
        let checked = report
            .map_err(BenchError::from)
            .and_then(|report| self.stage.case.check(&report))
            .and_then(|()| Ok(self.submit()?));
        if let Err(error) = checked {
            return Some(Err(error));
        }
        let mut times = self.times();
        times.push(time);
        (times.len() == self.flows).then_some(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_project_is_warmed_up() {
        assert_eq!(warm_up_of(5, 1), 1);
        assert_eq!(warm_up_of(1_000_000, 1), 200);
        assert_eq!(warm_up_of(40, 8), 8);
        assert_eq!(warm_up_of(40, 1_000_000), WARM_PROJECTS);
    }

    #[test]
    fn percentiles_count_from_the_fastest() {
        let drive = Drive {
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            commits: 0,
            max_rss_mib: 0.0,
            times: (1..=200).map(Duration::from_millis).collect(),
        };
        assert_eq!(drive.percentile(50), Duration::from_millis(100));
        assert_eq!(drive.percentile(99), Duration::from_millis(198));
    }
}
