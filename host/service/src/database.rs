//! What the server needs of a database beyond its host.

use cairn::StoreError;
use cairn::store::hosts::Hosts;
use cairn::store::view::Reader;

/// Opens connections to the database, as the caller of the server has set them up.
pub trait Database: Send + Sync {
    /// Opens a connection for reads.
    ///
    /// # Errors
    /// Those of [`Reader::open`].
    fn reader(&self) -> Result<Reader, StoreError>;

    /// Opens the list of hosts.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn hosts(&self) -> Result<Box<dyn Hosts>, StoreError>;
}
