//! What plugins may ask the host for: one file an interface. Each function checks the grant, delegates, and translates the
//! answer; none has logic of its own.

mod catalog;
mod context;
mod images;
mod keys;
mod log;
mod policy;
mod quota;
mod results;
mod rpc;
mod state;
mod surroundings;
mod volumes;
mod zones;

pub(crate) use policy::Denied;
pub use policy::Enforcer;
pub(crate) use state::{Active, State};
pub use state::{Granted, Services};
pub use surroundings::Surroundings;

use cairn_model::error::TaskError;
use cairn_model::value::{Object, Value};

use crate::wit::cairn::plugin::types;

impl types::Host for State {}

/// An error as a plugin sees it; its origin stays behind.
pub(crate) fn to_wit(error: TaskError) -> types::Error {
    types::Error {
        kind: error.kind,
        message: error.message,
        details: (!error.details.is_null()).then(|| error.details.to_string()),
    }
}

/// Bytes of an error that are kept. Every revert of the flow is told of it, and must have room for it.
const MAX_KIND: usize = 128;
const MAX_MESSAGE: usize = 16 << 10;
const MAX_DETAILS: usize = 256 << 10;

/// A plugin's error. Details that are no JSON are kept as text, and what is too long is cut short.
pub(crate) fn from_wit(error: types::Error) -> TaskError {
    let details = error.details.map(|text| {
        let whole = text.len() <= MAX_DETAILS;
        let parsed = whole
            .then(|| cairn_model::value::parse(&text).ok())
            .flatten();
        parsed.unwrap_or_else(|| Value::String(cut(&text, MAX_DETAILS)))
    });
    TaskError {
        details: details.unwrap_or(Value::Null),
        ..TaskError::new(cut(&error.kind, MAX_KIND), cut(&error.message, MAX_MESSAGE))
    }
}

/// The beginning of a text that is longer than `most` bytes.
fn cut(text: &str, most: usize) -> String {
    match text.len() > most {
        true => format!("{}…", &text[..text.floor_char_boundary(most)]),
        false => text.to_owned(),
    }
}

/// JSON that a plugin hands over.
pub(crate) fn json(text: &str, what: &str) -> Result<Value, TaskError> {
    cairn_model::value::parse(text)
        .map_err(|error| TaskError::new("InvalidInput", cairn_model::value::refused(what, &error)))
}

/// A JSON object that a plugin hands over.
pub(crate) fn object(text: &str, what: &str) -> Result<Object, types::Error> {
    match json(text, what).map_err(to_wit)? {
        Value::Object(object) => Ok(object),
        _ => Err(to_wit(TaskError::new(
            "InvalidInput",
            format!("{what} must be an object"),
        ))),
    }
}

#[cfg(test)]
mod tests;
