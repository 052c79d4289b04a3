//! Errors in rules, without their place.

/// An error in a rule, and the fix.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RuleError {
    pub(super) message: String,
    pub(super) help: &'static str,
}

pub(super) fn error(message: impl Into<String>, help: &'static str) -> RuleError {
    RuleError {
        message: message.into(),
        help,
    }
}

/// Shortens a piece of a rule for a message and escapes it to one line; quotes stay as they are.
pub(super) fn shown(text: &str) -> String {
    let start: String = text.chars().take(100).collect();
    let escaped = start.escape_debug().to_string();
    escaped.replace("\\'", "'").replace("\\\"", "\"")
}
