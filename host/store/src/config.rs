//! How a store behaves, whatever database it is on.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cairn_effects::keyring::MasterKey;
use cairn_effects::volumes::Setup;
use cairn_model::clock::{Clock, Timestamp};
use cairn_model::idempotency::IdempotencyConfig;
use cairn_model::quota::QuotaConfig;

/// How a store behaves, whatever database it is on.
#[derive(Clone, Debug, Default)]
pub struct StoreConfig {
    /// Limits, refreshes and expiry.
    pub quota: QuotaConfig,
    /// How long idempotency keys are kept.
    pub idempotency: IdempotencyConfig,
    /// Name of the type of volumes for which none is asked.
    pub default_volume_type: Option<String>,
    /// Where the master key of the key store is; it is made when the first key is. `None` keeps one in memory.
    pub master_key: Option<PathBuf>,
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

/// What rules work with, besides rows.
pub(crate) struct Env {
    pub(crate) config: StoreConfig,
    pub(crate) clock: Arc<dyn Clock>,
    master_key: OnceLock<MasterKey>,
}

impl Env {
    pub(crate) fn new(config: StoreConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            config,
            clock,
            master_key: OnceLock::new(),
        }
    }

    pub(crate) fn setup(&self) -> Setup<'_> {
        Setup {
            quota: &self.config.quota,
            default_volume_type: self.config.default_volume_type.as_deref(),
            master_key_file: self.config.master_key.as_deref(),
            master_key: &self.master_key,
        }
    }

    /// A key has lapsed when its flow had ended by then.
    pub(crate) fn keys_lapse_before(&self) -> Timestamp {
        self.clock.now().before(self.config.idempotency.keep)
    }
}
