//! An external that breaks the promise that its settings name, and keeps the others. It keeps cards at the server of the template of externals,
//! each as two: a part, which is made first and removed last, and the card itself.

#[path = "../../../../../cli/templates/rust/external/src/client.rs"]
mod client;

use std::time::SystemTime;

use cairn_plugin::{ActError, Error, External, ExternalObject, Presence, error};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// Breaks a promise.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Faithless {
    url: String,
    breaks: Breaks,
}

/// How a promise is broken.
#[derive(Clone, Copy, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Breaks {
    Nothing,
    /// An object is called by the time, too.
    NameByTime,
    /// All objects are one.
    NameByKind,
    /// `look` makes what it looks for.
    LookMakes,
    /// `look` takes away what it finds.
    LookRemoves,
    /// A second `make` is refused.
    MakesOnce,
    /// A second `make` makes something else.
    MakesOther,
    /// A second `remove` fails.
    RemovesOnce,
    /// `look` does not know what a part is.
    PartUnknown,
    /// `remove` leaves a part when there is no card.
    PartLeft,
    /// Says that it refused whenever a request fails.
    RefusesErrors,
    /// Makes the object before it refuses.
    RefusesLate,
    /// Says that it made an object, whether the server answers or not.
    MakesBlindly,
    /// `list` leaves one out.
    ListsLess,
    /// `list` names one that was never made.
    ListsMore,
    /// `list` leaves parts out.
    ListsNoParts,
}

impl Faithless {
    fn is(&self, breaks: Breaks) -> bool {
        self.breaks == breaks
    }

    fn name(&self, object: &ExternalObject) -> String {
        match self.breaks {
            Breaks::NameByTime => {
                let since = SystemTime::UNIX_EPOCH.elapsed();
                let since = since.map_or(0, |since| since.as_secs() / 1_000);
                // Still a UUID, which `list` may name.
                format!("{}{since:012}", &object.id[..24])
            }
            Breaks::NameByKind => "00000000-0000-4000-8000-000000000000".to_owned(),
            _ => object.id.clone(),
        }
    }

    fn part(&self, object: &ExternalObject) -> String {
        format!("{}/cards/part-{}", self.url, self.name(object))
    }

    fn card(&self, object: &ExternalObject) -> String {
        format!("{}/cards/{}", self.url, self.name(object))
    }

    fn failed(&self, error: Error) -> ActError {
        match self.breaks {
            Breaks::RefusesErrors => ActError::Refused(error),
            _ => ActError::Unsure(error),
        }
    }

    fn write(&self, object: &ExternalObject, text: &str) -> Result<(), Error> {
        client::put(&self.part(object), "a part")?;
        client::put(&self.card(object), text)
    }
}

impl External for Faithless {
    type Spec = Value;
    type Made = Value;

    fn look(&self, object: &ExternalObject) -> Result<Presence<Value>, Error> {
        if let Some(text) = client::get(&self.card(object))? {
            if self.is(Breaks::LookRemoves) {
                client::delete(&self.card(object))?;
                client::delete(&self.part(object))?;
            }
            let made = serde_json::from_str(&text);
            return made.map(Presence::Whole).map_err(|error| error!("Card", "{error}"));
        }
        if client::get(&self.part(object))?.is_some() {
            return match self.breaks {
                Breaks::PartUnknown => Err(error!("Part", "what is this?")),
                Breaks::PartLeft => Ok(Presence::Absent),
                _ => Ok(Presence::Partial),
            };
        }
        if self.is(Breaks::LookMakes) {
            self.write(object, "1")?;
        }
        Ok(Presence::Absent)
    }

    fn make(&self, object: &ExternalObject, spec: Value) -> Result<Value, ActError> {
        let refusal = || ActError::Refused(error!("InvalidInput", "it is not wanted"));
        if spec == json!("refuse") && !self.is(Breaks::RefusesLate) {
            return Err(refusal());
        }
        let mut made = json!({"card": spec});
        if let Breaks::MakesOnce | Breaks::MakesOther = self.breaks {
            let found = client::get(&self.card(object)).map_err(|error| self.failed(error))?;
            if found.is_some() {
                if self.is(Breaks::MakesOnce) {
                    return Err(ActError::Refused(error!("Exists", "it is there")));
                }
                made = json!({"card": spec, "again": true});
            }
        }
        match self.write(object, &made.to_string()) {
            Ok(()) => {}
            Err(_) if self.is(Breaks::MakesBlindly) => {}
            Err(error) => return Err(self.failed(error)),
        }
        match spec == json!("refuse") {
            true => Err(refusal()),
            false => Ok(made),
        }
    }

    fn remove(&self, object: &ExternalObject) -> Result<(), ActError> {
        let failed = |error| self.failed(error);
        if let Breaks::RemovesOnce | Breaks::PartLeft = self.breaks
            && client::get(&self.card(object)).map_err(failed)?.is_none()
        {
            return match self.breaks {
                Breaks::RemovesOnce if client::get(&self.part(object)).map_err(failed)?.is_none() => {
                    Err(ActError::Refused(error!("NotThere", "it is not there")))
                }
                Breaks::RemovesOnce => client::delete(&self.part(object)).map_err(failed),
                _ => Ok(()),
            };
        }
        client::delete(&self.card(object)).map_err(failed)?;
        client::delete(&self.part(object)).map_err(failed)
    }

    fn list(&self, _kind: &str, _after: Option<&str>) -> Result<Vec<String>, Error> {
        let names = client::get(&format!("{}/cards", self.url))?.unwrap_or_default();
        let names: Vec<String> = serde_json::from_str(&names).map_err(|error| error!("List", "{error}"))?;
        let mut ids: Vec<String> = match self.breaks {
            Breaks::ListsNoParts => names.into_iter().filter(|name| !name.starts_with("part-")).collect(),
            _ => names.iter().filter_map(|name| name.strip_prefix("part-")).map(str::to_owned).collect(),
        };
        match self.breaks {
            Breaks::ListsLess => drop(ids.pop()),
            Breaks::ListsMore if !ids.is_empty() => ids.push("ffffffff-ffff-4fff-8fff-ffffffffffff".to_owned()),
            _ => {}
        }
        Ok(ids)
    }
}

cairn_plugin::export_external!(Faithless);
