//! Reserves a volume of quota, and panics at the place that its settings name.

use cairn_plugin::quota::{self, Delta};
use cairn_plugin::{Disposition, Error, Failure, NoInputs, Outcome, Task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Panics {
    r#in: Place,
}

#[derive(Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Place {
    Call,
    Revert,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    reservations: Vec<String>,
}

/// Not inlined, so that it appears in a backtrace.
#[inline(never)]
fn divide(by: usize) -> usize {
    let table = [1, 2, 3];
    table[by + 7]
}

impl Task for Panics {
    type Inputs = NoInputs;
    type Output = Output;

    fn call(&self, _: NoInputs) -> Result<Output, Error> {
        let reservations = quota::reserve(&[Delta::new("volumes", 1)])?;
        if self.r#in == Place::Call {
            divide(reservations.len());
        }
        Ok(Output { reservations })
    }

    fn revert(&self, outcome: Outcome, _: &Failure) -> Result<Disposition, Error> {
        if self.r#in == Place::Revert {
            panic!("cannot go back from {outcome:?}");
        }
        Ok(Disposition::Undo)
    }
}

cairn_plugin::export!(Panics);
