//! JSON values, and content digests.

pub mod number;

use std::fmt;
use std::str::FromStr;

use serde::de::{self, DeserializeSeed as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::map::Entry;
use sha2::{Digest as _, Sha256};

use number::Doubles;

/// One JSON value.
pub type Value = serde_json::Value;

/// One JSON object.
pub type Object = serde_json::Map<String, Value>;

/// Digits shown of a refused number.
const MAX_SHOWN: usize = 40;

/// Parses one JSON document; every document from a person or a plugin is parsed here. Skips a byte order mark. Unlike
/// `serde_json` alone, it refuses an object that repeats a key, and a number that would be changed: a whole number that does
/// not fit in 64 bits, or another with more digits than a double has.
///
/// # Errors
/// When `text` is not JSON, nests deeper than 128, repeats a key, or holds such a number: see [`refused`].
pub fn parse(text: &str) -> serde_json::Result<Value> {
    let text = without_bom(text);
    let doubles = Doubles::of(text);
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict(&doubles).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Removes the byte order mark that some editors put at the start of a file.
pub fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Describes why [`parse`] refused a document; `what` names the document.
pub fn refused(what: &str, error: &serde_json::Error) -> String {
    match error.is_data() {
        true => format!("{what} cannot be taken: {error}"),
        false => format!("{what} is no JSON: {error}"),
    }
}

/// Returns the JSON text of a value: as its `Display`, but written directly to a string.
pub fn text(value: &Value) -> String {
    serde_json::to_string(value).expect("the keys of a value's objects are strings")
}

/// Serializes a shared value as the value itself, for `#[serde(with)]`.
pub mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Value;

    /// Writes the value.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Arc<Value>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().serialize(serializer)
    }

    /// Reads a value.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Value>, D::Error> {
        Value::deserialize(deserializer).map(Arc::new)
    }
}

/// Deserializes a value; refuses repeated keys, and numbers that would be changed.
#[derive(Clone, Copy)]
struct Strict<'d, 't>(&'d Doubles<'t>);

impl<'de> de::DeserializeSeed<'de> for Strict<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Strict<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let written = self.0.next();
        if number::is_kept(written, value) {
            return Ok(value.into());
        }
        let shown = &written[..written.len().min(MAX_SHOWN)];
        let more = if shown.len() < written.len() {
            "…"
        } else {
            ""
        };
        Err(E::custom(format_args!(
            "the number {shown}{more} has more digits than are kept (64 bits, or a double): write it as text, in quotes,"
        )))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Object::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self)?;
            match object.entry(key) {
                Entry::Vacant(entry) => entry.insert(value),
                Entry::Occupied(entry) => {
                    let key = entry.key();
                    return Err(de::Error::custom(format_args!(
                        "the key {key:?} stands twice"
                    )));
                }
            };
        }
        Ok(Value::Object(object))
    }
}

/// A SHA-256 digest, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the digest of a value's JSON text. Object keys are sorted by `serde_json`, so equal values have equal digests.
    pub fn of_json(value: &impl Serialize) -> serde_json::Result<Self> {
        // Through `Value`, whose maps are ordered, so that a struct's field order does not matter.
        let value = serde_json::to_value(value)?;
        Ok(Self::of(text(&value).as_bytes()))
    }
}

/// Computes the digest of bytes that come in pieces.
#[derive(Clone, Default)]
pub struct DigestWriter(Sha256);

impl DigestWriter {
    /// Adds a piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Returns the digest of all pieces.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The text is not a SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no SHA-256 digest: 64 hexadecimal digits are expected")]
pub struct ParseDigestError(String);

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || ParseDigestError(text.to_owned());
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let mut digest = [0; 32];
        for (byte, digits) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| invalid())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| invalid())?;
        }
        Ok(Self(digest))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_what_it_writes() {
        let digest = Digest::of(b"stone");
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    #[test]
    fn pieces_have_the_digest_of_the_whole() {
        let mut pieces = DigestWriter::default();
        pieces.update(b"st");
        pieces.update(b"one");
        assert_eq!(pieces.finish(), Digest::of(b"stone"));
    }

    #[test]
    fn text_that_is_no_digest_is_refused() {
        for text in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_document_is_read_as_serde_json_reads_it_but_for_repeated_keys() {
        for text in [
            "null",
            "[1,-2,3.5,true,\"x\"]",
            r#"{"a":{"b":[]},"c":18446744073709551615}"#,
        ] {
            assert_eq!(
                parse(text).unwrap(),
                serde_json::from_str::<Value>(text).unwrap()
            );
        }
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        for text in [
            "",
            "{",
            "[1] 2",
            r#"{"a":1,"a":1}"#,
            r#"{"x":[{"a":1,"a":1}]}"#,
            &deep,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_that_would_be_changed_is_refused_with_its_place() {
        let error = parse("{\n \"a\": [0.5, 12345678901234567890123]}").unwrap_err();
        assert!(error.is_data());
        let message = refused("the request", &error);
        assert!(
            message.contains("cannot be taken: the number 12345678901234567890123 has"),
            "{message}"
        );
        assert!(message.ends_with("at line 2 column 35"), "{message}");
        let long = format!("[{}]", "9".repeat(300));
        let message = parse(&long).unwrap_err().to_string();
        assert!(message.contains(&format!("{}…", "9".repeat(MAX_SHOWN))) && message.len() < 300);
    }

    #[test]
    fn a_number_is_written_as_it_was_read() {
        for number in [
            "0.30000000000000004",
            "-1.5",
            "18446744073709551615",
            "-9223372036854775808",
            "5e-324",
            "123456789012345.67",
        ] {
            assert_eq!(text(&parse(number).unwrap()), number);
        }
    }

    #[test]
    fn one_byte_order_mark_is_skipped() {
        assert_eq!(
            parse("\u{feff}{\"a\": 1}").unwrap(),
            serde_json::json!({"a": 1})
        );
        assert!(parse("\u{feff}\u{feff}1").is_err() && parse("1\u{feff}").is_err());
    }

    #[test]
    fn the_text_of_a_value_is_what_it_displays() {
        let value = serde_json::json!({"b": [1, -2.5, null, true], "a": {"é\n\"": "\u{1}"}});
        assert_eq!(text(&value), value.to_string());
        assert_eq!(parse(&text(&value)).unwrap(), value);
    }

    #[test]
    fn equal_values_have_equal_digests() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":2}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"b":2,"a":1}"#).unwrap();
        assert_eq!(
            Digest::of_json(&one).unwrap(),
            Digest::of_json(&two).unwrap()
        );
    }
}
