//! The inbox: requests for flows of projects that another host owns, on a connection of its own.

use cairn_effects::rows::Cell;
use cairn_model::clock::{Clock, Timestamp};
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::id::{FlowId, HostId};
use std::sync::Arc;
use std::time::Duration;

use super::hints::NOTIFY;
use super::link::Sender as _;
use super::link::{Parameter, Step};
use super::session::Session;
use crate::StoreError;
use crate::partitions::{Partitions, partition_of};
use crate::shared::{Fate, Forwarded, INBOX_MOST, Inbox};
use crate::sql::{Columns, SqlError};

/// How long answers are kept for the host that forwarded the request.
const KEPT: Duration = Duration::from_secs(3600);

/// How many bytes of requests are read at once, besides the last request.
const PAGE_BYTES: i64 = 16 << 20;

/// A row that was written before its answer was lost is not written again: it, or its flow, is there.
const PUT: &str = "INSERT INTO inbox (id, part, project_id, request, created_at)
    SELECT id, part, u.project_id, request, $5::bigint
    FROM (SELECT *, row_number() OVER (PARTITION BY project_id ORDER BY id) AS nth
          FROM unnest($1::bytea[], $2::int[], $3::text[], $4::text[]) AS u(id, part, project_id, request)) AS u
    LEFT JOIN (SELECT project_id, count(*) AS waiting FROM inbox WHERE project_id = ANY($3::text[]) GROUP BY project_id) AS there
        ON there.project_id = u.project_id
    WHERE nth + coalesce(waiting, 0) <= $6::bigint AND NOT EXISTS (SELECT FROM flows WHERE flows.id = u.id)
    ON CONFLICT (id) DO NOTHING";

/// The hosts that own these partitions.
const OWNERS: &str = "WITH owners AS (SELECT DISTINCT host FROM partitions WHERE id = ANY($1::int[]) AND host IS NOT NULL)";

const MISSING: &str = "SELECT id FROM unnest($1::bytea[]) AS u(id)
    WHERE NOT EXISTS (SELECT FROM inbox WHERE inbox.id = u.id) AND NOT EXISTS (SELECT FROM flows WHERE flows.id = u.id)";

/// Marks what it reads, so that nobody withdraws a request whose flow is about to be created. The page is an array, not a table to join with: the
/// table is small by its statistics, so a join would read all that waits once for each row.
const OPEN: &str = "WITH page AS (SELECT id FROM (
        SELECT *, sum(octet_length(request)) OVER (ORDER BY id) - octet_length(request) AS before FROM (
            SELECT inbox.id, project_id, request FROM partitions JOIN inbox ON inbox.part = partitions.id
            WHERE host = $1 AND partitions.id <> ALL($2::int[]) AND answer IS NULL AND inbox.id <> ALL($3::bytea[])
                  AND NOT EXISTS (SELECT FROM flows WHERE flows.id = inbox.id)
            ORDER BY inbox.id LIMIT $4::bigint) AS first) AS page
    WHERE before < $5::bigint),
    mine AS (UPDATE inbox SET taken = $1 WHERE id = ANY(ARRAY(SELECT id FROM page)) AND answer IS NULL RETURNING id, project_id, request)
    SELECT id, project_id, request FROM mine ORDER BY id";

/// Neither flows that a host works on nor requests that wait.
const FATES: &str = "SELECT u.id, answer FROM unnest($1::bytea[]) AS u(id)
    LEFT JOIN flows ON flows.id = u.id LEFT JOIN inbox ON inbox.id = u.id
    WHERE NOT (flows.id IS NOT NULL AND host IS NOT NULL AND stuck IS NULL)
          AND NOT (flows.id IS NULL AND inbox.id IS NOT NULL AND answer IS NULL)";

/// Keeps the owners of the projects of requests as they are.
const STAY: &str = "SELECT FROM partitions WHERE id IN (SELECT part FROM inbox WHERE id = ANY($1::bytea[])) ORDER BY id FOR SHARE";

/// The flow of a request that its owner has read may be in that host's open batch.
const WITHDRAW: &str = "DELETE FROM inbox WHERE id = ANY($1::bytea[])
    AND (answer IS NOT NULL OR taken IS NULL OR taken IS DISTINCT FROM (SELECT host FROM partitions WHERE partitions.id = part))
    RETURNING id, answer IS NULL";

/// Answers that nobody has fetched.
pub(super) const TIDY_ANSWERED: &str = "DELETE FROM inbox WHERE answered_at < $1";

/// What was written again after its flow had been created. The ids begin with the time at which they were made, before the row was: the
/// index of ids finds the old rows.
pub(super) const TIDY_WRITTEN: &str = "DELETE FROM inbox WHERE id < $2 AND created_at < $1
    AND EXISTS (SELECT FROM flows WHERE flows.id = inbox.id)";

/// The inbox as one host sees it.
pub(super) struct Beside {
    session: Session,
    host: HostId,
    clock: Arc<dyn Clock>,
}

impl Beside {
    pub(super) fn new(session: Session, host: HostId, clock: Arc<dyn Clock>) -> Self {
        Self {
            session,
            host,
            clock,
        }
    }

    fn send(&self, steps: &[Step<'_>]) -> Result<Vec<Vec<Vec<Cell>>>, StoreError> {
        let answers = self.session.send(steps);
        let answers = answers.map_err(|error| StoreError::Database(error.to_string()))?;
        Ok(answers.into_iter().map(|answer| answer.rows).collect())
    }

    fn before(&self, age: Duration) -> Timestamp {
        self.clock.now().before(age)
    }
}

fn array(cells: &[Cell]) -> Parameter<'_> {
    Parameter::Array(cells.iter().map(Cell::borrow).collect())
}

