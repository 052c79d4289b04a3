//! Distributed traces, as W3C's [Trace Context](https://www.w3.org/TR/trace-context/) names them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The trace that a request belongs to, and the span of its sender: what the header `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The sender's span.
    pub parent_id: SpanId,
    /// Whether the trace is recorded. A sender that does not record it says so to all that come after it.
    pub is_sampled: bool,
}

impl TraceContext {
    /// Makes the context of the first span of a trace, whose sender is that span itself.
    pub fn root(trace_id: TraceId, span: SpanId, sample: Sample) -> Self {
        Self {
            trace_id,
            parent_id: span,
            is_sampled: sample.takes(trace_id),
        }
    }

    /// Returns the context of what is asked for from within a span of this trace.
    #[must_use]
    pub fn within(self, span: SpanId) -> Self {
        Self {
            parent_id: span,
            ..self
        }
    }
}

/// The share of the traces that begin here which are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Of a million.
    share: u32,
}

impl Sample {
    /// All traces.
    pub const ALL: Self = Self { share: MILLION };

    /// Takes a share from 0 to 1; `None` of any other number.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and a million"
    )]
    pub fn of(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then(|| Self {
            share: (share * f64::from(MILLION)).round() as u32,
        })
    }

    /// Returns whether a trace is recorded. Every process decides the same, by the last 4 bytes of the id: those of a flow's id are random.
    pub fn takes(self, trace: TraceId) -> bool {
        let random = trace.0 & u128::from(u32::MAX);
        random * u128::from(MILLION) < u128::from(self.share) << 32
    }
}

const MILLION: u32 = 1_000_000;

/// Writes the header `traceparent`, version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled);
        write!(f, "00-{}-{}-{flags:02x}", self.trace_id, self.parent_id)
    }
}

/// A text that is no `traceparent`. The specification asks for a receiver to go on as if there were none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`traceparent` is VERSION-TRACE-SPAN-FLAGS in lower-case hexadecimal digits, 2, 32, 16 and 2 of them, and no id is zero"
)]
pub struct NotATraceparent;

/// Reads the header `traceparent` of any version, of whose later ones only the part that version 00 has is read.
impl FromStr for TraceContext {
    type Err = NotATraceparent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(5, '-');
        let mut part = |digits| {
            let part = parts.next().filter(|part| part.len() == digits);
            part.and_then(hex).ok_or(NotATraceparent)
        };
        let (version, trace_id, parent_id, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let has_more = parts.next().is_some();
        if version == 0xff || (version == 0 && has_more) || trace_id == 0 || parent_id == 0 {
            return Err(NotATraceparent);
        }
        Ok(Self {
            trace_id: TraceId(trace_id),
            parent_id: SpanId(u64::try_from(parent_id).map_err(|_| NotATraceparent)?),
            is_sampled: flags & 1 == 1,
        })
    }
}

/// Reads lower-case hexadecimal digits, at most 32.
fn hex(text: &str) -> Option<u128> {
    let is_lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.bytes().all(is_lower))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

/// Text of an id, of this many hexadecimal digits.
fn id<'de, D: Deserializer<'de>>(reader: D, digits: usize) -> Result<u128, D::Error> {
    let text = String::deserialize(reader)?;
    let read = hex(&text).filter(|id| text.len() == digits && *id != 0);
    read.ok_or_else(|| serde::de::Error::custom(format!("{digits} hexadecimal digits")))
}

/// The id of a trace: 32 hexadecimal digits, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

impl TraceId {
    /// Takes an id, which must not be zero.
    pub(crate) const fn new(id: u128) -> Self {
        Self(id)
    }

    /// Returns its bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        writer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceId {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        id(reader, 32).map(Self)
    }
}

/// The id of a span: 16 hexadecimal digits, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

impl SpanId {
    /// Computes the id of a span of this kind from what it is a span of.
    pub fn derived(kind: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix(kind);
        parts.iter().for_each(|part| hash.update(part));
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1))
    }

    /// Returns its bytes.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for SpanId {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        writer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SpanId {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let id = id(reader, 16)?;
        u64::try_from(id)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let context: TraceContext = SENT.parse().unwrap();
        assert!(context.is_sampled);
        assert_eq!(context.to_string(), SENT);
        let unsampled = SENT.replace("-01", "-00");
        assert_eq!(
            unsampled.parse::<TraceContext>().unwrap().to_string(),
            unsampled
        );
        // Other flags are not passed on: their meaning is not known.
        let flagged = SENT.replace("-01", "-ff").parse::<TraceContext>().unwrap();
        assert_eq!(flagged.to_string(), SENT);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = SENT.replacen("00", "cc", 1);
        for text in [later.clone(), format!("{later}-what-will-be")] {
            assert_eq!(text.parse::<TraceContext>().unwrap().to_string(), SENT);
        }
    }

    #[test]
    fn other_texts_are_no_traceparent() {
        let refused = [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ];
        for text in refused {
            assert_eq!(text.parse::<TraceContext>(), Err(NotATraceparent), "{text}");
        }
    }

    #[test]
    fn a_context_is_kept_as_json() {
        let context: TraceContext = SENT.parse().unwrap();
        let text = serde_json::to_string(&context).unwrap();
        assert_eq!(
            text,
            r#"{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","parent_id":"00f067aa0ba902b7","is_sampled":true}"#
        );
        assert_eq!(
            serde_json::from_str::<TraceContext>(&text).unwrap(),
            context
        );
        for damaged in [
            text.replace("4bf", "0x"),
            text.replace("00f0", "f0"),
            text.replace("00f067aa0ba902b7", "0000000000000000"),
        ] {
            assert!(
                serde_json::from_str::<TraceContext>(&damaged).is_err(),
                "{damaged}"
            );
        }
    }
}
