//! The thread that turns commits into spans, and has them sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hashlink::LruCache;
use parking_lot::Mutex;

use cairn_effects::event::{Entry, Event};
use cairn_model::clock::Timestamp;
use cairn_model::id::FlowId;
use cairn_store::journal;
use cairn_store::observer::{Commit, Observer};

use crate::fold::FlowTrace;
use crate::span::Span;

/// How many bytes of entries and spans wait for the thread. What comes while there is no room is dropped, and counted.
const ROOM: usize = 64 << 20;

/// About how many bytes a span has, and a trace besides.
const SPAN: usize = 512;

/// How many flows are followed at once: those that have begun here and not ended. The one that was silent for longest is forgotten.
const FLOWS: usize = 16_384;

/// How many spans are sent at once.
const BATCH: usize = 512;

/// How long a span waits for others.
const LINGER: Duration = Duration::from_secs(1);

/// How long the end of the process waits for the last spans.
const LEAVE: Duration = Duration::from_secs(3);

/// At most one line about dropped entries in this time.
const QUIET: Duration = Duration::from_secs(60);

/// Sends spans.
pub trait Export: Send + 'static {
    /// Sends spans, and returns once they were taken or it was given up. Blocks for a few seconds at most.
    ///
    /// # Errors
    /// Why they were not taken.
    fn export(&mut self, spans: Vec<Span>) -> Result<(), String>;
}

/// Records the traces of the flows that a store writes. When it is dropped, the last spans are sent.
pub struct Recorder {
    queue: Option<Sender<Told>>,
    counts: Arc<Counts>,
    ended: Mutex<Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    /// The bytes in the queue.
    queued: AtomicUsize,
    /// Rows of journals that found no room.
    dropped: AtomicU64,
}

impl Counts {
    /// Takes room for what has this size; counts its rows as dropped if there is none.
    fn admit(&self, size: usize, rows: usize) -> bool {
        let queued = self.queued.fetch_add(size, Ordering::Relaxed);
        let fits = queued + size <= ROOM;
        if !fits {
            self.queued.fetch_sub(size, Ordering::Relaxed);
            self.dropped.fetch_add(rows as u64, Ordering::Relaxed);
        }
        fits
    }
}

/// What the thread is told.
enum Told {
    /// A flow of another process goes on here.
    Loaded {
        trace: Box<FlowTrace>,
        spans: Vec<Span>,
        size: usize,
    },
    Committed {
        began: Timestamp,
        ended: Timestamp,
        rows: Vec<Row>,
    },
}

/// Entries of a flow, as the journal holds them.
struct Row {
    flow: FlowId,
    first: u64,
    block: Vec<u8>,
}

impl Recorder {
    /// Starts a recorder.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(export: impl Export) -> std::io::Result<Self> {
        let (queue, told) = channel();
        let (leaves, ended) = channel();
        let counts = Arc::new(Counts::default());
        let mut work = Work {
            told,
            counts: Arc::clone(&counts),
            traces: LruCache::new(FLOWS),
            spans: Vec::new(),
            export,
            is_down: false,
            warned: None,
        };
        let thread = std::thread::Builder::new()
            .name("cairn-traces".to_owned())
            .spawn(move || {
                work.run();
                // Nobody waits for it any more if that took too long.
                let _ = leaves.send(());
            })?;
        Ok(Self {
            queue: Some(queue),
            counts,
            ended: Mutex::new(ended),
            thread: Some(thread),
        })
    }

    fn tell(&self, told: Told) {
        if let Some(queue) = &self.queue {
            // Without the thread there is nobody to tell.
            let _ = queue.send(told);
        }
    }
}

impl Observer for Recorder {
    fn loaded(&self, flow: FlowId, entries: &[Entry]) {
        let mut trace = FlowTrace::new(flow);
        let mut spans = Vec::new();
        for entry in entries {
            trace.note(entry, &mut spans);
        }
        // The process that put the flow down has sent them. One that died may not have: a span that is sent twice is the same one.
        if rests(entries) {
            spans.clear();
        }
        let size = SPAN * (spans.len() + 1);
        if self.counts.admit(size, 1) {
            let trace = Box::new(trace);
            self.tell(Told::Loaded { trace, spans, size });
        }
    }

    fn committed(&self, commit: &Commit<'_>) {
        let size: usize = commit.flows.iter().map(|flow| flow.entries.len()).sum();
        if !self.counts.admit(size, commit.flows.len()) {
            return;
        }
        let rows = commit.flows.iter().map(|flow| Row {
            flow: flow.flow,
            first: flow.first.unsigned_abs(),
            block: flow.entries.clone(),
        });
        self.tell(Told::Committed {
            began: commit.began,
            ended: commit.ended,
            rows: rows.collect(),
        });
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.queue = None;
        let ended = self.ended.get_mut();
        let has_ended = ended.recv_timeout(LEAVE).is_ok();
        if let Some(thread) = self.thread.take()
            && has_ended
            && thread.join().is_err()
        {
            tracing::error!("the thread that sends traces panicked");
        }
    }
}

