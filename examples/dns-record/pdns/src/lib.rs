//! Addresses of hosts in a zone of PowerDNS.
//!
//! PowerDNS has no ids for its records, so each carries the object's id as a comment, which is written in the same transaction as the record. By
//! it a record is found again.
//!
//! Nor can PowerDNS refuse a request that comes late: one that was under way when its host died, or whose connection broke. So no record is
//! said to be absent, after it may have been asked for, before the time is over that a request takes at most.

mod api;
mod wire;

use std::net::IpAddr;
use std::time::Duration;

use cairn_plugin::{ActError, Error, External, ExternalObject, Presence, error, log};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use api::{Change, Record, Zone};

/// The settings in the manifest.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pdns {
    /// The server in the API, as in `http://127.0.0.1:8081/api/v1/servers/localhost`.
    url: String,
    /// The zone, with the full stop at its end.
    zone: String,
    /// Seconds for which resolvers keep a record.
    #[serde(default = "five_minutes")]
    ttl: u32,
    /// Seconds that no request takes at PowerDNS, also one whose connection broke.
    #[serde(default = "five_seconds")]
    settle: u32,
}

fn five_minutes() -> u32 {
    300
}

fn five_seconds() -> u32 {
    5
}

/// What tasks ask for.
#[derive(Deserialize)]
struct Spec {
    /// The name of the host in the zone, one label.
    name: String,
    address: IpAddr,
}

/// What tasks are told about a record.
#[derive(Debug, PartialEq, Serialize)]
struct Made {
    /// The object's name, by which another flow removes it.
    id: String,
    fqdn: String,
    address: String,
}

impl Pdns {
    fn zone(&self) -> Zone<'_> {
        Zone {
            url: &self.url,
            name: &self.zone,
        }
    }

    /// Waits until a request that was sent before has ended at PowerDNS.
    fn settle(&self) {
        std::thread::sleep(Duration::from_secs(self.settle.into()));
    }
}

impl External for Pdns {
    type Spec = Spec;
    type Made = Made;

    fn look(&self, object: &ExternalObject) -> Result<Presence<Made>, Error> {
        Ok(match self.zone().find(&object.id)? {
            Some(record) => Presence::Whole(Made {
                id: object.id.clone(),
                fqdn: record.name,
                address: record.content,
            }),
            None => Presence::Absent,
        })
    }

    fn make(&self, object: &ExternalObject, spec: Spec) -> Result<Made, ActError> {
        if object.kind != "record" {
            let error = error!(
                "InvalidInput",
                "objects of the kind `{}` are unknown; ask for a `record`", object.kind
            );
            return Err(ActError::Refused(error));
        }
        if !is_label(&spec.name) {
            let error = error!(
                "InvalidInput",
                "`name` is no label: write 1 to 63 lower-case letters, digits and hyphens"
            );
            return Err(ActError::Refused(error));
        }
        let record = Record {
            name: format!("{}.{}", spec.name, self.zone),
            kind: if spec.address.is_ipv4() { "A" } else { "AAAA" }.to_owned(),
            content: spec.address.to_string(),
            id: object.id.clone(),
        };
        // Nothing was changed yet. PowerDNS would replace the records of another object.
        let there = self
            .zone()
            .records(&record.name)
            .map_err(ActError::Refused)?;
        if there.iter().any(|other| other.id != object.id) {
            let error = error!("NameTaken", "there is a record of the name {}", record.name);
            return Err(ActError::Refused(error));
        }
        let changed = self
            .zone()
            .change(Change::Replace { ttl: self.ttl }, &record);
        if let Err(ActError::Unsure(_)) = &changed {
            self.settle();
        }
        changed?;
        log::info(format!("made {}", record.name));
        Ok(Made {
            id: record.id,
            fqdn: record.name,
            address: record.content,
        })
    }

    fn remove(&self, object: &ExternalObject) -> Result<(), ActError> {
        // An error of `find` changes nothing, but it is not known whether there is a record.
        let mut found = self.zone().find(&object.id)?;
        if found.is_none() {
            self.settle();
            found = self.zone().find(&object.id)?;
        }
        let Some(record) = found else { return Ok(()) };
        self.zone().change(Change::Delete, &record)?;
        log::info(format!("removed {}", record.name));
        Ok(())
    }

    fn list(&self, _kind: &str, _after: Option<&str>) -> Result<Vec<String>, Error> {
        self.zone().ids()
    }
}

fn is_label(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(fits)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

cairn_plugin::export_external!(Pdns);

#[cfg(test)]
mod tests;
