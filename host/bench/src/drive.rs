//! Drives flows through a stage, so many in flight, and measures.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn::Report;
use cairn::host::HostError;

use crate::stage::{Asked, Stage};
use crate::{BenchError, meter};

/// How many flows, and how many at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) flows: usize,
    pub(crate) concurrency: usize,
    /// A flow's time runs from the beginning, when all are submitted, and not from when it is taken up.
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

/// Runs the flows: each of `concurrency` threads takes the next when it has the report of one. A few flows come first and
/// are not measured.
pub(crate) fn measure(
    load: Load,
    stage: &Stage,
    run: impl Fn(&Stage, Asked) -> Result<Report, HostError> + Sync,
) -> Result<Drive, BenchError> {
    let threads = load.concurrency.min(load.flows);
    let one = |asked: Asked| -> Result<(), BenchError> { stage.case.check(&run(stage, asked)?) };
    in_threads(threads, (load.flows / 10).clamp(1, 200), None, |_| {
        one(stage.ask())
    })?;

    meter::forget_max_rss();
    let waiting = if load.queued { load.flows } else { 0 };
    let queue: Mutex<Vec<Asked>> = Mutex::new((0..waiting).map(|_| stage.ask()).collect());
    let next = || {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.pop()
    };
    let commits = stage.host.store().commits();
    let cpu = meter::cpu();
    let begin = Instant::now();
    let submitted = load.queued.then_some(begin);
    let mut times = in_threads(threads, load.flows, submitted, |_| {
        one(next().unwrap_or_else(|| stage.ask()))
    })?;
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

/// Does `work` so many times in so many threads, and says how long each took: from `submitted`, or from its own beginning.
fn in_threads(
    threads: usize,
    times: usize,
    submitted: Option<Instant>,
    work: impl Fn(usize) -> Result<(), BenchError> + Sync,
) -> Result<Vec<Duration>, BenchError> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let ready = Barrier::new(threads);
    let take = &|| {
        let mut taken = Vec::new();
        ready.wait();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= times {
                return taken;
            }
            let begin = submitted.unwrap_or_else(Instant::now);
            if let Err(error) = work(index) {
                // One is enough to tell, and the others stop.
                next.store(times, Ordering::Relaxed);
                failed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(error);
                return taken;
            }
            taken.push(begin.elapsed());
        }
    };
    let taken = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(take)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.collect::<Result<Vec<_>, _>>()
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    match taken {
        Ok(taken) => Ok(taken.into_iter().flatten().collect()),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_of_work_is_done_once_and_an_error_ends_it() {
        let done = Mutex::new(Vec::new());
        let taken = in_threads(4, 100, None, |index| {
            done.lock().unwrap().push(index);
            Ok(())
        });
        assert_eq!(taken.unwrap().len(), 100);
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, (0..100).collect::<Vec<_>>());

        let error = in_threads(4, 100, None, |index| match index {
            7 => Err(BenchError::Unexpected("seven".to_owned())),
            _ => Ok(()),
        });
        assert_eq!(error.unwrap_err().to_string(), "seven");

        let begun = AtomicUsize::new(0);
        let error = in_threads(4, 1000, None, |index| {
            begun.fetch_add(1, Ordering::Relaxed);
            if index == 0 {
                return Err(BenchError::Unexpected("the first".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(2));
            Ok(())
        });
        assert_eq!(error.unwrap_err().to_string(), "the first");
        assert!(begun.into_inner() < 500, "the others stop");
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
