use std::ops::Bound;

use cairn::store::view::{CAST, Listing};
use clap::{Args, Subcommand};

use crate::args::Who;
use crate::exit::Failure;
use crate::page::Page;
use crate::session::Session;

/// List messages to other services, and mark them as taken
#[derive(Debug, Subcommand)]
pub enum Outbox {
    /// List the messages that are ready to be taken
    List(List),
    /// Mark messages as taken: all of them, or none if one is not ready
    Ack(Ack),
}

#[derive(Args, Debug)]
pub struct List {
    /// Also list messages that are held until their flow succeeds, and messages that were taken
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    page: Page,
}

#[derive(Args, Debug)]
pub struct Ack {
    /// Ids of messages
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    who: Who,
}

impl Outbox {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(session),
            Self::Ack(ack) => ack.run(session),
        }
    }
}

impl List {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let listing = Listing {
            state: (!self.all).then_some("ready"),
            ids: (self.page.after(), Bound::Unbounded),
            limit: self.page.to_read(None),
            ..Listing::default()
        };
        let reader = session.reader()?;
        let messages = reader.view(&requester).page(&CAST, listing)?;
        let columns = ["id", "state", "topic", "method", "created_at"];
        self.page.objects(session, &columns, messages)
    }
}

impl Ack {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        session.store()?.admin(&requester, |admin| {
            self.ids.iter().try_for_each(|id| admin.ack_cast(id))
        })?;
        Ok(())
    }
}
