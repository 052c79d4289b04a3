//! Names each request, in its answer, the log and the flow that it begins, and reads the trace that it belongs to.

use std::fmt;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use cairn::trace::TraceContext;

/// The header of the id, in requests and answers.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const LONGEST: usize = 128;

/// The id of a request: the client's, if it sent one of letters, digits, `-`, `_`, `.`; else a new one.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(String);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RequestId {
    fn of(request: &Request) -> Self {
        let sent = request.headers().get(&HEADER);
        let sent = sent.and_then(|id| id.to_str().ok()).filter(|id| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=LONGEST).contains(&id.len()) && id.bytes().all(is_plain)
        });
        match sent {
            Some(id) => Self(id.to_owned()),
            None => Self(format!("req-{}", uuid::Uuid::new_v4())),
        }
    }
}

/// Returns the trace of a request. One that cannot be read is as none, as Trace Context asks for.
fn trace_of(request: &Request) -> Option<TraceContext> {
    let mut sent = request.headers().get_all("traceparent").iter();
    let (first, second) = (sent.next()?, sent.next());
    match second {
        Some(_) => None,
        None => first.to_str().ok()?.parse().ok(),
    }
}

/// Gives a request its id.
pub(crate) async fn name(mut request: Request, next: Next) -> Response {
    let (id, trace) = (RequestId::of(&request), trace_of(&request));
    let value = HeaderValue::from_str(&id.0);
    let extensions = request.extensions_mut();
    extensions.insert(id);
    if let Some(trace) = trace {
        extensions.insert(trace);
    }
    let mut response = next.run(request).await;
    if let Ok(value) = value {
        response.headers_mut().insert(HEADER, value);
    }
    response
}
