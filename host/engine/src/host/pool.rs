//! Workers: a few threads that run flows, and the queue before them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::{Core, HostError};
use crate::store::Store as _;

/// What a worker does.
pub(super) type Job = Box<dyn FnOnce(&Arc<Core>) + Send>;

/// The queue, and the workers at its end; they start with the first job.
pub(super) struct Pool {
    queue: Mutex<Queue>,
    /// Told when there is a job, or no more to come.
    filled: Condvar,
    /// Told when there is room again, or no more to come.
    emptied: Condvar,
    workers: usize,
    capacity: usize,
    /// Jobs that wait or run: what they do will be in a batch soon.
    unfinished: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
    threads: Vec<JoinHandle<()>>,
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
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job of the host's own, however many wait.
    pub(super) fn push(&self, core: &Arc<Core>, job: Job) -> Result<(), HostError> {
        self.add(core, self.queue(), job)
    }

    /// Adds a job of a caller's, who waits while the queue is full.
    pub(super) fn push_in_turn(&self, core: &Arc<Core>, job: Job) -> Result<(), HostError> {
        let full = |queue: &mut Queue| queue.jobs.len() >= self.capacity && !queue.closed;
        let queue = self.emptied.wait_while(self.queue(), full);
        self.add(core, queue.unwrap_or_else(PoisonError::into_inner), job)
    }

    fn add(
        &self,
        core: &Arc<Core>,
        mut queue: MutexGuard<'_, Queue>,
        job: Job,
    ) -> Result<(), HostError> {
        if queue.closed {
            return Err(HostError::NotStarted);
        }
        if queue.threads.len() < self.workers {
            let core = Arc::clone(core);
            let thread = std::thread::Builder::new()
                .name(format!("cairn-worker-{}", queue.threads.len()))
                .spawn(move || work(&core));
            match thread {
                Ok(thread) => queue.threads.push(thread),
                Err(error) if queue.threads.is_empty() => return Err(HostError::Thread(error)),
                // Fewer do it as well.
                Err(error) => tracing::warn!(%error, "a worker could not be started"),
            }
        }
        self.unfinished.fetch_add(1, Ordering::SeqCst);
        queue.jobs.push_back(job);
        drop(queue);
        self.filled.notify_one();
        Ok(())
    }

    fn next(&self) -> Option<Job> {
        let none = |queue: &mut Queue| queue.jobs.is_empty() && !queue.closed;
        let queue = self.filled.wait_while(self.queue(), none);
        let job = queue
            .unwrap_or_else(PoisonError::into_inner)
            .jobs
            .pop_front();
        self.emptied.notify_one();
        job
    }

    /// How many jobs wait or run.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished.load(Ordering::SeqCst)
    }

    /// Takes no more jobs, and waits for those that were taken.
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

fn work(core: &Arc<Core>) {
    let pool = &core.pool;
    while let Some(job) = pool.next() {
        let done = Done(core);
        job(core);
        drop(done);
    }
}

/// A job that is done, or panicked.
struct Done<'a>(&'a Core);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        // Nobody else adds to the batch now, so nobody has to wait for it to fill.
        if self.0.pool.unfinished.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.store.flush();
        }
    }
}
