//! Records of the caller's project: JSON documents by key, counters and sequences, in the collections that the operator has configured.
//! [`put`], [`remove`], [`add`] and [`next`] are effects.
//!
//! A flow that puts or removes a record locks its key until the flow ends. A write of the key by another flow fails with `Busy`, which a
//! manifest can retry: `retry = { attempts = 5, backoff = "100ms", on = ["Busy"] }`.
//!
//! ```
//! use cairn_plugin::records::{self, Expect};
//! use cairn_plugin::testing::FakeHost;
//! use serde_json::json;
//!
//! let host = FakeHost::new()
//!     .answer("records.next", json!(7))
//!     .answer("records.put", json!(1));
//! host.run(|| {
//!     let number = records::next("names", "numbers").unwrap();
//!     let key = format!("host-{number}");
//!     records::put("names", &key, &json!({"number": number}), Expect::Absent).unwrap();
//!     records::add("names", "taken", 1).unwrap();
//! });
//! host.assert_effects(&[
//!     ("records.next", json!({"collection": "names", "sequence": "numbers"})),
//!     ("records.put", json!({"collection": "names", "key": "host-7", "value": {"number": 7}, "expect": "absent"})),
//!     ("records.add", json!({"collection": "names", "counter": "taken", "delta": 1})),
//! ]);
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
pub use crate::bindings::cairn::plugin::records::Expect;
use crate::host::records;

/// A record as this flow sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<T> {
    /// The record's key.
    pub key: String,
    /// The record's value.
    pub value: T,
    /// The version of the value. A collection never uses a version twice.
    pub version: u64,
}

/// A page of the records of a collection, in the order of their keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The records.
    pub entries: Vec<Entry<T>>,
    /// The cursor of the next page; `None` on the last page. A page before the last may hold fewer records than the limit.
    pub next: Option<String>,
}

/// Returns the record of a key; `None` when this flow sees none.
///
/// # Errors
/// `CollectionNotFound`; `NotGranted` for a collection outside the grant; `InvalidInput` for an invalid key; `RecordInvalid` when the value
/// does not deserialize as `T`.
pub fn get<T: DeserializeOwned>(collection: &str, key: &str) -> Result<Option<Entry<T>>, Error> {
    records::get(collection, key)?.map(entry).transpose()
}

/// Lists the records whose keys begin with `prefix`, at most `limit` of them, from 1 to 1000. `cursor` is [`Page::next`] of the previous
/// page.
///
/// # Errors
/// As [`get`].
pub fn list<T: DeserializeOwned>(
    collection: &str,
    prefix: &str,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<T>, Error> {
    let page = records::list(collection, prefix, cursor, limit)?;
    Ok(Page {
        entries: page
            .entries
            .into_iter()
            .map(entry)
            .collect::<Result<_, _>>()?,
        next: page.next,
    })
}

/// Writes a value under a key, replacing the present one, and returns its version.
///
/// # Errors
/// `Busy` while another flow locks the key; `VersionConflict` when `expect` does not hold; `InvalidValue` for a value that violates the
/// collection's schema; `LimitExceeded`; `CollectionNotFound`, `NotGranted`, `InvalidInput`.
pub fn put<T: Serialize + ?Sized>(
    collection: &str,
    key: &str,
    value: &T,
    expect: Expect,
) -> Result<u64, Error> {
    let value = serde_json::to_string(value).map_err(|error| {
        Error::new(
            "InvalidInput",
            format!("the value for `{key}` is no JSON: {error}"),
        )
    })?;
    Ok(records::put(collection, key, &value, expect)?)
}

/// Removes the record of a key.
///
/// # Errors
/// `RecordNotFound`; otherwise as for [`put`].
pub fn remove(collection: &str, key: &str, expect: Expect) -> Result<(), Error> {
    Ok(records::remove(collection, key, expect)?)
}

/// Adds to a counter.
///
/// # Errors
/// `Bounds` when the addition cannot fit; `Busy` when it may fit after other open flows have ended; `CounterNotFound`,
/// `CollectionNotFound`, `NotGranted`.
pub fn add(collection: &str, counter: &str, delta: i64) -> Result<(), Error> {
    Ok(records::add(collection, counter, delta)?)
}

/// Returns the value of a counter as of the flows that have ended. Excludes the additions of this flow.
///
/// # Errors
/// `CounterNotFound`, `CollectionNotFound`, `NotGranted`.
pub fn count(collection: &str, counter: &str) -> Result<i64, Error> {
    Ok(records::count(collection, counter)?)
}

/// Returns the next number of a sequence: greater than all numbers before. Numbers are not returned when the flow fails.
///
/// # Errors
/// `SequenceNotFound`, `CollectionNotFound`, `NotGranted`.
pub fn next(collection: &str, sequence: &str) -> Result<u64, Error> {
    Ok(records::next(collection, sequence)?)
}

fn entry<T: DeserializeOwned>(entry: records::Entry) -> Result<Entry<T>, Error> {
    let value = serde_json::from_str(&entry.value).map_err(|error| {
        let message = format!(
            "the value of `{}` is not of the type that is asked for: {error}",
            entry.key
        );
        Error::new("RecordInvalid", message).with("key", entry.key.as_str())
    })?;
    Ok(Entry {
        key: entry.key,
        value,
        version: entry.version,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::FakeHost;

    #[test]
    fn a_record_is_read_as_a_type_of_the_plugins_own() {
        let entry = json!({"key": "a", "value": [1, 2], "version": 3});
        let host = FakeHost::new()
            .answer("records.get", entry.clone())
            .answer("records.list", json!({"entries": [entry], "next": "b"}));
        host.run(|| {
            let found = get::<Vec<u8>>("c", "a").unwrap().unwrap();
            assert_eq!((found.value, found.version), (vec![1, 2], 3));
            let wrong = get::<String>("c", "a").unwrap_err();
            assert!(wrong.is("RecordInvalid"), "{wrong}");
            let page = list::<Value>("c", "", None, 10).unwrap();
            assert_eq!((page.entries.len(), page.next.as_deref()), (1, Some("b")));
        });
    }

    #[test]
    fn nothing_is_found_where_the_fake_host_was_told_nothing() {
        FakeHost::new().run(|| {
            assert_eq!(get::<Value>("c", "a").unwrap(), None);
            assert_eq!(list::<Value>("c", "", None, 1).unwrap().entries, []);
            assert_eq!(count("c", "n").unwrap(), 0);
            remove("c", "a", Expect::Version(2)).unwrap();
        });
    }
}
