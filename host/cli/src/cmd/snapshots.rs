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

/// See snapshots, and set up those that are there already
#[derive(Debug, Subcommand)]
pub enum Snapshots {
    /// Add a snapshot of a volume, and book its quota
    Create(Create),
    /// List the project's snapshots
    List(List),
    /// Show a snapshot
    Show(Show),
    /// Delete a snapshot, and give its quota back
    Delete(Delete),
}

#[derive(Args, Debug)]
pub struct Create {
    /// The volume, by id or name
    #[arg(long, value_name = "VOLUME")]
    volume: String,
    /// What it is called
    #[arg(long, value_parser = words)]
    name: Option<String>,
    /// Its status
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
    /// Of every project
    #[arg(long)]
    all_projects: bool,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    page: Page,
}

#[derive(Args, Debug)]
pub struct Show {
    /// The snapshot, by name or by id, which may be shortened
    snapshot: String,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
}

#[derive(Args, Debug)]
pub struct Delete {
    /// The snapshot, by id or name
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
