//! What takes messages.

use std::time::Duration;

use cairn_effects::outbox::Message;

/// Takes messages to their receivers.
pub trait Transport: Send {
    /// Publishes messages, in their order, and returns what became of each, in the same order. Several flows' messages are in one
    /// call, of each flow at most one.
    ///
    /// A message is [`Outcome::Confirmed`] only if its receiver, or the broker, has taken responsibility for it. Returns within a bounded time
    /// whatever the other side does; it is not called again before it returned. A message may be published again after any other
    /// outcome, and after a crash: with the same id, by which receivers drop repeats.
    fn publish(&mut self, messages: &[Message]) -> Vec<Outcome>;
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other side has it.
    Confirmed,
    /// There is no receiver for it, for this reason. It is tried again: a queue may be declared later.
    Unroutable(String),
    /// It will never be taken, for this reason: it is `failed` at once.
    Refused(String),
    /// It was not taken this time, or the other side may have it without having said so. It is tried again.
    Retry {
        /// Why.
        reason: String,
        /// The least wait that the other side asked for.
        after: Option<Duration>,
    },
    /// The other side could not be reached at all, for this reason. That is no attempt of the message: all of them wait until it can be.
    Unreached(String),
}
