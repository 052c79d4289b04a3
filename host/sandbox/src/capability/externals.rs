use std::collections::BTreeSet;

use wasmtime::component::{HasSelf, Linker};

use cairn_effects::task::{Unwanted, Wanted};
use cairn_manifest::document::Item;
use cairn_manifest::manifest::{Grant, GrantKind, read_names};
use cairn_model::error::{Diagnostic, TaskError};
use cairn_model::text::Text;
use cairn_model::value::{Object, text};

use super::{Capability, State, json, to_wit};
use crate::wit::cairn::plugin::externals::{self, Host};
use crate::wit::cairn::plugin::types;

/// The key of a grant's list of providers.
const PROVIDERS: &str = "providers";

/// The key of a grant's list of kinds of objects.
const KINDS: &str = "kinds";

/// The capability `externals`: objects outside the database, from the providers of the flow's plan.
#[derive(Clone, Copy, Debug)]
pub struct Externals;

impl Externals {
    fn grant(providers: Option<BTreeSet<String>>, kinds: Option<BTreeSet<String>>) -> Grant {
        let lists = [(KINDS, kinds), (PROVIDERS, providers)].into_iter();
        let lists = lists.filter_map(|(key, names)| {
            let names = names?.into_iter().collect();
            Some((key.to_owned(), names))
        });
        Grant::from_json(lists.collect())
    }
}

impl GrantKind for Externals {
    fn name(&self) -> &str {
        "externals"
    }

    fn interfaces(&self) -> &[&str] {
        &["cairn:plugin/externals"]
    }

    fn functions(&self) -> &[&str] {
        &["make", "remove"]
    }

    fn parse(&self, item: &Item<'_>) -> Result<Option<Grant>, Diagnostic> {
        const EXAMPLE: &str = "write `externals = true`, or `externals = { providers = [\"pdns\"], kinds = [\"record\"] }`";
        if let Some(granted) = item.as_bool() {
            return Ok(granted.then(Grant::all));
        }
        let Some(table) = item.as_table() else {
            let error = item.error("must be true, false, or a table that narrows the grant");
            return Err(error.help(EXAMPLE));
        };
        let table = table.only(&[PROVIDERS, KINDS])?;
        let (providers, kinds) = (table.get(PROVIDERS), table.get(KINDS));
        if providers.is_none() && kinds.is_none() {
            return Err(item.error("narrows nothing").help(EXAMPLE));
        }
        let names = |list: Option<Item<'_>>| list.map(|list| read_names(&list)).transpose();
        Ok(Some(Self::grant(names(providers)?, names(kinds)?)))
    }

    fn within(&self, one: &Grant, other: &Grant) -> Option<Grant> {
        let mut both = Object::new();
        for key in [KINDS, PROVIDERS] {
            let list = one.within(other, key)?;
            both.extend(list.as_json().clone());
        }
        Some(Grant::from_json(both))
    }
}

impl Capability for Externals {
    fn link(&self, linker: &mut Linker<State>) -> wasmtime::Result<()> {
        externals::add_to_linker::<State, HasSelf<State>>(linker, State::enter)
    }
}

/// Refuses a provider or a kind of objects that the grant does not include.
fn granted(grant: &Grant, provider: &str, kind: &str) -> Result<(), TaskError> {
    for (key, what, name) in [
        (PROVIDERS, "provider", provider),
        (KINDS, "kind of objects", kind),
    ] {
        if !grant.reaches(key, name) {
            let message = format!("the grant of `externals` does not reach the {what} `{name}`");
            let error = TaskError::new("NotGranted", message);
            return Err(error.with("provider", provider).with("kind", kind));
        }
    }
    Ok(())
}

/// Refuses a text that cannot be a part of an object's name.
fn fit(what: &str, name: &str) -> Result<(), TaskError> {
    let fits = Text::Name.check(name);
    fits.map_err(|unfit| TaskError::new("InvalidInput", format!("the {what} {unfit}")))
}

impl Host for State {
    fn make(
        &mut self,
        provider: String,
        kind: String,
        label: String,
        spec: String,
    ) -> wasmtime::Result<Result<String, types::Error>> {
        let checked = granted(self.grant("externals")?, &provider, &kind)
            .and_then(|()| fit("kind", &kind))
            .and_then(|()| fit("label", &label))
            .and_then(|()| json(&spec, "the spec"));
        let spec = match checked {
            Ok(spec) => spec,
            Err(error) => return Ok(Err(to_wit(error))),
        };
        let wanted = Wanted {
            provider: &provider,
            kind: &kind,
            label: &label,
            spec: &spec,
        };
        let made = self.outside_of_deadline(|context| context.make_external(&wanted))?;
        Ok(made.map(|result| text(&result)).map_err(to_wit))
    }

    fn remove(
        &mut self,
        provider: String,
        kind: String,
        id: String,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        let checked = granted(self.grant("externals")?, &provider, &kind)
            .and_then(|()| fit("kind", &kind))
            .and_then(|()| fit("id", &id));
        if let Err(error) = checked {
            return Ok(Err(to_wit(error)));
        }
        let unwanted = Unwanted {
            provider: &provider,
            kind: &kind,
            id: &id,
        };
        let removed = self.outside_of_deadline(|context| context.remove_external(&unwanted))?;
        Ok(removed.map_err(to_wit))
    }
}
