//! A server of cards to try the plugin with. It keeps them in memory.
//!
//! `PUT /cards/NAME` keeps the request's body, `GET /cards/NAME` returns it, `DELETE /cards/NAME` drops it, and `GET /cards` returns the names
//! as a JSON array.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// The longest request.
const LONGEST: u64 = 1 << 20;

type Cards = Mutex<BTreeMap<String, String>>;

/// Serves on the address that the argument names.
fn main() -> io::Result<()> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8765"))?;
    println!("http://{}", listener.local_addr()?);
    serve(&listener)
}

pub fn serve(listener: &TcpListener) -> io::Result<()> {
    let cards = Cards::default();
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let (stream, cards) = (stream?, &cards);
            scope.spawn(move || answer(stream, cards));
        }
        Ok(())
    })
}

/// Answers the one request of a connection.
fn answer(mut stream: TcpStream, cards: &Cards) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?.take(LONGEST));
    let (first, body) = request(&mut reader)?;
    let mut words = first.split_whitespace();
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let (status, text) = done(method, path, body, cards);
    let length = text.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    // At once: a second packet would wait for the receiver.
    stream.write_all((head + &text).as_bytes())
}

/// Reads a request: its first line and its body.
fn request(reader: &mut impl BufRead) -> io::Result<(String, String)> {
    let line = |reader: &mut dyn BufRead| {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        Ok::<_, io::Error>(line.trim_end().to_ascii_lowercase())
    };
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let header = line(reader)?;
        match header.split_once(':') {
            None => break,
            Some(("content-length", value)) => length = value.trim().parse().unwrap_or(0),
            Some(("transfer-encoding", value)) => is_chunked = value.trim() == "chunked",
            Some(_) => {}
        }
    }
    let mut body = String::new();
    if !is_chunked {
        reader.take(length).read_to_string(&mut body)?;
        return Ok((first, body));
    }
    loop {
        let length = u64::from_str_radix(&line(reader)?, 16).unwrap_or(0);
        reader.by_ref().take(length).read_to_string(&mut body)?;
        line(reader)?;
        if length == 0 {
            return Ok((first, body));
        }
    }
}

/// Returns the status and the body of the answer.
fn done(method: &str, path: &str, body: String, cards: &Cards) -> (&'static str, String) {
    let mut cards = cards.lock().unwrap_or_else(PoisonError::into_inner);
    let found = match (method, path.strip_prefix("/cards/")) {
        ("GET", None) if path == "/cards" => {
            let names: Vec<String> = cards.keys().map(|name| format!("{name:?}")).collect();
            Some(format!("[{}]", names.join(",")))
        }
        ("GET", Some(name)) => cards.get(name).cloned(),
        ("PUT", Some(name)) => {
            cards.insert(name.to_owned(), body);
            Some(String::new())
        }
        ("DELETE", Some(name)) => cards.remove(name).map(|_| String::new()),
        _ => None,
    };
    match found {
        Some(text) => ("200 OK", text),
        None => ("404 Not Found", String::new()),
    }
}
