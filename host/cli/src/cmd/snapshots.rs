use std::ops::Bound;

use cairn::store::view::Listing;
use cairn::volumes::operator::{OperateVolumes as _, kind};
use clap::{Args, Subcommand};

use super::{id_of, look_up};
use crate::args::{Format, QuotaClass, Who, word, words};
use crate::exit::Failure;
use crate::output;
use crate::page::Page;
use crate::session::Session;

/// Show snapshots, and add rows of existing ones
#[derive(Debug, Subcommand)]
pub enum Snapshots {
    /// Add the row of an existing snapshot, and count it in the quota's usage
    Create(Create),
    /// List the project's snapshots
    List(List),
    /// Show a snapshot
    Show(Show),
    /// Delete a snapshot, and return its quota
    Delete(Delete),
}

#[derive(Args, Debug)]
pub struct Create {
    /// Name or full id of the volume
    #[arg(long, value_name = "VOLUME")]
    volume: String,
    /// Name of the snapshot
    #[arg(long, value_parser = words)]
    name: Option<String>,
    /// Status of the snapshot
    #[arg(long, value_parser = word, default_value = "available")]
    status: String,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    quota_class: QuotaClass,
}

#[derive(Args, Debug)]
pub struct List {
    /// List the snapshots of every project
    #[arg(long)]
    all_projects: bool,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    page: Page,
}

#[derive(Args, Debug)]
pub struct Show {
    /// Name or id of the snapshot; the id may be shortened
    snapshot: String,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
}

#[derive(Args, Debug)]
pub struct Delete {
    /// Name or full id of the snapshot
    snapshot: String,
    #[command(flatten)]
    who: Who,
}

impl Snapshots {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create(create) => {
                let requester = session.requester(&create.who)?;
                let snapshot = session.change(&requester, |admin| {
                    let volume = id_of(&admin.view(), &kind::VOLUME, &create.volume)?;
                    admin.create_snapshot(&volume, create.name.as_deref(), &create.status)
                })?;
                output::object(&snapshot, create.format)
            }
            Self::List(list) => {
                let requester = session.requester(&list.who)?;
                let project = (!list.all_projects).then_some(requester.project_id.as_str());
                let listing = Listing {
                    project,
                    ids: (list.page.after(), Bound::Unbounded),
                    limit: list.page.to_read(None),
                    ..Listing::default()
                };
                let reader = session.reader()?;
                let snapshots = reader.view(&requester).page(&kind::SNAPSHOT, listing)?;
                let columns = ["id", "display_name", "volume_id", "volume_size", "status"];
                list.page.objects(session, &columns, snapshots)
            }
            Self::Show(show) => {
                let requester = session.requester(&show.who)?;
                let snapshot = look_up(
                    &session.reader()?.view(&requester),
                    &kind::SNAPSHOT,
                    &show.snapshot,
                )?;
                output::object(&snapshot, show.format)
            }
            Self::Delete(delete) => {
                let requester = session.requester(&delete.who)?;
                session.store()?.admin(&requester, |admin| {
                    let id = id_of(&admin.view(), &kind::SNAPSHOT, &delete.snapshot)?;
                    admin.delete_snapshot(&id)
                })?;
                Ok(())
            }
        }
    }
}
