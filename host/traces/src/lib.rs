//! Traces: what flows did, as spans that an OpenTelemetry collector takes over OTLP.
//!
//! A trace is a fold over the journal, as a report is. [`Recorder`] learns what a store has committed, [`fold`] turns entries into [`Span`]s,
//! and [`otlp`] sends them. So a span is of what is on disk, nothing in a flow waits for it, and the process that ends a flow sends the
//! flow's span also if another process began it.
//!
//! To read the code, start at [`fold`].

#![warn(missing_docs)]

pub mod fold;
pub mod otlp;
mod recorder;
mod span;

pub use recorder::{Export, Recorder};
pub use span::{Attribute, Kind, Span};

use std::sync::Arc;

use cairn_manifest::config::TracesConfig;
use cairn_model::error::Diagnostic;

/// Starts to record traces, and to send them where an operator has configured. Nothing is connected yet.
///
/// # Errors
/// A header's value or a file of authorities cannot be read, or no thread can be started.
pub fn open(config: &TracesConfig) -> Result<Arc<Recorder>, Diagnostic> {
    let recorder = Recorder::start(otlp::Otlp::open(config)?).map_err(|error| {
        Diagnostic::new(format!(
            "the thread that sends traces cannot be started: {error}"
        ))
    })?;
    Ok(Arc::new(recorder))
}
