//! A server on loopback that takes every request, and answers with one status.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

/// A request: its line and headers, and its body.
#[derive(Clone, Debug)]
pub struct Received {
    /// The line and the headers, a line each.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// Returns the value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(found.1.trim())
    }
}

/// The server. It ends with the process.
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    status: Arc<AtomicU16>,
    requests: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// Starts a server that answers with a status.
    pub fn answering(status: u16) -> Self {
        Self::saying(status, "")
    }

    /// Starts a server that answers with a status and a body.
    pub fn saying(status: u16, body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let receiver = Self {
            address: listener.local_addr().expect("an address"),
            status: Arc::new(AtomicU16::new(status)),
            requests: Arc::default(),
        };
        let (status, requests) = (Arc::clone(&receiver.status), Arc::clone(&receiver.requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (status, requests) = (Arc::clone(&status), Arc::clone(&requests));
                std::thread::spawn(move || serve(&stream, &status, body, &requests));
            }
        });
        receiver
    }

    /// Answers with this status from now on.
    pub fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Vec<Received> {
        let requests = self.requests.lock().expect("no test panics with it");
        requests.clone()
    }
}

fn serve(stream: &TcpStream, status: &AtomicU16, body: &str, requests: &Mutex<Vec<Received>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
        let mut request = Received {
            head,
            body: Vec::new(),
        };
        let length = request.header("content-length").map(str::parse::<usize>);
        let length = length.and_then(Result::ok).unwrap_or(0);
        if request.head.trim().is_empty() {
            return;
        }
        request.body.resize(length, 0);
        if reader.read_exact(&mut request.body).is_err() {
            return;
        }
        let mut requests = requests.lock().expect("no test panics with it");
        requests.push(request);
        drop(requests);
        let status = status.load(Ordering::SeqCst);
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} Status\r\nContent-Length: {length}\r\n\r\n{body}");
        let mut stream = stream;
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