pub(super) fn ids(flows: &[FlowId]) -> Vec<Cell> {
    flows.iter().map(|flow| Cell::from(*flow)).collect()
}

/// Returns the lowest id of the millisecond after a moment.
pub(super) fn id_after(moment: Timestamp) -> Cell {
    let milliseconds = u64::try_from(moment.0 / 1_000 + 1).unwrap_or(0);
    let mut id = [0; 16];
    // A UUID of version 7 has 48 bits for them.
    id[..6].copy_from_slice(&milliseconds.to_be_bytes()[2..]);
    Cell::Blob(id.as_slice().into())
}

pub(super) fn parts(parts: &Partitions) -> Vec<Cell> {
    parts.iter().map(|part| i64::from(part).into()).collect()
}

fn flows(rows: &[Vec<Cell>]) -> Result<Vec<FlowId>, SqlError> {
    rows.iter().map(|row| Columns(row).flow(0)).collect()
}

impl Inbox for Beside {
    fn put(&mut self, requests: &[Forwarded]) -> Result<Vec<FlowId>, StoreError> {
        let ids: Vec<Cell> = requests.iter().map(|one| one.flow.into()).collect();
        let projects = requests.iter().map(|one| &*one.project_id);
        let parts: Vec<Cell> = projects
            .clone()
            .map(|project| i64::from(partition_of(project)).into())
            .collect();
        let projects: Vec<Cell> = projects.map(Cell::from).collect();
        let bodies: Vec<Cell> = requests.iter().map(|one| (&*one.request).into()).collect();
        let (now, most) = (Cell::from(self.clock.now()), Cell::from(INBOX_MOST));
        let notify = format!("{OWNERS} {NOTIFY} FROM owners");
        let steps = [
            Step::Script("BEGIN"),
            Step::Run {
                statement: PUT,
                parameters: vec![
                    array(&ids),
                    array(&parts),
                    array(&projects),
                    array(&bodies),
                    Parameter::from(&now),
                    Parameter::from(&most),
                ],
            },
            // Sees that the request of an owner who takes it at once is gone only together with the flow.
            Step::Run {
                statement: MISSING,
                parameters: vec![array(&ids)],
            },
            Step::Run {
                statement: &notify,
                parameters: vec![array(&parts)],
            },
            Step::Commit,
        ];
        let answers = self.send(&steps)?;
        Ok(flows(answers.get(2).map_or(&[], Vec::as_slice))?)
    }

    fn open(
        &mut self,
        but: &[FlowId],
        leaving: &Partitions,
        most: usize,
    ) -> Result<Vec<Forwarded>, StoreError> {
        let host = Cell::from(self.host);
        let (leaving, but) = (parts(leaving), ids(but));
        let most = Cell::from(i64::try_from(most).unwrap_or(i64::MAX));
        let bytes = Cell::from(PAGE_BYTES);
        let step = Step::Run {
            statement: OPEN,
            parameters: vec![
                Parameter::from(&host),
                array(&leaving),
                array(&but),
                Parameter::from(&most),
                Parameter::from(&bytes),
            ],
        };
        let rows = self.send(&[step])?.pop().unwrap_or_default();
        if !rows.is_empty() {
            reach(CrashPoint::InboxTaken);
        }
        let open = rows.iter().map(|row| {
            let row = Columns(row);
            Ok(Forwarded {
                flow: row.flow(0)?,
                project_id: row.text(1)?,
                request: row.text(2)?,
            })
        });
        Ok(open.collect::<Result<_, SqlError>>()?)
    }

    fn fates(&mut self, flows: &[FlowId]) -> Result<Vec<(FlowId, Fate)>, StoreError> {
        let ids = ids(flows);
        let step = Step::Run {
            statement: FATES,
            parameters: vec![array(&ids)],
        };
        let rows = self.send(&[step])?.pop().unwrap_or_default();
        let fates = rows.iter().map(|row| {
            let row = Columns(row);
            let fate = match row.optional_text(1)? {
                Some(answer) => Fate::Answered(serde_json::from_str(&answer).map_err(|error| {
                    SqlError::harmless(format!("the answer to a request is damaged: {error}"))
                })?),
                None => Fate::Settled,
            };
            Ok((row.flow(0)?, fate))
        });
        Ok(fates.collect::<Result<_, SqlError>>()?)
    }

    fn withdraw(&mut self, flows: &[FlowId]) -> Result<Vec<FlowId>, StoreError> {
        let ids = ids(flows);
        let run = |statement| Step::Run {
            statement,
            parameters: vec![array(&ids)],
        };
        let steps = [
            Step::Script("BEGIN"),
            run(STAY),
            run(WITHDRAW),
            Step::Commit,
        ];
        let rows = self.send(&steps)?.into_iter().nth(2).unwrap_or_default();
        let mut waiting = Vec::new();
        for row in &rows {
            let row = Columns(row);
            if row.flag(1)? {
                waiting.push(row.flow(0)?);
            }
        }
        Ok(waiting)
    }

    fn tidy(&mut self) -> Result<(), StoreError> {
        let before = self.before(KEPT);
        let old = [Cell::from(before), id_after(before)];
        let steps = [
            Step::run(TIDY_ANSWERED, &old[..1]),
            Step::run(TIDY_WRITTEN, &old),
        ];
        self.send(&steps).map(drop)
    }
}
