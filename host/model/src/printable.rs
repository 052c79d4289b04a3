//! Escapes untrusted text, such as names, values and paths, so that it cannot act on a terminal or forge a line.
//!
//! Control characters (C0, DEL and C1), the characters that change the direction of text (U+202A to U+202E, U+2066 to U+2069)
//! and the line and paragraph separators (U+2028, U+2029) are written as escapes; all others are kept. Text without such
//! characters is returned unchanged, so escaping is idempotent.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes text that must stay on one line, as Rust would: `\n`, `\u{1b}`.
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, is_hostile, |c, out| out.extend(c.escape_default()))
}

/// Escapes text of several lines: as [`line()`], but keeps line feeds.
pub fn lines(text: &str) -> Cow<'_, str> {
    let hostile = |c| c != '\n' && is_hostile(c);
    escape(text, hostile, |c, out| out.extend(c.escape_default()))
}

/// Escapes JSON documents as JSON does, `\u009b`, which keeps their meaning. Keeps line feeds: in JSON they occur only between
/// values.
pub fn json(text: &str) -> Cow<'_, str> {
    let hostile = |c| c != '\n' && is_hostile(c);
    escape(text, hostile, |c, out| {
        // Writing to a string cannot fail. No hostile character is beyond U+FFFF.
        let _ = write!(out, "\\u{:04x}", u32::from(c));
    })
}

/// Returns whether a character may act on a terminal, or on the order or the lines of the text around it.
pub const fn is_hostile(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{2028}' | '\u{2029}'
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns whether a text is printable ASCII, with line feeds if they are kept. Most text is, and this needs no decoding.
fn is_plain(text: &str, keeps_lines: bool) -> bool {
    // Without an early exit, so that the loop can be vectorized.
    text.bytes().fold(true, |plain, byte| {
        plain & (matches!(byte, b' '..=b'~') | (keeps_lines & (byte == b'\n')))
    })
}

fn escape(
    text: &str,
    hostile: impl Fn(char) -> bool,
    write: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if is_plain(text, !hostile('\n')) {
        return Cow::Borrowed(text);
    }
    let Some(first) = text.find(&hostile) else {
        return Cow::Borrowed(text);
    };
    let (harmless, rest) = text.split_at(first);
    let mut out = harmless.to_owned();
    for c in rest.chars() {
        match hostile(c) {
            true => write(c, &mut out),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_that_may_act_is_escaped_and_no_other() {
        for c in '\0'..=char::MAX {
            let expected = c.is_control() || "\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}".contains(c);
            assert_eq!(is_hostile(c), expected, "{c:?}");
        }
    }

    #[test]
    fn a_line_stays_one_and_lines_stay_lines() {
        let text = "a\tä\u{1b}[2J\r\n\u{9b}\u{7f}\u{202e}\u{200d}";
        assert_eq!(
            line(text),
            "a\\tä\\u{1b}[2J\\r\\n\\u{9b}\\u{7f}\\u{202e}\u{200d}"
        );
        assert_eq!(
            lines(text),
            "a\\tä\\u{1b}[2J\\r\n\\u{9b}\\u{7f}\\u{202e}\u{200d}"
        );
        assert!(matches!(line("plain \u{fc}"), Cow::Borrowed(_)));
        assert_eq!(line(&line(text)), line(text));
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let every: String = ('\0'..='\u{ffff}').collect();
        let written = serde_json::to_string_pretty(&[&every]).unwrap();
        let escaped = json(&written);
        assert!(!escaped.chars().any(|c| c != '\n' && is_hostile(c)));
        let read: [String; 1] = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read[0], every);
    }
}
