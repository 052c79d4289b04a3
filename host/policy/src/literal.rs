//! Parses the left side of a check: a fixed value, or the name of an attribute of the caller.
//!
//! oslo.policy passes it to Python's `ast.literal_eval`, and treats what that rejects as a name. A syntax error in Python,
//! which oslo.policy raises when the rule is evaluated, is an error here.

use super::fault::{RuleError, error, shown};
use super::python;

/// The left side of a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A fixed value, as the compared text.
    Literal(String),
    /// The name of an attribute, which may be a path.
    Attribute,
}

/// Attributes of the caller that are text or a flag, so that no path goes through them.
const TEXTS: [&str; 7] = [
    "user_id",
    "user",
    "project_id",
    "tenant",
    "is_admin",
    "quota_class",
    "roles",
];

/// Python's keywords, which cannot be names.
const WORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

pub(super) fn kind(text: &str) -> Result<Kind, RuleError> {
    match text.chars().next() {
        None => Err(error(
            "has a check with nothing before its colon",
            "name the attribute to compare",
        )),
        Some(quote @ ('\'' | '"')) => string(text, quote),
        Some('0'..='9' | '+' | '-' | '.') => match number(text) {
            Some(value) => Ok(Kind::Literal(value)),
            None => Err(error(
                format!(
                    "has `{}` before a colon, which is neither a number nor a name",
                    shown(text)
                ),
                "write a number as 5, -1 or 2.5; a name begins with a letter",
            )),
        },
        Some(_) if matches!(text, "True" | "False" | "None") => Ok(Kind::Literal(text.to_owned())),
        Some(_) => attribute(text),
    }
}

fn string(text: &str, quote: char) -> Result<Kind, RuleError> {
    let inner = text
        .strip_prefix(quote)
        .and_then(|rest| rest.strip_suffix(quote))
        .filter(|inner| !inner.contains(['\\', quote]) && !inner.contains(char::is_control));
    match inner {
        Some(inner) => Ok(Kind::Literal(inner.to_owned())),
        None => Err(error(
            format!("has a string that is not closed: `{}`", shown(text)),
            "a string has no space, colon, quote or backslash in it",
        )),
    }
}

fn attribute(text: &str) -> Result<Kind, RuleError> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !WORDS.contains(&name)
    };
    if !text.split('.').all(is_name) {
        return Err(error(
            format!(
                "has `{}` before a colon, which cannot be the name of an attribute",
                shown(text)
            ),
            "a name has letters, digits and `_`, as in `project_id`; a text to compare is in quotes",
        ));
    }
    match text.split_once('.') {
        Some((first, _)) if TEXTS.contains(&first) => Err(error(
            format!("looks for `{}`, but `{first}` is text", shown(text)),
            "compare the attribute itself, as in `project_id:%(project_id)s`",
        )),
        Some(_) | None => Ok(Kind::Attribute),
    }
}

/// Parses a decimal number as Python does, and formats it as Python does: `+1_000` is 1000, and `1e3` is 1000.0.
fn number(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { "-" } else { "" };
    if !unsigned
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '_' | '.' | 'e' | 'E' | '+' | '-'))
    {
        return None;
    }
    let digits = without_underscores(unsigned)?;
    if !digits.contains(['.', 'e', 'E']) {
        let is_zero = digits.bytes().all(|digit| digit == b'0');
        return match () {
            // Digits only: a sign may occur in an exponent only.
            () if digits.is_empty() || digits.contains(['+', '-']) => None,
            () if is_zero => Some("0".to_owned()),
            // Python no longer accepts octal numbers that begin with 0.
            () if digits.starts_with('0') => None,
            () => Some(format!("{sign}{digits}")),
        };
    }
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value: f64 = format!("{sign}{digits}").parse().ok()?;
    Some(python::float(value))
}

/// Removes underscores, which must be between two digits.
fn without_underscores(text: &str) -> Option<String> {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bytes = text.as_bytes();
    let placed = bytes.iter().enumerate().all(|(at, &byte)| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        byte != b'_' || is_digit(before) && is_digit(bytes.get(at + 1))
    });
    placed.then(|| text.replace('_', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_written_as_python_does() {
        for (text, value) in [
            ("0", "0"),
            ("00", "0"),
            ("-0", "0"),
            ("+5", "5"),
            ("-1_000", "-1000"),
            ("98765432109876543210", "98765432109876543210"),
            ("1e3", "1000.0"),
            ("1.", "1.0"),
            (".5", "0.5"),
            ("-.5e-10", "-5e-11"),
            ("007.5", "7.5"),
            ("1_0.5", "10.5"),
            ("1e999", "inf"),
        ] {
            assert_eq!(kind(text), Ok(Kind::Literal(value.to_owned())), "{text}");
        }
        for text in [
            "007", "1__0", "1_", "_1.5.", "--5", "+-5", "1-2", "0x10", "1j", "...", "-", "-inf",
            "1e", "3abc",
        ] {
            assert!(kind(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_is_one_that_python_could_have() {
        for text in ["a", "_x1", "token.roles.name", "inf", "Roles"] {
            assert_eq!(kind(text), Ok(Kind::Attribute), "{text}");
        }
        for text in [
            "os-admin",
            "a..b",
            "a.",
            "a.1",
            "class",
            "a.if",
            "True.x",
            "é",
            "a\u{0}",
            "user_id.x",
        ] {
            assert!(kind(text).is_err(), "{text}");
        }
    }
}
