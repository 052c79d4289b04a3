use serde_json::Value;

use super::FakeHost;
use crate::{ActError, Error, External, ExternalObject, Presence, external};

impl FakeHost {
    /// Asks an external what there is of an object, as the host does: with the settings, and through JSON.
    ///
    /// # Errors
    /// The external's error, or `InvalidSettings`.
    pub fn look<E: External>(&self, object: &ExternalObject) -> Result<Presence<Value>, Error> {
        self.run(|| external::look::<E>(&self.settings_text(), object))
            .map(|presence| presence.map(|made| parsed(&made)))
    }

    /// Lets an external make an object.
    ///
    /// # Errors
    /// The external's error, or a refusal with `InvalidSettings` or `InvalidInput` when the settings or the spec do not deserialize.
    pub fn make<E: External>(
        &self,
        object: &ExternalObject,
        spec: Value,
    ) -> Result<Value, ActError> {
        self.run(|| external::make::<E>(&self.settings_text(), object, &spec.to_string()))
            .map(|made| parsed(&made))
    }

    /// Lets an external remove an object.
    ///
    /// # Errors
    /// The external's error, or a refusal with `InvalidSettings`.
    pub fn remove<E: External>(&self, object: &ExternalObject) -> Result<(), ActError> {
        self.run(|| external::remove::<E>(&self.settings_text(), object))
    }

    /// Asks an external for a page of its objects, sorted and cut to the length of a page.
    ///
    /// # Errors
    /// The external's error, or `InvalidSettings`.
    pub fn list<E: External>(&self, kind: &str, after: Option<&str>) -> Result<Vec<String>, Error> {
        self.run(|| external::list::<E>(&self.settings_text(), kind, after))
    }

    fn settings_text(&self) -> String {
        self.state.borrow().settings.to_string()
    }
}

fn parsed(made: &str) -> Value {
    serde_json::from_str(made).expect("the result was written as JSON")
}
