//! Starts the log, which goes to stderr.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::args::{Global, LogFormat, LogLevel};
use crate::message::LogWriter;

/// Starts logging. Other crates are logged from warnings on only.
pub fn init(global: &Global) {
    let level = level(global);
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        // It reports each broken connection, which the dispatcher does too.
        .with_target("lapin", LevelFilter::OFF)
        .with_target("cairn", level)
        .with_target("cairn_cli", level);
    let format = global.log_format;
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(move || LogWriter { format })
        .with_ansi(false);
    let registry = tracing_subscriber::registry();
    match global.log_format {
        LogFormat::Text => registry
            .with(layer.with_target(false).with_filter(filter))
            .init(),
        LogFormat::Json => registry.with(layer.json().with_filter(filter)).init(),
    }
}

fn level(global: &Global) -> LevelFilter {
    let asked = match global.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let verbose = match global.verbose {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    asked.max(verbose)
}
