//! Numbers of JSON documents: only those are accepted that are written again as they were read.
//!
//! A whole number is kept in 64 bits, and any other as an IEEE 754 double. A number with more digits would be changed silently,
//! so it is refused, and must be written as text.

use std::cell::Cell;

/// The numbers of a JSON text that are read as a double, in order: fractions, numbers with an exponent, and whole numbers that
/// do not fit in 64 bits.
pub(super) struct Doubles<'t>(Cell<&'t str>);

impl<'t> Doubles<'t> {
    pub(super) const fn of(text: &'t str) -> Self {
        Self(Cell::new(text))
    }

    /// Returns the next one as it is written; empty if there is none.
    pub(super) fn next(&self) -> &'t str {
        let mut rest = self.0.get();
        loop {
            let Some(start) = rest.find(|c: char| matches!(c, '"' | '-' | '0'..='9')) else {
                self.0.set("");
                return "";
            };
            rest = &rest[start..];
            if rest.starts_with('"') {
                rest = after_string(rest);
                continue;
            }
            let end = rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
            let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after;
            if is_double(number) {
                self.0.set(rest);
                return number;
            }
        }
    }
}

/// Skips the string at the start of a text.
fn after_string(text: &str) -> &str {
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

fn is_double(number: &str) -> bool {
    // A negative zero is read as a double.
    number == "-0" || (number.parse::<i64>().is_err() && number.parse::<u64>().is_err())
}

/// Returns whether a number keeps its value when it is read as a double and written again.
pub fn is_kept(written: &str, read: f64) -> bool {
    let is_whole = !written.contains(['.', 'e', 'E']);
    if is_whole && is_double(written) && written != "-0" {
        return false;
    }
    let decimal = Decimal::of(written);
    decimal.is_some() && decimal == Decimal::of(&format!("{read:e}"))
}

/// The value of a written number: `digits` times ten to the power of `exponent`.
#[derive(PartialEq)]
struct Decimal {
    is_negative: bool,
    /// Without zeros at either end.
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Returns `None` if the exponent is out of range.
    fn of(number: &str) -> Option<Self> {
        let (is_negative, number) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        let significant = digits.trim_end_matches('0');
        let zeros = digits.len() - significant.len();
        let significant = significant.trim_start_matches('0');
        let exponent = match significant {
            "" => 0,
            _ => exponent
                .parse::<i64>()
                .ok()?
                .checked_sub(i64::try_from(fraction.len()).ok()?)?
                .checked_add(i64::try_from(zeros).ok()?)?,
        };
        Some(Self {
            is_negative,
            digits: significant.to_owned(),
            exponent,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(number: &str) -> bool {
        is_kept(number, number.parse().unwrap())
    }

    #[test]
    fn a_number_is_kept_when_it_has_no_more_digits_than_a_double() {
        for number in [
            "0.1",
            "1.0",
            "1.50",
            "-2.5e3",
            "1E+2",
            "1e22",
            "0e99999999999999999999",
            "-0",
            "-0.0",
            "0.30000000000000004",
            "5e-324",
            "1.7976931348623157e308",
            "100e-2",
            "0.000001",
            "123456789.125",
        ] {
            assert!(kept(number), "{number}");
        }
    }

    #[test]
    fn a_number_that_would_be_changed_is_not_kept() {
        for number in [
            "12345678901234567890123",
            "18446744073709551616",
            "-9223372036854775809",
            "100000000000000000000",
            "3.14159265358979323846",
            "0.1000000000000000055511151231257827",
            "9007199254740993.0",
            "1e-400",
            "1e-99999999999999999999",
        ] {
            assert!(!kept(number), "{number}");
        }
    }

    #[test]
    fn doubles_are_found_between_strings_and_whole_numbers() {
        let text = r#"{"1.5":[1,-2,"\"2.5\\",3.5],"a":18446744073709551615,"b":{"c":-0},"d":1e3,"e":184467440737095516150}"#;
        let doubles = Doubles::of(text);
        let found: Vec<_> = std::iter::repeat_with(|| doubles.next()).take(5).collect();
        assert_eq!(found, ["3.5", "-0", "1e3", "184467440737095516150", ""]);
    }
}
