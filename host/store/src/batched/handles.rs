//! Flows that get handles and lose them: loaded, released, taken over from other hosts.

use cairn_effects::event::Entry;
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::id::FlowId;

use super::session::Session;
use super::writer::Writer;
use crate::StoreError;
use crate::backend::{Backend, Fault, Taken};

impl<B: Backend> Writer<B> {
    pub(super) fn load(&mut self, flow: FlowId) -> Result<Vec<Entry>, StoreError> {
        if self.has_pending(flow) {
            // The flows of a batch that is lost here get its error at their next step.
            if let Err(error) = self.ledger.commit() {
                tracing::warn!(%error, "events and effects of flows could not be written to the database while a flow was loaded");
            }
        }
        self.ledger.begin_as_host()?;
        let taken = self.ledger.backend.take(flow, self.env.clock.now());
        let taken = self.ledger.settled(taken)?;
        match taken {
            Taken::Ours | Taken::Resting => self.forget_claimed()?,
            Taken::By(pid) => return Err(StoreError::InHand { flow, pid }),
            Taken::Unknown => {
                self.ledger.flows.remove(&flow);
                return Err(StoreError::UnknownFlow(flow));
            }
        }
        let entries = self.ledger.backend.journal(flow);
        let entries = entries.map_err(|reason| StoreError::Damaged { flow, reason })?;
        let others = self
            .ledger
            .flows
            .get(&flow)
            .map_or(0, |session| session.handles);
        let tables = self.env.config.domains.tables();
        let mut session = Session::with_handles(others + 1);
        for entry in &entries {
            session.note(flow, entry.at, &entry.event, tables);
        }
        if let Some(table) = session.unknown.take() {
            return Err(self.unknown_table(flow, table));
        }
        session.loaded(entries.len());
        if let Some(observer) = &self.ledger.observer {
            observer.loaded(flow, &entries);
        }
        session.rested = matches!(taken, Taken::Resting);
        self.ledger.flows.insert(flow, session);
        self.ledger.touch(flow);
        Ok(entries)
    }

    /// Returns the error for a flow that changed a table which no registered domain has.
    fn unknown_table(&self, flow: FlowId, table: String) -> StoreError {
        let known = |name: &String| self.env.domains().iter().any(|domain| domain.name == name);
        let mut others = self.ledger.backend.domains();
        others.retain(|name| name != cairn_effects::domain::CORE && !known(name));
        let others = match others.as_slice() {
            [] => "use the program that ran it".to_owned(),
            names => format!(
                "use a program that has the domain `{}` too",
                names.join("`, `")
            ),
        };
        StoreError::UnknownTable {
            flow,
            table,
            others,
        }
    }

    pub(super) fn release(&mut self, flow: FlowId) {
        let Some(session) = self.ledger.flows.get_mut(&flow) else {
            return;
        };
        session.handles = session.handles.saturating_sub(1);
        if session.handles > 0 || !session.pending.is_empty() {
            return;
        }
        let in_hand = session.rests() && !session.rested && session.lost.is_none();
        self.ledger.flows.remove(&flow);
        if in_hand && let Err(error) = self.put_down(flow) {
            tracing::warn!(%flow, %error, "a flow at rest stays owned by this process until the process ends");
        }
    }

    /// Gives up ownership of a flow at rest.
    fn put_down(&mut self, flow: FlowId) -> Result<(), StoreError> {
        self.ledger.begin()?;
        let put_down = self.ledger.backend.put_down(flow);
        self.ledger.settled(put_down)
    }

    /// Registers this process as a host.
    pub(crate) fn register(&mut self) -> Result<(), StoreError> {
        self.ledger.begin_as_host()?;
        self.ledger.commit()
    }

    /// Takes over the flows of dead hosts, and returns the flows that this process owns but does not run. Flows that were set
    /// aside are left out unless `stuck_too`.
    pub(super) fn take_over(&mut self, stuck_too: bool) -> Result<Vec<FlowId>, StoreError> {
        let now = self.env.clock.now();
        self.take_flows(|backend| backend.take_over(now, stuck_too))
    }

    /// Takes flows that this process does not run by `take`, and returns them.
    pub(crate) fn take_flows(
        &mut self,
        take: impl FnOnce(&mut B) -> Result<Vec<FlowId>, Fault>,
    ) -> Result<Vec<FlowId>, StoreError> {
        self.ledger.begin_as_host()?;
        let taken = take(&mut self.ledger.backend);
        // Also what was claimed before an error.
        let forgotten = match &taken {
            Ok(_) | Err(Fault::NotBegun(_)) => self.forget_claimed(),
            Err(Fault::Lost(_) | Fault::Barred(_)) => Ok(()),
        };
        let mut flows = self.ledger.settled(taken)?;
        reach(CrashPoint::FlowsTaken);
        forgotten?;
        // Those that were given back, and are here again, may still have a handle that does nothing any more.
        flows.retain(|flow| {
            let session = self.ledger.flows.get(flow);
            session.is_none_or(|session| matches!(session.lost, Some(StoreError::WentOn(_))))
        });
        if !flows.is_empty() {
            self.ledger.commit()?;
        }
        self.ledger.backend.sweep();
        Ok(flows)
    }
}
