use cairn::store::audit::{AuditFilter, Recorded};
use cairn::{Identity, Value};
use clap::{Args, Subcommand};

use crate::args::word;
use crate::exit::Failure;
use crate::output;
use crate::page::Page;
use crate::session::Session;
use crate::since::{Since, since};

/// How many changes are listed by default.
const LISTED: Option<usize> = Some(100);

/// Show what operators have changed
#[derive(Debug, Subcommand)]
pub enum Audit {
    List(List),
}

/// List changes by operators, newest first: who made them, from where, when and why, with what was before and after
///
/// Each is written in the transaction of the change. On the command line the source is the user of the operating system and the machine,
/// and the user is that of --user or cairn.toml. Changes are kept for 400 days, or for the time `keep` of [audit] in cairn.toml; `cairn flow
/// prune` removes older ones, and so does each new change.
#[derive(Args, Debug)]
pub struct List {
    /// Only changes of this: the id of a flow, volume, message or token, the name of a project, or COLLECTION/KEY of a record
    #[arg(long, value_name = "SUBJECT", value_parser = word)]
    subject: Option<String>,
    /// Only changes of this kind, such as quota.set, or of a group, such as quota
    #[arg(long, value_name = "ACTION", value_parser = word)]
    action: Option<String>,
    /// Only changes by this user
    #[arg(long, value_name = "USER", value_parser = word)]
    user: Option<String>,
    /// Only changes since this time, such as 2026-03-01T12:00:00Z, or within this period, such as 7d
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    #[command(flatten)]
    page: Page,
}

impl Audit {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(session),
        }
    }
}

impl List {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let filter = AuditFilter {
            subject: self.subject.as_deref(),
            action: self.action.as_deref(),
            user_id: self.user.as_deref(),
            since: self.since.map(Since::time),
            before: self.page.cursor(),
        };
        let reader = session.reader()?;
        let limit = self.page.to_read(LISTED);
        let changes = reader.view(&Identity::default()).audit(filter, limit)?;
        let id = |change: &Recorded| change.id.clone();
        self.page.show(session, changes, LISTED, id, table)
    }
}

fn table(changes: &[Recorded]) -> String {
    let rows = changes.iter().map(|change| {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let shown = |value: &Value| match value {
            Value::Null => "-".to_owned(),
            value => value.to_string(),
        };
        vec![
            change.at.to_string(),
            change.user_id.clone(),
            change.source.clone(),
            change.action.clone(),
            change.subject.clone(),
            or_none(&change.project_id),
            or_none(&change.reason),
            shown(&change.before),
            shown(&change.after),
        ]
    });
    let columns = [
        "at", "user", "source", "action", "subject", "project", "reason", "before", "after",
    ];
    output::table(&columns, rows)
}
