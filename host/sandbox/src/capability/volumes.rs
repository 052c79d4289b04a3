use cairn_effects::effect::{Answer, Effect, VolumeCreate, VolumeDestroy, VolumeUpdate};
use cairn_manifest::manifest::Capability;
use cairn_model::value::text;

use super::{State, object, to_wit};
use crate::wit::cairn::plugin::types;
use crate::wit::cairn::plugin::volumes::Host;

type Reply = wasmtime::Result<Result<String, types::Error>>;

impl State {
    fn volume(&mut self, effect: &Effect) -> Reply {
        Ok(match self.apply(effect)? {
            Ok(Answer::Volume(volume)) => Ok(text(&volume)),
            Ok(_) => Ok("null".to_owned()),
            Err(error) => Err(to_wit(error)),
        })
    }
}

impl Host for State {
    fn create(&mut self, properties: String) -> Reply {
        self.grant(Capability::Volumes)?;
        match object(&properties, "the properties") {
            Ok(properties) => self.volume(&Effect::VolumeCreate(VolumeCreate { properties })),
            Err(error) => Ok(Err(error)),
        }
    }

    fn update(&mut self, id: String, changes: String) -> Reply {
        self.grant(Capability::Volumes)?;
        match object(&changes, "the changes") {
            Ok(changes) => self.volume(&Effect::VolumeUpdate(VolumeUpdate { id, changes })),
            Err(error) => Ok(Err(error)),
        }
    }

    fn destroy(&mut self, id: String) -> wasmtime::Result<Result<(), types::Error>> {
        self.grant(Capability::Volumes)?;
        Ok(self
            .volume(&Effect::VolumeDestroy(VolumeDestroy { id }))?
            .map(drop))
    }
}
