//! The results map so far: what finished tasks of this flow returned.

use serde_json::Value;

use super::read;
use crate::Error;
use crate::host::results;

/// The value that `name` has for the next task: from the nearest earlier task whose result holds it.
pub fn get(name: &str) -> Result<Option<Value>, Error> {
    results::get(name)
        .map(|json| read("results.get", &json))
        .transpose()
}

/// Name and result of each finished task, in order.
pub fn tasks() -> Result<Vec<(String, Value)>, Error> {
    results::tasks()
        .into_iter()
        .map(|(task, json)| Ok((task, read("results.tasks", &json)?)))
        .collect()
}
