//! PostgreSQL as a backend. A batch is data: it is sent whole in one round trip, and sent again if the connection broke and it is not on
//! disk. No transaction is open while rules decide; what they decide over is owned by this host.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_effects::event::Entry;
use cairn_effects::rows::{Cell, Fetched, Mark, Wants};
use cairn_model::clock::{Clock, Timestamp};
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::id::FlowId;

use super::again::while_lost;
use super::bulk::{Columns as Parts, Texts};
use super::connect::Target;
use super::fetch::{Fetcher, Reads};
use super::hosts::OwnLease;
use super::link::{Link, LinkError, Parameter, READER, Step};
use super::session::{FENCE, SNAPSHOT, Session, State};
use super::shared::{self, Looks};
use super::{PostgresConfig, open, outbox};
use crate::StoreError;
use crate::backend::{Backend, Batch, Fault, Holder, Taken};
use crate::batched::Batched;
use crate::deliver::Outbox;
use crate::operators::{held, idempotency, lookup};
use crate::partitions::{Partitions, partition_of};
use crate::shared::Shared;
use crate::sql::{Columns, Outlook, Raised, Sql, SqlBackend, SqlError};

/// The version of the tables whose rows belong to no project.
const CATALOGUE: &str = "SELECT version FROM catalogue";

/// A store on PostgreSQL.
pub type Postgres = Batched<PostgresDatabase>;

impl Postgres {
    /// Opens the database that a URL names, and brings its schema up to date. Projects belong to the host that first writes to them, until
    /// it ends.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the server cannot be reached, may lose what it commits, or the database is not Cairn's or of a newer
    /// version; [`StoreError::Held`]; [`StoreError::Clock`].
    pub fn open(config: &PostgresConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        clock.now().check()?;
        let link = open(config)?;
        let database = PostgresDatabase::new(link, config);
        if !config.store.even_held {
            held::refuse(&database.session)?;
        }
        Self::over(database, config.store.clone(), clock)
    }
}

/// The pause before a lost connection is made again; doubled each time.
const PAUSE: Duration = Duration::from_millis(20);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Removes the requests of flows that are created, each of which must be there.
const CREATED: &str =
    "WITH done AS (DELETE FROM inbox WHERE id = ANY($1::bytea[]) AND answer IS NULL RETURNING 1)
    SELECT expect((SELECT count(*) FROM done), $2::bigint, 'request')";

/// Codes of a server that has no room at the moment: the batch is sent again.
const FULL: [&str; 3] = ["53100", "53200", "53300"];

/// An open database.
pub struct PostgresDatabase {
    pub(super) session: Session,
    /// Reads for operators, which do not hold the writer up.
    reading: Session,
    pub(super) target: Arc<Target>,
    pub(super) lease: OwnLease,
    texts: Texts,
    /// What the open batch does about owners of flows and of partitions.
    pub(super) owners: Vec<(&'static str, Vec<Cell>)>,
    /// Flows that are about to be created from the inbox.
    pub(super) forwarded: HashSet<FlowId>,
    /// Rows in memory may be wrong: partitions were claimed, or the catalogue has changed.
    pub(super) is_stale: bool,
    /// The catalogue's version that an operator's change has made, until it is asked for.
    raised: Option<i64>,
    pub(super) looks: Looks,
    /// Whether flows that others have left in claimed partitions may not be taken yet.
    pub(super) has_left_over: bool,
    patience: Duration,
    /// Works on a held database, too.
    even_held: bool,
}

impl PostgresDatabase {
    fn new(link: Link, config: &PostgresConfig) -> Self {
        let target = config.target();
        Self {
            session: Session::new(link),
            reading: Session::later(Arc::clone(&target), &READER),
            target,
            lease: OwnLease::new(config),
            texts: Texts::default(),
            owners: Vec::new(),
            forwarded: HashSet::new(),
            is_stale: false,
            raised: None,
            looks: Looks::default(),
            has_left_over: false,
            patience: config.patience,
            even_held: config.store.even_held,
        }
    }

