//! Why a request was refused or failed.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::url::Origin;

/// The most headers of a response.
pub(crate) const HEADERS: usize = 100;
/// The most bytes of a response's headers.
pub(crate) const HEADER_BYTES: usize = 32 << 10;

/// Why a request was refused, or failed. The text says what to change where the grant or a limit is the reason. It repeats no header,
/// no body and no value of a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutboundError {
    /// The URL cannot be sent. The text is the rest of a sentence.
    #[error("the request's URL {0}")]
    Url(&'static str),
    /// No pattern of the grant allows the URL.
    #[error("the grant of `http` does not allow {url}: add a pattern for it to `allow`")]
    NotAllowed {
        /// The URL, without the values of its query.
        url: String,
    },
    /// The grant does not allow the method.
    #[error("the grant of `http` does not allow the method {method}: add it to `methods`")]
    Method {
        /// The method.
        method: String,
    },
    /// The method is never sent.
    #[error(
        "the method {method} is never sent: it asks for a tunnel, or for the request's headers"
    )]
    NeverSent {
        /// The method.
        method: String,
    },
    /// A name could not be looked up.
    #[error("{host} cannot be looked up: {problem}")]
    Lookup {
        /// The name.
        host: String,
        /// The resolver's error.
        problem: String,
    },
    /// A name has no address.
    #[error("{host} has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// An address of the host is one that requests may not go to.
    #[error("{}", address_text(host, *address, why))]
    Address {
        /// The host, as in the URL.
        host: String,
        /// Its address.
        address: IpAddr,
        /// The rest of a sentence about the address.
        why: &'static str,
    },
    /// No address of the host took the connection.
    #[error("{origin} cannot be connected to: {problem}")]
    Connect {
        /// The server.
        origin: Origin,
        /// The error of the last attempt.
        problem: String,
    },
    /// TLS failed; the server's certificate may not be of a known authority, not be for this host, or have expired.
    #[error("{origin} is not trusted: {problem}")]
    Tls {
        /// The server.
        origin: Origin,
        /// Why.
        problem: String,
        /// Whether the certificate was the reason.
        certificate: bool,
    },
    /// The operator's file of authorities cannot be used.
    #[error("{0}")]
    Authorities(String),
    /// The secret that the grant adds to requests cannot be sent. The text is the rest of a sentence.
    #[error("the secret `{name}` {problem}: see the operator's settings")]
    Secret {
        /// Its name.
        name: String,
        /// Why; nothing of the secret.
        problem: String,
    },
    /// The request was not done in time.
    #[error(
        "the request was not done within {}: raise `{limit}` in the plugin's limits, or have the server answer sooner",
        text_of(*.time)
    )]
    Time {
        /// The time it had.
        time: Duration,
        /// The limit.
        limit: &'static str,
    },
    /// A part of the request was not done in the time that the plugin set for it.
    #[error("the server did not answer within the {} that the plugin gave it", text_of(*.time))]
    PluginTime {
        /// The time it had.
        time: Duration,
    },
    /// The request's body is longer than its limit.
    #[error(
        "the request's body is longer than {most} bytes: raise `http_request_bytes` in the plugin's limits"
    )]
    RequestTooLong {
        /// The limit.
        most: u64,
    },
    /// The response's body is longer than its limit.
    #[error(
        "the response's body is longer than {most} bytes: raise `http_response_bytes` in the plugin's limits"
    )]
    ResponseTooLong {
        /// The limit.
        most: u64,
    },
    /// The response has too many headers, or too long ones.
    #[error(
        "the response's headers are too long: more than {most} bytes, more than {count} headers, or a length of the body that is out of range"
    )]
    HeadersTooLong {
        /// The limit of their bytes.
        most: usize,
        /// The limit of their number.
        count: usize,
    },
    /// The connection was closed before the response was complete. The server may have done what was asked.
    #[error("the connection was closed before the response was complete: {problem}")]
    Closed {
        /// The reason.
        problem: String,
    },
    /// The answer is not HTTP/1.
    #[error("the server's answer is not HTTP: {problem}")]
    NotHttp {
        /// What is wrong with it.
        problem: String,
    },
    /// The plugin did not write its request's body to the end.
    #[error("the request's body was not written to its end")]
    BodyCut,
}

fn address_text(host: &str, address: IpAddr, why: &str) -> String {
    let place = match host.trim_matches(['[', ']']) == address.to_string() {
        true => format!("the address {address}"),
        false => format!("the address {address} of {host}"),
    };
    let fix = match crate::address::class(address) {
        crate::address::Class::Loopback | crate::address::Class::Private => {
            ": write the address itself, or `localhost`, into a pattern of the grant and into the URL if requests may go there"
        }
        crate::address::Class::Public | crate::address::Class::Forbidden(_) => {
            ": no grant allows requests to it"
        }
    };
    format!("{place} {why}{fix}")
}

fn text_of(time: Duration) -> String {
    format!("{time:?}")
}

impl OutboundError {
    /// Returns whether surely nothing of the request reached a server.
    pub fn is_before_sending(&self) -> bool {
        match self {
            Self::Url(_)
            | Self::NotAllowed { .. }
            | Self::Method { .. }
            | Self::NeverSent { .. }
            | Self::Lookup { .. }
            | Self::NoAddress { .. }
            | Self::Address { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Secret { .. }
            | Self::Authorities(_) => true,
            Self::Time { .. }
            | Self::PluginTime { .. }
            | Self::RequestTooLong { .. }
            | Self::ResponseTooLong { .. }
            | Self::HeadersTooLong { .. }
            | Self::Closed { .. }
            | Self::NotHttp { .. }
            | Self::BodyCut => false,
        }
    }
}

/// Returns why a request failed, from hyper's error.
pub(crate) fn failed(error: &hyper::Error) -> OutboundError {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(own) = cause.downcast_ref::<OutboundError>() {
            return own.clone();
        }
        source = cause.source();
    }
    let problem = match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    if error.is_parse_too_large() {
        return OutboundError::HeadersTooLong {
            most: HEADER_BYTES,
            count: HEADERS,
        };
    }
    match error.is_parse() {
        true => OutboundError::NotHttp { problem },
        false => OutboundError::Closed { problem },
    }
}
