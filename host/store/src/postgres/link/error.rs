//! What can go wrong on a connection, sorted by what the caller can do about it.

use std::error::Error as _;

use tokio_postgres::error::{DbError, Severity};

/// Why statements were not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The connection is lost, or none could be made: it is not known whether what was under way was done. Connecting again may help.
    #[error("{0}")]
    Lost(String),
    /// The server, or a rule of this program, refuses the connection. Connecting again does not help.
    #[error("{0}")]
    Refused(String),
    /// The server refused a statement. The transaction that it was part of is lost, and the connection is good.
    #[error("{message} (SQLSTATE {code})")]
    Statement {
        /// The server's code.
        code: String,
        /// The server's words.
        message: String,
    },
    /// A statement cannot be sent as it is. Nothing was sent of it, or of what was queued with it.
    #[error("{0}")]
    Unfit(String),
    /// A statement was run, and answered a value that no cell holds, such as a fraction.
    #[error("{0}")]
    Unreadable(String),
}

impl LinkError {
    /// Returns the server's code of a refused statement.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Statement { code, .. } => Some(code),
            Self::Lost(_) | Self::Refused(_) | Self::Unfit(_) | Self::Unreadable(_) => None,
        }
    }
}

/// Codes by which a server says that it goes, or that it ends an idle session.
const GONE: &[&str] = &["57P01", "57P02", "57P03", "57P05"];

/// The code of a write in a transaction that only reads.
pub(in crate::postgres) const READ_ONLY: &str = "25006";

/// The server's code for a lock that was not got in time.
pub(in crate::postgres) const LOCK_TIMEOUT: &str = "55P03";

/// Sorts an error of a connection that was made.
pub(super) fn sorted(error: &tokio_postgres::Error) -> LinkError {
    let Some(found) = error.as_db_error() else {
        return LinkError::Lost(match error.is_closed() {
            true => "the server closed the connection".to_owned(),
            false => chain(error),
        });
    };
    let code = found.code().code();
    let is_over = matches!(
        found.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    );
    if is_over || code.starts_with("08") || GONE.contains(&code) {
        return LinkError::Lost(words(found));
    }
    LinkError::Statement {
        code: code.to_owned(),
        message: words(found),
    }
}

/// The server's words, with the detail and the hint where there are any.
pub(in crate::postgres) fn words(error: &DbError) -> String {
    let mut words = error.message().to_owned();
    for more in [error.detail(), error.hint()].into_iter().flatten() {
        words.push_str(": ");
        words.push_str(more);
    }
    words
}

/// The words of an error and of its causes.
pub(super) fn chain(error: &tokio_postgres::Error) -> String {
    if let Some(found) = error.as_db_error() {
        return words(found);
    }
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
