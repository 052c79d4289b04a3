//! Limits of texts that become rows, checked where they enter: a flag, a variable, a settings file, a request. Tasks and the
//! store are not bound by them.

use std::fmt;

/// Maximum length in characters (Unicode scalar values, not bytes), as in the columns of Cinder's tables.
pub const LONGEST: usize = 255;

/// What a plain name is, for the help of an error.
pub const PLAIN_NAME: &str = "a name has 1 to 128 letters, digits and characters of `-_.:`";

/// Returns whether a text is a plain name: that of a flow, a task or a plugin's key. Such names reach terminals, logs and diagrams
/// unescaped, so they may contain no special characters.
pub fn is_plain_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

/// The kind of a text, which decides its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Text {
    /// Words for people, or the value of a metadata key: 0 to 255 characters.
    Words,
    /// A word for lookups or comparisons, such as a zone, a status, the key of a metadata entry, or an idempotency key: 1 to
    /// 255 characters, not all of them blank.
    Word,
    /// The name of a volume type, a project or a user: a [`Word`](Self::Word) without control characters, and without blanks
    /// around it.
    Name,
}

/// Why a text is refused: the rest of a sentence whose subject is the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// It is empty or blank.
    #[error("is empty")]
    Empty,
    /// It has more than [`LONGEST`] characters.
    #[error("has {0} characters; the most is {LONGEST}")]
    TooLong(usize),
    /// It has a control character.
    #[error("has the control character {}", .0.escape_unicode())]
    Control(char),
    /// It begins or ends with a blank.
    #[error("begins or ends with a blank")]
    Padded,
}

impl Text {
    /// Checks a text.
    ///
    /// # Errors
    /// The first of [`Unfit`] that applies.
    pub fn check(self, text: &str) -> Result<(), Unfit> {
        let length = text.chars().count();
        if length > LONGEST {
            return Err(Unfit::TooLong(length));
        }
        if self != Self::Words && text.trim().is_empty() {
            return Err(Unfit::Empty);
        }
        if self != Self::Name {
            return Ok(());
        }
        match text.chars().find(|c| c.is_control()) {
            Some(control) => Err(Unfit::Control(control)),
            None if text.trim() != text => Err(Unfit::Padded),
            None => Ok(()),
        }
    }
}

/// Why a metadata entry is refused: the rest of a sentence whose subject is the owner of the metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnfitEntry {
    /// Its key is refused.
    #[error("has a key that {0}")]
    Key(Unfit),
    /// Its value is refused; with the key.
    #[error("has a value that {}: that of `{}`", .1, Short(.0))]
    Value(String, Unfit),
}

/// Checks an entry of metadata, of extra specs or of QoS specs: its key is 1 to 255 characters, its value 0 to 255.
///
/// # Errors
/// [`UnfitEntry`].
pub fn check_entry(key: &str, value: &str) -> Result<(), UnfitEntry> {
    Text::Word.check(key).map_err(UnfitEntry::Key)?;
    let fits = Text::Words.check(value);
    fits.map_err(|unfit| UnfitEntry::Value(key.to_owned(), unfit))
}

/// Shows the beginning of a text, for a message.
struct Short<'t>(&'t str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 40;
        let text: String = self.0.chars().take(MOST).collect();
        let more = if text.len() < self.0.len() { "…" } else { "" };
        write!(f, "{}{more}", text.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_and_not_bytes() {
        for text in [Text::Words, Text::Word, Text::Name] {
            assert_eq!(text.check(&"ß".repeat(255)), Ok(()));
            assert_eq!(text.check(&"a".repeat(256)), Err(Unfit::TooLong(256)));
        }
    }

    #[test]
    fn words_may_be_anything_and_a_name_little() {
        for (text, word, name) in [
            ("gold", Ok(()), Ok(())),
            ("a b=c", Ok(()), Ok(())),
            ("", Err(Unfit::Empty), Err(Unfit::Empty)),
            (" \t", Err(Unfit::Empty), Err(Unfit::Empty)),
            (" a", Ok(()), Err(Unfit::Padded)),
            ("a\u{3000}", Ok(()), Err(Unfit::Padded)),
            ("a\u{1b}[m", Ok(()), Err(Unfit::Control('\u{1b}'))),
            ("a\u{85}b", Ok(()), Err(Unfit::Control('\u{85}'))),
        ] {
            assert_eq!(Text::Words.check(text), Ok(()), "{text:?}");
            assert_eq!(Text::Word.check(text), word, "{text:?}");
            assert_eq!(Text::Name.check(text), name, "{text:?}");
        }
    }

    #[test]
    fn a_plain_name_has_no_special_characters() {
        for name in ["a", "greet-2.0", "volume:create", "_", &"a".repeat(128)] {
            assert!(is_plain_name(name), "{name}");
        }
        for text in [
            "",
            "a b",
            "a@1",
            "é",
            "a\0",
            "a\u{1b}[m",
            "a/b",
            &"a".repeat(129),
        ] {
            assert!(!is_plain_name(text), "{text:?}");
        }
    }

    #[test]
    fn an_entry_says_which_part_does_not_fit() {
        assert_eq!(check_entry("k", ""), Ok(()));
        assert_eq!(check_entry("", "v"), Err(UnfitEntry::Key(Unfit::Empty)));
        let error = check_entry(&"k\n".repeat(40), &"v".repeat(300)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "has a value that has 300 characters; the most is 255: that of `{}…`",
                "k\\n".repeat(20)
            )
        );
    }
}
