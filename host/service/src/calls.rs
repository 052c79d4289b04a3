//! How long plugins take for their calls and how much memory they use, measured in this process since it started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cairn::error::Cause;
use cairn::event::Disposition;
use cairn::task::{MemoryUse, Outcome};
use cairn::{Context, Object, Task, TaskError, TaskSpec, Value};
use parking_lot::Mutex;

/// How many plugins are measured each for itself; others count as one.
const NAMES: usize = 256;

/// The name of those others. No plugin has it.
const OTHERS: &str = "(others)";

/// Each doubling of a time has so many buckets, so a quantile is at most an eighth too long.
const PARTS: usize = 8;

/// Longer times, of 12 days, count as this one.
const LONGEST: u64 = (1 << 40) - 1;

/// The number of buckets up to [`LONGEST`].
const BUCKETS: usize = 38 * PARTS;

/// What calls have used, by the names that manifests give to plugins.
#[derive(Default)]
pub(crate) struct Calls(Mutex<BTreeMap<String, Arc<Figures>>>);

/// What the calls of one plugin have used.
#[derive(Default)]
struct Figures {
    times: Histogram,
    /// The most bytes of one call, and how many it may use; 0 where that is not known.
    memory: AtomicU64,
    limit: AtomicU64,
}

/// The calls of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Called {
    /// The plugin's name.
    pub(crate) plugin: String,
    /// How many calls ended.
    pub(crate) calls: u64,
    /// Half of them took at most this.
    pub(crate) p50: Duration,
    /// 99 of 100 took at most this.
    pub(crate) p99: Duration,
    /// The memory that a call has used, at most; `None` of tasks in native code.
    pub(crate) memory: Option<MemoryUse>,
}

impl Calls {
    /// Wraps the task of a plugin, so that its calls are measured.
    pub(crate) fn measured(&self, plugin: &str, task: Arc<dyn Task>) -> Arc<dyn Task> {
        let mut known = self.0.lock();
        let name = match known.contains_key(plugin) || known.len() < NAMES {
            true => plugin,
            false => OTHERS,
        };
        let figures = Arc::clone(known.entry(name.to_owned()).or_default());
        Arc::new(Measured { task, figures })
    }

    /// Returns the plugins that were called, the slowest first.
    pub(crate) fn called(&self) -> Vec<Called> {
        let known = self.0.lock();
        let called = known
            .iter()
            .filter_map(|(plugin, figures)| figures.called(plugin));
        let mut called: Vec<Called> = called.collect();
        called.sort_by(|a, b| b.p99.cmp(&a.p99).then_with(|| a.plugin.cmp(&b.plugin)));
        called
    }
}

impl Figures {
    fn add(&self, took: Duration, memory: Option<MemoryUse>) {
        self.times.add(took);
        if let Some(MemoryUse { most, limit }) = memory {
            self.memory.fetch_max(most, Ordering::Relaxed);
            self.limit.fetch_max(limit, Ordering::Relaxed);
        }
    }

    /// Returns what was counted; `None` if nothing was.
    fn called(&self, plugin: &str) -> Option<Called> {
        let (calls, p50, p99) = self.times.quantiles()?;
        let memory = MemoryUse {
            most: self.memory.load(Ordering::Relaxed),
            limit: self.limit.load(Ordering::Relaxed),
        };
        Some(Called {
            plugin: plugin.to_owned(),
            calls,
            p50,
            p99,
            memory: (memory.limit > 0).then_some(memory),
        })
    }
}

/// Counts of times, by buckets that grow with the time.
struct Histogram([AtomicU64; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Histogram {
    fn add(&self, took: Duration) {
        if let Some(count) = self.0.get(bucket(took)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns how many times were counted, and which half of them and 99 of 100 did not exceed; `None` if none were.
    fn quantiles(&self) -> Option<(u64, Duration, Duration)> {
        let counts: Vec<u64> = self
            .0
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        let calls: u64 = counts.iter().sum();
        let within = |percent: u64| {
            let wanted = calls.saturating_mul(percent).div_ceil(100);
            let mut sum = 0;
            let at = counts.iter().position(|count| {
                sum += count;
                sum >= wanted
            });
            upper(at.unwrap_or(BUCKETS - 1))
        };
        (calls > 0).then(|| (calls, within(50), within(99)))
    }
}

/// Returns the bucket of a time.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros())
        .unwrap_or(LONGEST)
        .min(LONGEST);
    let Some(power) = micros.checked_ilog2().filter(|power| *power >= 3) else {
        return usize::try_from(micros).unwrap_or(0);
    };
    let part = usize::try_from((micros >> (power - 3)) & 7).unwrap_or(0);
    (power as usize - 2) * PARTS + part
}

/// Returns the longest time of a bucket.
fn upper(bucket: usize) -> Duration {
    let (power, part) = (bucket / PARTS, bucket as u64 % PARTS as u64);
    match power {
        0 => Duration::from_micros(part),
        power => Duration::from_micros(((part + 9) << (power - 1)) - 1),
    }
}

/// A task whose calls are measured.
struct Measured {
    task: Arc<dyn Task>,
    figures: Arc<Figures>,
}

impl Task for Measured {
    fn spec(&self) -> &TaskSpec {
        self.task.spec()
    }

    fn call(&self, context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        let begun = Instant::now();
        let result = self.task.call(context, inputs);
        self.figures.add(begun.elapsed(), self.task.memory());
        result
    }

    fn revert(
        &self,
        context: &Arc<dyn Context>,
        outcome: &Outcome,
        cause: &Cause,
    ) -> Result<Disposition, TaskError> {
        self.task.revert(context, outcome, cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing(TaskSpec);

    impl Task for Nothing {
        fn spec(&self) -> &TaskSpec {
            &self.0
        }

        fn call(&self, _: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
            Ok(Value::Null)
        }
    }

    #[test]
    fn a_bucket_holds_a_time_and_is_at_most_an_eighth_longer() {
        let mut last = 0;
        for micros in (0..5_000).chain((13..40).map(|power| (1 << power) + 12_345)) {
            let at = bucket(Duration::from_micros(micros));
            assert!(at >= last && at < BUCKETS, "{micros} in {at}");
            last = at;
            let upper = u64::try_from(upper(at).as_micros()).unwrap();
            assert!(
                micros <= upper && upper <= micros + micros / 8,
                "{micros} up to {upper}"
            );
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_of_all_calls() {
        let times = Histogram::default();
        for millis in 1..=100 {
            times.add(Duration::from_millis(millis));
        }
        let (calls, p50, p99) = times.quantiles().unwrap();
        assert_eq!(calls, 100);
        for (found, expected) in [(p50, 50), (p99, 99)] {
            let expected = Duration::from_millis(expected);
            assert!(
                found >= expected && found <= expected * 9 / 8,
                "{found:?} is about {expected:?}"
            );
        }
        assert_eq!(Histogram::default().quantiles(), None);
    }

    #[test]
    fn only_so_many_plugins_are_told_apart() {
        let times = Calls::default();
        for at in 0..NAMES + 50 {
            let task = Arc::new(Nothing(TaskSpec::new("nothing")));
            times.measured(&format!("plugin-{at}"), task);
        }
        assert_eq!(times.0.lock().len(), NAMES + 1);
        assert!(times.0.lock().contains_key(OTHERS));
        assert_eq!(times.called(), [], "none was called");
    }
}