    fn register_now(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.lease.is_registered() {
            return Ok(());
        }
        self.lease.register(&self.session, now)?;
        self.session.set_locks(self.lease.folder());
        reach(CrashPoint::HostRegistered);
        // Rows that were read before are of an older catalogue, maybe.
        self.is_stale = true;
        // The database may have been restored since it was opened.
        if self.even_held {
            return Ok(());
        }
        held::refuse(&self.session).inspect_err(|_| self.close())
    }

    /// Reads the catalogue's version.
    fn catalogue(&self) -> Result<Option<i64>, LinkError> {
        let rows = self.session.run(CATALOGUE, &[])?.rows;
        Ok(match rows.first().map(Vec::as_slice) {
            Some([Cell::Int(version)]) => Some(*version),
            _ => None,
        })
    }

    /// Sends a batch, and finds out what became of it when its connection breaks.
    fn send(&mut self, batch: &Batch<'_>) -> Result<Option<i64>, Fault> {
        let fence = self.lease.fence();
        let host = self.lease.cell();
        let parts = Parts::of(batch, &host);
        let created = self.created(batch);
        let many = Cell::from(i64::try_from(created.len()).unwrap_or(i64::MAX));
        let has_begun = self.session.state() == State::Transaction;
        let mut steps = Vec::new();
        if !has_begun {
            steps.push(Step::Script("BEGIN"));
            steps.push(Step::run(FENCE, &fence));
        }
        steps.extend(self.texts.steps(&batch.rows));
        steps.extend(parts.steps());
        if !created.is_empty() {
            steps.push(Step::Run {
                statement: CREATED,
                parameters: vec![
                    Parameter::Array(created.iter().map(Cell::borrow).collect()),
                    Parameter::from(&many),
                ],
            });
        }
        let owners = self.owners.iter();
        steps.extend(owners.map(|(statement, parameters)| Step::run(statement, parameters)));
        if has_begun {
            // After what the operator has changed.
            steps.push(Step::run(CATALOGUE, &[]));
        } else {
            steps.push(Step::Commit);
        }
        let version_at = if has_begun { steps.len() - 1 } else { 1 };
        let until = Instant::now() + self.patience;
        let mut pause = PAUSE;
        loop {
            let sent = match has_begun {
                true => self.session.commit(&steps),
                false => self.session.send(&steps),
            };
            let error = match sent {
                Ok(answers) => {
                    let answer = answers.get(version_at);
                    let version = answer.and_then(|answer| answer.rows.first()?.first());
                    return Ok(match version {
                        Some(Cell::Int(version)) => Some(*version),
                        _ => None,
                    });
                }
                Err(error) => error,
            };
            let is_fenced = error.code() == Some("CA001");
            let is_full = error.code().is_some_and(|code| FULL.contains(&code));
            match &error {
                LinkError::Lost(reason) => {
                    tracing::warn!(%reason, batch = self.lease.batch + 1, "the connection broke while a batch was written");
                }
                _ if is_fenced || is_full => {}
                _ => return Err(Fault::Lost(error.to_string())),
            }
            // The fence also refuses a batch that an older session of this process has committed in between.
            match witness(&self.session, &self.lease, until)? {
                Witness::Committed => return Ok(None),
                Witness::NotCommitted if is_fenced => {
                    return Err(Fault::Barred(StoreError::Fenced));
                }
                Witness::NotCommitted if has_begun => {
                    return Err(Fault::Lost(error.to_string()));
                }
                Witness::NotCommitted if Instant::now() >= until => {
                    return Err(Fault::Lost(error.to_string()));
                }
                Witness::NotCommitted => {
                    if is_full {
                        tracing::warn!(%error, "the server has no room: the batch is sent again");
                        std::thread::sleep(pause);
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
        }
    }

    /// Returns the flows that a batch creates from the inbox.
    fn created(&self, batch: &Batch<'_>) -> Vec<Cell> {
        if self.forwarded.is_empty() {
            return Vec::new();
        }
        let new = batch.flows.iter();
        let new = new.filter(|added| added.row.as_ref().is_some_and(|row| row.is_new));
        let created = new.filter(|added| self.forwarded.contains(&added.flow));
        created.map(|added| added.flow.into()).collect()
    }

    /// Claims the partition of a project for this host.
    fn claim(&mut self, part: u8) -> Result<(), StoreError> {
        let mut wanted = Partitions::default();
        wanted.insert(part);
        let has_claimed = self.lease.claim(&self.session, &wanted, false)?;
        self.has_claimed_now(has_claimed);
        Ok(())
    }

    /// Notes whether partitions were claimed: rows in memory may be wrong, and hosts that are gone may have left flows in them.
    pub(super) fn has_claimed_now(&mut self, has_claimed: bool) {
        self.is_stale |= has_claimed;
        self.has_left_over |= has_claimed;
    }

    fn taken(&mut self, flow: FlowId) -> Result<Taken, StoreError> {
        let statement = "SELECT host, part FROM flows WHERE id = $1";
        let found = self.session.query(statement, &[flow.into()])?;
        let Some([host, Cell::Int(part)]) = found.first().map(Vec::as_slice) else {
            return Ok(Taken::Unknown);
        };
        let own = self.lease.cell();
        let part = u8::try_from(*part).unwrap_or_default();
        if !self.lease.owned.contains(part) {
            match self.claim(part) {
                Err(StoreError::Elsewhere { pid, .. }) => return Ok(Taken::By(pid)),
                claimed => claimed?,
            }
        }
        if *host == Cell::Null {
            return Ok(Taken::Resting);
        }
        if *host != own {
            // The host that has it does not own its project any more, so it is gone.
            let statement = "UPDATE flows SET host = $1 WHERE id = $2";
            self.owners.push((statement, vec![own, flow.into()]));
        }
        Ok(Taken::Ours)
    }

    fn take_all(&mut self, stuck_too: bool) -> Result<Vec<FlowId>, StoreError> {
        let failed = |error: LinkError| StoreError::Database(error.to_string());
        self.lease.end_gone(&self.session)?;
        let left = shared::left(&self.session).map_err(failed)?;
        let has_claimed = self.lease.claim(&self.session, &left, true)?;
        self.has_claimed_now(has_claimed);
        self.take_owned(stuck_too)
    }
}

/// What became of a batch in doubt.
enum Witness {
    Committed,
    NotCommitted,
}

/// Finds out whether the batch in doubt is on disk. The row of this host is written and that commit awaited before it is believed: a
/// transaction whose session was ended while it waited for a standby is visible though not replicated.
fn witness(session: &Session, lease: &OwnLease, until: Instant) -> Result<Witness, Fault> {
    let me = [lease.cell()];
    let mut pause = PAUSE;
    loop {
        let found = session.reconnect().and_then(|()| {
            let steps = [
                Step::Script("BEGIN"),
                Step::run("SELECT batch FROM hosts WHERE id = $1 FOR UPDATE", &me),
                Step::run(
                    "UPDATE hosts SET backend = pg_backend_pid() WHERE id = $1",
                    &me,
                ),
                Step::Commit,
            ];
            session.send(&steps)
        });
        let error = match found {
            Ok(answers) => {
                reach(CrashPoint::WitnessRead);
                let rows = answers.into_iter().nth(1).unwrap_or_default().rows;
                let batch = match rows.first().map(Vec::as_slice) {
                    Some([Cell::Int(batch)]) => *batch,
                    _ => return Err(Fault::Barred(StoreError::Fenced)),
                };
                return match batch - lease.batch {
                    1 => Ok(Witness::Committed),
                    0 => Ok(Witness::NotCommitted),
                    _ => Err(Fault::Barred(StoreError::HistoryLost {
                        found: batch,
                        expected: lease.batch,
                    })),
                };
            }
            Err(error) => error,
        };
        if Instant::now() >= until {
            let message = format!(
                "{error}; whether the last batch is on disk is not known, and nothing more is written: when the server is back, `cairn \
                 recover` goes on with the flows"
            );
            return Err(Fault::Barred(StoreError::Database(message)));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Backend for PostgresDatabase {
    type Reader = Fetcher;

    fn begin(&mut self, clock: &dyn Clock) -> Result<bool, Fault> {
        self.register_now(clock.now()).map_err(Fault::NotBegun)?;
        self.session.open(self.lease.fence());
        reach(CrashPoint::BatchOpened);
        Ok(std::mem::take(&mut self.is_stale))
    }

    fn is_open(&self) -> bool {
        self.session.state() != State::Idle
    }

    fn commit(&mut self, batch: &Batch<'_>) -> Result<Mark, Fault> {
        let is_empty = batch.rows.is_empty()
            && batch.keys.is_empty()
            && batch.flows.is_empty()
            && self.owners.is_empty()
            && self.session.state() == State::Batch;
        if is_empty && !self.lease.is_due() {
            self.session.close();
            return Ok(Mark(self.lease.batch));
        }
        let is_operators = self.session.state() == State::Transaction;
        let catalogue = match self.send(batch)? {
            None if is_operators => self.catalogue().unwrap_or_default(),
            catalogue => catalogue,
        };
        self.session.close();
        reach(CrashPoint::BatchCommitted);
        self.owners.clear();
        let before = self.lease.catalogue;
        self.is_stale |= self.lease.committed(catalogue) || is_operators;
        if is_operators && self.lease.catalogue > before {
            self.raised = Some(self.lease.catalogue);
        }
        if !self.forwarded.is_empty() {
            for added in &batch.flows {
                self.forwarded.remove(&added.flow);
            }
        }
        Ok(Mark(self.lease.batch))
    }

    fn roll_back(&mut self) {
        self.owners.clear();
        self.session.close();
    }

    fn have_others_written(&mut self) -> Result<bool, String> {
        Ok(std::mem::take(&mut self.is_stale))
    }

    fn reader(&self) -> Fetcher {
        Fetcher::new(Arc::clone(&self.target), self.lease.cell())
    }

    fn reads_beside(&self) -> bool {
        true
    }

    fn generation(&self) -> u64 {
        0
    }

    fn fetch(&mut self, wants: Wants) -> Result<Fetched, Fault> {
        let reads = Reads::of(self.lease.cell(), wants);
        let is_alone = self.session.state() != State::Transaction;
        let mut steps = reads.steps();
        if is_alone {
            steps.insert(0, Step::Script(SNAPSHOT));
            steps.push(Step::Script("COMMIT"));
        }
        // Nothing of the batch was sent yet, so the read can be repeated.
        let patience = match is_alone {
            true => self.patience,
            false => Duration::ZERO,
        };
        let answers = while_lost(patience, || self.session.send(&steps));
        let mut answers = answers.map_err(|error| Fault::Lost(error.to_string()))?;
        drop(steps);
        if is_alone {
            answers.pop();
            answers.remove(0);
        }
        reads.fetched(answers).map_err(Fault::Lost)
    }

    fn journal(&self, flow: FlowId) -> Result<Vec<Entry>, String> {
        lookup::journal(&self.session, flow).map_err(|error| error.to_string())
    }

    fn key_holder(
        &self,
        project_id: &str,
        key: &str,
        lapsed: Timestamp,
    ) -> Result<Option<Holder>, StoreError> {
        idempotency::holder(&self.session, project_id, key, lapsed)
    }

    fn domains(&self) -> Vec<String> {
        let statement = "SELECT domain FROM schema ORDER BY domain";
        let rows = self.reading.query(statement, &[]).unwrap_or_default();
        let names = rows.iter().filter_map(|row| Columns(row).text(0).ok());
        names.collect()
    }

    fn announce(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn register(&mut self, now: Timestamp) -> Result<(), Fault> {
        // Opening a batch has done it.
        self.register_now(now).map_err(Fault::NotBegun)
    }

    fn renewal(&self) -> Option<Instant> {
        self.lease.renewal()
    }

    fn must_write(&mut self) -> bool {
        if self.lease.is_due() {
            return true;
        }
        // Until the lease is due an error does not matter.
        let catalogue = self.catalogue().unwrap_or_default();
        let version = catalogue.unwrap_or(self.lease.catalogue);
        self.is_stale |= self.lease.learn(version);
        self.lease.is_due()
    }

    fn postpone_renewal(&mut self) {
        self.lease.postpone();
    }

    fn own(&mut self, project_id: &str) -> Result<(), Fault> {
        let part = partition_of(project_id);
        if self.lease.owned.contains(part) {
            return Ok(());
        }
        self.claim(part).map_err(Fault::NotBegun)
    }

    fn owned(&self) -> Option<Partitions> {
        Some(self.lease.owned)
    }

    fn has_claimed(&mut self) -> bool {
        std::mem::take(&mut self.is_stale)
    }

    fn take(&mut self, flow: FlowId, _now: Timestamp) -> Result<Taken, Fault> {
        self.taken(flow).map_err(Fault::NotBegun)
    }

    fn is_untouched(&mut self, flow: FlowId, entries: i64) -> Result<bool, Fault> {
        let statement =
            "SELECT 1 FROM flows WHERE id = $1 AND (host IS NULL OR host = $2) AND entries = $3";
        let parameters = [flow.into(), self.lease.cell(), entries.into()];
        let found = self.session.query(statement, &parameters);
        let found = found.map_err(|error| self.failed(&error))?;
        Ok(!found.is_empty())
    }

    fn put_down(&mut self, flow: FlowId) -> Result<(), Fault> {
        let statement = "UPDATE flows SET host = NULL WHERE id = $1 AND host = $2";
        let parameters = vec![flow.into(), self.lease.cell()];
        self.owners.push((statement, parameters));
        Ok(())
    }

    fn take_over(&mut self, _now: Timestamp, stuck_too: bool) -> Result<Vec<FlowId>, Fault> {
        self.take_all(stuck_too).map_err(Fault::NotBegun)
    }

    fn sweep(&mut self) {}

    fn close(&mut self) {
        if !self.lease.is_registered() {
            return;
        }
        // Gives its partitions back.
        let me = [self.lease.cell()];
        let gone = self.session.run("DELETE FROM hosts WHERE id = $1", &me);
        match gone {
            Ok(_) => self.lease.release_lock(),
            // The lock stays: once this process has ended it proves to others that the row is a dead one's.
            Err(error) => {
                tracing::warn!(%error, "this process's lease was not given back; it runs out");
            }
        }
    }
}

impl SqlBackend for PostgresDatabase {
    fn sql(&self) -> &dyn Sql {
        &self.session
    }

    fn reading(&self) -> &dyn Sql {
        &self.reading
    }

    fn failed(&mut self, error: &SqlError) -> Fault {
        Fault::Lost(error.message.clone())
    }

    fn host(&self) -> Cell {
        self.lease.cell()
    }

    fn raised(&mut self) -> Option<Raised> {
        let version = self.raised.take()?;
        let patience = self.lease.patience();
        Some(Raised { version, patience })
    }

    fn unaware(&self, version: i64) -> Result<Vec<String>, StoreError> {
        let statement = "SELECT name, pid FROM hosts WHERE id <> $1 AND seen < $2 AND expires_at > clock_timestamp() ORDER BY id";
        let rows = self
            .session
            .query(statement, &[self.lease.cell(), version.into()])?;
        let hosts = rows.iter().map(|row| {
            let (name, pid) = (Columns(row).text(0)?, Columns(row).int(1)?);
            Ok(format!("`{name}` (process {pid})"))
        });
        Ok(hosts.collect::<Result<_, SqlError>>()?)
    }

    fn business(&self) -> &'static str {
        "NOT EXISTS (SELECT FROM partitions WHERE partitions.id = flows.part AND partitions.host <> $1)"
    }

    fn shared(store: &Postgres) -> Option<&dyn Shared> {
        Some(store)
    }

    fn outbox(&self) -> Result<Option<Box<dyn Outbox>>, StoreError> {
        let session = Session::later(self.target.without_patience(), &READER);
        Ok(Some(Box::new(outbox::Beside::new(session, self.lease.id))))
    }

    fn outlook(&self) -> Result<Option<Box<dyn Outlook>>, StoreError> {
        let session = Session::later(self.target.without_patience(), &READER);
        Ok(Some(Box::new(Beside(session))))
    }
}

/// Reads what other processes write.
struct Beside(Session);

impl Outlook for Beside {
    fn sql(&self) -> &dyn Sql {
        &self.0
    }

    fn version(&self) -> Result<i64, SqlError> {
        // Grows with each request; answers do not matter here.
        let rows = self
            .0
            .query("SELECT coalesce(max(id), 0) FROM requests", &[])?;
        rows.first().map_or(Ok(0), |row| Columns(row).int(0))
    }
}
