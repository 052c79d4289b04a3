//! Who owns what: a host claims partitions, gives them back, ends hosts whose lease has expired, and takes up their flows.

use std::sync::Arc;

use cairn_effects::rows::Cell;
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::id::FlowId;
use cairn_model::value::Value;

use super::database::{Postgres, PostgresDatabase};
use super::hints::Listener;
use super::hosts::OwnLease;
use super::inbox::{self, ids};
use super::link::Sender as _;
use super::link::{INBOX, LinkError, Parameter, Step};
use super::looks::Looks;
use super::session::Session;
use crate::StoreError;
use crate::backend::Fault;
use crate::partitions::{PARTITIONS, Partitions};
use crate::shared::{Hints, Inbox, Shared, Territory, Wishes};
use crate::sql::{Columns, SqlError};

/// The hosts, as their rows say.
struct Others {
    /// How many share, this one included.
    sharing: usize,
    is_draining: bool,
}

impl OwnLease {
    /// Looks at the hosts, and ends those that are gone.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when this host was ended.
    fn look(
        &self,
        session: &Session,
        looks: &mut Looks,
        shares: bool,
    ) -> Result<Others, StoreError> {
        let me = self.cell();
        if shares != looks.shares {
            let statement = "UPDATE hosts SET shares = $2::boolean WHERE id = $1";
            let noted = session.run(statement, &[me.clone(), Cell::Int(shares.into())]);
            noted.map_err(|error| StoreError::Database(error.to_string()))?;
            looks.shares = shares;
        }
        let may_end = looks.may_end(self.length());
        self.end_others(session, may_end)?;
        let statement = "SELECT id = $1, shares, draining FROM hosts WHERE id = $1 OR expires_at > clock_timestamp()";
        let mut others = Others {
            sharing: 0,
            is_draining: false,
        };
        let hosts = session.run(statement, &[me]);
        let hosts = hosts.map_err(|error| StoreError::Database(error.to_string()))?;
        let mut is_there = false;
        for row in &hosts.rows {
            let row = Columns(row);
            let (is_own, shares, draining) = (row.flag(0)?, row.flag(1)?, row.flag(2)?);
            is_there |= is_own;
            others.is_draining |= is_own && draining;
            others.sharing += usize::from(shares && !draining);
        }
        match is_there {
            true => Ok(others),
            false => Err(StoreError::Fenced),
        }
    }

    /// Reads who owns what.
    fn map(&mut self, session: &Session) -> Result<Map, LinkError> {
        let statement = "SELECT id, host IS NULL, coalesce(host = $1, FALSE), wanted IS NOT NULL FROM partitions";
        let mut map = Map::default();
        for row in session.run(statement, &[self.cell()])?.rows {
            let [
                Cell::Int(part),
                Cell::Int(is_free),
                Cell::Int(is_own),
                Cell::Int(is_wanted),
            ] = row.as_slice()
            else {
                continue;
            };
            let Ok(part) = u8::try_from(*part) else {
                continue;
            };
            if *is_own != 0 && *is_wanted != 0 {
                map.wanted.insert(part);
            }
            match (*is_free != 0, *is_own != 0) {
                (true, _) => map.free.insert(part),
                (_, false) => map.elsewhere.insert(part),
                (_, true) if self.owned.contains(part) => {}
                // The answer to the claim was lost.
                (_, true) => self.gain(part),
            }
        }
        Ok(map)
    }
}

/// Who owns what besides this host.
#[derive(Default)]
struct Map {
    free: Partitions,
    elsewhere: Partitions,
    /// Partitions of this host that others wait for.
    wanted: Partitions,
}

impl PostgresDatabase {
    fn tend(&mut self, wishes: &Wishes) -> Result<Territory, StoreError> {
        let failed = |error: LinkError| StoreError::Database(error.to_string());
        let Self {
            lease,
            session,
            looks,
            ..
        } = self;
        let others = lease.look(session, looks, wishes.shares)?;
        let Map {
            free,
            mut elsewhere,
            wanted: lent,
        } = lease.map(session).map_err(failed)?;
        let share = match (others.is_draining, wishes.shares) {
            (true, _) => 0,
            (false, true) => PARTITIONS.div_ceil(others.sharing.max(1)),
            (false, false) => PARTITIONS,
        };
        let mut wanted = Partitions::default();
        if !others.is_draining {
            let needed = free.iter().filter(|part| wishes.needed.contains(*part));
            needed.for_each(|part| wanted.insert(part));
        }
        if wishes.shares {
            // Each host begins elsewhere, so that several that start at once seldom want the same.
            let first = lease.id.0.as_bytes()[15];
            let from_there = (0..=u8::MAX).map(|step| first.wrapping_add(step));
            for part in from_there.filter(|part| free.contains(*part)) {
                if lease.owned.len() + wanted.len() >= share {
                    break;
                }
                wanted.insert(part);
            }
        }
        if !wanted.is_empty() {
            lease.claim(session, &wanted, true)?;
            wanted
                .without(&lease.owned)
                .into_iter()
                .for_each(|part| elsewhere.insert(part));
        }
        Ok(Territory {
            owned: self.lease.owned,
            elsewhere,
            wanted: lent,
            share,
            sharing: others.sharing,
            is_draining: others.is_draining,
            has_left_over: self.lease.has_left_over,
            lease: self.lease.length(),
        })
    }

