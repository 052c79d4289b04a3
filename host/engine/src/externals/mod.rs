//! What operators do with objects outside the database: they compare them with their rows, adopt and remove them.

mod handle;
mod scan;

pub use handle::{adopt, look, remove};
pub use scan::{Bounds, Compared, Difference, Found, ScanError, scan};
