//! Hints: the server's notifications of what other hosts ask of this one, on a connection of its own. A transaction that notifies takes a
//! lock of the whole server when it commits, so batches never do.

use std::sync::Arc;
use std::time::Duration;

use cairn_model::id::HostId;

use super::connect::Target;
use super::link::{HINTS, Link, LinkError};
use crate::StoreError;
use crate::shared::Hints;

/// Completes a statement that notifies the owners in a column `host`: the name of the channel of each.
pub(super) const NOTIFY: &str = "SELECT pg_notify('cairn_' || encode(host, 'hex'), '')::text";

/// Listens on the channel of a host.
pub(super) struct Listener {
    target: Arc<Target>,
    listen: String,
    link: Option<Link>,
}

impl Listener {
    pub(super) fn new(target: Arc<Target>, host: HostId) -> Self {
        Self {
            target,
            listen: format!("LISTEN cairn_{}", host.0.simple()),
            link: None,
        }
    }

    fn heard(&mut self, most: Duration) -> Result<bool, LinkError> {
        if let Some(link) = &mut self.link
            && link.is_connected()
        {
            return link.wait(most);
        }
        let mut link = Link::connect(&self.target, &HINTS)?;
        link.script(&self.listen)?;
        self.link = Some(link);
        // What came before is not told.
        Ok(true)
    }
}

impl Hints for Listener {
    fn wait(&mut self, most: Duration) -> Result<bool, StoreError> {
        let heard = self.heard(most);
        heard.map_err(|error| StoreError::Database(error.to_string()))
    }
}
