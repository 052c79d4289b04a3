//! A task that breaks the one law that its settings name, and keeps the others.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::SystemTime;

use cairn_plugin::records::{self, Expect};
use cairn_plugin::{Disposition, Error, Failure, Outcome, Task, bail, catalog, volumes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Breaks a law.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Lawless {
    breaks: Breaks,
}

/// Which law, and how.
#[derive(Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Breaks {
    /// None: what it changes, the host undoes.
    Nothing,
    /// `revert`: keeps what it changed, and does not say so.
    Revert,
    /// `twice`: its revert changes a status to and fro.
    Twice,
    /// `failure`: goes on when its second host call is refused, and then keeps what its first one did.
    Failure,
    /// `cut-off`: its revert changes a status where the time was over.
    CutOff,
    /// `interrupted`: its revert wants to know how the call ended.
    Interrupted,
    /// `same-requests`: asks for something random.
    RandomRequests,
    /// `same-requests`: asks by the clock.
    TimedRequests,
    /// `revert`: leaves another record than there was, and does not say so.
    Record,
    /// None: puts a record, takes a number and counts.
    Records,
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
