//! Keys of rows.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use smallvec::SmallVec;

/// The key of a row: one text for each column of the key. In JSON a key of one text is that text, a longer one a list of texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(from = "WrittenKey")]
pub struct Key(pub SmallVec<[Arc<str>; 2]>);

impl Key {
    /// Returns its approximate size in memory, in bytes.
    pub fn size(&self) -> usize {
        let texts = self.0.iter().map(|text| 32 + text.len());
        64 + texts.sum::<usize>()
    }

    /// Returns the first text: the id, where the key is one.
    pub fn first(&self) -> &str {
        self.0.first().map_or("", |text| text)
    }
}

impl From<&str> for Key {
    fn from(id: &str) -> Self {
        Self::from(Arc::<str>::from(id))
    }
}

impl From<Arc<str>> for Key {
    fn from(id: Arc<str>) -> Self {
        Self(SmallVec::from_iter([id]))
    }
}

impl From<[Arc<str>; 2]> for Key {
    fn from(texts: [Arc<str>; 2]) -> Self {
        Self(texts.into())
    }
}

impl From<[String; 2]> for Key {
    fn from(texts: [String; 2]) -> Self {
        Self::from(texts.map(Arc::from))
    }
}

/// Writes the texts, separated by slashes.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, text) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("/")?;
            }
            f.write_str(text)?;
        }
        Ok(())
    }
}

/// A [`Key`] in JSON.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenKey {
    One(String),
    Several(Vec<String>),
}

impl From<WrittenKey> for Key {
    fn from(key: WrittenKey) -> Self {
        match key {
            WrittenKey::One(text) => Self::from(Arc::from(text)),
            WrittenKey::Several(texts) => Self(texts.into_iter().map(Arc::from).collect()),
        }
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => serializer.serialize_str(one),
            several => serializer.collect_seq(several.iter().map(|text| &**text)),
        }
    }
}
