//! Keeps cards at a server, one for each object.

mod client;

use cairn_plugin::{ActError, Error, External, ExternalObject, Presence, error};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The settings, from the manifest.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Cards {
    /// Where the server is, such as `http://127.0.0.1:8765`.
    url: String,
}

/// What a task asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    name: String,
}

/// A card, and what the task gets.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Card {
    text: String,
}

impl Cards {
    /// The place of a card follows from its object alone.
    fn place(&self, object: &ExternalObject) -> String {
        format!("{}/cards/{}", self.url, object.id)
    }
}

/// The only kind of objects.
const KIND: &str = "card";

impl External for Cards {
    type Spec = Spec;
    type Made = Card;

    fn look(&self, object: &ExternalObject) -> Result<Presence<Card>, Error> {
        let found = match object.kind.as_str() {
            KIND => client::get(&self.place(object))?,
            _ => None,
        };
        Ok(match found.map(|text| serde_json::from_str(&text)) {
            None => Presence::Absent,
            Some(Ok(card)) => Presence::Whole(card),
            Some(Err(_)) => Presence::Partial,
        })
    }

    fn make(&self, object: &ExternalObject, spec: Spec) -> Result<Card, ActError> {
        if object.kind != KIND || spec.name.is_empty() {
            let refusal = error!("InvalidInput", "a `{KIND}` needs a `name`");
            return Err(ActError::Refused(refusal)); // nothing has changed
        }
        let card = Card { text: format!("Hello, {}!", spec.name) };
        let text = serde_json::to_string(&card).map_err(|error| error!("Card", "{error}"))?;
        client::put(&self.place(object), &text)?; // an error of it is `Unsure`: the server may have the card
        Ok(card)
    }

    fn remove(&self, object: &ExternalObject) -> Result<(), ActError> {
        Ok(client::delete(&self.place(object))?)
    }

    fn list(&self, kind: &str, _after: Option<&str>) -> Result<Vec<String>, Error> {
        let found = match kind {
            KIND => client::get(&format!("{}/cards", self.url))?,
            _ => None,
        };
        let ids = serde_json::from_str(found.as_deref().unwrap_or("[]"));
        ids.map_err(|error| error!("ServerAnswer", "the list of cards cannot be read: {error}"))
    }
}

cairn_plugin::export_external!(Cards);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;
    use serde_json::json;

    use super::*;

    fn card(number: u32) -> ExternalObject {
        ExternalObject { kind: KIND.to_owned(), id: format!("00000000-0000-4000-8000-{number:012}"), token: 1 }
    }

    fn host() -> FakeHost {
        FakeHost::new().settings(json!({"url": "http://server.example"}))
    }

    #[test]
    fn a_card_is_made_and_removed() {
        let (host, card) = (host(), card(1));
        let made = host.make::<Cards>(&card, json!({"name": "Ada"})).unwrap();
        assert_eq!(made, json!({"text": "Hello, Ada!"}));
        assert_eq!(host.look::<Cards>(&card), Ok(Presence::Whole(made)));
        assert_eq!(host.list::<Cards>(KIND, None), Ok(vec![card.id.clone()]));
        host.remove::<Cards>(&card).unwrap();
        assert_eq!(host.look::<Cards>(&card), Ok(Presence::Absent));
    }

    #[test]
    fn a_card_without_a_name_is_refused() {
        let (host, card) = (host(), card(2));
        let refused = host.make::<Cards>(&card, json!({"name": ""})).unwrap_err();
        assert!(refused.is_refused() && refused.error().is("InvalidInput"));
        assert_eq!(host.look::<Cards>(&card), Ok(Presence::Absent));
    }
}
