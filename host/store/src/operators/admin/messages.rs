//! What operators do with messages to other services.

use cairn_effects::outbox::Outgoing;
use cairn_model::error::TaskError;

use super::{Admin, Result};

/// What an operator does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// [Publishes](Admin::retry_cast) it at once.
    Retry,
    /// [Removes](Admin::discard_cast) it.
    Discard,
    /// [Marks](Admin::ack_cast) it as taken.
    Ack,
}

impl Admin<'_> {
    /// Handles a message.
    ///
    /// # Errors
    /// `NoTransport` when it is to be published and nothing would publish it; those of the function that `handling` names.
    pub fn handle_cast(&mut self, id: &str, handling: Handling) -> Result<()> {
        self.require_handling(handling)?;
        match handling {
            Handling::Retry => self.retry_cast(id),
            Handling::Discard => self.discard_cast(id),
            Handling::Ack => self.ack_cast(id),
        }
    }

    /// Checks that messages can be handled in this way.
    ///
    /// # Errors
    /// `NoTransport` when they are to be published and nothing would publish them.
    pub fn require_handling(&self, handling: Handling) -> Result<()> {
        let has_transport = || self.view().services().get::<Outgoing>().is_some();
        match handling {
            Handling::Retry if !has_transport() => {
                Err(TaskError::new("NoTransport", "no transport is configured").into())
            }
            Handling::Retry | Handling::Discard | Handling::Ack => Ok(()),
        }
    }
}
