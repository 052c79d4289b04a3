use cairn_effects::effect::{Answer, Effect, KeyCopy, KeyCreate, KeyDelete};
use cairn_manifest::manifest::SimpleGrantKind;

use super::wit::cairn::plugin::keys::{self, Host};
use crate::capability::{SimpleCapability, State, to_wit};
use crate::wasmtime;
use crate::wasmtime::component::HasSelf;
use crate::wit::cairn::plugin::types;

/// What a plugin is granted as `keys`.
pub(super) const CAPABILITY: SimpleCapability = SimpleCapability::new(
    SimpleGrantKind::new(
        "keys",
        &["cairn:plugin/keys"],
        &["create", "copy", "delete"],
    ),
    |linker| keys::add_to_linker::<State, HasSelf<State>>(linker, State::enter),
);

fn key(state: &mut State, effect: &Effect) -> wasmtime::Result<Result<String, types::Error>> {
    state.grant("keys")?;
    match state.apply(effect)? {
        Ok(Answer::Key(id)) => Ok(Ok(id)),
        Ok(_) => Ok(Ok(String::new())),
        Err(error) => Ok(Err(to_wit(error))),
    }
}

impl Host for State {
    fn create(&mut self) -> wasmtime::Result<Result<String, types::Error>> {
        key(self, &Effect::KeyCreate(KeyCreate))
    }

    fn copy(&mut self, id: String) -> wasmtime::Result<Result<String, types::Error>> {
        key(self, &Effect::KeyCopy(KeyCopy { id }))
    }

    fn delete(&mut self, id: String) -> wasmtime::Result<Result<(), types::Error>> {
        Ok(key(self, &Effect::KeyDelete(KeyDelete { id }))?.map(drop))
    }
}
