//! A provider of tickets at an HTTP server, which wants a key in a header and a token in each URL.

use cairn_plugin::{ActError, Error, External, ExternalObject, NoInputs, Presence, error, log, secrets};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wstd::http::error::ErrorCode;
use wstd::http::{Body, Client, Method, Request};
use wstd::runtime::block_on;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Desk {
    url: String,
}

#[derive(Serialize)]
struct Ticket {
    status: u16,
}

impl Desk {
    /// Sends a request about a ticket, and returns the status of its answer.
    fn ask(&self, method: Method, object: &ExternalObject) -> Result<u16, ActError> {
        let token = secrets::get("token").map_err(ActError::Refused)?;
        let url = format!("{}/{}?token={token}", self.url, object.id);
        block_on(async {
            let request = Request::builder().method(method).uri(url).body(Body::empty());
            let request = request.map_err(|error| ActError::Refused(failed(&error.into())))?;
            match Client::new().send(request).await {
                Ok(response) => Ok(response.status().as_u16()),
                Err(error) if is_unsent(&error) => Err(ActError::Refused(failed(&error))),
                Err(error) => Err(ActError::Unsure(failed(&error))),
            }
        })
    }
}

fn failed(error: &wstd::http::Error) -> Error {
    error!("NoAnswer", "the desk does not answer: {error:?}")
}

/// Returns whether nothing of a request has reached the server.
fn is_unsent(error: &wstd::http::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(ErrorCode::ConfigurationError | ErrorCode::TlsCertificateError)
    )
}

impl External for Desk {
    type Spec = NoInputs;
    type Made = Ticket;

    fn look(&self, object: &ExternalObject) -> Result<Presence<Ticket>, Error> {
        match self.ask(Method::GET, object).map_err(|error| error.error().clone())? {
            404 => Ok(Presence::Absent),
            status @ 200 => Ok(Presence::Whole(Ticket { status })),
            status => Err(error!("NoAnswer", "the desk answers {status}")),
        }
    }

    fn make(&self, object: &ExternalObject, _: NoInputs) -> Result<Ticket, ActError> {
        log::info(format!("opens the ticket {}", object.id));
        println!("printed");
        match self.ask(Method::PUT, object)? {
            status @ 200 => Ok(Ticket { status }),
            status => Err(ActError::Unsure(error!("NoAnswer", "the desk answers {status}"))),
        }
    }

    fn remove(&self, object: &ExternalObject) -> Result<(), ActError> {
        self.ask(Method::DELETE, object)?;
        Ok(())
    }

    fn list(&self, _: &str, _: Option<&str>) -> Result<Vec<String>, Error> {
        Err(error!("NoAnswer", "the desk has no list"))
    }
}

cairn_plugin::export_external!(Desk);
