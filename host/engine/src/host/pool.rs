//! The worker pool: a few threads that run flows, and their queue.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::lane_count::{LaneCount, become_worker};
use super::{Core, HostError, callback};
use crate::flow::Callee;

/// Work for a worker. Returns the rest of it if another job may run in between.
pub(super) type Job = Box<dyn FnOnce(&Arc<Core>) -> Option<Rest> + Send>;

/// The rest of a job that was begun.
pub(super) struct Rest {
    /// The function that it calls next. Repeated calls of one function are faster: its code is in the caches.
    pub(super) calls: Callee,
    pub(super) job: Job,
}

/// Jobs that a worker may have begun at most: each holds a flow in memory.
const BEGUN: usize = 32;

/// Consecutive calls of one function before a worker turns to the job that has waited longest.
const STREAK: usize = 16;

/// Calls shorter than this benefit from instruction-cache affinity.
const SHORT: Duration = Duration::from_millis(1);

/// Surplus of short calls over long ones, which count as [`LONG`], that makes a worker switch between jobs. While calls are
/// long, a begun flow is finished first: switching would gain nothing, and the flow would wait for the others.
const STEADY: usize = 32;

/// Weight of a long call: one in each flow outweighs its short ones, an occasional wait for a commit does not.
const LONG: usize = 16;

/// A worker that has not taken a job for so long is in a long call: others continue the jobs that it has begun.
const HELD_UP: Duration = Duration::from_millis(10);

/// The queue and its workers, which are started as jobs come.
pub(super) struct Pool {
    queue: Mutex<Queue>,
    /// Notified when there is a job, or the pool closes.
    filled: Condvar,
    /// Notified when there is room again, or the pool closes.
    emptied: Condvar,
    workers: usize,
    capacity: usize,
    /// Jobs that wait or run: their changes will be in a batch soon.
    unfinished: AtomicUsize,
    pub(super) lanes: LaneCount,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Waiting>,
    /// Callers' requests that take room: those in the queue, and those that left it and wait for the end of another flow. Jobs of the
    /// host itself take none: a callback that submits its next flow would wait for them in the thread that is to run them.
    taken: usize,
    /// The jobs that each worker has begun.
    begun: Vec<Begun>,
    closed: bool,
    threads: Vec<JoinHandle<()>>,
    /// How many workers run a job, those in lanes excepted.
    active: usize,
}

/// A job that no worker has begun.
struct Waiting {
    job: Job,
    /// Whether it is a caller's, which takes room.
    takes_room: bool,
}

/// Holds the room of a request that waits for another flow.
pub(super) struct Aside(Weak<Core>);

impl Aside {
    pub(super) fn of(core: &Arc<Core>) -> Self {
        core.pool.queue().taken += 1;
        Self(Arc::downgrade(core))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(core) = self.0.upgrade() {
            core.pool.queue().taken -= 1;
            core.pool.emptied.notify_one();
        }
    }
}

/// Jobs that one worker has begun and continues: their memory is in its caches.
struct Begun {
    /// Longest waiting first.
    jobs: VecDeque<Rest>,
    /// When the worker took its last job.
    seen: Instant,
}

