//! Errors of requests as `wasi:http` names them.

use cairn_outbound::OutboundError;
use wasmtime_wasi_http::Error;

/// Converts an error into the code that the plugin gets, which says no more than its kind.
pub(super) fn to_wasi(error: &OutboundError) -> Error {
    match error {
        OutboundError::Url(_) => Error::HttpRequestUriInvalid,
        OutboundError::NotAllowed { .. } | OutboundError::Method { .. } => Error::HttpRequestDenied,
        OutboundError::NeverSent { .. } => Error::HttpRequestMethodInvalid,
        OutboundError::Lookup { .. } => Error::DnsError {
            rcode: None,
            info_code: None,
        },
        OutboundError::NoAddress { .. } => Error::DestinationNotFound,
        OutboundError::Address { .. } => Error::DestinationIpProhibited,
        OutboundError::Connect { .. } => Error::ConnectionRefused,
        OutboundError::Tls { certificate, .. } => match certificate {
            true => Error::TlsCertificateError,
            false => Error::TlsProtocolError,
        },
        OutboundError::Authorities(_) | OutboundError::Secret { .. } => Error::ConfigurationError,
        OutboundError::Time { .. } | OutboundError::PluginTime { .. } => Error::HttpResponseTimeout,
        OutboundError::RequestTooLong { most } => Error::HttpRequestBodySize(Some(*most)),
        OutboundError::ResponseTooLong { most } => Error::HttpResponseBodySize(Some(*most)),
        OutboundError::HeadersTooLong { most, .. } => {
            Error::HttpResponseHeaderSectionSize(u32::try_from(*most).ok())
        }
        OutboundError::Closed { .. } => Error::ConnectionTerminated,
        OutboundError::BodyCut | OutboundError::NotHttp { .. } => Error::HttpProtocolError,
        other => Error::InternalError(Some(other.to_string())),
    }
}
