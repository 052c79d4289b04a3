//! Delivery: how the messages of flows that succeeded leave.
//!
//! A [`Dispatcher`] reads due messages from the outbox of a [store](cairn_store::HostStore), hands them to a [`Transport`], and records
//! what became of them:
//!
//! ```ignore
//! let transport = cairn_deliver::open(&config)?;
//! let dispatcher = Dispatcher::start(&store, transport, Limits::of(&config))?;
//! let unsent = dispatcher.settle(config.wait);
//! ```
//!
//! A message is published if and only if SUCCESS is on disk, at least once, and with the same id each time. Receivers drop repeats.
//! To write a transport, start at [`transport`]; to run one, at [`dispatcher`].

#[cfg(feature = "http")]
pub mod agent;
#[cfg(feature = "amqp")]
pub mod amqp;
mod backlog;
mod backoff;
pub mod dispatcher;
#[cfg(feature = "http")]
pub mod http;
pub mod transport;

pub use dispatcher::{Dispatcher, Limits, Unsent};
pub use transport::{Outcome, Transport};

use cairn_manifest::config::{DeliverConfig, TransportConfig};
use cairn_model::error::Diagnostic;

/// Makes the transport that an operator has configured. Nothing is connected yet.
///
/// # Errors
/// A secret or a file of authorities cannot be read, or this program was built without the transport.
pub fn open(config: &DeliverConfig) -> Result<Box<dyn Transport>, Diagnostic> {
    match &config.transport {
        #[cfg(feature = "amqp")]
        TransportConfig::Amqp(amqp) => Ok(Box::new(amqp::Amqp::open(amqp, config.timeout)?)),
        #[cfg(feature = "http")]
        TransportConfig::Http(http) => Ok(Box::new(http::Http::open(http, config.timeout)?)),
        #[allow(unreachable_patterns, reason = "with all features")]
        TransportConfig::Amqp(_) => Err(without("amqp")),
        #[allow(unreachable_patterns, reason = "with all features")]
        TransportConfig::Http(_) => Err(without("http")),
    }
}

#[allow(dead_code, reason = "with all features")]
fn without(transport: &str) -> Diagnostic {
    Diagnostic::new(format!(
        "this program was built without the transport `{transport}`"
    ))
    .help(format!("build it with the feature `{transport}`"))
}
