//! How an operator's change gets its projects: it claims those without an owner, and live owners hand theirs over. Once it is made they are
//! given back.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use cairn_effects::rows::Cell;

use super::hints::NOTIFY;
use super::link::Sender;
use super::others::{OTHERS, Other};
use crate::partitions::{Partitions, partition_of};
use crate::sql::{Owning, SqlError};

/// The interval between two looks at whether a project was handed over.
const LOOK: Duration = Duration::from_millis(20);

const CLAIM: &str = "UPDATE partitions SET host = $2, wanted = NULLIF(wanted, $2) WHERE id = $1 AND host IS NULL RETURNING id";

/// Those who ask at the same time get it one after another.
const ASK: &str = "WITH asked AS (UPDATE partitions SET wanted = $2 WHERE id = $1 AND host <> $2 AND wanted IS NULL RETURNING host)";

const ASK_NO_MORE: &str = "UPDATE partitions SET wanted = NULL WHERE id = $1 AND wanted = $2";

/// What an operator's change knows about other hosts, and which projects it has got.
#[derive(Debug, Default)]
pub(super) struct Lending {
    /// The folder of locks that shows which processes are dead.
    folder: Option<PathBuf>,
    /// How long a change may wait for other hosts, in all: meanwhile this process does not renew its lease.
    patience: Duration,
    /// How long the open transaction has waited.
    waited: Duration,
    /// The partitions that were claimed for the open transaction.
    gained: Partitions,
}

impl Lending {
    pub(super) fn new(folder: Option<PathBuf>, patience: Duration) -> Self {
        Self {
            folder,
            patience,
            ..Self::default()
        }
    }

    /// Begins a transaction.
    pub(super) fn begin(&mut self) {
        self.waited = Duration::ZERO;
    }

    /// Returns the partitions that were claimed since this was last called: they are to be given back.
    pub(super) fn take_gained(&mut self) -> Partitions {
        std::mem::take(&mut self.gained)
    }

    /// Makes `me` the owner of a project, in transactions of its own on the connection `beside`: other hosts must see at once who asks, and
    /// would otherwise wait for the end of a change that waits for them.
    pub(super) fn own(
        &mut self,
        beside: &dyn Sender,
        me: Cell,
        project_id: &str,
    ) -> Result<Owning, SqlError> {
        let since = Instant::now();
        let patience = self.patience.saturating_sub(self.waited);
        let owning = self.own_until(since + patience, beside, me, project_id);
        self.waited += since.elapsed();
        owning
    }

    fn own_until(
        &mut self,
        until: Instant,
        beside: &dyn Sender,
        me: Cell,
        project_id: &str,
    ) -> Result<Owning, SqlError> {
        let part = partition_of(project_id);
        if self.gained.contains(part) {
            return Ok(Owning::Had);
        }
        let owner = format!(
            "{OTHERS} WHERE hosts.id = (SELECT host FROM partitions WHERE partitions.id = $1)"
        );
        let ask = format!("{ASK} {NOTIFY} FROM asked");
        let mine = [i64::from(part).into(), me];
        let run = |statement: &str, parameters: &[Cell]| {
            let answer = beside.run(statement, parameters);
            answer.map_err(|error| SqlError::harmless(error.to_string()))
        };
        let (mut has_asked, mut asks) = (false, false);
        loop {
            if !run(CLAIM, &mine)?.rows.is_empty() {
                self.gained.insert(part);
                return Ok(Owning::Claimed);
            }
            let found = run(&owner, &mine[..1])?.rows;
            // It was given back in between.
            let Some(row) = found.first() else { continue };
            let owner = Other::read(row)?;
            if Cell::from(owner.id) == mine[1] {
                if !has_asked {
                    return Ok(Owning::Had);
                }
                self.gained.insert(part);
                return Ok(Owning::Claimed);
            }
            let ended = owner.end_if_gone(beside, self.folder.as_deref());
            if ended.map_err(|error| SqlError::harmless(error.to_string()))? {
                continue;
            }
            if Instant::now() < until {
                run(&ask, &mine)?;
                (has_asked, asks) = (true, true);
                thread::sleep(LOOK);
                continue;
            }
            let is_withdrawn = run(ASK_NO_MORE, &mine)?.changed > 0;
            if std::mem::take(&mut asks) && !is_withdrawn {
                // It was handed over in between, or another process was before this one.
                continue;
            }
            return Ok(Owning::Elsewhere {
                host: owner.name,
                pid: owner.pid,
            });
        }
    }
}
