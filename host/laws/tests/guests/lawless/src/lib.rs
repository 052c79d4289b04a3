//! A task that breaks the one law that its settings name, and keeps the others.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::SystemTime;

use cairn_plugin::records::{self, Expect};
use cairn_plugin::{Disposition, Error, Failure, Outcome, Task, bail, catalog, externals, volumes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Breaks a law.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Lawless {
    breaks: Breaks,
}

/// The law, and the way in which it is broken.
#[derive(Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Breaks {
    /// None: the host undoes its changes.
    Nothing,
    /// `revert`: keeps its changes, although the case does not name them.
    Revert,
    /// `twice`: its revert toggles a status.
    Twice,
    /// `failure`: continues when its second host call is refused, and then keeps the change of the first.
    Failure,
    /// `cut-off`: its revert changes a status if the call exceeded its deadline.
    CutOff,
    /// `interrupted`: its revert fails if the end of the call is unknown.
    Interrupted,
    /// `same-requests`: its request is random.
    RandomRequests,
    /// `same-requests`: its request contains the time.
    TimedRequests,
    /// `revert`: leaves a changed record, although the case does not name it.
    Record,
    /// None: puts a record, takes a number of a sequence and adds to a counter.
    Records,
    /// None: makes an object outside the database.
    External,
}

#[derive(Deserialize, JsonSchema)]
struct Inputs {}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Output {
    has_host: bool,
}

impl Task for Lawless {
    type Inputs = Inputs;
    type Output = Output;

    fn call(&self, _inputs: Inputs) -> Result<Output, Error> {
        let host = match self.breaks {
            Breaks::Twice => return Ok(Output { has_host: false }),
            Breaks::Record => {
                records::put("marks", "mark", &json!("made"), Expect::Absent)?;
                return Ok(Output { has_host: false });
            }
            Breaks::Records => {
                let number = records::next("marks", "numbers")?;
                records::put("marks", "mark", &json!({"number": number}), Expect::Absent)?;
                records::add("marks", "made", 1)?;
                return Ok(Output { has_host: false });
            }
            Breaks::External => {
                let spec = json!({"name": "db"});
                let has_host = externals::make("pdns", "record", "main", &spec)?;
                return Ok(Output { has_host });
            }
            Breaks::RandomRequests => format!("host-{}", RandomState::new().hash_one(1)),
            Breaks::TimedRequests => {
                let since = SystemTime::UNIX_EPOCH.elapsed();
                format!("host-{}", since.map_or(0, |since| since.as_secs()))
            }
            _ => "host-1".to_owned(),
        };
        volumes::update("v1", &json!({"status": "moving"}))?;
        let moved = volumes::update("v1", &json!({"host": host}));
        if self.breaks == Breaks::Failure {
            return Ok(Output {
                has_host: moved.is_ok(),
            });
        }
        moved?;
        Ok(Output { has_host: true })
    }

    fn revert(&self, outcome: Outcome, _cause: &Failure) -> Result<Disposition, Error> {
        match (&self.breaks, &outcome) {
            (Breaks::Revert, Outcome::Completed(_)) => return Ok(Disposition::Keep),
            (Breaks::Twice, Outcome::Completed(_)) => {
                let volume = catalog::volume("v1")?;
                let status = match volume["status"].as_str() {
                    Some("available") => "error",
                    _ => "available",
                };
                volumes::update("v1", &json!({"status": status}))?;
                return Ok(Disposition::Keep);
            }
            (Breaks::Failure, Outcome::Completed(_)) => {
                if outcome
                    .result::<Output>()?
                    .is_some_and(|output| !output.has_host)
                {
                    return Ok(Disposition::Keep);
                }
            }
            (Breaks::CutOff, Outcome::Failed(error)) if error.is("DeadlineExceeded") => {
                volumes::update("v1", &json!({"status": "error"}))?;
                return Ok(Disposition::Keep);
            }
            (Breaks::Record, Outcome::Completed(_)) => {
                records::put("marks", "mark", &json!("left"), Expect::Any)?;
                return Ok(Disposition::Keep);
            }
            (Breaks::Interrupted, Outcome::Interrupted) => {
                bail!("EndUnknown", "how did the call end?");
            }
            _ => {}
        }
        Ok(Disposition::Undo)
    }
}

cairn_plugin::export!(Lawless);
