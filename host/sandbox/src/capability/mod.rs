//! Capabilities: interfaces that a plugin may import when it is granted them.
//!
//! The set is open: a program registers the capabilities that it offers in
//! [`PluginConfig::capabilities`](crate::plugin::PluginConfig::capabilities). The core ones are here, one file an interface. Each
//! function checks the grant, delegates, and translates the answer; none has logic of its own.
//!
//! A capability of another crate generates bindings of its own interfaces, implements their `Host` for [`State`], and adds them to
//! the linker with [`State::enter`]:
//!
//! ```ignore
//! bindgen!({
//!     path: "wit",
//!     world: "link", // imports the crate's own interfaces and nothing else
//!     imports: { default: trappable },
//!     with: { "cairn:plugin/types": cairn_sandbox::wit::cairn::plugin::types },
//!     wasmtime_crate: cairn_sandbox::wasmtime,
//! });
//!
//! impl store::Host for State {
//!     fn get(&mut self, key: String) -> wasmtime::Result<Result<String, types::Error>> {
//!         self.grant("store")?;
//!         self.query_json(&query(key))
//!     }
//! }
//!
//! const STORE: SimpleCapability = SimpleCapability::new(
//!     SimpleGrantKind::new("store", &["acme:records/store"], &["get"]),
//!     |linker| store::add_to_linker::<State, HasSelf<State>>(linker, State::enter),
//! );
//! ```

mod context;
mod externals;
mod http;
mod log;
mod policy;
mod results;
mod rpc;
mod secrets;
mod state;
mod surroundings;

pub use externals::Externals;
pub use http::{Http, RequestFault, RequestFaults};
pub(crate) use policy::Denied;
pub use policy::Enforcer;
pub(crate) use state::Active;
pub use state::{Granted, Services, State};
pub use surroundings::Surroundings;

pub use cairn_outbound::Authorities;

use std::fmt;
use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker};

use cairn_manifest::document::Item;
use cairn_manifest::manifest::{Grant, GrantKind, SimpleGrantKind};
use cairn_model::error::{Diagnostic, TaskError};
use cairn_model::value::{Object, Value};
use cairn_outbound::{Client, SystemResolver};

use crate::wit::cairn::plugin::{context as wit_context, log as wit_log, types};

/// A capability that this host offers: its kind of grant, and the functions of its interfaces.
pub trait Capability: GrantKind {
    /// Adds the interfaces of the capability to a linker. Called once for each engine.
    ///
    /// Every function must ask [`State::grant`] before it does anything.
    ///
    /// # Errors
    /// The linker has one of the interfaces already.
    fn link(&self, linker: &mut Linker<State>) -> wasmtime::Result<()>;
}

impl fmt::Debug for dyn Capability + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Adds interfaces to a linker.
type Link = fn(&mut Linker<State>) -> wasmtime::Result<()>;

/// A capability made of a [`SimpleGrantKind`] and the function that links it.
#[derive(Clone, Copy)]
pub struct SimpleCapability {
    kind: SimpleGrantKind,
    link: Link,
}

impl SimpleCapability {
    /// Makes a capability. `link` does what [`Capability::link`] says.
    pub const fn new(kind: SimpleGrantKind, link: Link) -> Self {
        Self { kind, link }
    }
}

impl GrantKind for SimpleCapability {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn interfaces(&self) -> &[&str] {
        self.kind.interfaces()
    }

    fn functions(&self) -> &[&str] {
        self.kind.functions()
    }

    fn parse(&self, item: &Item<'_>) -> Result<Option<Grant>, Diagnostic> {
        self.kind.parse(item)
    }

    fn within(&self, one: &Grant, other: &Grant) -> Option<Grant> {
        self.kind.within(one, other)
    }
}

impl Capability for SimpleCapability {
    fn link(&self, linker: &mut Linker<State>) -> wasmtime::Result<()> {
        (self.link)(linker)
    }
}

/// Returns the capabilities of the core: `results`, `policy`, `externals`, `rpc`, `http` and `secrets`. Servers of plugins' requests are
/// verified by these authorities.
pub fn core(authorities: Authorities) -> [Arc<dyn Capability>; 6] {
    let client = Client::new(Arc::new(SystemResolver), authorities);
    [
        Arc::new(results::CAPABILITY),
        Arc::new(policy::CAPABILITY),
        Arc::new(Externals),
        Arc::new(rpc::CAPABILITY),
        Arc::new(Http::new(client)),
        Arc::new(secrets::CAPABILITY),
    ]
}

/// Adds the interfaces that every plugin may import.
pub(crate) fn link_base(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    types::add_to_linker::<State, HasSelf<State>>(linker, State::enter)?;
    wit_context::add_to_linker::<State, HasSelf<State>>(linker, State::enter)?;
    wit_log::add_to_linker::<State, HasSelf<State>>(linker, State::enter)
}

impl types::Host for State {}

/// Converts an error into the contract's, without its origin.
pub fn to_wit(error: TaskError) -> types::Error {
    types::Error {
        kind: error.kind,
        message: error.message,
        details: (!error.details.is_null()).then(|| error.details.to_string()),
    }
}

/// Bytes that are kept of an error. It is passed to every revert of the flow, which must have room for it.
const MAX_KIND: usize = 128;
const MAX_MESSAGE: usize = 16 << 10;
const MAX_DETAILS: usize = 256 << 10;

/// Converts a plugin's error. Details that are not JSON are kept as text; everything too long is truncated.
pub(crate) fn from_wit(error: types::Error) -> TaskError {
    let details = error.details.map(|text| {
        let whole = text.len() <= MAX_DETAILS;
        let parsed = whole
            .then(|| cairn_model::value::parse(&text).ok())
            .flatten();
        parsed.unwrap_or_else(|| Value::String(cut(&text, MAX_DETAILS)))
    });
    TaskError {
        details: details.unwrap_or(Value::Null),
        ..TaskError::new(cut(&error.kind, MAX_KIND), cut(&error.message, MAX_MESSAGE))
    }
}

/// Truncates a text to `most` bytes and marks it with an ellipsis.
fn cut(text: &str, most: usize) -> String {
    match text.len() > most {
        true => format!("{}…", &text[..text.floor_char_boundary(most)]),
        false => text.to_owned(),
    }
}

/// Parses JSON from a plugin. `what` names it in the error.
///
/// # Errors
/// `InvalidInput` when it is not JSON.
pub fn json(text: &str, what: &str) -> Result<Value, TaskError> {
    cairn_model::value::parse(text)
        .map_err(|error| TaskError::new("InvalidInput", cairn_model::value::refused(what, &error)))
}

/// Parses a JSON object from a plugin. `what` names it in the error.
///
/// # Errors
/// `InvalidInput` when it is not a JSON object.
pub fn object(text: &str, what: &str) -> Result<Object, types::Error> {
    match json(text, what).map_err(to_wit)? {
        Value::Object(object) => Ok(object),
        _ => Err(to_wit(TaskError::new(
            "InvalidInput",
            format!("{what} must be an object"),
        ))),
    }
}

#[cfg(test)]
mod tests;
