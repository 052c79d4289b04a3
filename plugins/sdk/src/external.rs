//! The trait of an external, and its adapter to the functions that a component exports.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::external::exports::cairn::plugin::external as wit;
use crate::guest::{Package, configured};
use crate::host::{context, types};
use crate::{Error, json};

/// The most ids in a page of `list`.
const PAGE: usize = 1_000;

/// Makes and removes objects outside the database, such as DNS records or accounts: a plugin of the world `external-plugin`. Tasks
/// use it through [`externals`](crate::externals).
///
/// The host names each object, and stores what it is about to do before it calls the plugin. It may die, or end the call, at any
/// moment; then it asks [`look`](Self::look) in a fresh instance. So an external keeps nothing between calls. It must promise:
///
/// 1. What an object is called at the backend follows from the [`ExternalObject`] alone.
/// 2. `look` and `list` change nothing.
/// 3. `make` or `remove` twice has the effect of once.
/// 4. After a `make` that was cut off `look` says what is there, and `remove` then leaves nothing.
/// 5. After [`ActError::Refused`] `look` answers as before.
/// 6. `list` returns every object that was made and not removed, and nothing else.
///
/// An external can use [`context::settings`](crate::context::settings), [`log`](crate::log) and [`secrets`](crate::secrets), and a library for `wasi:http` such as
/// `wstd` if the manifest grants `http`. As with a [`Task`](crate::Task), the fields of the type are the settings.
///
/// ```
/// # mod directory { // stands for a client of the backend
/// #     use std::cell::RefCell;
/// #     use std::collections::BTreeMap;
/// #     use cairn_plugin::Error;
/// #     thread_local! { static ENTRIES: RefCell<BTreeMap<String, String>> = RefCell::default(); }
/// #     pub fn get(_: &str, id: &str) -> Result<Option<String>, Error> { Ok(ENTRIES.with_borrow(|e| e.get(id).cloned())) }
/// #     pub fn put(_: &str, id: &str, name: &str) -> Result<(), Error> { ENTRIES.with_borrow_mut(|e| e.insert(id.into(), name.into())); Ok(()) }
/// #     pub fn delete(_: &str, id: &str) -> Result<(), Error> { ENTRIES.with_borrow_mut(|e| e.remove(id)); Ok(()) }
/// #     pub fn ids(_: &str) -> Result<Vec<String>, Error> { Ok(ENTRIES.with_borrow(|e| e.keys().cloned().collect())) }
/// # }
/// use cairn_plugin::{ActError, Error, External, ExternalObject, Presence, error};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// /// Accounts of a directory, which has one entry for each id.
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Accounts {
///     /// Where the directory is.
///     url: String,
/// }
///
/// #[derive(Deserialize)]
/// struct Spec {
///     name: String,
/// }
///
/// #[derive(Debug, PartialEq, Serialize)]
/// struct Account {
///     login: String,
/// }
///
/// impl External for Accounts {
///     type Spec = Spec;
///     type Made = Account;
///
///     fn look(&self, object: &ExternalObject) -> Result<Presence<Account>, Error> {
///         Ok(match directory::get(&self.url, &object.id)? {
///             Some(login) => Presence::Whole(Account { login }),
///             None => Presence::Absent,
///         })
///     }
///
///     fn make(&self, object: &ExternalObject, spec: Spec) -> Result<Account, ActError> {
///         if spec.name.is_empty() {
///             return Err(ActError::Refused(error!("InvalidInput", "`name` is empty; say whose account it is")));
///         }
///         directory::put(&self.url, &object.id, &spec.name)?; // an error of it is `Unsure`
///         Ok(Account { login: spec.name })
///     }
///
///     fn remove(&self, object: &ExternalObject) -> Result<(), ActError> {
///         Ok(directory::delete(&self.url, &object.id)?)
///     }
///
///     fn list(&self, _kind: &str, _after: Option<&str>) -> Result<Vec<String>, Error> {
///         directory::ids(&self.url)
///     }
/// }
///
/// cairn_plugin::export_external!(Accounts);
///
/// // In a test:
/// use cairn_plugin::testing::FakeHost;
/// use serde_json::json;
///
/// let host = FakeHost::new().settings(json!({"url": "https://directory.example/"}));
/// let object = ExternalObject { kind: "account".into(), id: "6f0c1f6e-7b64-4c0e-9d3b-0a4a7c2f5a11".into(), token: 1 };
/// assert_eq!(host.look::<Accounts>(&object), Ok(Presence::Absent));
/// assert_eq!(host.make::<Accounts>(&object, json!({"name": "ann"})), Ok(json!({"login": "ann"})));
/// assert_eq!(host.look::<Accounts>(&object), Ok(Presence::Whole(json!({"login": "ann"}))));
/// assert_eq!(host.list::<Accounts>("account", None), Ok(vec![object.id.clone()]));
/// host.remove::<Accounts>(&object).unwrap();
/// assert_eq!(host.look::<Accounts>(&object), Ok(Presence::Absent));
/// assert!(host.make::<Accounts>(&object, json!({"name": ""})).unwrap_err().is_refused());
/// ```
pub trait External: DeserializeOwned + JsonSchema {
    /// What tasks ask for: a type with the fields that the external reads, or [`serde_json::Value`]. A spec that does not
    /// deserialize is refused.
    type Spec: DeserializeOwned;

    /// What tasks are told about an object.
    type Made: Serialize;

    /// Returns what there is of an object. Changes nothing.
    ///
    /// # Errors
    /// It is not known, for example because the backend does not answer. The host asks again later.
    fn look(&self, object: &ExternalObject) -> Result<Presence<Self::Made>, Error>;

    /// Makes an object. A repeat with the same `spec` succeeds when the object is whole, and makes it anew when it is partial.
    ///
    /// # Errors
    /// [`ActError`]. A panic and a missed deadline are [`ActError::Unsure`].
    fn make(&self, object: &ExternalObject, spec: Self::Spec) -> Result<Self::Made, ActError>;

    /// Takes an object away, whole or partial. Succeeds when it is absent.
    ///
    /// # Errors
    /// As [`make`](Self::make).
    fn remove(&self, object: &ExternalObject) -> Result<(), ActError>;

    /// Returns the ids of this external's objects of a kind, in any order: all of them; or at least the first 1,000 after
    /// `after`, sorted by their bytes. The SDK sorts them and cuts the page.
    ///
    /// # Errors
    /// They are not known.
    fn list(&self, kind: &str, after: Option<&str>) -> Result<Vec<String>, Error>;
}

/// An object, as the host names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalObject {
    /// Its kind, such as `record`.
    pub kind: String,
    /// A UUID. Two objects never have one id.
    pub id: String,
    /// Grows with each act on the object. A backend that can compare it refuses an act whose token is less than one that it has
    /// seen.
    pub token: u64,
}

