//! A provider whose objects are those that its settings name, whatever it is asked to do. So each manifest shows it at another moment.

use cairn_plugin::{ActError, Error, External, ExternalObject, Presence, error};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shelf {
    /// The ids of the objects.
    #[serde(default)]
    there: Vec<String>,
    /// Whether every object is there, though it is not listed.
    #[serde(default)]
    everything: bool,
    /// Its words when it does not answer.
    silent: Option<String>,
    /// Its words when it refuses an act.
    refuses: Option<String>,
    /// Whether an act takes longer than it may.
    #[serde(default)]
    slow: bool,
}

impl Shelf {
    fn answers(&self) -> Result<(), Error> {
        match &self.silent {
            Some(words) => Err(error!("NoAnswer", "{words}")),
            None => Ok(()),
        }
    }

    fn acts(&self) -> Result<(), ActError> {
        if self.slow {
            std::thread::sleep(std::time::Duration::from_secs(3_600));
        }
        match &self.refuses {
            Some(words) => Err(ActError::Refused(error!("Busy", "{words}"))),
            None => Ok(()),
        }
    }
}

impl External for Shelf {
    type Spec = Value;
    type Made = Value;

    fn look(&self, object: &ExternalObject) -> Result<Presence<Value>, Error> {
        self.answers()?;
        Ok(match self.everything || self.there.contains(&object.id) {
            true => Presence::Whole(json!({"shelf": object.kind})),
            false => Presence::Absent,
        })
    }

    fn make(&self, _: &ExternalObject, spec: Value) -> Result<Value, ActError> {
        self.acts()?;
        Ok(spec)
    }

    fn remove(&self, _: &ExternalObject) -> Result<(), ActError> {
        self.acts()
    }

    fn list(&self, _kind: &str, _after: Option<&str>) -> Result<Vec<String>, Error> {
        self.answers()?;
        Ok(self.there.clone())
    }
}

cairn_plugin::export_external!(Shelf);
