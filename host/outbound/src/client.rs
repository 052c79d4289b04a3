//! Sends one request to a checked address.

mod connect;
mod io;

use std::error::Error;
use std::future::{Future, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body::Body;
use hyper::client::conn::http1;
use tokio::time::{Instant, timeout_at};

use crate::body::{RequestBody, ResponseBody};
use crate::error::{HEADER_BYTES, HEADERS, OutboundError, failed};
use crate::grant::Permit;
use crate::network::{Connector, Resolver, SystemConnector};
use crate::secret::SecretHeader;
use crate::tls::Authorities;

/// Limits of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// The most bytes of the request's body.
    pub request_bytes: u64,
    /// The most bytes of the response's body.
    pub response_bytes: u64,
    /// Time from the look-up of the name to the last byte of the response's body.
    pub time: Duration,
    /// Time that the plugin gives the server for a connection, if it is shorter.
    pub connect: Option<Duration>,
    /// Likewise until the response's headers are there.
    pub first_byte: Option<Duration>,
    /// Likewise between two parts of the response's body.
    pub between_bytes: Option<Duration>,
}

impl RequestLimits {
    /// Makes limits for a plugin that sets no times of its own.
    pub const fn new(request_bytes: u64, response_bytes: u64, time: Duration) -> Self {
        Self {
            request_bytes,
            response_bytes,
            time,
            connect: None,
            first_byte: None,
            between_bytes: None,
        }
    }
}

/// A response whose headers are there, and the connection that brings its body.
pub struct Exchange {
    /// The response. Redirects are passed on like others.
    pub response: Response<ResponseBody>,
    /// The connection, which must be polled as long as the body is read. It ends with the response, or when it is dropped.
    pub connection: Driver,
}

/// Drives a connection to its end.
pub type Driver = Pin<Box<dyn Future<Output = Result<(), OutboundError>> + Send>>;

/// Sends requests that a grant permits. One serves all plugins of a process.
pub struct Client {
    resolver: Arc<dyn Resolver>,
    connector: Arc<dyn Connector>,
    authorities: Authorities,
}

impl Client {
    /// Creates a client.
    pub fn new(resolver: Arc<dyn Resolver>, authorities: Authorities) -> Self {
        Self {
            resolver,
            connector: Arc::new(SystemConnector),
            authorities,
        }
    }

    /// Has connections made by `connector`, instead of the operating system.
    #[must_use]
    pub fn with_connector(mut self, connector: Arc<dyn Connector>) -> Self {
        self.connector = connector;
        self
    }

    /// Sends a request, with the method and the URL of the permit. Must run in a runtime of tokio with time and I/O.
    ///
    /// Looks the host up once, checks all of its addresses, and connects to the first that takes the connection. Each request has
    /// a connection of its own. Headers that belong to a connection are removed.
    ///
    /// # Errors
    /// See [`OutboundError`].
    pub async fn send<B>(
        &self,
        permit: Permit,
        request: Request<B>,
        secret: Option<SecretHeader>,
        limits: RequestLimits,
    ) -> Result<Exchange, OutboundError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let deadline = Instant::now() + limits.time;
        let late = OutboundError::Time {
            time: limits.time,
            limit: "http_time",
        };
        let sent = self.send_until(permit, request, secret, limits, deadline);
        timeout_at(deadline, sent).await.map_err(|_| late)?
    }

    async fn send_until<B>(
        &self,
        permit: Permit,
        request: Request<B>,
        secret: Option<SecretHeader>,
        limits: RequestLimits,
        deadline: Instant,
    ) -> Result<Exchange, OutboundError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let request = prepare(&permit, request, secret, limits)?;
        let io = within(limits.connect, self.connect(&permit, deadline)).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_headers(HEADERS)
            .max_header_size(HEADER_BYTES)
            .handshake(io)
            .await
            .map_err(|error| failed(&error))?;
        let mut connection: Driver = Box::pin(async move {
            let ended = connection.await;
            ended.map_err(|error| failed(&error))
        });
        let response = answered(sender.send_request(request), connection.as_mut());
        let (response, ended) = within(limits.first_byte, response).await?;
        if let Some(ended) = ended {
            // It is not polled again: the server closed it after its response.
            connection = Box::pin(ready(ended));
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(OutboundError::NotHttp {
                problem: "it switches to another protocol, which was not asked for".to_owned(),
            });
        }
        let most = limits.response_bytes;
        if declared(response.headers()).is_some_and(|length| length > most)
            && permit.method != http::Method::HEAD
        {
            return Err(OutboundError::ResponseTooLong { most });
        }
        let response = response
            .map(|body| ResponseBody::new(body, most, deadline, limits.time, limits.between_bytes));
        Ok(Exchange {
            response,
            connection,
        })
    }
}