/// What there is of an object at the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence<M> {
    /// Nothing: also no part of it, and no work on it that goes on there.
    Absent,
    /// Something that cannot be used. [`External::remove`] takes it away.
    Partial,
    /// The object, with the result of its [`External::make`].
    Whole(M),
}

impl<M> Presence<M> {
    /// Converts the result of a whole object.
    pub fn map<T>(self, convert: impl FnOnce(M) -> T) -> Presence<T> {
        match self {
            Self::Absent => Presence::Absent,
            Self::Partial => Presence::Partial,
            Self::Whole(made) => Presence::Whole(convert(made)),
        }
    }
}

/// Why an act failed. An [`Error`] that is passed on with `?` is [`Unsure`](Self::Unsure).
#[derive(Debug, Clone, PartialEq)]
pub enum ActError {
    /// Nothing has changed. The host relies on it.
    Refused(Error),
    /// Something may have changed. The host asks [`External::look`] before it does anything else.
    Unsure(Error),
}

impl ActError {
    /// Returns whether nothing has changed.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// Returns the error.
    pub fn error(&self) -> &Error {
        match self {
            Self::Refused(error) | Self::Unsure(error) => error,
        }
    }
}

impl From<Error> for ActError {
    fn from(error: Error) -> Self {
        Self::Unsure(error)
    }
}

impl fmt::Display for ActError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::Unsure(error) => write!(f, "unsure: {error}"),
        }
    }
}

impl std::error::Error for ActError {}

