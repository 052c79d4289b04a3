use super::{State, json, to_wit};
use crate::effect::{Answer, Effect, VolumeCreate, VolumeDestroy, VolumeUpdate};
use crate::error::TaskError;
use crate::manifest::Capability;
use crate::value::{Object, Value};
use crate::wit::cairn::plugin::types;
use crate::wit::cairn::plugin::volumes::Host;

type Reply = wasmtime::Result<Result<String, types::Error>>;

fn object(text: &str, what: &str) -> Result<Object, types::Error> {
    match json(text, what).map_err(to_wit)? {
        Value::Object(object) => Ok(object),
        _ => Err(to_wit(TaskError::new(
            "InvalidInput",
            format!("{what} must be an object"),
        ))),
    }
}

impl State {
    fn volume(&mut self, effect: &Effect) -> Reply {
        Ok(match self.apply(effect)? {
            Ok(Answer::Volume(volume)) => Ok(volume.to_string()),
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
