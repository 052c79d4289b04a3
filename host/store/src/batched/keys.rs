//! Idempotency keys of new flows.

use cairn_effects::event::{Event, FlowState};
use cairn_effects::history::History;
use cairn_model::id::FlowId;
use cairn_model::idempotency::{Key, asked};
use cairn_model::value::Digest;

use super::writer::Writer;
use crate::StoreError;
use crate::backend::{Backend, GivenKey};

impl<B: Backend> Writer<B> {
    /// Claims the idempotency key of a new flow, if it has one. The first flow with a key keeps it until the key lapses.
    pub(super) fn take_key(&mut self, flow: FlowId, created: &Event) -> Result<(), StoreError> {
        let Event::Created {
            name,
            requester,
            request,
            key: Some(key),
            asked: digest,
            ..
        } = created
        else {
            return Ok(());
        };
        // Compared with a key of schema 3, for which only the resolved request of its flow is known.
        let given = || asked(name, request);
        let digest = digest.unwrap_or_else(given);
        let project_id = &requester.project_id;
        if let Some((holder, theirs)) = self.holder(project_id, key)? {
            return Err(StoreError::KeyTaken {
                flow: holder,
                same: theirs == digest || theirs == given(),
            });
        }
        if let Some(batch) = &mut self.ledger.batch {
            batch.keys.push(GivenKey {
                project_id: project_id.clone(),
                key: key.clone(),
                flow,
                asked: digest,
            });
        }
        Ok(())
    }

    /// Returns the flow that has this key, if the key has not lapsed, and the digest of its request.
    fn holder(&self, project_id: &str, key: &str) -> Result<Option<(FlowId, Digest)>, StoreError> {
        let given = self.ledger.batch.iter().flat_map(|batch| &batch.keys);
        let mut given = given.filter(|given| given.project_id == project_id && given.key == key);
        if let Some(given) = given.next_back() {
            return Ok(Some((given.flow, given.asked)));
        }
        let lapsed = self.env.keys_lapse_before();
        let backend = &self.ledger.backend;
        let Some(holder) = backend.key_holder(project_id, key, lapsed)? else {
            return Ok(None);
        };
        // The open batch may continue a flow that had ended.
        let session = self.ledger.flows.get(&holder.flow);
        let head = session.and_then(|session| session.head.as_ref());
        let goes_on =
            head.is_some_and(|head| !matches!(head.state, FlowState::Success | FlowState::Failure));
        if !holder.stands && !goes_on {
            return Ok(None);
        }
        let theirs = match holder.asked {
            Some(asked) => asked,
            None => self.asked_for(holder.flow)?,
        };
        Ok(Some((holder.flow, theirs)))
    }

    /// Computes the digest of a flow's request from its journal.
    fn asked_for(&self, flow: FlowId) -> Result<Digest, StoreError> {
        let damaged = |reason| StoreError::Damaged { flow, reason };
        let journal = self.ledger.backend.journal(flow).map_err(damaged)?;
        let history = History::fold(&journal, self.env.domains());
        let history =
            history.ok_or_else(|| damaged("its first event is not `Created`".to_owned()))?;
        let given = || asked(&history.name, &history.request);
        Ok(history.key.as_ref().map_or_else(given, Key::asked))
    }
}
