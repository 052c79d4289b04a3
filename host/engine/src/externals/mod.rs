//! What operators do with objects outside the database: they compare them with their rows, adopt and remove them.

mod error;
mod handle;
mod scan;

pub use error::HandleError;
pub use handle::{adopt, document, look, remove, row_of};
pub use scan::{Bounds, Compared, Difference, Found, ScanError, scan};
