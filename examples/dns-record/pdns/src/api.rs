//! The part of PowerDNS's API that the provider uses: <https://doc.powerdns.com/authoritative/http-api/>.

use cairn_plugin::{ActError, Error, error};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::wire::{self, Answer};

/// Marks the comments with ids.
const ACCOUNT: &str = "cairn";

/// A zone of a server.
pub struct Zone<'a> {
    /// The URL of the server in the API.
    pub url: &'a str,
    pub name: &'a str,
}

/// A record with the id of its object; an empty one if an operator made the record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub name: String,
    pub kind: String,
    pub content: String,
    pub id: String,
}

/// What is done to a record.
pub enum Change {
    Replace { ttl: u32 },
    Delete,
}

#[derive(Deserialize)]
struct Contents {
    rrsets: Vec<RrSet>,
}

/// The records of one name and type.
#[derive(Deserialize)]
struct RrSet {
    name: String,
    r#type: String,
    records: Vec<Content>,
    comments: Vec<Comment>,
}

#[derive(Deserialize)]
struct Content {
    content: String,
}

#[derive(Deserialize)]
struct Comment {
    account: String,
    content: String,
}

/// A comment that a search found.
#[derive(Deserialize)]
struct Found {
    name: String,
    zone: String,
}

impl RrSet {
    fn id(&self) -> &str {
        let own = self
            .comments
            .iter()
            .find(|comment| comment.account == ACCOUNT);
        own.map_or("", |comment| &comment.content)
    }
}

impl Zone<'_> {
    /// Finds the record of an object.
    pub fn find(&self, id: &str) -> Result<Option<Record>, Error> {
        let search = format!(
            "{}/search-data?q={id}&max=100&object_type=comment",
            self.url
        );
        let found: Vec<Found> = read(&search)?;
        for comment in found.iter().filter(|comment| comment.zone == self.name) {
            let records = self.records(&comment.name)?;
            if let Some(record) = records.into_iter().find(|record| record.id == id) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Returns the records of a name.
    pub fn records(&self, name: &str) -> Result<Vec<Record>, Error> {
        let contents: Contents = read(&format!("{}?rrset_name={name}", self.path()))?;
        // Asked for one name, PowerDNS 4.7 also tells comments of other names, in sets without records.
        let sets = contents.rrsets.iter().flat_map(|set| {
            set.records.iter().map(|record| Record {
                name: set.name.clone(),
                kind: set.r#type.clone(),
                content: record.content.clone(),
                id: set.id().to_owned(),
            })
        });
        Ok(sets.collect())
    }

    /// Returns the ids of all objects.
    pub fn ids(&self) -> Result<Vec<String>, Error> {
        let contents: Contents = read(&self.path())?;
        let ids = contents
            .rrsets
            .iter()
            .map(RrSet::id)
            .filter(|id| !id.is_empty());
        Ok(ids.map(str::to_owned).collect())
    }

    /// Changes the records of a name and type, and their comment, in one transaction.
    pub fn change(&self, change: Change, record: &Record) -> Result<(), ActError> {
        let mut set = json!({"name": record.name, "type": record.kind});
        match change {
            Change::Delete => set["changetype"] = "DELETE".into(),
            Change::Replace { ttl } => {
                set["changetype"] = "REPLACE".into();
                set["ttl"] = ttl.into();
                set["records"] = json!([{"content": record.content, "disabled": false}]);
                set["comments"] = json!([{"content": record.id, "account": ACCOUNT}]);
            }
        }
        let answer = wire::send("PATCH", &self.path(), Some(&json!({"rrsets": [set]})))?;
        match answer.status {
            204 => Ok(()),
            // It says so before it changes anything.
            400..=499 => Err(ActError::Refused(failed(&answer))),
            _ => Err(ActError::Unsure(failed(&answer))),
        }
    }

    fn path(&self) -> String {
        format!("{}/zones/{}", self.url, self.name)
    }
}

fn read<T: DeserializeOwned>(url: &str) -> Result<T, Error> {
    let answer = wire::send("GET", url, None).map_err(|error| error.error().clone())?;
    match answer.status {
        200 => serde_json::from_str(&answer.body).map_err(|error| {
            error!(
                "NotUnderstood",
                "PowerDNS answers what was not expected: {error}"
            )
        }),
        _ => Err(failed(&answer)),
    }
}

/// Describes an answer, by the text in it if there is one.
fn failed(answer: &Answer) -> Error {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    match body["error"].as_str() {
        Some(text) => error!("PowerDns", "PowerDNS answers {}: {text}", answer.status),
        None => error!("PowerDns", "PowerDNS answers {}", answer.status),
    }
}
