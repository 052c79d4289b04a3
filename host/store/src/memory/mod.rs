//! A database in memory, for tests: several backends can share it as processes share a server, and the connection to it can break in the
//! middle of a commit. It also makes checks that are too expensive for a real database.

mod host_store;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use host_store::Request;

use cairn_effects::event::{Entry, FlowState};
use cairn_effects::rows::{
    AnyRow, Counted, Fetched, Key, Mark, RowId, State, Table, Wants, Written,
};
use cairn_model::clock::{Clock, Timestamp};
use cairn_model::id::{FlowId, HostId};
use cairn_model::value::Digest;

use crate::StoreError;
use crate::backend::{Backend, Batch, Fault, FlowEntries, GivenKey, Holder, Reader, Taken, behind};
use crate::journal;
use crate::survivor::Survivor;

/// How long to wait while another process writes.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a batch is sent before its host gives up.
const SENDS: usize = 100;

/// The database, as a server holds it.
#[derive(Clone, Default)]
pub struct MemoryDatabase(Arc<Server>);

#[derive(Default)]
struct Server {
    tables: Mutex<Tables>,
    /// Notified when no host has a batch open.
    free: Condvar,
}

#[derive(Default)]
struct Tables {
    rows: HashMap<&'static str, BTreeMap<Key, Arc<dyn AnyRow>>>,
    flows: BTreeMap<FlowId, Flow>,
    keys: BTreeMap<(String, String), GivenKey>,
    /// Plans as JSON.
    plans: HashMap<Digest, Arc<str>>,
    components: HashMap<Digest, Arc<[u8]>>,
    requests: BTreeMap<i64, Request>,
    /// Live hosts, each with the number of its last batch.
    hosts: HashMap<HostId, u64>,
    /// The host that has a batch open.
    writer: Option<HostId>,
    /// Grows with each batch.
    mark: i64,
    /// The host that wrote last.
    last: Option<HostId>,
}

#[derive(Default)]
struct Flow {
    journal: Vec<(i64, Vec<u8>)>,
    state: Option<FlowState>,
    /// Why it is stuck.
    stuck: Option<String>,
    incomplete: bool,
    updated_at: Timestamp,
    length: i64,
    host: Option<HostId>,
    wake_at: Option<Timestamp>,
}

impl MemoryDatabase {
    /// Inserts a row without a rule. No flow may be running.
    pub fn put(&self, row: impl AnyRow) {
        self.put_any(Arc::new(row));
    }

    /// Inserts a row like [`put`](Self::put), of any table.
    pub fn put_any(&self, row: Arc<dyn AnyRow>) {
        let id = row.id();
        let mut tables = self.0.tables.lock();
        let table = tables.rows.entry(id.table.name).or_default();
        table.insert(id.key, row);
    }

    /// Returns all rows of a table, by key.
    pub fn rows(&self, table: &'static Table) -> Vec<Arc<dyn AnyRow>> {
        self.0.tables.lock().of(table).cloned().collect()
    }

    /// Creates a backend, as a new process does. `breaks` is called twice for each batch that is sent, before and after the database
    /// applies it, and returns whether the connection breaks there.
    pub fn backend(&self, breaks: impl FnMut() -> bool + Send + 'static) -> Memory {
        Memory {
            database: self.clone(),
            id: HostId::new(),
            batch: 0,
            seen: None,
            is_open: false,
            moves: Vec::new(),
            is_registered: false,
            breaks: Box::new(breaks),
        }
    }
}

impl Tables {
    fn of(&self, table: &'static Table) -> impl Iterator<Item = &Arc<dyn AnyRow>> {
        let rows = self.rows.get(table.name);
        rows.into_iter().flat_map(BTreeMap::values)
    }

    fn get(&self, id: &RowId) -> State {
        self.rows.get(id.table.name)?.get(&id.key).cloned()
    }

