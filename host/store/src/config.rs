//! Settings of a store that hold for every database.

use std::sync::Arc;
use std::time::Duration;

use cairn_effects::domain::Domains;
use cairn_model::audit::AuditConfig;
use cairn_model::clock::{Clock, Timestamp};
use cairn_model::idempotency::IdempotencyConfig;

/// Settings of a store that hold for every database.
#[derive(Clone, Debug, Default)]
pub struct StoreConfig {
    /// The domains, whose tables flows may change.
    pub domains: Domains,
    /// How long idempotency keys are kept.
    pub idempotency: IdempotencyConfig,
    /// How long operators' changes are kept in the audit.
    pub audit: AuditConfig,
    /// When a batch is committed although no flow waits at a barrier.
    pub batch: BatchConfig,
    /// Opens a database for writing although it is held since it was restored. For programs that only release it, or that change what
    /// flows do not depend on.
    pub even_held: bool,
}

/// When a batch is committed although no flow waits at a barrier; the first condition that holds counts.
#[derive(Clone, Copy, Debug)]
pub struct BatchConfig {
    /// The longest time it stays open; then other processes see its writes and can write themselves.
    pub age: Duration,
    /// The number of events and effects that it holds.
    pub events: usize,
    /// The number of flows that wait for it and rest: they have ended, sleep or were interrupted. A flow that goes on while its caller waits
    /// to hear that it has begun does not count.
    pub waiting: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            age: Duration::from_millis(6),
            events: 10_000,
            waiting: 32,
        }
    }
}

impl BatchConfig {
    /// The defaults on PostgreSQL. There an open batch keeps nobody else from writing, and several hosts that share processors reach
    /// the number of waiting flows later: with the age of SQLite their batches hold half as many flows.
    pub fn on_server() -> Self {
        Self {
            age: Duration::from_millis(20),
            ..Self::default()
        }
    }
}

/// Settings and clock of a store.
pub(crate) struct Env {
    pub(crate) config: StoreConfig,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Env {
    pub(crate) fn new(config: StoreConfig, clock: Arc<dyn Clock>) -> Self {
        Self { config, clock }
    }

    /// Returns the domains, whose tables flows may change.
    pub(crate) fn domains(&self) -> &Domains {
        &self.config.domains
    }

    /// Returns the time by which a key's flow must have ended for the key to have lapsed.
    pub(crate) fn keys_lapse_before(&self) -> Timestamp {
        self.clock.now().before(self.config.idempotency.keep)
    }

    /// Returns the time since when operators' changes are kept.
    pub(crate) fn audit_kept_since(&self) -> Timestamp {
        self.clock.now().before(self.config.audit.keep)
    }
}
