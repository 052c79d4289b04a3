use cairn_effects::rules::Effect;
use cairn_effects::volumes::{KeyCopy, KeyCreate, KeyDelete};
use cairn_manifest::manifest::Capability;

use super::{State, to_wit};
use crate::wit::cairn::plugin::keys::Host;
use crate::wit::cairn::plugin::types;

impl State {
    fn key<E: Effect>(&mut self, effect: &E) -> wasmtime::Result<Result<E::Answer, types::Error>> {
        self.grant(Capability::Keys)?;
        Ok(self.apply(effect)?.map_err(to_wit))
    }
}

impl Host for State {
    fn create(&mut self) -> wasmtime::Result<Result<String, types::Error>> {
        self.key(&KeyCreate)
    }

    fn copy(&mut self, id: String) -> wasmtime::Result<Result<String, types::Error>> {
        self.key(&KeyCopy { id })
    }

    fn delete(&mut self, id: String) -> wasmtime::Result<Result<(), types::Error>> {
        self.key(&KeyDelete { id })
    }
}