    fn fetch(&self, wants: Wants) -> Fetched {
        let rows = wants.rows.into_iter().map(|id| {
            let row = self.get(&id);
            (id, row)
        });
        let whole = wants.whole.into_iter();
        let selects = wants.selects.into_iter().map(|select| {
            let found = self.of(select.of.table());
            let found = found.filter(|row| select.of.holds(&***row, &select.parameters));
            let found = found.cloned().collect();
            (select, found)
        });
        let counts = wants.counts.into_iter().map(|count| {
            let mut counted = Counted::new();
            for row in self.of(count.of.table()) {
                let look_up = |id: &RowId| self.get(id);
                if let Some(group) = count.of.group(&**row, &count.parameters, &look_up) {
                    *counted.entry(group).or_default() += 1;
                }
            }
            (count, counted)
        });
        Fetched {
            seen: Mark(self.mark),
            rows: rows.collect(),
            whole: whole
                .map(|table| (table, self.of(table).cloned().collect()))
                .collect(),
            selects: selects.collect(),
            counts: counts.collect(),
        }
    }

    fn journal(&self, flow: FlowId) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        let rows = self.flows.get(&flow).into_iter();
        for (first, block) in rows.flat_map(|flow| &flow.journal) {
            if *first != entries.len() as i64 {
                return Err(format!("entry {first} comes after {}", entries.len()));
            }
            entries.extend(journal::unpack(block).map_err(|damage| damage.to_string())?);
        }
        Ok(entries)
    }

    fn holder(&self, project_id: &str, key: &str, lapsed: Timestamp) -> Option<Holder> {
        let given = self.keys.get(&(project_id.to_owned(), key.to_owned()))?;
        let ended = self.flows.get(&given.flow).filter(|flow| {
            let is_over = matches!(flow.state, Some(FlowState::Success | FlowState::Failure));
            is_over && !flow.incomplete && flow.stuck.is_none()
        });
        Some(Holder {
            flow: given.flow,
            asked: Some(given.asked),
            stands: ended.is_none_or(|flow| flow.updated_at > lapsed),
        })
    }

    /// Releases the write lock of a host.
    fn leave(&mut self, host: HostId) {
        if self.writer == Some(host) {
            self.writer = None;
        }
    }

    /// Applies a batch whole, or not at all. Checks the fencing number first: batch `number` must follow the host's last one.
    fn take(
        &mut self,
        host: HostId,
        number: u64,
        batch: &Batch<'_>,
        moves: &[Move],
    ) -> Result<Mark, Fault> {
        if self.hosts.get(&host).is_some_and(|last| last + 1 != number) {
            return Err(Fault::Barred(StoreError::Fenced));
        }
        for row in &batch.rows {
            self.check(row)?;
        }
        for row in &batch.rows {
            let table = self.rows.entry(row.id.table.name).or_default();
            match row.now {
                Some(now) => drop(table.insert(row.id.key.clone(), now.copy().into())),
                None => drop(table.remove(&row.id.key)),
            }
        }
        for given in batch.keys {
            let key = (given.project_id.clone(), given.key.clone());
            self.keys.insert(key, given.clone());
        }
        for step in moves {
            match step {
                Move::Register => drop(self.hosts.insert(host, number)),
                Move::Flow(flow, to) => {
                    if let Some(flow) = self.flows.get_mut(flow) {
                        flow.host = *to;
                    }
                }
            }
        }
        for added in &batch.flows {
            self.add(host, added);
        }
        if let Some(last) = self.hosts.get_mut(&host) {
            *last = number;
        }
        self.mark += 1;
        self.last = Some(host);
        Ok(Mark(self.mark))
    }

    /// Checks that a row equals its base in every column.
    fn check(&self, row: &Written<'_>) -> Result<(), Fault> {
        let there = self.get(row.id);
        let is_same = match (&there, row.base) {
            (None, None) => true,
            (Some(there), Some(base)) => {
                (0..row.id.table.columns.len()).all(|at| there.cell(at) == base.cell(at))
            }
            _ => false,
        };
        is_same
            .then_some(())
            .ok_or_else(|| Fault::Lost(behind(row.id)))
    }

    fn add(&mut self, host: HostId, added: &FlowEntries<'_>) {
        let flow = self.flows.entry(added.flow).or_default();
        flow.journal.push((added.first, added.entries.clone()));
        if let Some(row) = &added.row {
            flow.state = Some(row.state);
            flow.stuck = None;
            flow.incomplete = row.incomplete;
            flow.updated_at = row.updated_at;
            flow.length = row.length;
            flow.wake_at = row.wake_at;
            flow.host = (!row.rests).then_some(host);
        }
    }
}

