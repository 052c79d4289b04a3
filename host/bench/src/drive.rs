//! Drives flows through a stage, so many in flight, and measures.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::stage::Stage;
use crate::{BenchError, meter};

/// How many flows, and how many at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) flows: usize,
    pub(crate) concurrency: usize,
    /// All are submitted before the first one is waited for.
    pub(crate) queued: bool,
}

/// What a drive came to.
#[derive(Debug)]
pub(crate) struct Drive {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) commits: u64,
    pub(crate) max_rss_mib: f64,
    /// Of each flow, sorted.
    times: Vec<Duration>,
}

impl Drive {
    /// The time within which so many of a hundred flows were reported.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.times.len() * percent).div_ceil(100);
        let time = self.times.get(rank.saturating_sub(1));
        time.copied().unwrap_or_default()
    }
}

/// Runs the flows: the next one is submitted when one is reported. A few flows come first and are not measured.
pub(crate) fn measure(load: Load, stage: &Stage) -> Result<Drive, BenchError> {
    let in_flight = if load.queued {
        load.flows
    } else {
        load.concurrency.min(load.flows)
    };
    let warm_up = (load.flows / 10).clamp(1, 200);
    run(stage, warm_up, in_flight.min(warm_up))?;

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

/// Runs so many flows, so many of them in flight, and says how long each took from its submission to its report.
fn run(stage: &Stage, flows: usize, in_flight: usize) -> Result<Vec<Duration>, BenchError> {
    let (tell, told) = channel();
    let submit = || {
        let (tell, begin) = (tell.clone(), Instant::now());
        stage.submit(stage.ask(), move |report| {
            // The receiver waits for as many as were submitted.
            let _ = tell.send((begin.elapsed(), report));
        })
    };
    for _ in 0..in_flight {
        submit()?;
    }
    let mut times = Vec::with_capacity(flows);
    for (time, report) in told.iter().take(flows) {
        if times.len() + in_flight < flows {
            submit()?;
        }
        stage.case.check(&report?)?;
        times.push(time);
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

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
