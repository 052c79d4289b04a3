use std::sync::Arc;

use cairn_effects::history::History;
use cairn_model::id::{FlowId, Identity};
use cairn_model::idempotency::Key;
use cairn_model::value::{Digest, Value};
use cairn_store::Store;

use super::Flow;

/// What a flow is made of.
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

    /// The id it gets, instead of a new one.
    #[must_use]
    pub fn id(mut self, id: FlowId) -> Self {
        self.id = id;
        self
    }

    /// On whose behalf it runs.
    #[must_use]
    pub fn requester(mut self, requester: impl Into<Arc<Identity>>) -> Self {
        self.requester = requester.into();
        self
    }

    /// What it is asked to do.
    #[must_use]
    pub fn request(mut self, request: impl Into<Arc<Value>>) -> Self {
        self.request = request.into();
        self
    }

    /// The plan it is built from, kept in the store.
    #[must_use]
    pub fn plan(mut self, plan: Digest) -> Self {
        self.plan = Some(plan);
        self
    }

    /// The key it is asked for under. Another flow of the project with it does not start while the key is kept, and ends with
    /// [`StoreError::KeyTaken`](cairn_store::StoreError::KeyTaken).
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Flows that are rolled back after this one, in this order.
    #[must_use]
    pub fn parents(mut self, parents: impl IntoIterator<Item = Flow>) -> Self {
        self.parents.extend(parents);
        self
    }

    /// The flow, without tasks, in PENDING. Nothing is written before it starts.
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