/// Returns whether the process that wrote the last entry put the flow down.
fn rests(entries: &[Entry]) -> bool {
    let mut events = entries.iter().rev().map(|entry| &entry.event);
    events
        .find_map(|event| match event {
            Event::State { to, .. } => Some(to.is_at_rest()),
            Event::Waits { .. } | Event::Sleeps { .. } => Some(true),
            Event::Started { .. } | Event::Reverting { .. } | Event::Woke => Some(false),
            _ => None,
        })
        .unwrap_or(false)
}

/// The thread.
struct Work<E> {
    told: Receiver<Told>,
    counts: Arc<Counts>,
    traces: LruCache<FlowId, FlowTrace>,
    /// Spans that are to be sent.
    spans: Vec<Span>,
    export: E,
    /// Whether the last spans were not taken.
    is_down: bool,
    /// When dropped entries were last spoken of.
    warned: Option<Instant>,
}

impl<E: Export> Work<E> {
    fn run(&mut self) {
        let mut oldest: Option<Instant> = None;
        loop {
            let left = match oldest {
                Some(oldest) => LINGER.saturating_sub(oldest.elapsed()),
                None => LINGER,
            };
            match self.told.recv_timeout(left) {
                Ok(told) => self.take(told),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.send(),
            }
            self.warn();
            if !self.spans.is_empty() {
                oldest = oldest.or_else(|| Some(Instant::now()));
            }
            let is_due = oldest.is_some_and(|oldest| oldest.elapsed() >= LINGER);
            if is_due || self.spans.len() >= BATCH {
                self.send();
                oldest = None;
            }
        }
    }

    fn take(&mut self, told: Told) {
        match told {
            Told::Loaded { trace, spans, size } => {
                self.spans.extend(spans);
                self.traces.insert(trace.flow(), *trace);
                self.counts.queued.fetch_sub(size, Ordering::Relaxed);
            }
            Told::Committed { began, ended, rows } => {
                for row in rows {
                    let size = row.block.len();
                    self.commit(&row, began, ended);
                    self.counts.queued.fetch_sub(size, Ordering::Relaxed);
                }
            }
        }
    }

    fn commit(&mut self, row: &Row, began: Timestamp, ended: Timestamp) {
        if row.first == 0 {
            self.traces.insert(row.flow, FlowTrace::new(row.flow));
        }
        let Some(trace) = self.traces.get_mut(&row.flow) else {
            return self.lose(row);
        };
        let entries = match journal::unpack(&row.block) {
            Ok(entries) if trace.next() == row.first => entries,
            _ => return self.lose(row),
        };
        for entry in &entries {
            trace.note(entry, &mut self.spans);
        }
        let span = trace.commit(row.first, entries.len(), began, ended);
        self.spans.extend(span);
        if trace.is_over() {
            self.traces.remove(&row.flow);
        }
    }

    /// Forgets a flow of which entries are missing.
    fn lose(&mut self, row: &Row) {
        self.traces.remove(&row.flow);
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn send(&mut self) {
        while !self.spans.is_empty() {
            let rest = self.spans.split_off(self.spans.len().min(BATCH));
            let batch = std::mem::replace(&mut self.spans, rest);
            let number = batch.len();
            match self.export.export(batch) {
                Ok(()) if self.is_down => {
                    tracing::info!("traces are sent again");
                    self.is_down = false;
                }
                Ok(()) => {}
                Err(reason) => {
                    if !std::mem::replace(&mut self.is_down, true) {
                        tracing::warn!(reason, "traces are not taken, and are dropped");
                    }
                    tracing::debug!(reason, spans = number, "spans are dropped");
                }
            }
        }
    }

    fn warn(&mut self) {
        let is_quiet = self.warned.is_some_and(|warned| warned.elapsed() < QUIET);
        if is_quiet {
            return;
        }
        let rows = self.counts.dropped.swap(0, Ordering::Relaxed);
        if rows > 0 {
            self.warned = Some(Instant::now());
            tracing::warn!(
                rows,
                "rows of journals are missing in traces: more flows are written than traces are sent"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let counts = Counts::default();
        assert!(counts.admit(ROOM, 1));
        assert!(!counts.admit(1, 3));
        assert_eq!(counts.dropped.load(Ordering::Relaxed), 3);
        // It has taken no room.
        counts.queued.fetch_sub(ROOM, Ordering::Relaxed);
        assert!(counts.admit(ROOM, 1));
    }
}
