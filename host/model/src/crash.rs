//! Where a process may die: every step after which the disk, or what will be written to it, is different. A test lets the
//! process abort at each of them; elsewhere a step costs one load.

use std::sync::OnceLock;

macro_rules! points {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A step after which something durable is different, or is about to be.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CrashPoint {
            $($(#[$doc])* $name,)*
        }

        impl CrashPoint {
            /// Every point.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name, as it is written here.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

points! {
    /// A batch was opened; nothing is in it.
    BatchOpened,
    /// Events were added to the batch.
    EventsAppended,
    /// An effect was applied in the batch, and noted.
    EffectApplied,
    /// An effect was undone in the batch, and noted.
    EffectUndone,
    /// Messages of a flow that ends were made ready, or withdrawn.
    CastsSettled,
    /// The rows of the batch are written; its journals are not.
    RowsWritten,
    /// The batch is written, and not committed.
    BatchWritten,
    /// The batch is on disk; nobody was told.
    BatchCommitted,
    /// This host's lock is held; no row says so.
    HostLocked,
    /// This host's row is in the batch.
    HostRegistered,
    /// Flows of a host that is gone were taken over in the batch.
    FlowsTaken,
    /// A component was written under a name of its own.
    ComponentWritten,
    /// A component is under its digest.
    ComponentKept,
    /// A plan is in the database.
    PlanKept,
    /// A flow that cannot be recovered was set aside.
    FlowSetAside,
    /// What was asked of a flow is done, and not answered.
    RequestServed,
    /// What was asked of a flow is answered.
    RequestAnswered,
    /// The log was copied into the database.
    LogCopied,
    /// Messages were published; the database does not say so.
    MessagesPublished,
    /// What became of messages that were published is in the database.
    MessagesSettled,
}

static OBSERVER: OnceLock<fn(CrashPoint)> = OnceLock::new();

/// Has `observer` called at every point from now on, in the thread that reaches it. The first observer stays; says whether
/// this is it.
pub fn observe(observer: fn(CrashPoint)) -> bool {
    OBSERVER.set(observer).is_ok()
}

/// Tells the observer, if there is one, that the process is at this point.
#[inline]
pub fn reach(point: CrashPoint) {
    if let Some(observer) = OBSERVER.get() {
        observer(point);
    }
}