/// A change to hosts or to the ownership of flows in the open batch.
#[derive(Clone, Copy)]
enum Move {
    Register,
    Flow(FlowId, Option<HostId>),
}

/// A process's connection to a [`MemoryDatabase`]. Dropping it ends the process, as far as the database knows.
pub struct Memory {
    database: MemoryDatabase,
    id: HostId,
    /// The number of the last batch that is known to be committed.
    batch: u64,
    /// The database's mark when others' writes were last looked for.
    seen: Option<i64>,
    is_open: bool,
    moves: Vec<Move>,
    is_registered: bool,
    breaks: Box<dyn FnMut() -> bool + Send>,
}

impl Memory {
    /// Returns the database of this connection.
    pub fn database(&self) -> &MemoryDatabase {
        &self.database
    }

    /// Returns the owner of a flow, with the changes of the open batch.
    fn host_of(&self, tables: &Tables, flow: FlowId) -> Option<HostId> {
        let moved = self.moves.iter().rev().find_map(|step| match step {
            Move::Flow(moved, to) if *moved == flow => Some(*to),
            _ => None,
        });
        moved.unwrap_or_else(|| tables.flows.get(&flow).and_then(|flow| flow.host))
    }

    fn registers(&self) -> bool {
        self.moves.iter().any(|step| matches!(step, Move::Register))
    }

    fn others_wrote(&mut self, tables: &Tables) -> bool {
        let is_own = tables.last == Some(self.id);
        let seen = self.seen.replace(tables.mark);
        seen.is_none_or(|seen| seen != tables.mark) && !is_own
    }
}

impl Backend for Memory {
    type Reader = MemoryReader;

    fn begin(&mut self, _clock: &dyn Clock) -> Result<bool, Fault> {
        let database = self.database.clone();
        let mut tables = database.0.tables.lock();
        let until = Instant::now() + PATIENCE;
        let is_others = |tables: &mut Tables| tables.writer.is_some_and(|writer| writer != self.id);
        let server = &database.0;
        if server
            .free
            .wait_while_until(&mut tables, is_others, until)
            .timed_out()
        {
            let busy = "another process has a batch open".to_owned();
            return Err(Fault::NotBegun(StoreError::Database(busy)));
        }
        tables.writer = Some(self.id);
        self.is_open = true;
        if self.is_registered && !tables.hosts.contains_key(&self.id) {
            return Err(Fault::Barred(StoreError::Fenced));
        }
        Ok(self.others_wrote(&tables))
    }

    fn is_open(&self) -> bool {
        self.is_open
    }

    fn commit(&mut self, batch: &Batch<'_>) -> Result<Mark, Fault> {
        let number = self.batch + 1;
        if !self.is_registered && !self.registers() {
            // Without a row of this host, the outcome of the batch could not be determined after a broken connection.
            self.moves.push(Move::Register);
        }
        for _ in 0..SENDS {
            if (self.breaks)() {
                continue;
            }
            let mut tables = self.database.0.tables.lock();
            // After a broken connection, the host's last batch number tells whether the batch was applied.
            let taken = match tables.hosts.get(&self.id) == Some(&number) {
                true => Mark(tables.mark),
                false => tables.take(self.id, number, batch, &self.moves)?,
            };
            drop(tables);
            if (self.breaks)() {
                continue;
            }
            let mut tables = self.database.0.tables.lock();
            tables.leave(self.id);
            self.database.0.free.notify_all();
            self.seen = Some(tables.mark);
            self.is_open = false;
            self.is_registered = true;
            self.moves.clear();
            self.batch = number;
            return Ok(taken);
        }
        // The outcome is unknown, so this process must not write again.
        Err(Fault::Barred(StoreError::Fenced))
    }

    fn roll_back(&mut self) {
        self.is_open = false;
        self.moves.clear();
        self.database.0.tables.lock().leave(self.id);
        self.database.0.free.notify_all();
    }

