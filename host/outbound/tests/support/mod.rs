//! Servers on loopback that answer with given bytes, and a network of names and addresses that tests decide.

#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::VecDeque;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cairn_manifest::manifest::Grant;
use cairn_outbound::{
    Authorities, Client, Connecting, Connector, HttpGrant, OutboundError, RequestLimits,
    Resolution, Resolver, SecretHeader, SystemResolver,
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};

/// A server that hands each connection to a function, in a thread of its own.
pub struct Server {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (count, serve) = (Arc::clone(&accepted), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(stream.unwrap()));
            }
        });
        Self { address, accepted }
    }

    /// Answers each request with these bytes, and then closes the connection.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |mut stream| {
            let _ = head(&mut stream);
            let _ = stream.write_all(&answer);
        })
    }

    /// The number of connections that were made to the server.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Reads a request's head.
pub fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            Ok(_) | Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

pub fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Names whose look-ups give these answers, one after the other; the last one is repeated.
#[derive(Default)]
pub struct Names {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Names {
    pub fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|one| one.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolver for Names {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolution<'a> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.len() {
            0 => Vec::new(),
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap(),
        };
        Box::pin(async move { Ok(answer) })
    }
}

/// Connects to a server of the test, whatever the address, and records the address.
pub struct Detour {
    to: SocketAddr,
    connected: Mutex<Vec<SocketAddr>>,
}

impl Detour {
    pub fn to(server: &Server) -> Arc<Self> {
        Arc::new(Self {
            to: server.address,
            connected: Mutex::default(),
        })
    }

    pub fn connected(&self) -> Vec<String> {
        let connected = self.connected.lock().unwrap();
        connected.iter().map(ToString::to_string).collect()
    }
}

impl Connector for Detour {
    fn connect(&self, address: SocketAddr) -> Connecting {
        self.connected.lock().unwrap().push(address);
        Box::pin(tokio::net::TcpStream::connect(self.to))
    }
}

pub const LIMITS: RequestLimits = RequestLimits::new(1 << 20, 1 << 20, Duration::from_secs(10));

pub fn client() -> Client {
    Client::new(Arc::new(SystemResolver), Authorities::default())
}

/// A grant of these patterns.
pub fn grant(allow: &[&str]) -> HttpGrant {
    let allow = allow.iter().map(|&pattern| pattern.to_owned()).collect();
    HttpGrant::of(&Grant::only("allow", allow)).expect("patterns")
}

pub fn run<T>(part: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let result = runtime.block_on(part);
    // A look-up of the system must not hold the test up.
    runtime.shutdown_background();
    result
}

/// Sends a request that a grant decides on, and reads the whole response.
pub fn send<B>(
    client: &Client,
    grant: &HttpGrant,
    request: Request<B>,
    secret: Option<SecretHeader>,
    limits: RequestLimits,
) -> Result<Response<Bytes>, OutboundError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    run(async {
        let permit = grant.permit(request.method(), request.uri())?;
        let exchange = client.send(permit, request, secret, limits).await?;
        let connection = tokio::spawn(exchange.connection);
        let (parts, body) = exchange.response.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        // Also one that had ended before its response was read is polled without a panic.
        assert!(!connection.await.is_err_and(|end| end.is_panic()));
        Ok(Response::from_parts(parts, body))
    })
}

pub fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).unwrap()
}

/// Gets a URL of a server on loopback, which the grant names.
pub fn fetch(server: &Server, limits: RequestLimits) -> Result<Response<Bytes>, OutboundError> {
    let grant = grant(&[&server.url("/*")]);
    send(&client(), &grant, get(&server.url("/x")), None, limits)
}
