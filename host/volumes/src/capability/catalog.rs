use crate::rules::{
    DefaultVolumeType, IsEncrypted, ShowQosSpecs, ShowSnapshot, ShowVolume, ShowVolumeType,
};
use cairn_effects::event::LogLevel;
use cairn_manifest::manifest::SimpleGrantKind;
use cairn_model::error::TaskError;
use cairn_model::value::{Value, text};

use super::wit::cairn::plugin::catalog::{self, Host};
use cairn_sandbox::capability::{SimpleCapability, State, to_wit};
use cairn_sandbox::wasmtime;
use cairn_sandbox::wasmtime::component::HasSelf;
use cairn_sandbox::wit::cairn::plugin::types;

/// The capability `catalog`.
pub(super) const CAPABILITY: SimpleCapability = SimpleCapability::new(
    SimpleGrantKind::new(
        "catalog",
        &["cairn:plugin/catalog"],
        &[
            "volume-type",
            "default-volume-type",
            "qos-specs",
            "encrypted",
            "snapshot",
            "volume",
        ],
    ),
    |linker| catalog::add_to_linker::<State, HasSelf<State>>(linker, State::enter),
);

type Reply<T> = wasmtime::Result<Result<T, types::Error>>;

/// Returns a value as JSON text, or `None` for null.
fn present(value: Result<Value, TaskError>) -> Result<Option<String>, types::Error> {
    let value = value.map_err(to_wit)?;
    Ok((!value.is_null()).then(|| text(&value)))
}

impl Host for State {
    fn volume_type(&mut self, id_or_name: String) -> Reply<String> {
        self.grant("catalog")?;
        self.look_up_json(&ShowVolumeType(id_or_name))
    }

    fn default_volume_type(&mut self) -> Reply<Option<String>> {
        self.grant("catalog")?;
        let found = self.look_up(&DefaultVolumeType)?;
        if let Ok(Value::String(name)) = &found {
            let message = format!(
                "there is no volume type `{name}`, which the operator set as default_volume_type: the default is none"
            );
            self.log(LogLevel::Warn, message);
            return Ok(Ok(None));
        }
        Ok(present(found))
    }

    fn qos_specs(&mut self, volume_type_id: String) -> Reply<Option<String>> {
        self.grant("catalog")?;
        Ok(present(self.look_up(&ShowQosSpecs(volume_type_id))?))
    }

    fn encrypted(&mut self, volume_type_id: String) -> Reply<bool> {
        self.grant("catalog")?;
        Ok(self.look_up(&IsEncrypted(volume_type_id))?.map_err(to_wit))
    }

    fn snapshot(&mut self, id: String) -> Reply<String> {
        self.grant("catalog")?;
        self.look_up_json(&ShowSnapshot(id))
    }

    fn volume(&mut self, id: String) -> Reply<String> {
        self.grant("catalog")?;
        self.look_up_json(&ShowVolume(id))
    }
}
