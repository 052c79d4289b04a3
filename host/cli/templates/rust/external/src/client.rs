//! Sends requests to the server. On the author's machine, where tests run, it is a fake that keeps everything in memory.

use cairn_plugin::Error;

/// Returns what is there; `None` if there is nothing.
pub fn get(url: &str) -> Result<Option<String>, Error> {
    exchange("GET", url, "")
}

/// Puts a text there, in place of what is there.
pub fn put(url: &str, text: &str) -> Result<(), Error> {
    exchange("PUT", url, text).map(drop)
}

/// Takes away what is there, if anything is.
pub fn delete(url: &str) -> Result<(), Error> {
    exchange("DELETE", url, "").map(drop)
}

#[cfg(target_arch = "wasm32")]
fn exchange(method: &str, url: &str, text: &str) -> Result<Option<String>, Error> {
    use cairn_plugin::error;
    use wstd::http::{Body, Client, Request};

    let sent = async {
        let request = Request::builder().method(method).uri(url);
        let request = request.body(Body::from(text.to_owned()))?;
        let response = Client::new().send(request).await?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        Ok::<_, wstd::http::Error>((status, body.str_contents().await?.to_owned()))
    };
    match wstd::runtime::block_on(sent) {
        Ok((200..=299, text)) => Ok(Some(text)),
        Ok((404, _)) => Ok(None),
        Ok((status, _)) => Err(error!("ServerError", "the server answered {method} {url} with {status}")),
        // The log of the host has the reason.
        Err(problem) => Err(error!("ServerSilent", "the server did not answer {method} {url}: {problem:?}")),
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn exchange(method: &str, url: &str, text: &str) -> Result<Option<String>, Error> {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local! {
        static TEXTS: RefCell<BTreeMap<String, String>> = RefCell::default();
    }
    TEXTS.with_borrow_mut(|texts| {
        Ok(match method {
            "PUT" => texts.insert(url.to_owned(), text.to_owned()).or(Some(String::new())),
            "DELETE" => texts.remove(url),
            _ if url.ends_with("/cards") => {
                let names = texts.keys().filter_map(|place| place.strip_prefix(url)?.strip_prefix('/'));
                Some(serde_json::json!(names.collect::<Vec<_>>()).to_string())
            }
            _ => texts.get(url).cloned(),
        })
    })
}