impl Pool {
    pub(super) fn new(workers: usize, capacity: usize) -> Self {
        Self {
            queue: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            workers,
            capacity,
            unfinished: AtomicUsize::new(0),
            lanes: LaneCount::default(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    /// Adds a job of the host itself, without a bound: there is at most one for each flow that this process owns, and one for
    /// each request of another process.
    pub(super) fn push(
        &self,
        core: &Arc<Core>,
        work: impl FnOnce(&Arc<Core>) + Send + 'static,
    ) -> Result<(), HostError> {
        let job = move |core: &Arc<Core>| {
            work(core);
            None
        };
        self.push_job(core, Box::new(job))
    }

    /// Adds a job of the host itself that may leave a rest, also without a bound: its caller sees to one.
    pub(super) fn push_job(&self, core: &Arc<Core>, job: Job) -> Result<(), HostError> {
        self.add(core, self.queue(), job, false)
    }

    /// Adds a caller's job; blocks while the queue is full. A callback does not wait: its thread may be the one that is to make room, and
    /// the request that it belongs to has just ended.
    pub(super) fn push_in_turn(&self, core: &Arc<Core>, job: Job) -> Result<(), HostError> {
        let waits = !callback::is_running();
        let full = |queue: &mut Queue| waits && queue.taken >= self.capacity && !queue.closed;
        let mut queue = self.queue();
        self.emptied.wait_while(&mut queue, full);
        self.add(core, queue, job, true)
    }

    /// Returns whether a caller's job that is added now finds room.
    pub(super) fn has_room(&self) -> bool {
        self.queue().taken < self.capacity
    }

    fn add(
        &self,
        core: &Arc<Core>,
        mut queue: MutexGuard<'_, Queue>,
        job: Job,
        takes_room: bool,
    ) -> Result<(), HostError> {
        if queue.closed {
            return Err(HostError::NotStarted);
        }
        if queue.threads.len() < self.workers {
            queue.start(core)?;
        }
        self.unfinished.fetch_add(1, Ordering::SeqCst);
        queue.taken += usize::from(takes_room);
        queue.jobs.push_back(Waiting { job, takes_room });
        drop(queue);
        self.filled.notify_one();
        Ok(())
    }

    /// Lets another worker run in place of one that enters a lane, or waits for one.
    pub(super) fn step_aside(&self, core: &Arc<Core>) {
        let mut queue = self.queue();
        queue.active -= 1;
        let wanted = self.workers + self.lanes.occupied();
        if !queue.closed && queue.threads.len() < wanted {
            // Without another one its jobs wait until it is back.
            let _ = queue.start(core);
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// Counts a worker that has left its lane. For a moment there may be more than there should be.
    pub(super) fn step_back(&self) {
        self.queue().active += 1;
    }

    /// Waits for the next job of a worker, which leaves the rest of its last one.
    fn next(
        &self,
        worker: usize,
        rest: Option<Rest>,
        streak: &mut Streak,
        has_worked: bool,
    ) -> Option<Job> {
        let mut queue = self.queue();
        queue.active -= usize::from(has_worked);
        if let Some(rest) = rest {
            let own = &mut queue.begun[worker].jobs;
            own.push_back(rest);
            // One job is for this worker; another worker may take the rest.
            if own.len() > 1 {
                self.filled.notify_one();
            }
        }
        loop {
            let taken = queue.taken;
            if queue.active < self.workers
                && let Some(job) = queue.take(worker, streak)
            {
                queue.active += 1;
                if queue.taken < taken {
                    self.emptied.notify_one();
                }
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            self.filled.wait(&mut queue);
        }
    }

    /// Returns how many jobs wait or run.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished.load(Ordering::SeqCst)
    }

    /// Accepts no more jobs, and waits for the accepted ones.
    pub(super) fn close(&self) {
        let threads = {
            let mut queue = self.queue();
            queue.closed = true;
            std::mem::take(&mut queue.threads)
        };
        self.filled.notify_all();
        self.emptied.notify_all();
        let own = std::thread::current().id();
        for thread in threads {
            if thread.thread().id() != own && thread.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
    }
}

/// A worker's last call, and how often in a row it was made; `None` means that jobs are begun.
#[derive(Default)]
struct Streak {
    calls: Option<Callee>,
    length: usize,
    /// Surplus of short jobs over long ones among the last ones: see [`STEADY`].
    short: usize,
}

impl Streak {
    fn add(&mut self, calls: Option<Callee>) {
        self.length = if self.calls == calls {
            self.length + 1
        } else {
            1
        };
        self.calls = calls;
    }

    /// Counts the last job as short or long.
    fn took(&mut self, time: Duration) {
        self.short = match time <= SHORT {
            true => (self.short + 1).min(2 * STEADY),
            false => self.short.saturating_sub(LONG),
        };
    }

    fn is_steady(&self) -> bool {
        self.short >= STEADY
    }
}

impl Queue {
    /// Starts another worker.
    fn start(&mut self, core: &Arc<Core>) -> Result<(), HostError> {
        let (core, worker) = (Arc::clone(core), self.threads.len());
        self.begun.resize_with(worker + 1, Begun::default);
        let thread = std::thread::Builder::new()
            .name(format!("cairn-worker-{worker}"))
            .spawn(move || work(&core, worker));
        match thread {
            Ok(thread) => self.threads.push(thread),
            Err(error) if self.threads.is_empty() => return Err(HostError::Thread(error)),
            // Fewer workers suffice.
            Err(error) => tracing::warn!(%error, "a worker could not be started"),
        }
        Ok(())
    }

    /// Takes the best job for a worker: one that calls the same function as its last job, then one that it has begun, then a
    /// queued one. Takes another worker's job over if that worker is held up, or nothing else is left.
    fn take(&mut self, worker: usize, streak: &mut Streak) -> Option<Job> {
        let now = Instant::now();
        let goes_on = streak.is_steady() && streak.length < STREAK;
        let own = &mut self.begun[worker];
        own.seen = now;
        let again = match streak.calls {
            Some(calls) if goes_on => own.jobs.iter().position(|rest| rest.calls == calls),
            _ => None,
        };
        let is_beginning = goes_on && streak.calls.is_none() && own.jobs.len() < BEGUN;
        if again.is_none()
            && is_beginning
            && let Some(job) = self.begin()
        {
            streak.add(None);
            return Some(job);
        }
        let own = &mut self.begun[worker];
        let rest = match again {
            Some(index) => own.jobs.remove(index),
            None if streak.is_steady() => own.jobs.pop_front(),
            None => own.jobs.pop_back(),
        };
        let rest =
            rest.or_else(|| self.take_over(|other| now.duration_since(other.seen) > HELD_UP));
        if rest.is_none()
            && let Some(job) = self.begin()
        {
            streak.add(None);
            return Some(job);
        }
        let rest = rest.or_else(|| self.take_over(|_| true))?;
        streak.add(Some(rest.calls));
        Some(rest.job)
    }

    /// Takes the job that has waited longest of those that no worker has begun.
    fn begin(&mut self) -> Option<Job> {
        let Waiting { job, takes_room } = self.jobs.pop_front()?;
        self.taken -= usize::from(takes_room);
        Some(job)
    }

    /// Takes the job that has waited longest from the worker that has begun most.
    fn take_over(&mut self, from: impl Fn(&Begun) -> bool) -> Option<Rest> {
        let others = self.begun.iter_mut().filter(|other| from(other));
        others
            .max_by_key(|other| other.jobs.len())?
            .jobs
            .pop_front()
    }
}

impl Default for Begun {
    fn default() -> Self {
        Self {
            jobs: VecDeque::new(),
            seen: Instant::now(),
        }
    }
}

fn work(core: &Arc<Core>, worker: usize) {
    let pool = &core.pool;
    let mut streak = Streak::default();
    let mut rest = None;
    let mut has_worked = false;
    become_worker(std::ptr::from_ref(pool).addr());
    while let Some(job) = pool.next(worker, rest.take(), &mut streak, has_worked) {
        has_worked = true;
        let done = JobGuard(core);
        let begin = Instant::now();
        // A panic must not end the worker.
        rest = catch_unwind(AssertUnwindSafe(|| job(core))).unwrap_or_else(|_| {
            tracing::error!("a job panicked; its worker goes on with the next one");
            None
        });
        streak.took(begin.elapsed());
        if rest.is_some() {
            // The job is not done yet.
            std::mem::forget(done);
        }
    }
}

/// Counts a job as finished when dropped, also after a panic.
struct JobGuard<'a>(&'a Core);

impl Drop for JobGuard<'_> {
    fn drop(&mut self) {
        // No other job adds to the batch now, so it is committed before it is full.
        let left = self.0.pool.unfinished.fetch_sub(1, Ordering::SeqCst) - 1;
        if left <= self.0.pool.lanes.used() {
            self.0.store.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates a queue with two workers and the jobs that each has begun.
    fn queue(begun: [&[usize]; 2], waiting: usize) -> Queue {
        let rest = |task: &usize| Rest {
            calls: Callee::of(*task),
            job: Box::new(|_| None),
        };
        let begun = begun.map(|tasks| Begun {
            jobs: tasks.iter().map(rest).collect(),
            seen: Instant::now(),
        });
        Queue {
            jobs: (0..waiting)
                .map(|_| Waiting {
                    job: Box::new(|_| None),
                    takes_room: true,
                })
                .collect(),
            taken: waiting,
            begun: begun.into(),
            ..Queue::default()
        }
    }

    /// Returns what the first worker takes, in order: a task, or `None` for a job that is not begun.
    fn taken(mut queue: Queue, mut streak: Streak, jobs: usize) -> Vec<Option<Callee>> {
        let mut taken = Vec::new();
        for _ in 0..jobs {
            assert!(
                queue.take(0, &mut streak).is_some(),
                "{} are gone",
                taken.len()
            );
            taken.push(streak.calls);
        }
        assert!(queue.take(0, &mut streak).is_none(), "one more is left");
        taken
    }

    fn steady() -> Streak {
        Streak {
            short: STEADY,
            ..Streak::default()
        }
    }

    fn calls(tasks: &[usize]) -> Vec<Option<Callee>> {
        tasks.iter().map(|task| Some(Callee::of(*task))).collect()
    }

    #[test]
    fn a_worker_goes_on_with_what_it_calls_and_then_with_the_oldest() {
        let queue = queue([&[1, 2, 1, 3, 2], &[]], 0);
        assert_eq!(taken(queue, steady(), 5), calls(&[1, 1, 2, 2, 3]));
    }

    #[test]
    fn while_calls_are_long_the_last_flow_comes_first_and_none_is_begun_beside_it() {
        let mut streak = steady();
        streak.took(2 * SHORT);
        let mut expected = calls(&[2, 1]);
        expected.push(None);
        assert_eq!(taken(queue([&[1, 2], &[]], 1), streak, 3), expected);
    }

    #[test]
    fn a_long_call_in_each_flow_keeps_a_worker_at_it_and_one_now_and_then_does_not() {
        let after = |short: usize, long: usize, flows: usize| {
            let mut streak = Streak::default();
            for _ in 0..flows {
                (0..short).for_each(|_| streak.took(SHORT));
                (0..long).for_each(|_| streak.took(2 * SHORT));
            }
            streak.is_steady()
        };
        assert!(!after(10, 1, 100));
        assert!(after(80, 2, 2));
    }

    #[test]
    fn a_streak_ends() {
        let many: Vec<usize> = std::iter::once(2).chain([1; STREAK + 1]).collect();
        let streak = Streak {
            calls: Some(Callee::of(1)),
            ..steady()
        };
        let taken = taken(queue([&many, &[]], 0), streak, STREAK + 2);
        assert_eq!(taken[STREAK - 1], Some(Callee::of(1)));
        assert_eq!(
            taken[STREAK],
            Some(Callee::of(2)),
            "the oldest has its turn"
        );
        assert_eq!(taken[STREAK + 1], Some(Callee::of(1)));
    }

    #[test]
    fn jobs_are_begun_in_groups_and_no_more_than_a_worker_may_have_begun() {
        let taken = taken(queue([&[], &[]], STREAK + 3), steady(), STREAK + 3);
        assert!(taken.iter().all(Option::is_none));
        let mut full = queue([&[1; BEGUN], &[]], 1);
        assert!(full.take(0, &mut steady()).is_some());
        assert_eq!(full.jobs.len(), 1, "what is begun comes first");
    }

    #[test]
    fn only_what_callers_ask_for_takes_room() {
        let mut queue = queue([&[], &[]], 2);
        queue.jobs.push_front(Waiting {
            job: Box::new(|_| None),
            takes_room: false,
        });
        let mut room = || {
            assert!(queue.take(0, &mut steady()).is_some());
            queue.taken
        };
        assert_eq!([room(), room(), room()], [2, 1, 0]);
    }

    #[test]
    fn what_another_began_is_taken_over_when_that_one_is_held_up_or_nothing_else_is_left() {
        let idle = queue([&[], &[7]], 1);
        let mut expected = vec![None];
        expected.extend(calls(&[7]));
        assert_eq!(taken(idle, steady(), 2), expected);

        let mut held_up = queue([&[], &[7]], 1);
        held_up.begun[1].seen = Instant::now()
            .checked_sub(2 * HELD_UP)
            .expect("the clock runs");
        expected.reverse();
        let streak = Streak {
            calls: Some(Callee::of(1)),
            length: 1,
            ..steady()
        };
        assert_eq!(taken(held_up, streak, 2), expected);
    }
}
