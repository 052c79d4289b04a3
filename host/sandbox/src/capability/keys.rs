use cairn_effects::effect::{Answer, Effect, KeyCopy, KeyCreate, KeyDelete};
use cairn_manifest::manifest::Capability;

use super::{State, to_wit};
use crate::wit::cairn::plugin::keys::Host;
use crate::wit::cairn::plugin::types;

impl State {
    fn key(&mut self, effect: &Effect) -> wasmtime::Result<Result<String, types::Error>> {
        self.grant(Capability::Keys)?;
        match self.apply(effect)? {
            Ok(Answer::Key(id)) => Ok(Ok(id)),
            Ok(_) => Ok(Ok(String::new())),
            Err(error) => Ok(Err(to_wit(error))),
        }
    }
}

impl Host for State {
    fn create(&mut self) -> wasmtime::Result<Result<String, types::Error>> {
        self.key(&Effect::KeyCreate(KeyCreate))
    }

    fn copy(&mut self, id: String) -> wasmtime::Result<Result<String, types::Error>> {
        self.key(&Effect::KeyCopy(KeyCopy { id }))
    }

    fn delete(&mut self, id: String) -> wasmtime::Result<Result<(), types::Error>> {
        Ok(self.key(&Effect::KeyDelete(KeyDelete { id }))?.map(drop))
    }
}
