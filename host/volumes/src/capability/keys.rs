use crate::rules::{KeyCopy, KeyCreate, KeyDelete};
use cairn_effects::rules::Effect;
use cairn_manifest::manifest::SimpleGrantKind;

use super::wit::cairn::plugin::keys::{self, Host};
use cairn_sandbox::capability::{SimpleCapability, State, to_wit};
use cairn_sandbox::wasmtime;
use cairn_sandbox::wasmtime::component::HasSelf;
use cairn_sandbox::wit::cairn::plugin::types;

/// The capability `keys`.
pub(super) const CAPABILITY: SimpleCapability = SimpleCapability::new(
    SimpleGrantKind::new(
        "keys",
        &["cairn:plugin/keys"],
        &["create", "copy", "delete"],
    ),
    |linker| keys::add_to_linker::<State, HasSelf<State>>(linker, State::enter),
);

fn key<E: Effect>(
    state: &mut State,
    effect: &E,
) -> wasmtime::Result<Result<E::Answer, types::Error>> {
    state.grant("keys")?;
    Ok(state.apply(effect)?.map_err(to_wit))
}

impl Host for State {
    fn create(&mut self) -> wasmtime::Result<Result<String, types::Error>> {
        key(self, &KeyCreate)
    }

    fn copy(&mut self, id: String) -> wasmtime::Result<Result<String, types::Error>> {
        key(self, &KeyCopy { id })
    }

    fn delete(&mut self, id: String) -> wasmtime::Result<Result<(), types::Error>> {
        key(self, &KeyDelete { id })
    }
}
