//! HTTP requests of plugins: what the grant `http` permits, and the client that sends what is permitted.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use cairn_outbound::{Authorities, Client, HttpGrant, OutboundError, RequestLimits, SystemResolver};
//! # async fn f(grant: HttpGrant, request: http::Request<String>, limits: RequestLimits) -> Result<(), OutboundError> {
//! let client = Client::new(Arc::new(SystemResolver), Authorities::default());
//! let permit = grant.permit(request.method(), request.uri())?; // pure: nothing was resolved or sent
//! let exchange = client.send(permit, request, None, limits).await?;
//! # Ok(()) }
//! ```
//!
//! The stages are types: a [`Client`] sends a request only with a [`Permit`], which only an [`HttpGrant`] makes, and connects only
//! to addresses that passed [`address::check`].
//!
//! - A URL is permitted in the form in which it is sent: [`UrlPattern`] says how URLs are compared.
//! - A name is resolved once. If one of its addresses is refused, the request is: see [`address`].
//! - Redirects are answers like others, so the plugin must ask again, and the grant decides again.
//! - TLS is always verified. Proxies in the environment are ignored: there is one connection for each request, to a checked address.
//!
//! The crate does not know wasmtime. `cairn-sandbox` serves `wasi:http` with it.

#![warn(missing_docs)]

pub mod address;
mod body;
mod client;
mod error;
mod grant;
mod kind;
mod network;
mod path;
mod pattern;
mod secret;
mod tls;
mod url;

pub use body::{RequestBody, ResponseBody};
pub use client::{Client, Driver, Exchange, RequestLimits};
pub use error::OutboundError;
pub use grant::{Auth, HttpGrant, Permit};
pub use kind::HttpGrantKind;
pub use network::{Connecting, Connector, Resolution, Resolver, SystemConnector, SystemResolver};
pub use pattern::{PatternError, UrlPattern};
pub use secret::SecretHeader;
pub use tls::Authorities;
pub use url::{Host, Origin, Scheme, Url};