impl<P: Package> wit::Guest for P
where
    P::Plugin: External,
{
    fn look(what: wit::Object) -> Result<wit::Presence, types::Error> {
        let found = look::<P::Plugin>(&context::settings(), &object(what))?;
        Ok(match found {
            Presence::Absent => wit::Presence::Absent,
            Presence::Partial => wit::Presence::Partial,
            Presence::Whole(made) => wit::Presence::Whole(made),
        })
    }

    fn make(what: wit::Object, spec: String) -> Result<String, wit::Failure> {
        make::<P::Plugin>(&context::settings(), &object(what), &spec).map_err(failure)
    }

    fn remove(what: wit::Object) -> Result<(), wit::Failure> {
        remove::<P::Plugin>(&context::settings(), &object(what)).map_err(failure)
    }

    fn list(kind: String, after: Option<String>) -> Result<Vec<String>, types::Error> {
        Ok(list::<P::Plugin>(
            &context::settings(),
            &kind,
            after.as_deref(),
        )?)
    }
}

fn object(object: wit::Object) -> ExternalObject {
    ExternalObject {
        kind: object.kind,
        id: object.id,
        token: object.token,
    }
}

fn failure(error: ActError) -> wit::Failure {
    match error {
        ActError::Refused(error) => wit::Failure::Refused(error.into()),
        ActError::Unsure(error) => wit::Failure::Unsure(error.into()),
    }
}

/// Writes a result as JSON.
fn written<M: Serialize>(made: &M) -> Result<String, Error> {
    serde_json::to_string(made)
        .map_err(|error| Error::new("ResultInvalid", format!("the result: {error}")))
}

/// A function that lets an external make an object, given its settings, the object and the spec.
#[doc(hidden)]
pub type Make = fn(&str, &ExternalObject, &str) -> Result<String, ActError>;

/// Looks what there is of an object, given the settings.
pub(crate) fn look<E: External>(
    settings: &str,
    object: &ExternalObject,
) -> Result<Presence<String>, Error> {
    Ok(match configured::<E>(settings)?.look(object)? {
        Presence::Absent => Presence::Absent,
        Presence::Partial => Presence::Partial,
        Presence::Whole(made) => Presence::Whole(written(&made)?),
    })
}

/// Makes an object, given the texts that cross the component boundary.
#[doc(hidden)]
pub fn make<E: External>(
    settings: &str,
    object: &ExternalObject,
    spec: &str,
) -> Result<String, ActError> {
    let external = configured::<E>(settings).map_err(ActError::Refused)?;
    let spec = json::from_text("InvalidInput", "the spec", spec).map_err(ActError::Refused)?;
    let made = external.make(object, spec)?;
    Ok(written(&made)?)
}

/// Removes an object, given the settings.
pub(crate) fn remove<E: External>(settings: &str, object: &ExternalObject) -> Result<(), ActError> {
    let external = configured::<E>(settings).map_err(ActError::Refused)?;
    external.remove(object)
}

/// Returns a page of ids, given the settings.
pub(crate) fn list<E: External>(
    settings: &str,
    kind: &str,
    after: Option<&str>,
) -> Result<Vec<String>, Error> {
    let mut ids = configured::<E>(settings)?.list(kind, after)?;
    ids.retain(|id| after.is_none_or(|after| id.as_str() > after));
    ids.sort_unstable();
    ids.dedup();
    ids.truncate(PAGE);
    Ok(ids)
}

/// Exports a type that implements [`External`](crate::External) as a component. The plugin has the crate's name and the
/// first two parts of its version.
///
/// Use it once per crate, at its top level, and without any other export: a component with another role may not send requests. It
/// exports nothing on targets other than `wasm32`, so that the crate can be tested natively.
#[macro_export]
macro_rules! export_external {
    ($external:ty) => {
        // Type-checked on every target, which also avoids an unused-code warning for the external.
        const _: $crate::external::Make = $crate::external::make::<$external>;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Plugin;

            impl $crate::guest::Package for Plugin {
                type Plugin = $external;
                const NAME: &'static str = env!("CARGO_PKG_NAME");
                const VERSION: (u32, u32) = (
                    $crate::guest::version_part(env!("CARGO_PKG_VERSION_MAJOR")),
                    $crate::guest::version_part(env!("CARGO_PKG_VERSION_MINOR")),
                );
            }

    $crate::bindings::export!(Plugin with_types_in $crate::bindings);
    $crate::bindings::external::export!(Plugin with_types_in $crate::bindings::external);
        };
    };
}

#[cfg(test)]
mod tests;
