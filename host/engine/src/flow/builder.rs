use std::sync::Arc;

use cairn_effects::history::History;
use cairn_model::id::{FlowId, Identity};
use cairn_model::idempotency::Key;
use cairn_model::value::{Digest, Value};
use cairn_store::Store;

use super::Flow;

/// Builder of a [`Flow`].
pub struct FlowBuilder {
    id: FlowId,
    name: String,
    requester: Arc<Identity>,
    request: Arc<Value>,
    plan: Option<Digest>,
    key: Option<Key>,
    parents: Vec<Flow>,
}

impl FlowBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            id: FlowId::new(),
            name,
            requester: Arc::new(Identity::default()),
            request: Arc::new(Value::Null),
            plan: None,
            key: None,
            parents: Vec::new(),
        }
    }

    /// Sets the flow's id; without this call it gets a new one.
    #[must_use]
    pub fn id(mut self, id: FlowId) -> Self {
        self.id = id;
        self
    }

    /// Sets the identity on whose behalf the flow runs.
    #[must_use]
    pub fn requester(mut self, requester: impl Into<Arc<Identity>>) -> Self {
        self.requester = requester.into();
        self
    }

    /// Sets the request that the tasks read.
    #[must_use]
    pub fn request(mut self, request: impl Into<Arc<Value>>) -> Self {
        self.request = request.into();
        self
    }

    /// Sets the digest of the stored plan that the flow is built from.
    #[must_use]
    pub fn plan(mut self, plan: Digest) -> Self {
        self.plan = Some(plan);
        self
    }

    /// Sets the idempotency key. While the store keeps the key, another flow of the project with the same key does not start,
    /// and ends with [`StoreError::KeyTaken`](cairn_store::StoreError::KeyTaken).
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Adds flows that are rolled back after this one, in this order.
    #[must_use]
    pub fn parents(mut self, parents: impl IntoIterator<Item = Flow>) -> Self {
        self.parents.extend(parents);
        self
    }

    /// Builds the flow in PENDING, without tasks. Nothing is written before it starts.
    pub fn build(self, store: Arc<dyn Store>) -> Flow {
        let history = History::new(
            self.name,
            self.requester,
            self.request,
            self.plan,
            self.key,
            store.domains().clone(),
        );
        Flow::from_history(self.id, store, history, self.parents, false)
    }
}
