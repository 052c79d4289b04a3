//! PowerDNS for tests: one process on loopback with a zone of its own, and a way to it that may fail.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::tools::not_run;

/// The schema that Debian's package pdns-backend-sqlite3 has.
const SCHEMA: &str = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";

const SERVER: &str = "/usr/sbin/pdns_server";

/// Returns whether this machine has PowerDNS; otherwise prints to stderr that `test` cannot run.
///
/// # Panics
/// If it is missing and `CAIRN_TEST_ALL` is set.
pub fn is_there(test: &str) -> bool {
    let missing = [SERVER, SCHEMA, "/usr/bin/pdnsutil", "/usr/bin/sqlite3"];
    let Some(missing) = missing.into_iter().find(|path| !Path::new(path).exists()) else {
        return true;
    };
    not_run(
        test,
        "PowerDNS (pdns-server, pdns-backend-sqlite3 and sqlite3)",
        &format!("{missing} is missing"),
    );
    false
}

/// Returns a port that nothing listens on.
pub fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A server in a folder that has `server/pdns.conf` and `server/zones.db`. It is ended when this is dropped.
pub struct PowerDns {
    folder: PathBuf,
    api: SocketAddr,
    process: Child,
}

impl PowerDns {
    /// Starts the server, and waits until its API at this port answers.
    pub fn start(folder: &Path, port: u16) -> Self {
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("pdns.log"))
            .expect("the folder is ours");
        let process = Command::new(SERVER)
            .arg("--config-dir=server")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("PowerDNS starts");
        let mut server = Self {
            folder: folder.to_owned(),
            api: SocketAddr::from(([127, 0, 0, 1], port)),
            process,
        };
        let since = Instant::now();
        while TcpStream::connect(server.api).is_err() {
            let log = || fs::read_to_string(folder.join("pdns.log")).unwrap_or_default();
            let has_ended = server.process.try_wait().expect("it is ours").is_some();
            assert!(!has_ended, "PowerDNS ended: {}", log());
            let is_late = since.elapsed() > Duration::from_secs(30);
            assert!(!is_late, "PowerDNS does not answer: {}", log());
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Returns the names and ids of the records that Cairn made, sorted.
    pub fn records(&self) -> Vec<(String, String)> {
        let zones = self.folder.join("server/zones.db");
        let database = Connection::open_with_flags(zones, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let database = database.expect("the zones open");
        let wait = database.busy_timeout(Duration::from_secs(20));
        wait.expect("a timeout is set");
        let mut records = database
            .prepare(
                "SELECT records.name, coalesce(comments.comment, '') FROM records \
                 LEFT JOIN comments ON comments.name = records.name AND comments.type = records.type \
                 WHERE records.type IN ('A', 'AAAA') ORDER BY 1, 2",
            )
            .expect("the schema is PowerDNS's");
        let rows = records
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("rows");
        rows.collect::<Result<_, _>>().expect("texts")
    }

    /// Ends the server, as a crash does.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Fails if it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for PowerDns {
    fn drop(&mut self) {
        self.end();
    }
}

/// A way to a server, which passes requests on, or answers each with 503.
pub struct Way {
    /// Where it listens.
    pub address: SocketAddr,
    is_closed: Arc<AtomicBool>,
}

impl Way {
    /// Opens a way to the server at this port.
    pub fn open(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let way = Self {
            address: listener.local_addr().expect("an address"),
            is_closed: Arc::default(),
        };
        let is_closed = Arc::clone(&way.is_closed);
        // Ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let is_closed = is_closed.load(Ordering::SeqCst);
                thread::spawn(move || match is_closed {
                    true => refuse(client),
                    false => pass(client, port),
                });
            }
        });
        way
    }

    /// Answers each request with 503 from now on, or passes requests on.
    pub fn close(&self, is_closed: bool) {
        self.is_closed.store(is_closed, Ordering::SeqCst);
    }
}

/// Answers with 503. The client may have ended: then nothing is to be done.
fn refuse(mut client: TcpStream) {
    let mut head = [0; 4096];
    if client.read(&mut head).is_ok() {
        let _ = client.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        let _ = client.shutdown(Shutdown::Write);
        // Closed at once, it would be reset, and the answer be lost.
        let _ = io::copy(&mut client.take(1 << 20), &mut io::sink());
    }
}

/// Passes a request on, and its answer back, until both have ended.
fn pass(client: TcpStream, port: u16) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
        return;
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut &client, &mut &server);
            let _ = server.shutdown(Shutdown::Write);
        });
        let _ = io::copy(&mut &server, &mut &client);
        let _ = client.shutdown(Shutdown::Both);
    });
}
