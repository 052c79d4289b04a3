//! The state of one call's requests, and the hooks by which `wasmtime-wasi-http` hands them over.

use std::sync::Arc;

use cairn_effects::event::LogLevel;
use cairn_manifest::manifest::{LimitKey, Limits};
use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::secret::Secrets;
use cairn_model::trace::TraceContext;
use cairn_outbound::{
    Auth, Client, HttpGrant, HttpGrantKind, OutboundError, RequestLimits, SecretHeader, Url,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use wasmtime::bail;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx,
    WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::super::State;
use super::drained::Drained;
use super::errors::to_wasi;
use super::faults::RequestFault;
use super::requests::{Begun, Requests};

/// Bytes of the headers of one message that a plugin builds, in memory: a little more than are accepted of a response.
const FIELDS: usize = 64 << 10;

/// Bytes of a request's body that wait for the connection.
const CHUNK: usize = 64 << 10;

/// The requests of one call.
pub(in super::super) struct HttpCall {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

/// Sends a request: the client, and the secrets of the operator.
struct Outbound {
    client: Arc<Client>,
    secrets: Arc<dyn Secrets>,
}

/// What `wasi:http` asks of the host.
struct Hooks {
    /// `None` while a plugin describes itself, or without a grant: it can build requests then, and send none.
    grant: Option<Arc<HttpGrant>>,
    limits: RequestLimits,
    /// Requests that remain.
    left: u64,
    requests: Requests,
    /// Set while a request is handed over.
    outbound: Option<Outbound>,
    /// The trace that the call belongs to.
    trace: Option<TraceContext>,
    /// What goes wrong with that request, in a test.
    fault: Option<RequestFault>,
}

impl HttpCall {
    fn new(grant: Option<HttpGrant>, limits: &Limits, trace: Option<TraceContext>) -> Self {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(FIELDS);
        Self {
            ctx,
            hooks: Hooks {
                grant: grant.map(Arc::new),
                limits: RequestLimits::new(
                    limits.http_request_bytes,
                    limits.http_response_bytes,
                    limits.http_time,
                ),
                left: limits.http_requests,
                requests: Requests::default(),
                outbound: None,
                trace,
                fault: None,
            },
        }
    }

    /// Takes the lines for the flow's log: those of requests that ended, or, when the call ends, of all.
    pub(in super::super) fn take_lines(&self, ends: bool) -> Vec<(LogLevel, String)> {
        match ends {
            true => self.hooks.requests.take_all(),
            false => self.hooks.requests.take_ready(),
        }
    }
}

impl State {
    fn http_call(&mut self) -> (&mut HttpCall, &mut ResourceTable) {
        let (call, active, table) = self.http_parts();
        let call = call.get_or_insert_with(|| {
            Box::new(match active {
                Some(active) => {
                    let grant = active.granted.grants.get(HttpGrantKind::NAME);
                    let grant = grant.and_then(HttpGrant::of);
                    HttpCall::new(grant, &active.granted.limits, active.context.trace())
                }
                None => HttpCall::new(None, &Limits::default(), None),
            })
        });
        (call, table)
    }

    /// Checks that the plugin may send a request, and counts it.
    ///
    /// # Errors
    /// As [`grant`](Self::grant). Also when the grant cannot be read, or this is one request too many, which ends the call.
    pub(super) fn begin_request(&mut self, client: &Arc<Client>) -> wasmtime::Result<()> {
        self.grant(HttpGrantKind::NAME)?;
        let outbound = Outbound {
            client: Arc::clone(client),
            secrets: Arc::clone(&self.services()?.secrets),
        };
        self.flush_requests(false);
        let fault = self.request_fault();
        let hooks = &mut self.http_call().0.hooks;
        if hooks.grant.is_none() {
            let message = "the grant of `http` in the plan cannot be read: plan the flow again";
            self.ended = Some(TaskError::host(HostErrorKind::NotGranted, message));
            bail!("{message}");
        }
        match hooks.left.checked_sub(1) {
            Some(left) => hooks.left = left,
            None => {
                self.refuse(LimitKey::HttpRequests);
                bail!("too many HTTP requests");
            }
        }
        hooks.outbound = Some(outbound);
        hooks.fault = fault;
        Ok(())
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (call, table) = self.http_call();
        WasiHttpCtxView {
            hooks: &mut call.hooks,
            table,
            ctx: &mut call.ctx,
        }
    }
}

/// The response of a request, and the connection that brings its body.
type Sent = (
    Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        let auth = self.grant.as_ref().and_then(|grant| grant.auth());
        let secret: Option<HeaderName> = auth.map(|auth| auth.header.clone());
        Arc::new(move |name| {
            secret.as_ref() == Some(name) || DEFAULT_FORBIDDEN_HEADERS.contains(name)
        })
    }

    /// The client sets it, from the URL that was checked.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let url = match Url::parse(&request.uri().to_string()) {
            Ok(url) => url.without_values(),
            Err(_) => "a URL that cannot be sent".to_owned(),
        };
        let begun = Arc::new(self.requests.begin(request.method().as_str(), &url));
        let (grant, outbound) = (self.grant.clone(), self.outbound.take());
        let fault = self.fault.take();
        let mut limits = self.limits;
        if let Some(options) = options {
            limits.connect = options.connect_timeout;
            limits.first_byte = options.first_byte_timeout;
            limits.between_bytes = options.between_bytes_timeout;
        }
        let mut request = request.map(Drained::new);
        trace(request.headers_mut(), self.trace);
        Box::new(async move {
            // `begin_request` set both.
            let (Some(grant), Some(outbound)) = (grant, outbound) else {
                return Err(Error::HttpRequestDenied);
            };
            if fault == Some(RequestFault::Unsent) {
                begun.failed("the test lets no connection be made");
                return Err(Error::ConnectionRefused);
            }
            let sent = send(&grant, outbound, request, limits, &begun).await;
            let sent = sent.map_err(|error| {
                begun.failed(&error.to_string());
                to_wasi(&error)
            })?;
            match fault {
                Some(RequestFault::Lost) => Err(Error::ConnectionTerminated),
                Some(RequestFault::Stuck) => std::future::pending().await,
                Some(RequestFault::Unsent) | None => Ok(sent),
            }
        })
    }
}

