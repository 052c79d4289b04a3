//! Results of plugins: JSON documents within limits.

use cairn_manifest::manifest::{LimitKey, Limits};
use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::value::Value;

use super::ended::exceeded;

/// Parses a result.
///
/// # Errors
/// It is not JSON, is too long, or nests too deep.
pub(super) fn document(text: &str, limits: &Limits) -> Result<Value, TaskError> {
    if text.len() as u64 > limits.result_bytes {
        return Err(exceeded(LimitKey::ResultBytes, limits));
    }
    if nests_deeper(text, limits.result_depth) {
        return Err(exceeded(LimitKey::ResultDepth, limits));
    }
    cairn_model::value::parse(text).map_err(|error| {
        let message = cairn_model::value::refused("the result", &error);
        TaskError::host(HostErrorKind::ResultInvalid, message)
    })
}

/// Returns whether arrays and objects in this JSON text nest deeper than `most`. Unspecified for text that is not JSON.
fn nests_deeper(text: &str, most: u64) -> bool {
    let opens = |byte: &u8| matches!(byte, b'[' | b'{');
    // Most results have too few brackets to nest deep.
    if (text.bytes().filter(opens).count() as u64) <= most {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0_u64, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_outside_of_strings() {
        for (text, depth) in [
            ("[[],[],[]]", 2),
            (r#"{"a":[{"b":1}]}"#, 3),
            (r#"["[[[[\"[[[[", "]"]"#, 1),
            (r#"{"[[":[]}"#, 2),
        ] {
            assert!(!nests_deeper(text, depth), "{text}");
            assert!(nests_deeper(text, depth - 1), "{text}");
        }
        assert!(nests_deeper(&"[".repeat(100_000), 64));
    }
}
