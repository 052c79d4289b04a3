//! A server on loopback that keeps objects, and breaks down as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How the server breaks down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It answers after a second.
    Slow,
    /// It does what it was asked for, and closes the connection.
    Cuts,
    /// It does what it was asked for, and answers what is not HTTP.
    Garbage,
    /// It does nothing, and answers 503.
    Unavailable,
    /// It does nothing, and sends the client to the metadata address of clouds.
    Redirects,
}

/// The server; it ends with the process.
pub struct Backend {
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, String>,
    fault: Option<(Fault, usize)>,
    requests: usize,
}

impl Backend {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::<Mutex<State>>::default();
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&served);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Self {
            url: format!("http://{address}/objects"),
            state,
        }
    }

    /// Breaks down for so many of the next requests.
    pub fn breaks(&self, fault: Fault, times: usize) {
        self.state.lock().unwrap().fault = Some((fault, times));
    }

    pub fn is_well(&self) {
        self.state.lock().unwrap().fault = None;
    }

    /// Returns the ids of its objects.
    pub fn objects(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.objects.keys().cloned().collect()
    }

    pub fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }
}

/// Answers one request. Errors of the connection are the client's.
fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(&stream);
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let id = path.trim_start_matches("/objects/").to_owned();
    let Ok(body) = body(&mut reader, &head.to_lowercase()) else {
        return;
    };
    let mut state = state.lock().unwrap();
    state.requests += 1;
    let fault = match &mut state.fault {
        Some((fault, times)) if *times > 0 => {
            *times -= 1;
            Some(*fault)
        }
        _ => None,
    };
    if matches!(fault, Some(Fault::Unavailable | Fault::Redirects)) {
        drop(state);
        let answer = match fault {
            Some(Fault::Redirects) => {
                "302 Found\r\nlocation: http://169.254.169.254/latest/meta-data/"
            }
            _ => "503 Service Unavailable",
        };
        return send(&stream, &format!("HTTP/1.1 {answer}"), "");
    }
    let (status, text) = match method {
        "PUT" => {
            state
                .objects
                .insert(id, String::from_utf8_lossy(&body).into_owned());
            ("201 Created", String::new())
        }
        "DELETE" => match state.objects.remove(&id) {
            Some(_) => ("204 No Content", String::new()),
            None => ("404 Not Found", String::new()),
        },
        _ if id.is_empty() => {
            let ids: Vec<_> = state.objects.keys().collect();
            ("200 OK", serde_json::to_string(&ids).unwrap())
        }
        _ => match state.objects.get(&id) {
            Some(object) => ("200 OK", object.clone()),
            None => ("404 Not Found", String::new()),
        },
    };
    drop(state);
    match fault {
        Some(Fault::Cuts) => {}
        Some(Fault::Garbage) => send(&stream, "\u{1b}[2J no HTTP", &text),
        Some(Fault::Slow) => {
            std::thread::sleep(Duration::from_secs(1));
            send(&stream, &format!("HTTP/1.1 {status}"), &text);
        }
        _ => send(&stream, &format!("HTTP/1.1 {status}"), &text),
    }
}

/// Reads the body of a request, whole or in chunks.
fn body(reader: &mut impl BufRead, head: &str) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if !head.contains("transfer-encoding: chunked") {
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        body.resize(length.unwrap_or(0), 0);
        reader.read_exact(&mut body)?;
        return Ok(body);
    }
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
        let mut chunk = vec![0; size + "\r\n".len()];
        reader.read_exact(&mut chunk)?;
        if size == 0 {
            return Ok(body);
        }
        body.extend(&chunk[..size]);
    }
}

fn send(mut stream: &TcpStream, head: &str, body: &str) {
    let length = match head.contains(" 204 ") {
        true => String::new(),
        false => format!("content-length: {}\r\n", body.len()),
    };
    // The client may be gone.
    let _ = write!(stream, "{head}\r\n{length}connection: close\r\n\r\n{body}");
}
