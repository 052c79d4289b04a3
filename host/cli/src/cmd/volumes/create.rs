//! `cairn volume create`.

use std::path::Path;

use cairn::{Diagnostic, Manifest, Object, Value};
use clap::Args;

use super::super::run::Job;
use crate::args::{Format, Placement, QuotaClass, Who, entry, word, words};
use crate::exit::{Exit, Failure};
use crate::scaffold;
use crate::session::Session;

/// The example whose flow creates volumes.
const FLOW: &str = "volume-create";

/// Create a volume: run the volume-create flow that comes with the program
///
/// It is the flow that `cairn init --example volume-create` writes. Report and exit code are those of `cairn run`.
/// `cairn volume import` adds the row of an existing volume.
#[derive(Args, Debug)]
pub struct Create {
    /// Size in GiB [default: the size of the source]
    #[arg(long, value_name = "GIB", value_parser = clap::value_parser!(i64).range(1..))]
    size: Option<i64>,
    /// Name of the volume
    #[arg(long, value_parser = words)]
    name: Option<String>,
    /// Description
    #[arg(long, value_parser = words)]
    description: Option<String>,
    /// Name or full id of the volume type
    #[arg(long = "type", value_name = "TYPE", value_parser = word)]
    volume_type: Option<String>,
    /// Zone [default: the default zone]
    #[arg(long = "availability-zone", value_name = "ZONE", value_parser = word)]
    availability_zone: Option<String>,
    /// Metadata entry; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = entry)]
    metadata: Vec<(String, String)>,
    /// Id of the image to create it from
    #[arg(long, value_name = "ID", value_parser = word)]
    image: Option<String>,
    /// Id of the snapshot to create it from
    #[arg(long, value_name = "ID", value_parser = word)]
    snapshot: Option<String>,
    /// Id of the volume to create it from
    #[arg(long, value_name = "ID", value_parser = word)]
    source_volume: Option<String>,
    /// Idempotency key: the same request under the same key returns the first one's report, and starts no new flow
    #[arg(long, value_name = "KEY", value_parser = word)]
    key: Option<String>,
    /// Only for `cairn volume import`
    #[arg(long, hide = true)]
    status: Option<String>,
    /// Only for `cairn volume import`
    #[arg(long, hide = true)]
    host: Option<String>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    placement: Placement,
    #[command(flatten)]
    quota_class: QuotaClass,
}

impl Create {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        self.refuse_options_of_import()?;
        let files = scaffold::example(FLOW);
        let text = files.get("flow.toml").map_or("", String::as_str);
        let manifest = Manifest::parse(text, Path::new(FLOW), &session.settings.kinds)?;
        let job = Job {
            manifest: &manifest,
            request: self.request(),
            key: self.key,
            file: None,
            who: &self.who,
            no_wait: false,
            locked: false,
            format: self.format,
        };
        job.run(session)
    }

    /// Refuses options of `import`: a flow sets the status of its volume, and the scheduler the host.
    fn refuse_options_of_import(&self) -> Result<(), Diagnostic> {
        let given = [("--status", &self.status), ("--host", &self.host)];
        let Some((option, _)) = given.into_iter().find(|(_, value)| value.is_some()) else {
            return Ok(());
        };
        let message =
            format!("`{option}` is for existing volumes only, and this command creates a new one");
        Err(Diagnostic::new(message)
            .help("`cairn volume import` adds the row of an existing volume"))
    }

    /// Builds the flow's request from the options that are given.
    fn request(&self) -> Value {
        let metadata = self.metadata.iter();
        let metadata: Object = metadata
            .map(|(key, value)| (key.clone(), value.as_str().into()))
            .collect();
        let fields = [
            ("size", Value::from(self.size)),
            ("name", self.name.as_deref().into()),
            ("description", self.description.as_deref().into()),
            ("volume_type", self.volume_type.as_deref().into()),
            (
                "availability_zone",
                self.availability_zone.as_deref().into(),
            ),
            ("image_id", self.image.as_deref().into()),
            ("snapshot_id", self.snapshot.as_deref().into()),
            ("source_volid", self.source_volume.as_deref().into()),
            ("metadata", metadata.into()),
        ];
        let given = fields.into_iter().filter(|(_, value)| match value {
            Value::Null => false,
            Value::Object(fields) => !fields.is_empty(),
            _ => true,
        });
        let request: Object = given
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        request.into()
    }
}
