use cairn_effects::rules::Effect;
use cairn_effects::volumes::{VolumeCreate, VolumeDestroy, VolumeUpdate};
use cairn_manifest::manifest::Capability;
use cairn_model::value::{Value, text};

use super::{State, object, to_wit};
use crate::wit::cairn::plugin::types;
use crate::wit::cairn::plugin::volumes::Host;

type Reply = wasmtime::Result<Result<String, types::Error>>;

impl State {
    fn volume(&mut self, effect: &impl Effect<Answer = Value>) -> Reply {
        let volume = self.apply(effect)?;
        Ok(volume.map(|volume| text(&volume)).map_err(to_wit))
    }
}

impl Host for State {
    fn create(&mut self, properties: String) -> Reply {
        self.grant(Capability::Volumes)?;
        match object(&properties, "the properties") {
            Ok(properties) => self.volume(&VolumeCreate { properties }),
            Err(error) => Ok(Err(error)),
        }
    }

    fn update(&mut self, id: String, changes: String) -> Reply {
        self.grant(Capability::Volumes)?;
        match object(&changes, "the changes") {
            Ok(changes) => self.volume(&VolumeUpdate { id, changes }),
            Err(error) => Ok(Err(error)),
        }
    }

    fn destroy(&mut self, id: String) -> wasmtime::Result<Result<(), types::Error>> {
        self.grant(Capability::Volumes)?;
        Ok(self.apply(&VolumeDestroy { id })?.map_err(to_wit))
    }
}
