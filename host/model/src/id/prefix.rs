use std::str::FromStr;

use uuid::Uuid;

/// Number of digits of a UUID.
const DIGITS: usize = 32;

/// Positions of the hyphens in the text of a UUID.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// The beginning of a UUID, or all of it, as a person may write an id.
///
/// It has 8 to 32 hexadecimal digits in either case, with the hyphens of a UUID or without any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPrefix {
    /// In lower case, without hyphens.
    digits: String,
}

/// Why a text is not the beginning of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAPrefix {
    /// It has characters that a UUID lacks, or has them elsewhere, or is longer.
    #[error("an id has 32 hexadecimal digits, as in 01a20616-1920-776a-9907-780232c46d47")]
    NotAnId,
    /// It has too few digits.
    #[error("write at least {} characters of the id", IdPrefix::SHORTEST)]
    TooShort,
}

impl IdPrefix {
    /// The minimum number of digits.
    pub const SHORTEST: usize = 8;

    /// Returns the lowest and the highest id that begin with it.
    pub fn range(&self) -> (Uuid, Uuid) {
        let filled = |digit: char| {
            let digits = self.digits.chars().chain(std::iter::repeat(digit));
            digits.take(DIGITS).fold(0, |number: u128, digit| {
                number << 4 | u128::from(digit.to_digit(16).unwrap_or(0))
            })
        };
        (Uuid::from_u128(filled('0')), Uuid::from_u128(filled('f')))
    }

    /// Returns the id, if the prefix is complete.
    pub fn whole(&self) -> Option<Uuid> {
        let (lowest, highest) = self.range();
        (lowest == highest).then_some(lowest)
    }
}

/// As the text of a UUID begins, with hyphens.
impl std::fmt::Display for IdPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.range().0.to_string();
        let hyphens = [8, 12, 16, 20].iter();
        let hyphens = hyphens.filter(|at| self.digits.len() > **at).count();
        f.write_str(&text[..self.digits.len() + hyphens])
    }
}

impl FromStr for IdPrefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let hyphenated = text.contains('-');
        let mut digits = String::with_capacity(DIGITS);
        for (at, c) in text.chars().enumerate() {
            match c {
                '-' if HYPHENS.contains(&at) => {}
                _ if hyphenated && HYPHENS.contains(&at) => return Err(NotAPrefix::NotAnId),
                '0'..='9' | 'a'..='f' | 'A'..='F' if digits.len() < DIGITS => {
                    digits.push(c.to_ascii_lowercase());
                }
                _ => return Err(NotAPrefix::NotAnId),
            }
        }
        if digits.len() < Self::SHORTEST {
            return Err(NotAPrefix::TooShort);
        }
        Ok(Self { digits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a20616-1920-776a-9907-780232c46d47";

    #[test]
    fn a_prefix_is_read_with_hyphens_and_without() {
        for (text, shown) in [
            ("01a20616", "01a20616"),
            ("01A20616-", "01a20616"),
            ("01a20616-1", "01a20616-1"),
            ("01a206161", "01a20616-1"),
            ("01a206161920776a", "01a20616-1920-776a"),
            ("01a20616-1920-776a-", "01a20616-1920-776a"),
            (ID, ID),
            ("01a206161920776a9907780232c46d47", ID),
        ] {
            let prefix: IdPrefix = text.parse().unwrap();
            assert_eq!(prefix.to_string(), shown, "{text}");
            let (lowest, highest) = prefix.range();
            let id: Uuid = ID.parse().unwrap();
            assert!(lowest <= id && id <= highest, "{text}");
            assert_eq!(prefix.whole().is_some(), shown == ID, "{text}");
        }
    }

    #[test]
    fn what_begins_no_id_is_refused() {
        for (text, why) in [
            ("", NotAPrefix::TooShort),
            ("01a2061", NotAPrefix::TooShort),
            ("01a2061-", NotAPrefix::NotAnId),
            ("01a2-0616", NotAPrefix::NotAnId),
            ("01a2061619-20", NotAPrefix::NotAnId),
            ("01a206161920-776a", NotAPrefix::NotAnId),
            ("volume-1", NotAPrefix::NotAnId),
            ("01a20616ü", NotAPrefix::NotAnId),
            ("01a20616-1920-776a-9907-780232c46d470", NotAPrefix::NotAnId),
        ] {
            assert_eq!(text.parse::<IdPrefix>(), Err(why), "{text}");
        }
    }
}
