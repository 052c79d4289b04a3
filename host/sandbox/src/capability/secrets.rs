use wasmtime::component::HasSelf;

use cairn_manifest::manifest::SimpleGrantKind;
use cairn_model::error::TaskError;

use super::{SimpleCapability, State, to_wit};
use crate::wit::cairn::plugin::secrets::{self, Host};
use crate::wit::cairn::plugin::types;

/// The key of a grant's list of secrets.
const NAMES: &str = "names";

/// The capability `secrets`: values that the operator set up.
pub(super) const CAPABILITY: SimpleCapability = SimpleCapability::new(
    SimpleGrantKind::new("secrets", &["cairn:plugin/secrets"], &["get"]).narrowed_by(NAMES),
    |linker| secrets::add_to_linker::<State, HasSelf<State>>(linker, State::enter),
);

impl Host for State {
    fn get(&mut self, name: String) -> wasmtime::Result<Result<String, types::Error>> {
        if !self.grant("secrets")?.reaches(NAMES, &name) {
            let message = format!("the grant of `secrets` does not reach the secret `{name}`");
            return Ok(Err(to_wit(TaskError::new("NotGranted", message))));
        }
        let value = self.services()?.secrets.value(&name);
        self.alive()?;
        Ok(match value {
            Ok(secret) => Ok(secret.expose().to_owned()),
            Err(problem) => {
                let message = format!("the secret `{name}` {problem}: see the operator's settings");
                Err(to_wit(TaskError::new("SecretUnavailable", message)))
            }
        })
    }
}
