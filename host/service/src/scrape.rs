//! `/metrics`: what was measured, and the state of the database, for Prometheus. Served on a listener of its own.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cairn::clock::Timestamp;
use cairn::store::view::{FlowCounts, Status};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::app::App;
use crate::error::ApiError;

/// The media type of the text format.
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Returns the route of the measurements.
pub(crate) fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(Arc::clone(app))
}

async fn scrape(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let mut text = String::new();
    let counted = encode(&mut text, app.metrics.registry());
    if counted.is_err() {
        return Err(ApiError::busy("the measurements could not be written"));
    }
    // What follows comes before the end.
    let end = text.rfind("# EOF").unwrap_or(text.len());
    text.truncate(end);
    let mut now = Registry::with_prefix("cairn");
    add_process(&mut now, &app);
    // While the database is away the rest is not known.
    if let Ok(status) = app.oversight.status().await {
        add_status(&mut now, &status);
    }
    if let Ok(counts) = app.oversight.flow_counts().await {
        add_counts(&mut now, &counts);
    }
    if encode(&mut text, &now).is_err() {
        return Err(ApiError::busy("the measurements could not be written"));
    }
    Ok(([(CONTENT_TYPE, TEXT)], text).into_response())
}

/// Adds one value.
fn add(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge: Gauge = Gauge::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

/// Adds values by one label.
fn add_by(
    registry: &mut Registry,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = ([(&'static str, String); 1], i64)>,
) {
    let family = Family::<Labels, Gauge>::default();
    for (labels, value) in values {
        family.get_or_create(&Labels(labels)).set(value);
    }
    registry.register(name, help, family);
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Labels([(&'static str, String); 1]);

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

/// Adds what this process does.
fn add_process(registry: &mut Registry, app: &App) {
    let places = app.config.streams - app.streams.available_permits();
    add(
        registry,
        "streams",
        "Open streams of events",
        whole(places as u64),
    );
    let Ok(host) = app.host() else { return };
    let unfinished = whole(host.unfinished() as u64);
    let help = "Requests for flows that wait or run in this process";
    add(registry, "unfinished_requests", help, unfinished);
    let commits: Counter = Counter::default();
    commits.inc_by(host.store().commits());
    let help = "Batches that this process has committed since it started";
    registry.register("commits", help, commits);
}

fn add_status(registry: &mut Registry, status: &Status) {
    let findings = status.findings.iter();
    let findings = findings.map(|finding| {
        let kind = [("kind", finding.kind.as_str().to_owned())];
        (kind, whole(finding.count))
    });
    let help = "What needs a person, as `cairn status` shows it; absent when nothing does";
    add_by(registry, "findings", help, findings);
    let messages = &status.messages;
    let counts = [("sending", messages.sending), ("failed", messages.failed)];
    let help = "Messages that have not left; at most 100,000 are counted";
    add_by(
        registry,
        "undelivered_messages",
        help,
        counts.map(|(state, count)| ([("state", state.to_owned())], whole(count))),
    );
    let ages = [
        ("sending", messages.sending_since),
        ("failed", messages.failed_since),
    ];
    let age =
        |since: Option<Timestamp>| since.map_or(0, |since| whole(status.at.since(since).as_secs()));
    let help = "Age of the oldest message that has not left; 0 if there is none";
    add_by(
        registry,
        "oldest_message_seconds",
        help,
        ages.map(|(state, since)| ([("state", state.to_owned())], age(since))),
    );
    if let Some(backup) = status.backup {
        let age = whole(status.at.since(backup).as_secs());
        add(
            registry,
            "backup_age_seconds",
            "Age of the last backup",
            age,
        );
    }
}

fn add_counts(registry: &mut Registry, counts: &FlowCounts) {
    let states = counts.states.iter();
    let states = states.map(|count| {
        let state = [("state", count.state.as_str().to_owned())];
        (state, whole(count.flows))
    });
    add_by(registry, "flows", "Flows in the database", states);
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