/// Adds the trace to the headers of a request, unless the plugin has one of its own.
fn trace(headers: &mut HeaderMap, trace: Option<TraceContext>) {
    if let Some(trace) = trace
        && !headers.contains_key("traceparent")
        && let Ok(value) = HeaderValue::try_from(trace.to_string())
    {
        headers.insert("traceparent", value);
    }
}

async fn send(
    grant: &HttpGrant,
    outbound: Outbound,
    request: Request<Drained>,
    limits: RequestLimits,
    begun: &Arc<Begun>,
) -> Result<Sent, OutboundError> {
    let permit = grant.permit(request.method(), request.uri())?;
    let secret = match grant.auth() {
        Some(auth) => Some(secret(auth.clone(), &outbound).await?),
        None => None,
    };
    let client = outbound.client;
    let exchange = client.send(permit, request, secret, limits).await?;
    begun.answered(exchange.response.status().as_u16());
    let begun = Arc::clone(begun);
    let response = exchange.response.map(|body| {
        let body = body.map_err(move |error| {
            begun.failed(&error.to_string());
            to_wasi(&error)
        });
        body.boxed_unsync()
    });
    // The body fails when the connection does, and tells why.
    let connection = exchange.connection;
    let connection = async move { connection.await.map_err(|error| to_wasi(&error)) };
    Ok((response, Box::new(connection)))
}

/// Reads a secret in a thread that may block.
async fn secret(auth: Auth, outbound: &Outbound) -> Result<SecretHeader, OutboundError> {
    let secrets = Arc::clone(&outbound.secrets);
    let read = move || SecretHeader::of(&auth, &*secrets);
    wasmtime_wasi::runtime::spawn_blocking(read).await
}
