//! Whether a step leaves more to do.

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is to be done.
    More,
    /// The flow has ended, or was interrupted.
    Over,
    /// The flow sleeps: what is to be done is done when it wakes.
    Asleep,
}
