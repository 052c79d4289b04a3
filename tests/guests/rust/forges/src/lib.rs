//! Passes the id in its settings to one host function, and provides the answer: its call succeeds whatever the answer
//! is.

use cairn_plugin::quota::Delta;
use cairn_plugin::{Error, NoInputs, Task, catalog, images, keys, quota, volumes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Forges {
    ask: Ask,
    #[serde(default)]
    id: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Ask {
    /// Creates its own volume, key and reservation, which others then try to use.
    Own,
    ShowVolume,
    UpdateVolume,
    DestroyVolume,
    VolumeFromSource,
    ShowSnapshot,
    VolumeFromSnapshot,
    ShowImage,
    CopyKey,
    DeleteKey,
    VolumeWithKey,
    CommitReservation,
    RollBackReservation,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    told: Value,
}

impl Forges {
    fn ask(&self) -> Result<Value, Error> {
        let id = self.id.as_str();
        let reservations = [self.id.clone()];
        Ok(match self.ask {
            Ask::Own => {
                let mut reservations = quota::reserve(&[Delta::new("volumes", 1)])?;
                json!({
                    "volume": volumes::create(&json!({"size": 1}))?["id"],
                    "key": keys::create()?,
                    "reservation": reservations.pop(),
                })
            }
            Ask::ShowVolume => catalog::volume(id)?,
            Ask::UpdateVolume => volumes::update(id, &json!({"status": "error"}))?,
            Ask::DestroyVolume => json!(volumes::destroy(id)?),
            Ask::VolumeFromSource => volumes::create(&json!({"size": 1, "source_volid": id}))?,
            Ask::ShowSnapshot => catalog::snapshot(id)?,
            Ask::VolumeFromSnapshot => volumes::create(&json!({"size": 1, "snapshot_id": id}))?,
            Ask::ShowImage => images::show(id)?,
            Ask::CopyKey => keys::copy(id)?.into(),
            Ask::DeleteKey => json!(keys::delete(id)?),
            Ask::VolumeWithKey => volumes::create(&json!({"size": 1, "encryption_key_id": id}))?,
            Ask::CommitReservation => json!(quota::commit(&reservations)?),
            Ask::RollBackReservation => json!(quota::rollback(&reservations)?),
        })
    }
}

impl Task for Forges {
    type Inputs = NoInputs;
    type Output = Output;

    fn call(&self, _: NoInputs) -> Result<Output, Error> {
        let told = match self.ask() {
            Ok(told) => json!({"ok": told}),
            Err(error) => json!({
                "kind": error.kind(),
                "message": error.message(),
                "details": error.details(),
            }),
        };
        Ok(Output { told })
    }
}

cairn_plugin::export!(Forges);
