//! The error that a plugin returns.

use std::fmt;

use serde_json::{Map, Value};

use crate::bindings::cairn::plugin::types;

/// An error: a machine-readable `kind`, a `message` for people, and `details`.
///
/// The kind is one word in UpperCamelCase: your own, or an established one such as `InvalidInput`. The message is one
/// sentence that names the problem, the place and the fix. The details are the values in the message.
///
/// ```
/// use cairn_plugin::Error;
///
/// let error = Error::new("NameTaken", "the name `db` is taken; choose another").with("name", "db");
/// assert!(error.is("NameTaken"));
/// assert_eq!(error.details()["name"], "db");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    kind: String,
    message: String,
    details: Map<String, Value>,
}

impl Error {
    /// Creates an error without details.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
            details: Map::new(),
        }
    }

    /// Adds one detail, replacing the value of a key that is already present.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.details.insert(key.into(), value.into());
        self
    }

    /// Returns whether the error is of this kind.
    pub fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }

    /// Returns the kind: one word for code to compare.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the message: one sentence for a person.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the values in the message; empty when there are none.
    pub fn details(&self) -> &Map<String, Value> {
        &self.details
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Error {}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        // The contract says "one JSON object". If a host breaks it, the details are lost, but not the error.
        let details = error
            .details
            .and_then(|json| serde_json::from_str(&json).ok())
            .unwrap_or_default();
        Self {
            kind: error.kind,
            message: error.message,
            details,
        }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        let details = (!error.details.is_empty()).then(|| Value::Object(error.details).to_string());
        Self {
            kind: error.kind,
            message: error.message,
            details,
        }
    }
}

/// Fails compilation if the kind is not one word in UpperCamelCase.
#[doc(hidden)]
pub const fn checked_kind(kind: &str) -> &str {
    let letters = kind.as_bytes();
    assert!(
        !letters.is_empty() && letters[0].is_ascii_uppercase(),
        "a kind of error begins with a capital letter, as in \"InvalidInput\""
    );
    let mut at = 0;
    while at < letters.len() {
        assert!(
            letters[at].is_ascii_alphanumeric(),
            "a kind of error is one word in UpperCamelCase, as in \"InvalidInput\""
        );
        at += 1;
    }
    kind
}

/// Creates an [`Error`](crate::Error) of a kind, with a formatted message. A kind that is a literal must be one word in
/// UpperCamelCase, or the plugin does not compile.
///
/// ```
/// # use cairn_plugin::{Error, error};
/// let id = "v1";
/// let error: Error = error!("VolumeNotFound", "there is no volume `{id}`").with("volume_id", id);
/// assert_eq!(error.to_string(), "VolumeNotFound: there is no volume `v1`");
/// ```
///
/// ```compile_fail
/// # use cairn_plugin::{Error, error};
/// let error: Error = error!("volume not found", "there is no volume");
/// ```
#[macro_export]
macro_rules! error {
    ($kind:literal, $($message:tt)+) => {
        $crate::Error::new(
            const { $crate::__checked_kind($kind) },
            ::std::format!($($message)+),
        )
    };
    ($kind:expr, $($message:tt)+) => {
        $crate::Error::new($kind, ::std::format!($($message)+))
    };
}

/// Returns from the function with an [`error!`](crate::error) of a kind, with a formatted message.
///
/// ```
/// # use cairn_plugin::{Error, bail};
/// fn half(n: u32) -> Result<u32, Error> {
///     if n % 2 == 1 {
///         bail!("InvalidInput", "{n} is odd; give an even number");
///     }
///     Ok(n / 2)
/// }
/// assert_eq!(half(3).unwrap_err().message(), "3 is odd; give an even number");
/// ```
#[macro_export]
macro_rules! bail {
    ($kind:literal, $($message:tt)+) => {
        return ::core::result::Result::Err($crate::error!($kind, $($message)+).into())
    };
    ($kind:expr, $($message:tt)+) => {
        return ::core::result::Result::Err($crate::error!($kind, $($message)+).into())
    };
}

/// Returns from the function with an [`error!`](crate::error) of a kind unless the condition holds.
///
/// ```
/// # use cairn_plugin::{Error, ensure};
/// fn positive(n: i64) -> Result<i64, Error> {
///     ensure!(n > 0, "InvalidInput", "{n} is not positive");
///     Ok(n)
/// }
/// assert!(positive(0).unwrap_err().is("InvalidInput"));
/// ```
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $kind:literal, $($message:tt)+) => {
        if !$condition {
            $crate::bail!($kind, $($message)+);
        }
    };
    ($condition:expr, $kind:expr, $($message:tt)+) => {
        if !$condition {
            $crate::bail!($kind, $($message)+);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_to_the_host_and_back() {
        let error = Error::new("VolumeNotFound", "no volume `v1`").with("volume_id", "v1");
        assert_eq!(Error::from(types::Error::from(error.clone())), error);
    }

    #[test]
    fn an_error_without_details_sends_none() {
        assert_eq!(
            types::Error::from(Error::new("Busy", "try again")).details,
            None
        );
    }

    #[test]
    fn details_that_are_no_object_do_not_hide_the_error() {
        let sent = types::Error {
            kind: "Busy".into(),
            message: "try again".into(),
            details: Some("[1]".into()),
        };
        assert_eq!(Error::from(sent), Error::new("Busy", "try again"));
    }
}
