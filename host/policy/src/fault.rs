//! What is wrong with a rule, before it is known where the rule stands.

/// What is wrong with a rule, and the fix.
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

/// A piece of a rule for a message: short, on one line, and quotes as they were written.
pub(super) fn shown(text: &str) -> String {
    let start: String = text.chars().take(100).collect();
    let escaped = start.escape_debug().to_string();
    escaped.replace("\\'", "'").replace("\\\"", "\"")
}
