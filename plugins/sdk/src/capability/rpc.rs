//! Messages to other services, by a transactional outbox.

use serde_json::Value;

use crate::Error;
use crate::host::rpc;

/// Queues a message that the host sends when the flow succeeds, and drops when it fails. `topic` names the receiver,
/// such as `cinder-scheduler` or `cinder-volume.<host>`; `arguments` is one JSON object. An effect.
pub fn cast(topic: &str, method: &str, arguments: &Value) -> Result<(), Error> {
    Ok(rpc::cast(topic, method, &arguments.to_string())?)
}
