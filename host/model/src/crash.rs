//! Named points at which a process may die: every step that changes the disk, or what will be written to it. A test aborts the
//! process at each of them; otherwise a step costs one load.

use std::sync::OnceLock;

macro_rules! points {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A step that has changed something durable, or is about to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CrashPoint {
            $($(#[$doc])* $name,)*
        }

        impl CrashPoint {
            /// Every point.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns its name, as written here.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

points! {
    /// A batch was opened; it is empty.
    BatchOpened,
    /// Events were added to the batch.
    EventsAppended,
    /// An effect was applied in the batch and journalled.
    EffectApplied,
    /// An effect was undone in the batch and journalled.
    EffectUndone,
    /// Messages of a flow that ends were released or withdrawn.
    CastsSettled,
    /// The rows of the batch are written; its journals are not.
    RowsWritten,
    /// The batch is written, but not committed.
    BatchWritten,
    /// The batch is on disk; no caller has been told.
    BatchCommitted,
    /// A batch was sent to a server whole; its answer is not read.
    BatchSent,
    /// The server has said whether the batch in doubt is on disk; this host has not acted on it.
    WitnessRead,
    /// This host's lock is held, but not recorded in a row.
    HostLocked,
    /// This host's row is in the batch.
    HostRegistered,
    /// A partition was claimed for this host; nothing of it was read.
    PartitionClaimed,
    /// Partitions were given back; this host has not noted it.
    PartitionGivenBack,
    /// Requests of other hosts were marked as read; their flows are not in a batch.
    InboxTaken,
    /// Flows of a dead host were taken over in the batch.
    FlowsTaken,
    /// A component was written in the transaction that stores its plan.
    ComponentWritten,
    /// A plan was stored with its components.
    PlanKept,
    /// A flow that cannot be recovered was marked as stuck.
    FlowSetAside,
    /// A request about a flow was served, but not answered.
    RequestServed,
    /// A request about a flow was answered.
    RequestAnswered,
    /// The log was copied into the database.
    LogCopied,
    /// The intent to make an object outside the database is on disk; its provider was not asked.
    ActIntended,
    /// A provider has answered; the answer is not recorded.
    ActDone,
    /// The intent to remove an object is on disk; its provider was not asked.
    RemovalIntended,
    /// A provider has removed an object; that is not recorded.
    RemovalDone,
    /// Messages were published; the database does not say so.
    MessagesPublished,
    /// What became of messages that were published is in the database.
    MessagesSettled,
}

static OBSERVER: OnceLock<fn(CrashPoint)> = OnceLock::new();

/// Calls `observer` at every point from now on, in the thread that reaches it. Only the first observer is kept; returns whether
/// this is it.
pub fn observe(observer: fn(CrashPoint)) -> bool {
    OBSERVER.set(observer).is_ok()
}

/// Notifies the observer, if there is one, that the process is at this point.
#[inline]
pub fn reach(point: CrashPoint) {
    if let Some(observer) = OBSERVER.get() {
        observer(point);
    }
}
