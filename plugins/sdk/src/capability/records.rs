//! Records of the caller's project: JSON documents by key, counters and sequences, in the collections that the operator has set up.
//! [`put`], [`remove`], [`add`] and [`next`] are effects.
//!
//! A flow that puts or removes a record holds its key until the flow ends; another flow that writes the key is answered `Busy`, which a
//! manifest may have tried again: `retry = { attempts = 5, backoff = "100ms", on = ["Busy"] }`.
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
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: T,
    /// The version of the value: no two values that a collection ever had have the same.
    pub version: u64,
}

/// Some of the records of a collection, in the order of their keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The records.
    pub entries: Vec<Entry<T>>,
    /// Where the next page begins; `None` on the last one. A page before the last one may have fewer records than were asked for.
    pub next: Option<String>,
}

/// Gets the record of a key; `None` when this flow sees none.
///
/// # Errors
/// `CollectionNotFound`; `NotGranted` for a collection that the grant does not reach; `InvalidInput` for a text that is no key; `RecordInvalid`
/// for a value that is no `T`.
pub fn get<T: DeserializeOwned>(collection: &str, key: &str) -> Result<Option<Entry<T>>, Error> {
    records::get(collection, key)?.map(entry).transpose()
}

/// Lists the records whose keys begin with `prefix`, at most `limit` of them, from 1 to 1000. `cursor` is [`Page::next`] of the page
/// before.
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

/// Puts a value under a key, in place of the one that is there, and returns its version.
///
/// # Errors
/// `Busy` while another flow holds the key; `VersionConflict` when what is there is not what is expected; `InvalidValue` for a value that
/// does not fit the collection's schema; `LimitExceeded`; `CollectionNotFound`, `NotGranted`, `InvalidInput`.
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
/// `RecordNotFound`; otherwise as [`put`].
pub fn remove(collection: &str, key: &str, expect: Expect) -> Result<(), Error> {
    Ok(records::remove(collection, key, expect)?)
}

/// Adds to a counter.
///
/// # Errors
/// `Bounds` when it would leave its bounds; `Busy` when that hangs on flows that have not ended; `CounterNotFound`, `CollectionNotFound`,
/// `NotGranted`.
pub fn add(collection: &str, counter: &str, delta: i64) -> Result<(), Error> {
    Ok(records::add(collection, counter, delta)?)
}

/// Reads a counter: what flows that have ended have made of it, without what this flow has added.
///
/// # Errors
/// `CounterNotFound`, `CollectionNotFound`, `NotGranted`.
pub fn count(collection: &str, counter: &str) -> Result<i64, Error> {
    Ok(records::count(collection, counter)?)
}

/// Gets the next number of a sequence: greater than any that it gave before. It is never given back.
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
