//! The request of a flow: turns what an operator asks into what the flow is given.

use std::path::Path;

use cairn_effects::domain::Domains;
use cairn_effects::rows::Services;
use cairn_model::error::Diagnostic;
use cairn_model::idempotency::Key;
use cairn_model::value::{Object, Value};

use crate::StoreError;
use crate::view::View;

/// Why a request cannot be passed to a flow; nothing ran.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request is wrong.
    #[error(transparent)]
    Invalid(#[from] Diagnostic),
    /// The database could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Resolves requests to flows of one action, for a domain. Registered among the domain's
/// [services](cairn_effects::domain::Domain::services).
#[derive(Clone, Copy)]
pub struct Resolver {
    /// The action of the flow, such as `volume:create`.
    pub action: &'static str,
    /// Checks the request, and resolves it if it names no object, without a database; returns `None` if it names one.
    pub resolve_alone: ResolveAlone,
    /// Checks the request and looks up the objects it names: objects come only from the database, because a caller could forge one
    /// that came with the request.
    pub resolve: Resolve,
}

/// The function of [`Resolver::resolve`]. Its errors name the request's field.
pub type Resolve = fn(&Object, &View<'_>) -> Result<Object, RequestError>;

/// The function of [`Resolver::resolve_alone`]. Its errors name the request's field.
pub type ResolveAlone = fn(&Object, &Services) -> Result<Option<Object>, Diagnostic>;

fn resolver<'d>(domains: &'d Domains, action: &str) -> Option<&'d Resolver> {
    let mut resolvers = domains.services().all::<Resolver>();
    resolvers.find(|resolver| resolver.action == action)
}

/// A request that was checked.
#[derive(Clone, Debug)]
pub struct Entered {
    /// The flow's request; or why it could not be resolved, when the key already belongs to the same request.
    pub request: Result<Value, RequestError>,
    /// The key, with the digest of the request.
    pub key: Option<Key>,
}

/// Checks a request to the flow called `flow`, with its key if it has one, and [`resolve`]s it. A repeat need not
/// resolve, because the objects it names may have changed since the first request.
///
/// # Errors
/// Those of [`resolve`]; [`RequestError::Invalid`] for a key that is empty or too long.
pub fn enter(
    flow: &str,
    action: Option<&str>,
    request: &Value,
    key: Option<&str>,
    file: Option<&Path>,
    view: &View<'_>,
) -> Result<Entered, RequestError> {
    let key = key_of(flow, request, key)?;
    let request = match (resolve(action, request, file, view), &key) {
        (Err(error), Some(key)) if view.repeat_of(key)?.is_some() => Err(error),
        (request, _) => Ok(request?),
    };
    Ok(Entered { request, key })
}

/// Checks a request as [`enter`] does, but without a database. Returns `None` for one that needs it: it names objects, or is wrong and has a
/// key, which may stand for the same request from when it was right.
///
/// # Errors
/// [`RequestError::Invalid`] when the request is wrong, or the key is empty or too long.
pub fn enter_alone(
    flow: &str,
    action: Option<&str>,
    request: &Value,
    key: Option<&str>,
    domains: &Domains,
) -> Result<Option<Entered>, RequestError> {
    let key = key_of(flow, request, key)?;
    let entered = |request| Entered {
        request: Ok(Value::Object(request)),
        key: key.clone(),
    };
    match resolve_alone(action, request, domains) {
        Ok(request) => Ok(request.map(entered)),
        Err(_) if key.is_some() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn resolve_alone(
    action: Option<&str>,
    request: &Value,
    domains: &Domains,
) -> Result<Option<Object>, Diagnostic> {
    let request = object(request)?;
    match action.and_then(|action| resolver(domains, action)) {
        Some(resolver) => (resolver.resolve_alone)(request, domains.services()),
        None => Ok(Some(request.clone())),
    }
}

fn key_of(flow: &str, request: &Value, key: Option<&str>) -> Result<Option<Key>, Diagnostic> {
    let key = key.map(|key| Key::new(key, flow, request)).transpose();
    key.map_err(|unfit| Diagnostic::new(format!("the key {unfit}")))
}

fn object(request: &Value) -> Result<&Object, Diagnostic> {
    let help = r#"write, for example, {"size": 1}"#;
    request
        .as_object()
        .ok_or_else(|| Diagnostic::new("a request must be one JSON object").help(help))
}

/// Checks a request, looks up the objects it names, and returns the request that the flow of `action` gets. An action for which
/// no domain has a [`Resolver`] accepts any object unchanged.
///
/// # Errors
/// [`RequestError::Invalid`] for a wrong type, an unknown key, or an object that does not exist; with the file and the field.
pub fn resolve(
    action: Option<&str>,
    request: &Value,
    file: Option<&Path>,
    view: &View<'_>,
) -> Result<Value, RequestError> {
    let place = |error: RequestError| match (error, file) {
        (RequestError::Invalid(diagnostic), Some(file)) => diagnostic.at(file, None).into(),
        (error, _) => error,
    };
    let request = object(request).map_err(|diagnostic| place(diagnostic.into()))?;
    match action.and_then(|action| resolver(view.domains(), action)) {
        Some(resolver) => (resolver.resolve)(request, view)
            .map(Value::Object)
            .map_err(place),
        None => Ok(Value::Object(request.clone())),
    }
}
