//! Converts values as Python 2 does: the callers of the original implementation sent sizes as strings, and its checks
//! accepted some of them.

use serde_json::Value;

/// Returns whether Python's `if value` would hold.
pub(crate) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
    }
}

/// Returns the value as an integer that fits 64 bits: the result of `int(value)`, or else of `int(float(value))`.
pub(crate) fn as_int(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(b) => Some(i64::from(*b)),
        Value::Number(n) => n.as_i64().or_else(|| truncate(n.as_f64()?)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| truncate(text.parse().ok()?))
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Truncates towards zero; `None` for a value that is not finite or out of range.
fn truncate(number: f64) -> Option<i64> {
    // 2^63 is the first float out of range; every smaller float fits.
    let fits = number.is_finite() && number.abs() < 9_223_372_036_854_775_808.0;
    #[allow(clippy::cast_possible_truncation)]
    fits.then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn truth_is_being_neither_zero_nor_empty() {
        for value in [
            json!(null),
            json!(false),
            json!(0),
            json!(0.0),
            json!(""),
            json!([]),
            json!({}),
        ] {
            assert!(!is_true(&value), "{value}");
        }
        for value in [
            json!(true),
            json!(-1),
            json!(0.4),
            json!("0"),
            json!([0]),
            json!({"a": null}),
        ] {
            assert!(is_true(&value), "{value}");
        }
    }

    #[test]
    fn numbers_are_read_leniently() {
        for (value, expected) in [
            (json!(5), Some(5)),
            (json!("5"), Some(5)),
            (json!(" +5\n"), Some(5)),
            (json!("-3"), Some(-3)),
            (json!(5.9), Some(5)),
            (json!("5.9"), Some(5)),
            (json!("1e3"), Some(1000)),
            (json!(true), Some(1)),
            (json!(i64::MAX), Some(i64::MAX)),
            (json!(u64::MAX), None),
            (json!("99999999999999999999"), None),
            (json!(1e300), None),
            (json!("inf"), None),
            (json!("nan"), None),
            (json!("1_0"), None),
            (json!("0x10"), None),
            (json!("5GB"), None),
            (json!(""), None),
            (json!(null), None),
            (json!([1]), None),
        ] {
            assert_eq!(as_int(&value), expected, "{value}");
        }
    }
}
