//! The capability `http`: `wasi:http/outgoing-handler` 0.2, for plugins that act outside of the database.
//!
//! Resources, headers and streams are those of `wasmtime-wasi-http`, without its client: its hook `send_request` hands every
//! request over whole, before anything is looked up, and takes any future of a response, so that [`cairn_outbound`] decides and
//! sends. Its hook for forbidden headers keeps the secret's header from the plugin, in requests and in responses. Its own
//! `wasi:io` waits without a deadline, which `plugin::wait` replaces.
//!
//! A request that is not permitted, or fails, gives the plugin an error code of `wasi:http`; the flow's log has the reason and the
//! fix. One request too many, or one without a grant, ends the call.

mod drained;
mod errors;
mod faults;
mod hooks;
mod requests;

use std::sync::Arc;

use cairn_manifest::document::Item;
use cairn_manifest::manifest::{Grant, GrantKind};
use cairn_model::error::Diagnostic;
use cairn_outbound::{Client, HttpGrantKind};
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::sync::http::types;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{RequestOptions, WasiHttp, WasiHttpView as _};

use super::{Capability, State};
pub use faults::{RequestFault, RequestFaults};
pub(super) use hooks::HttpCall;

/// The capability `http`, with the client of all plugins.
#[derive(Clone)]
pub struct Http(Arc<Client>);

impl Http {
    /// The interface whose import means that a plugin sends requests.
    pub(crate) const PACKAGE: &str = "wasi:http/";

    /// Creates the capability, with the client that sends all requests.
    pub fn new(client: Client) -> Self {
        Self(Arc::new(client))
    }
}

impl GrantKind for Http {
    fn name(&self) -> &str {
        HttpGrantKind.name()
    }

    fn interfaces(&self) -> &[&str] {
        HttpGrantKind.interfaces()
    }

    fn functions(&self) -> &[&str] {
        HttpGrantKind.functions()
    }

    fn parse(&self, item: &Item<'_>) -> Result<Option<Grant>, Diagnostic> {
        HttpGrantKind.parse(item)
    }

    fn within(&self, one: &Grant, other: &Grant) -> Option<Grant> {
        HttpGrantKind.within(one, other)
    }
}

impl Capability for Http {
    /// Adds `types`, whose functions only build requests and read responses, and `outgoing-handler`, whose one function asks for
    /// the grant.
    fn link(&self, linker: &mut Linker<State>) -> wasmtime::Result<()> {
        let options = types::LinkOptions::default();
        types::add_to_linker::<State, WasiHttp>(linker, &options, State::http)?;
        let client = Arc::clone(&self.0);
        let mut handler = linker.instance("wasi:http/outgoing-handler@0.2.12")?;
        handler.func_wrap(
            "handle",
            move |mut store,
                  (request, options): (
                Resource<HostOutgoingRequest>,
                Option<Resource<RequestOptions>>,
            )| {
                let state: &mut State = store.data_mut();
                state.begin_request(&client)?;
                let mut http = state.http();
                let sent = http.handle(request, options);
                let sent: Result<Resource<HostFutureIncomingResponse>, _> = match sent {
                    Ok(response) => Ok(response),
                    Err(error) => Err(error.downcast()?),
                };
                Ok((sent,))
            },
        )
    }
}
