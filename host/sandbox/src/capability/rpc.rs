use wasmtime::component::HasSelf;

use cairn_effects::outbox::Cast;
use cairn_manifest::manifest::SimpleGrantKind;
use cairn_model::error::TaskError;
use cairn_model::value::Value;

use super::{SimpleCapability, State, object, to_wit};
use crate::wit::cairn::plugin::rpc::{self, Host};
use crate::wit::cairn::plugin::types;

/// The capability `rpc`.
pub(super) const CAPABILITY: SimpleCapability = SimpleCapability::new(
    SimpleGrantKind::new("rpc", &["cairn:plugin/rpc"], &["cast"]).narrowed_by("topics"),
    |linker| rpc::add_to_linker::<State, HasSelf<State>>(linker, State::enter),
);

impl Host for State {
    fn cast(
        &mut self,
        topic: String,
        method: String,
        arguments: String,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        let grant = self.grant("rpc")?;
        if !grant.reaches("topics", &topic) {
            let message = format!("the grant of `rpc` does not reach topic `{topic}`");
            return Ok(Err(to_wit(TaskError::new("NotGranted", message))));
        }
        let arguments = match object(&arguments, "the arguments") {
            Ok(arguments) => Value::Object(arguments),
            Err(error) => return Ok(Err(error)),
        };
        let cast = Cast {
            topic,
            method,
            arguments,
        };
        Ok(self.apply(&cast)?.map_err(to_wit))
    }
}