    /// Takes the flows in owned partitions from hosts that do not own them any more, and returns those of this host.
    pub(super) fn take_owned(&mut self, stuck_too: bool) -> Result<Vec<FlowId>, StoreError> {
        let own = self.lease.cell();
        let parts = inbox::parts(&self.lease.owned);
        let parts = Parameter::Array(parts.iter().map(Cell::borrow).collect());
        let stuck_too = Cell::Int(stuck_too.into());
        let steps = [
            Step::Run {
                statement: "UPDATE flows SET host = $1 WHERE part = ANY($2::int[]) AND host IS NOT NULL AND host <> $1
                     AND EXISTS (SELECT FROM hosts WHERE id = $1)",
                parameters: vec![Parameter::from(&own), parts],
            },
            Step::Run {
                statement: "SELECT id FROM flows WHERE host = $1 AND (stuck IS NULL OR $2::boolean) ORDER BY id",
                parameters: vec![Parameter::from(&own), Parameter::from(&stuck_too)],
            },
        ];
        let answers = self.session.send(&steps);
        let answers = answers.map_err(|error| StoreError::Database(error.to_string()))?;
        let rows = answers.into_iter().nth(1).unwrap_or_default().rows;
        let flows = rows.iter().map(|row| Columns(row).flow(0));
        let flows = flows.collect::<Result<_, _>>()?;
        self.lease.has_left_over = false;
        Ok(flows)
    }

    /// Adds to the open batch that these partitions lose their owner.
    fn give_back(&mut self, parts: &Partitions, moved: &[FlowId]) {
        let me = self.lease.cell();
        let flow = "UPDATE flows SET moved = TRUE WHERE id = $1 AND host = $2";
        for id in moved {
            self.owners.push((flow, vec![(*id).into(), me.clone()]));
        }
        let part = "UPDATE partitions SET host = wanted, wanted = NULL WHERE id = $1 AND host = $2";
        for id in parts.iter() {
            let parameters = vec![i64::from(id).into(), me.clone()];
            self.owners.push((part, parameters));
        }
    }
}

impl Shared for Postgres {
    fn tend(&self, wishes: &Wishes) -> Result<Territory, StoreError> {
        self.write(|writer| {
            writer.ledger.begin_as_host()?;
            let tended = writer.ledger.backend.tend(wishes).map_err(Fault::of);
            // Also what was claimed before an error.
            let forgotten = match &tended {
                Err(Fault::Barred(_)) => Ok(()),
                _ => writer.forget_claimed(),
            };
            let territory = writer.ledger.settled(tended)?;
            forgotten?;
            Ok(territory)
        })
    }

    fn claim(&self, project_id: &str) -> Result<(), StoreError> {
        self.write(|writer| {
            writer.ledger.begin_as_host()?;
            writer.own(project_id)
        })
    }

    fn give_back(&self, parts: &Partitions, moved: &[FlowId]) -> Result<(), StoreError> {
        self.write(|writer| {
            writer.ledger.commit()?;
            writer.ledger.begin_as_host()?;
            writer.ledger.backend.give_back(parts, moved);
            writer.ledger.commit()?;
            reach(CrashPoint::PartitionGivenBack);
            for part in parts.iter() {
                writer.ledger.backend.lease.owned.remove(part);
            }
            writer.gave_back(moved);
            Ok(())
        })
    }

    fn take_up(&self) -> Result<Vec<FlowId>, StoreError> {
        self.write(|writer| {
            writer.take_flows(|backend| backend.take_owned(false).map_err(Fault::of))
        })
    }

    fn moved(&self, flows: &[FlowId]) -> Result<Vec<FlowId>, StoreError> {
        let ids = ids(flows);
        let step = Step::Run {
            statement: "SELECT id FROM flows WHERE id = ANY($1::bytea[]) AND moved",
            parameters: vec![Parameter::Array(ids.iter().map(Cell::borrow).collect())],
        };
        let answers = self.writer().ledger.backend.session.send(&[step]);
        let mut answers = answers.map_err(|error| StoreError::Database(error.to_string()))?;
        let rows = answers.pop().unwrap_or_default().rows;
        let moved = rows.iter().map(|row| Columns(row).flow(0));
        Ok(moved.collect::<Result<_, SqlError>>()?)
    }

    fn expect(&self, flows: &[FlowId]) {
        let mut writer = self.writer();
        writer.ledger.backend.forwarded.extend(flows);
    }

    fn refuse(&self, flow: FlowId, answer: &Value) -> Result<(), StoreError> {
        let statement =
            "UPDATE inbox SET answer = $1, answered_at = $2 WHERE id = $3 AND answer IS NULL";
        let answer = answer.to_string();
        self.write(|writer| {
            writer.ledger.begin_as_host()?;
            let now = writer.env.clock.now();
            let parameters = vec![answer.as_str().into(), now.into(), flow.into()];
            let backend = &mut writer.ledger.backend;
            backend.owners.push((statement, parameters));
            // Whoever waits for the answer is told once it is on disk.
            writer.ledger.commit()?;
            writer.ledger.backend.forwarded.remove(&flow);
            Ok(())
        })
    }

    fn inbox(&self) -> Result<Box<dyn Inbox>, StoreError> {
        let writer = self.writer();
        let backend = &writer.ledger.backend;
        let session = Session::later(backend.target.without_patience(), &INBOX);
        let clock = Arc::clone(&writer.env.clock);
        Ok(Box::new(inbox::Beside::new(
            session,
            backend.lease.id,
            clock,
        )))
    }

    fn hints(&self) -> Box<dyn Hints> {
        let writer = self.writer();
        let backend = &writer.ledger.backend;
        let target = backend.target.without_patience();
        Box::new(Listener::new(target, backend.lease.id))
    }
}