/// Runs a part of a request within a time that the plugin set.
async fn within<T>(
    time: Option<Duration>,
    part: impl Future<Output = Result<T, OutboundError>>,
) -> Result<T, OutboundError> {
    match time {
        None => part.await,
        Some(time) => {
            let ended = tokio::time::timeout(time, part).await;
            ended.map_err(|_| OutboundError::PluginTime { time })?
        }
    }
}

/// Waits for a response, while it drives the connection. Also returns how the connection ended, if it has.
async fn answered<B>(
    response: impl Future<Output = hyper::Result<Response<B>>>,
    mut connection: Pin<&mut (impl Future<Output = Result<(), OutboundError>> + ?Sized)>,
) -> Result<(Response<B>, Option<Result<(), OutboundError>>), OutboundError> {
    let mut response = pin!(response);
    let mut ended: Option<Result<(), OutboundError>> = None;
    poll_fn(|cx| {
        if ended.is_none()
            && let Poll::Ready(end) = connection.as_mut().poll(cx)
        {
            ended = Some(end);
        }
        let Poll::Ready(answer) = response.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        // If the connection failed, the response was only cancelled.
        let answer = answer.map_err(|error| match &ended {
            Some(Err(why)) => why.clone(),
            Some(Ok(())) | None => failed(&error),
        });
        Poll::Ready(answer.map(|response| (response, ended.take())))
    })
    .await
}

/// Makes the request that is sent.
fn prepare<B: Body>(
    permit: &Permit,
    request: Request<B>,
    secret: Option<SecretHeader>,
    limits: RequestLimits,
) -> Result<Request<RequestBody<B>>, OutboundError> {
    let most = limits.request_bytes;
    let (parts, body) = request.into_parts();
    let mut headers = parts.headers;
    let least = body.size_hint().lower();
    if declared(&headers).is_some_and(|length| length > most) || least > most {
        return Err(OutboundError::RequestTooLong { most });
    }
    let own: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_hosts_header(name))
        .cloned()
        .collect();
    for name in own {
        if name != CONTENT_LENGTH {
            headers.remove(name);
        }
    }
    let wrong = |_| OutboundError::Url("cannot be written as a request");
    let host = HeaderValue::from_str(&permit.url.origin.authority());
    headers.insert(
        HOST,
        host.map_err(|_| OutboundError::Url("has a host that cannot be written as a header"))?,
    );
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if let Some(secret) = secret {
        headers.insert(secret.name, secret.value);
    }
    let mut request = Request::new(RequestBody::new(body, most));
    *request.method_mut() = permit.method.clone();
    *request.uri_mut() = permit.url.path_and_query().parse::<Uri>().map_err(wrong)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Returns the length that a message declares for its body.
fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Returns whether a header is the host's own to set, as it belongs to the connection or frames the message.
pub(crate) fn is_hosts_header(name: &HeaderName) -> bool {
    const OTHERS: [&str; 6] = [
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "http2-settings",
        "expect",
    ];
    [
        HOST,
        CONNECTION,
        CONTENT_LENGTH,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ]
    .contains(name)
        || OTHERS.contains(&name.as_str())
}