    fn have_others_written(&mut self) -> Result<bool, String> {
        let database = self.database.clone();
        let tables = database.0.tables.lock();
        Ok(self.others_wrote(&tables))
    }

    fn reader(&self) -> MemoryReader {
        MemoryReader(self.database.clone())
    }

    fn reads_beside(&self) -> bool {
        true
    }

    fn generation(&self) -> u64 {
        0
    }

    fn fetch(&mut self, wants: Wants) -> Result<Fetched, Fault> {
        Ok(self.database.0.tables.lock().fetch(wants))
    }

    fn journal(&self, flow: FlowId) -> Result<Vec<Entry>, String> {
        self.database.0.tables.lock().journal(flow)
    }

    fn domains(&self) -> Vec<String> {
        Vec::new()
    }

    fn key_holder(
        &self,
        project_id: &str,
        key: &str,
        lapsed: Timestamp,
    ) -> Result<Option<Holder>, StoreError> {
        Ok(self
            .database
            .0
            .tables
            .lock()
            .holder(project_id, key, lapsed))
    }

    fn announce(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn register(&mut self, _now: Timestamp) -> Result<(), Fault> {
        if !self.is_registered && !self.registers() {
            self.moves.push(Move::Register);
        }
        Ok(())
    }

    fn renewal(&self) -> Option<Instant> {
        None
    }

    fn host_id(&self) -> HostId {
        self.id
    }

    fn survivor(&mut self, host: HostId) -> Result<Option<Survivor>, StoreError> {
        let is_there = self.database.0.tables.lock().hosts.contains_key(&host);
        Ok(is_there.then_some(Survivor {
            id: host,
            name: None,
            pid: None,
        }))
    }

    fn postpone_renewal(&mut self) {}

    fn take(&mut self, flow: FlowId, _now: Timestamp) -> Result<Taken, Fault> {
        let database = self.database.clone();
        let tables = database.0.tables.lock();
        if !tables.flows.contains_key(&flow) {
            return Ok(Taken::Unknown);
        }
        match self.host_of(&tables, flow) {
            None => Ok(Taken::Resting),
            Some(host) if host == self.id => Ok(Taken::Ours),
            Some(host) if tables.hosts.contains_key(&host) => Ok(Taken::By(0)),
            Some(_) => {
                self.moves.push(Move::Flow(flow, Some(self.id)));
                Ok(Taken::Ours)
            }
        }
    }

    fn is_untouched(&mut self, flow: FlowId, entries: i64) -> Result<bool, Fault> {
        let tables = self.database.0.tables.lock();
        let host = self.host_of(&tables, flow);
        let length = tables.flows.get(&flow).map(|flow| flow.length);
        Ok(length == Some(entries) && host.is_none_or(|host| host == self.id))
    }

    fn put_down(&mut self, flow: FlowId) -> Result<(), Fault> {
        self.moves.push(Move::Flow(flow, None));
        Ok(())
    }

    fn take_over(&mut self, _now: Timestamp, stuck_too: bool) -> Result<Vec<FlowId>, Fault> {
        let database = self.database.clone();
        let tables = database.0.tables.lock();
        let mut ours = Vec::new();
        let wanted = tables.flows.iter();
        for (flow, _) in wanted.filter(|(_, flow)| stuck_too || flow.stuck.is_none()) {
            match self.host_of(&tables, *flow) {
                None => {}
                Some(host) if host == self.id => ours.push(*flow),
                Some(host) if tables.hosts.contains_key(&host) => {}
                Some(_) => {
                    self.moves.push(Move::Flow(*flow, Some(self.id)));
                    ours.push(*flow);
                }
            }
        }
        Ok(ours)
    }

    fn sweep(&mut self) {}

    fn close(&mut self) {}
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut tables = self.database.0.tables.lock();
        tables.hosts.remove(&self.id);
        tables.leave(self.id);
        self.database.0.free.notify_all();
    }
}

/// Reads a [`MemoryDatabase`] concurrently with the writer.
pub struct MemoryReader(MemoryDatabase);

impl Reader for MemoryReader {
    fn fetch(&mut self, _generation: u64, wants: Wants) -> Result<Fetched, StoreError> {
        Ok(self.0.0.tables.lock().fetch(wants))
    }
}
