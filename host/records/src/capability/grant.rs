//! Grants of records: `true`, or a table that narrows the grant to some collections or to reading.

use std::collections::BTreeSet;

use cairn_manifest::document::Item;
use cairn_manifest::manifest::{Grant, GrantKind, read_names};
use cairn_model::error::Diagnostic;
use cairn_model::value::{Object, Value};

/// The key of a grant's list of collections.
const COLLECTIONS: &str = "collections";

/// The key of a grant that only allows reading. A grant that allows writing lacks it, so that equal grants are equal JSON.
const ACCESS: &str = "access";

/// The access of a plugin to the collections of its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Get, list and count.
    Read,
    /// All functions.
    Write,
}

/// The capability of records.
#[derive(Clone, Copy, Debug)]
pub struct Records;

impl Records {
    /// Returns the access that a grant allows.
    pub fn access(grant: &Grant) -> Access {
        match grant.as_json().get(ACCESS) {
            None => Access::Write,
            Some(_) => Access::Read,
        }
    }

    /// Returns whether a grant includes a collection.
    pub fn reaches(grant: &Grant, collection: &str) -> bool {
        grant.reaches(COLLECTIONS, collection)
    }

    fn grant(collections: Option<BTreeSet<String>>, access: Access) -> Grant {
        let mut json = Object::new();
        if access == Access::Read {
            json.insert(ACCESS.to_owned(), "read".into());
        }
        if let Some(names) = collections {
            json.insert(COLLECTIONS.to_owned(), names.into_iter().collect());
        }
        Grant::from_json(json)
    }
}

impl GrantKind for Records {
    fn name(&self) -> &str {
        "records"
    }

    fn interfaces(&self) -> &[&str] {
        &["cairn:plugin/records"]
    }

    fn functions(&self) -> &[&str] {
        &["get", "list", "put", "remove", "add", "count", "next"]
    }

    fn parse(&self, item: &Item<'_>) -> Result<Option<Grant>, Diagnostic> {
        const EXAMPLE: &str =
            "write `records = true`, or `records = { collections = [\"dns\"], access = \"read\" }`";
        if let Some(granted) = item.as_bool() {
            return Ok(granted.then(Grant::all));
        }
        let Some(table) = item.as_table() else {
            let error = item.error("must be true, false, or a table that narrows the grant");
            return Err(error.help(EXAMPLE));
        };
        let table = table.only(&[COLLECTIONS, ACCESS])?;
        let (collections, access) = (table.get(COLLECTIONS), table.get(ACCESS));
        if collections.is_none() && access.is_none() {
            return Err(item.error("narrows nothing").help(EXAMPLE));
        }
        let access = match access {
            None => Access::Write,
            Some(item) => match item.text()? {
                "read" => Access::Read,
                "write" => Access::Write,
                other => {
                    let error = item.error(format!("is `{}`", other.escape_debug()));
                    return Err(error.help("write \"read\" or \"write\""));
                }
            },
        };
        let collections = collections.map(|names| read_names(&names)).transpose()?;
        Ok(Some(Self::grant(collections, access)))
    }

    fn within(&self, one: &Grant, other: &Grant) -> Option<Grant> {
        let both = one.within(other, COLLECTIONS)?;
        let names = both.as_json().get(COLLECTIONS).and_then(Value::as_array);
        let names = names.map(|names| {
            let names = names.iter().filter_map(Value::as_str);
            names.map(str::to_owned).collect()
        });
        let access = Self::access(one).min(Self::access(other));
        Some(Self::grant(names, access))
    }
}
