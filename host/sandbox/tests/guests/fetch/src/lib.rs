//! Sends the requests that a test asks for. The first word of `what` says which, and the others are its arguments.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{ErrorCode, Fields, Method, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;
use wstd::http::{Body, Client, Request};
use wstd::runtime::block_on;

wit_bindgen::generate!({
    inline: "
        package cairn:fetch;

        world fetch {
            export run: func(what: string, url: string) -> result<string, string>;
        }
    ",
});

struct Fetch;

export!(Fetch);

impl Guest for Fetch {
    fn run(what: String, url: String) -> Result<String, String> {
        let words: Vec<&str> = what.split(' ').collect();
        match words[..] {
            ["get"] => send("GET", &url, &[], ""),
            ["put", body] => send("PUT", &url, &[], body),
            ["put-bytes", count] => send("PUT", &url, &[], &"x".repeat(number(count))),
            ["method", method] => send(method, &url, &[], ""),
            ["set", name, value] => send("GET", &url, &[(name, value)], ""),
            ["header", name] => header(&url, name),
            ["many", count] => {
                for _ in 0..number(count) {
                    send("GET", &url, &[], "")?;
                }
                Ok(count.to_owned())
            }
            ["log", count] => {
                let long = "x".repeat(1000);
                (0..number(count)).for_each(|_| println!("{long}"));
                send("GET", &url, &[], "")
            }
            // Waits by functions that block, instead of polls.
            ["read"] => read(&url),
            ["write"] => write(&url),
            // Does not wait for the response.
            ["abandon"] => {
                let response = handle(request(&url), None).map_err(shown)?;
                std::mem::forget(response);
                Ok("sent".to_owned())
            }
            ["spin"] => {
                let response = handle(request(&url), None).map_err(shown)?;
                while response.get().is_none() {
                    std::hint::spin_loop();
                }
                Err("it was not cut off".to_owned())
            }
            _ => panic!("unknown: {what}"),
        }
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

fn shown(error: ErrorCode) -> String {
    format!("{error:?}")
}

/// Returns the code of `wasi:http` in an error of wstd.
fn code(error: wstd::http::Error) -> String {
    match error.downcast::<ErrorCode>() {
        Ok(code) => shown(code),
        Err(other) => format!("{other:?}"),
    }
}

/// Sends a request, and returns status and body.
fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Result<String, String> {
    block_on(async {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).map_err(|error| error.to_string())?;
        let response = Client::new().send(request).await.map_err(code)?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let body = body.str_contents().await.map_err(code)?;
        Ok(format!("{status} {body}"))
    })
}

/// Returns a header of a response.
fn header(url: &str, name: &str) -> Result<String, String> {
    block_on(async {
        let request = Request::get(url).body(Body::empty()).map_err(|error| error.to_string())?;
        let response = Client::new().send(request).await.map_err(code)?;
        let value = response.headers().get(name);
        Ok(value.map_or("none", |value| value.to_str().expect("a text")).to_owned())
    })
}

/// Makes a request of a URL `http://AUTHORITY/PATH`.
fn request(url: &str) -> OutgoingRequest {
    let rest = url.strip_prefix("http://").expect("a URL");
    let (authority, path) = rest.split_once('/').expect("a path");
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some(authority)).unwrap();
    request.set_path_with_query(Some(&format!("/{path}"))).unwrap();
    request
}

fn read(url: &str) -> Result<String, String> {
    let response = handle(request(url), None).map_err(shown)?;
    response.subscribe().block();
    let response = response.get().expect("it is ready").expect("it was not taken").map_err(shown)?;
    let body = response.consume().expect("it was not taken");
    let stream = body.stream().expect("it was not taken");
    let mut bytes = 0;
    loop {
        match stream.blocking_read(1024) {
            Ok(part) => bytes += part.len(),
            Err(StreamError::Closed) => return Ok(bytes.to_string()),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
}

fn write(url: &str) -> Result<String, String> {
    let request = request(url);
    request.set_method(&Method::Put).unwrap();
    let body = request.body().expect("it was not taken");
    let _response = handle(request, None).map_err(shown)?;
    let stream = body.write().expect("it was not taken");
    loop {
        // Until the server's and the host's buffers are full.
        stream.blocking_write_and_flush(&[b'x'; 4096]).map_err(|error| format!("{error:?}"))?;
    }
}
