//! How a store behaves, whatever database it is on.

use std::sync::Arc;
use std::time::Duration;

use cairn_effects::domain::Domains;
use cairn_model::clock::{Clock, Timestamp};
use cairn_model::idempotency::IdempotencyConfig;

/// How a store behaves, whatever database it is on.
#[derive(Clone, Debug, Default)]
pub struct StoreConfig {
    /// What flows may change.
    pub domains: Domains,
    /// How long idempotency keys are kept.
    pub idempotency: IdempotencyConfig,
    /// When a batch is committed though nobody waits at a barrier.
    pub batch: BatchConfig,
}

/// When a batch is committed though nobody waits at a barrier.
#[derive(Clone, Copy, Debug)]
pub struct BatchConfig {
    /// When it has been open this long, so that other processes see and may write.
    pub age: Duration,
    /// When it holds this many events and effects.
    pub events: usize,
    /// When this many flows wait for it.
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

/// What a store works with.
pub(crate) struct Env {
    pub(crate) config: StoreConfig,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Env {
    pub(crate) fn new(config: StoreConfig, clock: Arc<dyn Clock>) -> Self {
        Self { config, clock }
    }

    /// What flows may change.
    pub(crate) fn domains(&self) -> &Domains {
        &self.config.domains
    }

    /// A key has lapsed when its flow had ended by then.
    pub(crate) fn keys_lapse_before(&self) -> Timestamp {
        self.clock.now().before(self.config.idempotency.keep)
    }
}
