use std::ops::Bound;

use cairn::store::view::{Listing, View};
use cairn::volumes::operator::{
    NewEncryption, NewQosSpecs, NewVolumeType, OperateVolumes as _, ReadVolumes as _, kind,
};
use cairn::{Object, StoreError, Value};
use clap::{Args, Subcommand, ValueEnum};

use super::{id_of, look_up};
use crate::args::{Format, Who, entry, name, word};
use crate::exit::Failure;
use crate::output;
use crate::page::Page;
use crate::session::Session;

/// Manage volume types, with their QoS specs and encryption
#[derive(Debug, Subcommand)]
pub enum Types {
    /// Create a volume type
    Create(Create),
    /// List the volume types
    List(List),
    /// Show a volume type, with its QoS specs and encryption
    Show(Show),
    /// Delete a volume type that no volume uses; its quota stays
    Delete(Delete),
}

#[derive(Args, Debug)]
pub struct Create {
    /// Name of the type
    #[arg(value_parser = name)]
    name: String,
    /// Extra spec, for the scheduler; may be repeated
    #[arg(long = "extra", value_name = "KEY=VALUE", value_parser = entry)]
    extra_specs: Vec<(String, String)>,
    /// QoS spec; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = entry)]
    qos: Vec<(String, String)>,
    /// Where the QoS specs are enforced [default: back-end]
    #[arg(long, value_enum, requires = "qos")]
    consumer: Option<Consumer>,
    /// Encryption provider of its volumes, such as luks
    #[arg(long, value_name = "PROVIDER", value_parser = word)]
    encrypt: Option<String>,
    /// Cipher, such as aes-xts-plain64
    #[arg(long, value_parser = word, requires = "encrypt")]
    cipher: Option<String>,
    /// Length of keys, in bits
    #[arg(long, value_name = "BITS", requires = "encrypt")]
    key_size: Option<u32>,
    /// Where volumes are encrypted [default: front-end]
    #[arg(long, value_enum, value_name = "WHERE", requires = "encrypt")]
    control_location: Option<Location>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Consumer {
    FrontEnd,
    BackEnd,
    Both,
}

impl Consumer {
    const fn as_str(self) -> &'static str {
        match self {
            Self::FrontEnd => "front-end",
            Self::BackEnd => "back-end",
            Self::Both => "both",
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Location {
    FrontEnd,
    BackEnd,
}

impl Location {
    const fn as_str(self) -> &'static str {
        match self {
            Self::FrontEnd => "front-end",
            Self::BackEnd => "back-end",
        }
    }
}

#[derive(Args, Debug)]
pub struct List {
    /// Also list deleted types
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    page: Page,
}

#[derive(Args, Debug)]
pub struct Show {
    /// Name or id of the volume type; the id may be shortened
    #[arg(value_name = "TYPE")]
    volume_type: String,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
}

#[derive(Args, Debug)]
pub struct Delete {
    /// Name or full id of the volume type
    #[arg(value_name = "TYPE")]
    volume_type: String,
    /// Delete it even if volumes use it; they keep it, and count towards the quota of a new type of the same name
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    who: Who,
}

impl Types {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(session),
            Self::List(list) => {
                let requester = session.requester(&list.who)?;
                let listing = Listing {
                    deleted: list.deleted,
                    ids: (list.page.after(), Bound::Unbounded),
                    limit: list.page.to_read(None),
                    ..Listing::default()
                };
                let reader = session.reader()?;
                let types = reader.view(&requester).page(&kind::VOLUME_TYPE, listing)?;
                let columns = ["id", "name", "extra_specs", "qos_specs_id"];
                list.page.objects(session, &columns, types)
            }
            Self::Show(show) => {
                let requester = session.requester(&show.who)?;
                let reader = session.reader()?;
                let found = whole(&reader.view(&requester), &show.volume_type)?;
                output::object(&found, show.format)
            }
            Self::Delete(delete) => {
                let requester = session.requester(&delete.who)?;
                session.store()?.admin(&requester, |admin| {
                    let id = id_of(&admin.view(), &kind::VOLUME_TYPE, &delete.volume_type)?;
                    admin.delete_volume_type(&id, delete.force)
                })?;
                Ok(())
            }
        }
    }
}

impl Create {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let qos = (!self.qos.is_empty()).then(|| NewQosSpecs {
            name: format!("{} QoS", self.name),
            consumer: self
                .consumer
                .unwrap_or(Consumer::BackEnd)
                .as_str()
                .to_owned(),
            specs: self.qos.into_iter().collect(),
        });
        let encryption = self.encrypt.map(|provider| NewEncryption {
            provider,
            cipher: self.cipher,
            key_size: self.key_size,
            control_location: self
                .control_location
                .unwrap_or(Location::FrontEnd)
                .as_str()
                .to_owned(),
        });
        let new = NewVolumeType {
            name: self.name,
            extra_specs: self.extra_specs.into_iter().collect(),
            qos,
            encryption,
        };
        let made = session.change(&requester, |admin| {
            let id = admin.create_volume_type(&new)?;
            whole(&admin.view(), &id)
        })?;
        output::object(&made, self.format)
    }
}

/// Reads a volume type with its QoS specs and its encryption, each null if it has none.
fn whole(view: &View<'_>, id_or_name: &str) -> Result<Object, StoreError> {
    let mut found = look_up(view, &kind::VOLUME_TYPE, id_or_name)?;
    let text = |name: &str| found.get(name).and_then(Value::as_str);
    let encryption = view.encryption(text("id").unwrap_or_default())?;
    let qos = match text("qos_specs_id") {
        Some(id) => view.find(&kind::QOS_SPECS, id)?,
        None => None,
    };
    found.insert(
        "qos_specs".to_owned(),
        qos.map_or(Value::Null, Value::Object),
    );
    found.insert(
        "encryption".to_owned(),
        encryption.map_or(Value::Null, Value::Object),
    );
    Ok(found)
}
