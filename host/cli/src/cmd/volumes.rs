mod create;

use std::ops::Bound;

use cairn::store::view::Listing;
use cairn::volumes::operator::{OperateVolumes as _, ReadVolumes as _, kind};
use cairn::{Object, Value};
use clap::{Args, Subcommand};

use super::{id_of, look_up};
use crate::args::{Format, Placement, QuotaClass, Who, entry, word, words};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::page::Page;
use crate::session::Session;

/// Create, import, show, change and delete volumes
#[derive(Debug, Subcommand)]
pub enum Volumes {
    Create(create::Create),
    /// Add the row of an existing volume, and count it in the quota's usage; `cairn volume create` creates new ones
    Import(Import),
    /// List the project's volumes
    List(List),
    /// Show a volume
    Show(Show),
    /// Set the status or the backend of a volume
    Set(Set),
    /// Delete a volume, and return its quota
    ///
    /// Refused while the flow that created the volume has not ended. If that flow is rolled back later, the quota is not returned
    /// again.
    Delete(Delete),
}

#[derive(Args, Debug)]
pub struct Import {
    /// Size in GiB
    #[arg(long, value_name = "GIB", value_parser = clap::value_parser!(i64).range(1..))]
    size: i64,
    /// Name of the volume
    #[arg(long, value_parser = words)]
    name: Option<String>,
    /// Description
    #[arg(long, value_parser = words)]
    description: Option<String>,
    /// Status of the volume
    #[arg(long, value_parser = word, default_value = "available")]
    status: String,
    /// Backend that holds the volume
    #[arg(long, value_parser = word)]
    host: Option<String>,
    /// Name or full id of the volume type
    #[arg(long = "type", value_name = "TYPE")]
    volume_type: Option<String>,
    /// Zone [default: the default zone]
    #[arg(long = "availability-zone", value_name = "ZONE", value_parser = word)]
    availability_zone: Option<String>,
    /// Metadata entry; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = entry)]
    metadata: Vec<(String, String)>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    placement: Placement,
    #[command(flatten)]
    quota_class: QuotaClass,
}

#[derive(Args, Debug)]
pub struct List {
    /// List the volumes of every project
    #[arg(long)]
    all_projects: bool,
    /// Also list deleted volumes
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    page: Page,
}

#[derive(Args, Debug)]
pub struct Show {
    /// Name or id of the volume; the id may be shortened
    volume: String,
    /// Show the volume even if it is deleted
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("changes").required(true).multiple(true))]
pub struct Set {
    /// Name or full id of the volume
    volume: String,
    /// Status of the volume
    #[arg(long, value_parser = word, group = "changes")]
    status: Option<String>,
    /// Backend that holds the volume
    #[arg(long, value_parser = word, group = "changes")]
    host: Option<String>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
}

#[derive(Args, Debug)]
pub struct Delete {
    /// Name or full id of the volume
    volume: String,
    #[command(flatten)]
    who: Who,
}

impl Volumes {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let done = match self {
            Self::Create(create) => return create.run(session),
            Self::Import(import) => import.run(session),
            Self::List(list) => list.run(session),
            Self::Show(show) => show.run(session),
            Self::Set(set) => set.run(session),
            Self::Delete(delete) => delete.run(session),
        };
        done.map(|()| Exit::Ok)
    }
}

impl Import {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let zone = self
            .availability_zone
            .as_deref()
            .or(session.settings.zone.as_deref());
        let metadata: Object = self
            .metadata
            .into_iter()
            .map(|(key, value)| (key, value.into()))
            .collect();
        let properties = [
            ("size", Value::from(self.size)),
            ("display_name", self.name.into()),
            ("display_description", self.description.into()),
            ("status", self.status.into()),
            ("attach_status", "detached".into()),
            ("host", self.host.into()),
            (
                "availability_zone",
                zone.unwrap_or(cairn::volumes::DEFAULT_ZONE).into(),
            ),
            ("metadata", metadata.into()),
        ];
        let properties: Object = properties
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let volume = session.change(&requester, |admin| {
            let mut properties = properties.clone();
            if let Some(volume_type) = &self.volume_type {
                let id = id_of(&admin.view(), &kind::VOLUME_TYPE, volume_type)?;
                properties.insert("volume_type_id".to_owned(), id.into());
            }
            admin.create_volume(properties)
        })?;
        output::value(&volume, self.format)
    }
}

impl List {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let project = (!self.all_projects).then_some(requester.project_id.as_str());
        let listing = Listing {
            project,
            deleted: self.deleted,
            ids: (self.page.after(), Bound::Unbounded),
            limit: self.page.to_read(None),
            ..Listing::default()
        };
        let reader = session.reader()?;
        let volumes = reader.view(&requester).page(&kind::VOLUME, listing)?;
        let columns = [
            "id",
            "display_name",
            "size",
            "status",
            "availability_zone",
            "host",
        ];
        self.page.objects(session, &columns, volumes)
    }
}

impl Show {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let mut requester = session.requester(&self.who)?;
        requester.read_deleted = self.deleted;
        let reader = session.reader()?;
        let view = reader.view(&requester);
        let mut volume = look_up(&view, &kind::VOLUME, &self.volume)?;
        let id = volume.get("id").and_then(Value::as_str).unwrap_or_default();
        let metadata = view.metadata(id)?;
        volume.insert("metadata".to_owned(), metadata);
        output::object(&volume, self.format)
    }
}

impl Set {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let changes = [("status", self.status), ("host", self.host)];
        let changes = changes
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
        let changes: Object = changes.collect();
        let volume = session.store()?.admin(&requester, |admin| {
            let id = id_of(&admin.view(), &kind::VOLUME, &self.volume)?;
            admin.update_volume(&id, changes)
        })?;
        output::value(&volume, self.format)
    }
}

impl Delete {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        session.store()?.admin(&requester, |admin| {
            let id = id_of(&admin.view(), &kind::VOLUME, &self.volume)?;
            admin.delete_volume(&id)
        })?;
        Ok(())
    }
}
