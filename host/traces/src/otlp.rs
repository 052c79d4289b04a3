//! Sends spans to an OpenTelemetry collector: OTLP over HTTP, in protobuf.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    Protocol, SpanExporter as Exporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use ureq::Agent;

use cairn_deliver::agent;
use cairn_manifest::config::TracesConfig;
use cairn_model::clock::Timestamp;
use cairn_model::error::Diagnostic;
use cairn_model::id::uuid;

use crate::recorder::Export;
use crate::span::{Attribute, Kind, Span};

/// The path at which collectors take traces.
const PATH: &str = "/v1/traces";

/// How long one request may take. A collector is near, and spans wait while it is asked.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The most bytes of an answer.
const ANSWER: u64 = 64 << 10;

/// A collector, and how spans are sent to it.
pub struct Otlp {
    exporter: Exporter,
    scope: InstrumentationScope,
}

impl Otlp {
    /// Prepares to send spans where an operator has configured. Nothing is connected yet.
    ///
    /// # Errors
    /// A header's value or the file of authorities cannot be read.
    pub fn open(config: &TracesConfig) -> Result<Self, Diagnostic> {
        let agent = agent::make(TIMEOUT, config.ca.as_deref(), "traces")?;
        let mut headers = HashMap::new();
        for (name, source) in &config.headers {
            let secret = source.read().map_err(|error| {
                Diagnostic::new(format!(
                    "the value of the header `{name}` is not there: {error}"
                ))
                .help("see [traces.headers]")
            })?;
            headers.insert(name.clone(), secret.expose().to_owned());
        }
        let endpoint = config.endpoint.text();
        let endpoint = endpoint.trim_end_matches('/');
        let endpoint = match endpoint.ends_with(PATH) {
            true => endpoint.to_owned(),
            false => format!("{endpoint}{PATH}"),
        };
        let mut exporter = Exporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(TIMEOUT)
            .with_headers(headers)
            .with_http_client(Client(agent))
            .build()
            .map_err(|error| {
                Diagnostic::new(format!("traces cannot be sent: {error}")).help("see [traces]")
            })?;
        exporter.set_resource(&resource());
        Ok(Self {
            exporter,
            scope: InstrumentationScope::builder("cairn")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        })
    }

    fn data(&self, span: Span) -> SpanData {
        SpanData {
            span_context: SpanContext::new(
                TraceId::from_bytes(span.trace.to_bytes()),
                SpanId::from_bytes(span.id.to_bytes()),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: match span.parent {
                Some(parent) => SpanId::from_bytes(parent.to_bytes()),
                None => SpanId::INVALID,
            },
            parent_span_is_remote: span.is_entry,
            span_kind: match span.kind {
                Kind::Server => SpanKind::Server,
                Kind::Client => SpanKind::Client,
                Kind::Internal => SpanKind::Internal,
            },
            name: span.name.into(),
            start_time: time(span.began),
            end_time: time(span.ended),
            attributes: attributes(span.attributes, span.error.as_ref()),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: match span.error {
                Some((_, message)) => Status::error(message),
                None => Status::Unset,
            },
            instrumentation_scope: self.scope.clone(),
        }
    }
}

impl Export for Otlp {
    fn export(&mut self, spans: Vec<Span>) -> Result<(), String> {
        let spans = spans.into_iter().map(|span| self.data(span)).collect();
        let sent = futures_executor::block_on(self.exporter.export(spans));
        sent.map_err(|error| error.to_string())
    }
}

/// What sends the spans. A process is an instance.
fn resource() -> Resource {
    let attributes = [
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", uuid().to_string()),
    ];
    Resource::builder()
        .with_service_name("cairn")
        .with_attributes(attributes)
        .build()
}

fn time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(at.0.max(0).unsigned_abs())
}

fn attributes(
    attributes: Vec<(&'static str, Attribute)>,
    error: Option<&(String, String)>,
) -> Vec<KeyValue> {
    let attributes = attributes.into_iter().map(|(name, value)| {
        let value = match value {
            Attribute::Text(text) => Value::String(text.into()),
            Attribute::Number(number) => Value::I64(number),
        };
        KeyValue::new(name, value)
    });
    let kind = error.map(|(kind, _)| KeyValue::new("error.type", kind.clone()));
    attributes.chain(kind).collect()
}

/// The client of the exporter. It blocks the recorder's thread.
struct Client(Agent);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let response = self.0.run(http::Request::from_parts(parts, &body[..]))?;
        let (parts, mut body) = response.into_parts();
        let answer = body.with_config().limit(ANSWER).read_to_vec()?;
        Ok(http::Response::from_parts(parts, answer.into()))
    }
}
