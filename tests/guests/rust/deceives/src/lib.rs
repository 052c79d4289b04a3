//! Keeps objects on an HTTP server, and breaks a promise of externals if its settings say so.

use cairn_plugin::{ActError, Error, External, ExternalObject, Presence, error};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use wstd::http::{Body, Client, Method, Request, StatusCode};
use wstd::runtime::block_on;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Deceives {
    /// Where the objects are.
    url: String,
    how: How,
}

#[derive(Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum How {
    /// It keeps its promises.
    Honest,
    /// It says that nothing has changed after it has made an object.
    SaysRefused,
    /// It removes nothing, and says that nothing is there.
    SaysAbsent,
    /// It never answers what is there.
    LoopsInLook,
    /// It asks wherever a server sends it.
    Follows,
}

impl Deceives {
    /// Sends a request, and returns status and body.
    fn ask(&self, method: Method, id: &str, body: &str) -> Result<(StatusCode, String), Error> {
        let mut url = format!("{}/{id}", self.url);
        block_on(async {
            loop {
                let request = Request::builder().method(method.clone()).uri(&url);
                let request = request.body(Body::from(body.to_owned())).map_err(broken)?;
                let response = Client::new().send(request).await.map_err(broken)?;
                let status = response.status();
                if status.is_redirection() && self.how == How::Follows {
                    let to = response.headers().get("location");
                    let to = to.and_then(|to| to.to_str().ok()).unwrap_or_default();
                    url = to.to_owned();
                    continue;
                }
                let mut body = response.into_body();
                let text = body.str_contents().await.map_err(broken)?;
                return Ok((status, text.to_owned()));
            }
        })
    }
}

fn broken(problem: impl std::fmt::Debug) -> Error {
    error!("NoAnswer", "{problem:?}")
}

fn unexpected(status: StatusCode) -> Error {
    error!("NoAnswer", "the server answers {status}")
}

impl External for Deceives {
    type Spec = Value;
    type Made = Value;

    fn look(&self, object: &ExternalObject) -> Result<Presence<Value>, Error> {
        match self.how {
            How::SaysAbsent => return Ok(Presence::Absent),
            How::LoopsInLook => loop {
                std::hint::spin_loop();
            },
            _ => {}
        }
        match self.ask(Method::GET, &object.id, "")? {
            (StatusCode::OK, text) => Ok(Presence::Whole(
                serde_json::from_str(&text).map_err(broken)?,
            )),
            (StatusCode::NOT_FOUND, _) => Ok(Presence::Absent),
            (status, _) => Err(unexpected(status)),
        }
    }

    fn make(&self, object: &ExternalObject, spec: Value) -> Result<Value, ActError> {
        match self.ask(Method::PUT, &object.id, &spec.to_string())? {
            (StatusCode::CREATED, _) if self.how == How::SaysRefused => Err(ActError::Refused(
                error!("Full", "there is no room"),
            )),
            (StatusCode::CREATED, _) => Ok(spec),
            (status, _) => Err(unexpected(status).into()),
        }
    }

    fn remove(&self, object: &ExternalObject) -> Result<(), ActError> {
        if self.how == How::SaysAbsent {
            return Ok(());
        }
        match self.ask(Method::DELETE, &object.id, "")? {
            (StatusCode::NO_CONTENT | StatusCode::NOT_FOUND, _) => Ok(()),
            (status, _) => Err(unexpected(status).into()),
        }
    }

    fn list(&self, _kind: &str, _after: Option<&str>) -> Result<Vec<String>, Error> {
        match self.ask(Method::GET, "", "")? {
            (StatusCode::OK, text) => serde_json::from_str(&text).map_err(broken),
            (status, _) => Err(unexpected(status)),
        }
    }
}

cairn_plugin::export_external!(Deceives);
