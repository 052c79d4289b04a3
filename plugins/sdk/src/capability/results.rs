//! The results of the flow's finished tasks.

use serde_json::Value;

use super::read;
use crate::Error;
use crate::host::results;

/// Returns the value of `name` as the next task would receive it: from the nearest earlier task whose result contains
/// it.
pub fn get(name: &str) -> Result<Option<Value>, Error> {
    results::get(name)
        .map(|json| read("results.get", &json))
        .transpose()
}

/// Returns name and result of each finished task, in order.
pub fn tasks() -> Result<Vec<(String, Value)>, Error> {
    results::tasks()
        .into_iter()
        .map(|(task, json)| Ok((task, read("results.tasks", &json)?)))
        .collect()
}
