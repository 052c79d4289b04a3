//! Sends one request.

use cairn_plugin::{ActError, error};
use serde_json::Value;

/// An answer of the server.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// Sends a request. The host adds the key of the API.
#[cfg(target_arch = "wasm32")]
pub fn send(method: &str, url: &str, body: Option<&Value>) -> Result<Answer, ActError> {
    use wstd::http::{Body, Client, Request};

    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    wstd::runtime::block_on(async {
        let request = Request::builder().method(method).uri(url).body(body);
        let request = request.map_err(|error| failed(&error.into()))?;
        let response = Client::new().send(request).await;
        let mut response = response.map_err(|error| failed(&error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().str_contents().await;
        let body = body.map_err(|error| failed(&error))?.to_owned();
        Ok(Answer { status, body })
    })
}

/// Returns why there is no answer: it refused the request if nothing of it has reached the server.
#[cfg(target_arch = "wasm32")]
fn failed(error: &wstd::http::Error) -> ActError {
    use wstd::http::error::ErrorCode;

    let is_unsent = matches!(
        error.downcast_ref(),
        Some(
            ErrorCode::HttpRequestDenied
                | ErrorCode::HttpRequestUriInvalid
                | ErrorCode::HttpRequestMethodInvalid
                | ErrorCode::DestinationIpProhibited
                | ErrorCode::DestinationNotFound
                | ErrorCode::DnsError(_)
                | ErrorCode::ConnectionRefused
                | ErrorCode::TlsCertificateError
                | ErrorCode::TlsProtocolError
                | ErrorCode::ConfigurationError
        )
    );
    let error = error!(
        "NoAnswer",
        "PowerDNS does not answer: {error}; the flow's log has the reason"
    );
    match is_unsent {
        true => ActError::Refused(error),
        false => ActError::Unsure(error),
    }
}

/// Sends a request to the server of the test that runs.
#[cfg(not(target_arch = "wasm32"))]
pub fn send(method: &str, url: &str, body: Option<&Value>) -> Result<Answer, ActError> {
    SERVER.with_borrow_mut(|server| match server {
        Some(server) => server(method, url, body),
        None => Err(ActError::Refused(error!("NoAnswer", "there is no server"))),
    })
}

/// A server of a test.
#[cfg(not(target_arch = "wasm32"))]
pub type Server = Box<dyn FnMut(&str, &str, Option<&Value>) -> Result<Answer, ActError>>;

#[cfg(not(target_arch = "wasm32"))]
std::thread_local! {
    pub static SERVER: std::cell::RefCell<Option<Server>> = const { std::cell::RefCell::new(None) };
}
