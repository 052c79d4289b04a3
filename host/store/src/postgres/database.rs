//! PostgreSQL as a backend. A batch is data: it is sent whole in one round trip, and sent again if the connection broke and it is not on
//! disk. No transaction is open while rules decide; what they decide over is owned by this host.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_effects::event::Entry;
use cairn_effects::rows::{Cell, Fetched, Mark, Wants};
use cairn_model::clock::{Clock, Timestamp};
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::id::{FlowId, HostId};

use super::again::while_lost;
use super::bulk::Texts;
use super::connect::Target;
use super::fetch::{Fetcher, Reads};
use super::hosts::OwnLease;
use super::lend::Lending;
use super::link::Sender as _;
use super::link::{Link, Parameter, READER, Step, WATCHER};
use super::looks::Looks;
use super::outlook::Beside;
use super::session::{SNAPSHOT, Session, State};
use super::{PostgresConfig, open, outbox};
use crate::StoreError;
use crate::backend::{Backend, Batch, Fault, Holder, Taken};
use crate::batched::Batched;
use crate::deliver::Outbox;
use crate::operators::{held, idempotency, lookup};
use crate::partitions::{Partitions, partition_of};
use crate::shared::Shared;
use crate::sql::{Columns, Outlook, Raised, Sql, SqlBackend, SqlError};
use crate::survivor::Survivor;
use crate::survivors;

/// How long an operator's change waits at most until other hosts hand projects over.
const LENT: Duration = Duration::from_secs(5);

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

    /// Makes this process a host now, and not only when it first writes.
    ///
    /// # Errors
    /// Its settings differ from those of a live host; [`StoreError::Database`].
    pub fn join(&self) -> Result<(), StoreError> {
        self.write(|writer| writer.ledger.begin_as_host())
    }
}

/// An open database.
pub struct PostgresDatabase {
    pub(super) session: Session,
    /// Reads for operators, which do not hold the writer up.
    reading: Session,
    pub(super) target: Arc<Target>,
    pub(super) lease: OwnLease,
    pub(super) texts: Texts,
    /// What the open batch does about owners of flows and of partitions.
    pub(super) owners: Vec<(&'static str, Vec<Cell>)>,
    /// Flows that are about to be created from the inbox.
    pub(super) forwarded: HashSet<FlowId>,
    /// The catalogue's version that an operator's change has made, until it is asked for.
    raised: Option<i64>,
    pub(super) looks: Looks,
    pub(super) patience: Duration,
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
            raised: None,
            looks: Looks::default(),
            patience: config.patience,
            even_held: config.store.even_held,
        }
    }

    fn register_now(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.lease.is_registered() {
            return Ok(());
        }
        self.lease.register(&self.session, now)?;
        let folder = self.lease.folder().map(Path::to_owned);
        let patience = (self.lease.length() / 2).min(LENT);
        self.session.set_lending(Lending::new(folder, patience));
        reach(CrashPoint::HostRegistered);
        // Rows that were read before are of an older catalogue, maybe.
        self.lease.is_stale = true;
        // The database may have been restored since it was opened.
        if self.even_held {
            return Ok(());
        }
        held::refuse(&self.session).inspect_err(|_| self.close())
    }
}

impl Backend for PostgresDatabase {
    type Reader = Fetcher;

    fn begin(&mut self, clock: &dyn Clock) -> Result<bool, Fault> {
        self.register_now(clock.now()).map_err(Fault::NotBegun)?;
        self.session.open(self.lease.fence());
        reach(CrashPoint::BatchOpened);
        Ok(std::mem::take(&mut self.lease.is_stale))
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
        self.lease.is_stale |= self.lease.committed(catalogue) || is_operators;
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
        Ok(std::mem::take(&mut self.lease.is_stale))
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
        self.lease.is_stale |= self.lease.learn(version);
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
        self.claim(part).map_err(Fault::of)
    }

    fn owned(&self) -> Option<Partitions> {
        Some(self.lease.owned)
    }

    fn has_claimed(&mut self) -> bool {
        std::mem::take(&mut self.lease.is_stale)
    }

    fn take(&mut self, flow: FlowId, _now: Timestamp) -> Result<Taken, Fault> {
        self.taken(flow).map_err(Fault::of)
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
        self.take_all(stuck_too).map_err(Fault::of)
    }

    fn sweep(&mut self) {}

    fn host_id(&self) -> HostId {
        self.lease.id
    }

    fn survivor(&mut self, host: HostId) -> Result<Option<Survivor>, StoreError> {
        Ok(survivors::survivor(&self.session, host)?)
    }

    fn close(&mut self) {
        if !self.lease.is_registered() {
            return;
        }
        // The lock stays: once this process has ended it proves to others that the row is a dead one's.
        if let Err(error) = self.lease.give_up(&self.session) {
            tracing::warn!(%error, "this process's lease was not given back; it runs out");
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

    fn give_back_gained(&mut self) {
        let parts = self.session.take_gained().without(&self.lease.owned);
        if parts.is_empty() {
            return;
        }
        let parts: Vec<Cell> = parts
            .into_iter()
            .map(|part| i64::from(part).into())
            .collect();
        let me = self.lease.cell();
        let step = Step::Run {
            statement: "UPDATE partitions SET host = wanted, wanted = NULL WHERE id = ANY($1::int[]) AND host = $2",
            parameters: vec![
                Parameter::Array(parts.iter().map(Cell::borrow).collect()),
                Parameter::from(&me),
            ],
        };
        if let Err(error) = self.session.try_send(&[step]) {
            tracing::warn!(%error, "projects that a change has claimed are this process's until it ends");
        }
    }

    fn shared(store: &Postgres) -> Option<&dyn Shared> {
        Some(store)
    }

    fn outbox(&self) -> Result<Option<Box<dyn Outbox>>, StoreError> {
        let session = Session::later(self.target.without_patience(), &READER);
        Ok(Some(Box::new(outbox::Beside::new(session, self.lease.id))))
    }

    fn outlook(&self) -> Result<Option<Box<dyn Outlook>>, StoreError> {
        let session = Session::later(self.target.without_patience(), &WATCHER);
        Ok(Some(Box::new(Beside(session))))
    }
}
