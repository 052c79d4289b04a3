//! How an operator's change gets its project: it claims one without an owner, and a live owner hands it over.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use cairn_effects::rows::Cell;

use super::hints::NOTIFY;
use super::link::LinkError;
use super::others::{OTHERS, Other};
use super::session::Session;
use super::sql::SqlLink;
use crate::hosts;
use crate::partitions::partition_of;
use crate::sql::{Owning, Sql as _, SqlError};

/// The interval between two looks at whether a project was handed over.
const LOOK: Duration = Duration::from_millis(20);

const CLAIM: &str = "UPDATE partitions SET host = $2, wanted = NULLIF(wanted, $2) WHERE id = $1 AND host IS NULL RETURNING id";

/// Those who ask at the same time get it one after another.
const ASK: &str = "WITH asked AS (UPDATE partitions SET wanted = $2 WHERE id = $1 AND host <> $2 AND wanted IS NULL RETURNING host)";

const ASK_NO_MORE: &str = "UPDATE partitions SET wanted = NULL WHERE id = $1 AND wanted = $2";

/// What an operator's change knows about other hosts.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// The folder of locks that shows which processes are dead.
    pub(super) folder: Option<PathBuf>,
    /// How long a live host may take to hand a project over. This process renews its lease only after that.
    pub(super) patience: Duration,
}

/// Makes `me` the owner of a project in the transaction that is open on `sql`. Asks and ends other hosts on the connection `beside`, because
/// they must see that at once, and a wait for a lock that is given up would fail the transaction.
pub(super) fn own(
    sql: &SqlLink,
    beside: &Session,
    me: Cell,
    project_id: &str,
    others: &Others,
) -> Result<Owning, SqlError> {
    let harmless = |error: LinkError| SqlError::harmless(error.to_string());
    let owner =
        format!("{OTHERS} WHERE hosts.id = (SELECT host FROM partitions WHERE partitions.id = $1)");
    let ask = format!("{ASK} {NOTIFY} FROM asked");
    let mine = [i64::from(partition_of(project_id)).into(), me];
    let until = Instant::now() + others.patience;
    let mut has_asked = false;
    loop {
        if !sql.returning(CLAIM, &mine)?.is_empty() {
            return Ok(Owning::Claimed);
        }
        let found = sql.query(&owner, &mine[..1])?;
        // It was given back in between.
        let Some(row) = found.first() else { continue };
        let owner = Other::read(row)?;
        if hosts::cell(owner.id) == mine[1] {
            return Ok(match has_asked {
                true => Owning::Claimed,
                false => Owning::Had,
            });
        }
        let ended = owner.end_if_gone(beside, others.folder.as_deref());
        if ended.map_err(harmless)? {
            continue;
        }
        if Instant::now() < until {
            beside.run(&ask, &mine).map_err(harmless)?;
            has_asked = true;
            thread::sleep(LOOK);
            continue;
        }
        let is_withdrawn = beside.run(ASK_NO_MORE, &mine).map_err(harmless)?.changed > 0;
        if has_asked && !is_withdrawn {
            // It was handed over in between, or another process was before this one.
            has_asked = false;
            continue;
        }
        return Ok(Owning::Elsewhere {
            host: owner.name,
            pid: owner.pid,
        });
    }
}
