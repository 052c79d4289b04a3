//! Text of pages: untrusted text made harmless, times, durations and values.

use std::borrow::Cow;
use std::time::Duration;

use cairn::clock::Timestamp;
use cairn::{Value, printable};
use maud::{Markup, Render, html};
use serde::Deserialize as _;

/// Untrusted text of one line. Characters that act on a display, or on the direction of text, are written as escapes; the text's own
/// direction does not reach the text around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'t>(pub &'t str);

impl Render for Text<'_> {
    fn render_to(&self, buffer: &mut String) {
        buffer.push_str("<bdi>");
        printable::line(self.0).as_ref().render_to(buffer);
        buffer.push_str("</bdi>");
    }
}

/// Untrusted text of several lines, such as a log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'t>(pub &'t str);

impl Render for Lines<'_> {
    fn render_to(&self, buffer: &mut String) {
        buffer.push_str("<bdi>");
        printable::lines(self.0).as_ref().render_to(buffer);
        buffer.push_str("</bdi>");
    }
}

/// Escapes untrusted text for an attribute; maud escapes it for HTML.
pub(super) fn attribute(text: &str) -> Cow<'_, str> {
    printable::line(text)
}

/// The longest value in a table, in characters.
const LONGEST: usize = 240;

/// Shortens a text to what a table shows of it.
pub(super) fn brief(text: &str) -> Cow<'_, str> {
    shortened(text, LONGEST)
}

/// Shortens a text to `longest` characters.
pub(super) fn shortened(text: &str, longest: usize) -> Cow<'_, str> {
    match text.char_indices().nth(longest) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Formats a value as the command line does: a text as it is, anything else as JSON.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Formats a value as JSON over several lines.
pub(super) fn json(value: &Value) -> Markup {
    // A value has only texts as keys.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let text = shortened(&text, LONGEST_DOCUMENT);
    html! { pre.json tabindex="0" { (Lines(&text)) } }
}

/// The longest document on a page, in characters.
const LONGEST_DOCUMENT: usize = 65_536;

/// Formats a duration with two units at most: `340 ms`, `1.2 s`, `2 h 13 min`.
pub(super) fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let seconds = duration.as_secs();
    match seconds {
        0 if micros < 1_000 => format!("{micros} µs"),
        0 if micros < 10_000 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        0 => format!("{} ms", micros / 1_000),
        1..60 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        60..3_600 => two((seconds / 60, "min"), (seconds % 60, "s")),
        3_600..86_400 => two((seconds / 3_600, "h"), (seconds % 3_600 / 60, "min")),
        _ => two((seconds / 86_400, "d"), (seconds % 86_400 / 3_600, "h")),
    }
}

fn two((most, unit): (u64, &str), (rest, smaller): (u64, &str)) -> String {
    match rest {
        0 => format!("{most} {unit}"),
        rest => format!("{most} {unit} {rest} {smaller}"),
    }
}

/// Shows a point in time: to the second, with the whole in its tooltip.
pub(super) fn time(at: Timestamp) -> Markup {
    let whole = at.to_string();
    let short = match whole.split_once('.') {
        Some((short, _)) => short.replace('T', " "),
        None => whole.clone(),
    };
    html! { time datetime=(whole) title=(whole) { (short) "Z" } }
}

/// Shows a time of day to the millisecond, with the whole in its tooltip.
pub(super) fn clock(at: Timestamp) -> Markup {
    let whole = at.to_string();
    let of_day = whole.split_once('T').map_or(&*whole, |(_, of_day)| of_day);
    let short = of_day.get(..12).unwrap_or(of_day);
    html! { time datetime=(whole) title=(whole) { (short) } }
}

/// Shows how long ago a point in time was; one to come is shown as "in …".
pub(super) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let text = match at > now {
        true => format!("in {}", duration(at.since(now))),
        false => format!("{} ago", duration(now.since(at))),
    };
    html! { time datetime=(at) title=(at) { (text) } }
}

/// Formats a number of things: `1 change`, `2 changes`.
pub(super) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        number => format!("{} {noun}s", grouped(number as u64)),
    }
}

/// Formats a number with its thousands grouped: `1 234 567`, with spaces that do not break.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

/// Encodes a text as a part of a URL's path or query.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    out
}

/// Formats a query of a URL, with its question mark; empty without pairs.
pub(super) fn query<'p>(pairs: impl IntoIterator<Item = (&'p str, Cow<'p, str>)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        text.push(if text.is_empty() { '?' } else { '&' });
        text += name;
        text.push('=');
        text += &encoded(&value);
    }
    text
}

/// Reads a value of a URL that counts as absent when it cannot be read, so that a link never leads to an error.
///
/// # Errors
/// Those of the deserializer.
pub(super) fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr,
{
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_is_text_and_does_not_act() {
        let hostile = "<script>alert(1)</script>&\"'\u{202e}\u{1b}[2J\n\0";
        let shown = html! { (Text(hostile)) }.into_string();
        assert_eq!(
            shown,
            "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;'\\u{202e}\\u{1b}[2J\\n\\u{0}</bdi>"
        );
        let shown = html! { a title=(attribute("a\" onclick=\"x\n")) {} }.into_string();
        assert_eq!(shown, "<a title=\"a&quot; onclick=&quot;x\\n\"></a>");
        assert_eq!(
            html! { (Lines("a\nb\r")) }.into_string(),
            "<bdi>a\nb\\r</bdi>"
        );
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (micros, shown) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_500, "1.5 ms"),
            (340_900, "340 ms"),
            (1_290_000, "1.2 s"),
            (59_900_000, "59.9 s"),
            (60_000_000, "1 min"),
            (61_000_000, "1 min 1 s"),
            (7_980_000_000, "2 h 13 min"),
            (90_000_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), shown);
        }
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, shown) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1 000"),
            (1_234_567, "1 234 567"),
        ] {
            assert_eq!(grouped(number), shown.replace(' ', "\u{a0}"));
        }
        assert_eq!(count(1, "change"), "1 change");
        assert_eq!(count(2, "change"), "2 changes");
    }

    #[test]
    fn a_query_is_encoded() {
        let pairs = [("name", Cow::from("a&b=c d")), ("text", Cow::from("ü/;"))];
        assert_eq!(query(pairs), "?name=a%26b%3Dc%20d&text=%C3%BC%2F%3B");
        assert_eq!(query([]), "");
    }

    #[test]
    fn times_are_shown_to_what_matters() {
        let at = Timestamp(1_500_123_456);
        assert_eq!(
            time(at).into_string(),
            "<time datetime=\"1970-01-01T00:25:00.123456Z\" title=\"1970-01-01T00:25:00.123456Z\">1970-01-01 00:25:00Z</time>"
        );
        assert!(clock(at).into_string().contains(">00:25:00.123<"));
        assert!(
            ago(at, at.after(Duration::from_secs(5)))
                .into_string()
                .contains(">5.0 s ago<")
        );
        assert!(
            ago(at.after(Duration::from_secs(5)), at)
                .into_string()
                .contains(">in 5.0 s<")
        );
    }
}
