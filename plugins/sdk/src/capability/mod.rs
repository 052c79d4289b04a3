//! The functions of the host, one module per WIT interface. `context` and `log` need no grant. A component that calls
//! into another module imports its interface, and the manifest must grant it.

pub mod catalog;
pub mod context;
pub mod externals;
pub mod images;
pub mod keys;
pub mod log;
pub mod policy;
pub mod quota;
pub mod records;
pub mod results;
pub mod rpc;
pub mod secrets;
pub mod volumes;
pub mod zones;

use serde_json::Value;

use crate::Error;

/// Parses the JSON that a host function returned.
fn read(function: &str, json: &str) -> Result<Value, Error> {
    serde_json::from_str(json).map_err(|error| {
        Error::new(
            "HostAnswerInvalid",
            format!("`{function}` answered no JSON: {error}"),
        )
    })
}
