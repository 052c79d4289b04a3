//! A proxy before a server, which breaks connections at chosen messages and lets the network fall silent.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Where the connection of a session that writes batches is cut. The messages of a transaction are counted from its `BEGIN` or the answer
/// to it, which is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// After this many messages to the server have passed, and this many bytes of the next one.
    Sent {
        /// Whole messages.
        messages: usize,
        /// Bytes of the next one.
        bytes: usize,
    },
    /// After this many messages of the server have passed, and this many bytes of the next one.
    Answered {
        /// Whole messages.
        messages: usize,
        /// Bytes of the next one.
        bytes: usize,
    },
    /// After this many bytes of the answer to a `COMMIT` have passed.
    InCommit {
        /// From none to [`COMMIT_ANSWER`] - 1.
        bytes: usize,
    },
}

/// The length of the message that answers a `COMMIT`.
pub const COMMIT_ANSWER: usize = COMMITTED.len();

const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";
const BEGUN: &[u8] = b"C\0\0\0\x0aBEGIN\0";

/// The status of a server that is not in a transaction.
const IDLE: &[u8] = b"Z\0\0\0\x05I";

/// A proxy on a port of loopback. Its connections end with the process.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    network: Arc<Network>,
}

#[derive(Debug, Default)]
struct Network {
    state: Mutex<State>,
    passes: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_silent: bool,
    next: Option<Cut>,
}

impl Network {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) {
        let silent = self
            .passes
            .wait_while(self.state(), |state| state.is_silent);
        drop(silent.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Proxy {
    /// Starts a proxy before the server at a port of loopback. Its clients must not use TLS.
    ///
    /// # Errors
    /// There is no port for it.
    pub fn start(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let network = Arc::<Network>::default();
        let shared = Arc::clone(&network);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let network = Arc::clone(&shared);
                thread::spawn(move || {
                    network.wait();
                    // A client of a server that is away sees the end of its connection.
                    let _ = connect(client, server, &network);
                });
            }
        });
        Ok(Self { port, network })
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts the next connection that comes to this place, and forgets a cut that was not made.
    pub fn cut(&self, cut: Cut) {
        self.network.state().next = Some(cut);
    }

    /// Waits for the cut, and returns whether it was made in this time.
    pub fn was_cut(&self, within: Duration) -> bool {
        let until = std::time::Instant::now() + within;
        while self.network.state().next.is_some() {
            if std::time::Instant::now() >= until {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Lets nothing pass from now on. Connections stay open.
    pub fn swallow(&self) {
        self.network.state().is_silent = true;
    }

    /// Lets everything pass again, beginning with what was held back.
    pub fn pass(&self) {
        self.network.state().is_silent = false;
        self.network.passes.notify_all();
    }
}

fn connect(client: TcpStream, server: u16, network: &Arc<Network>) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let is_writer = Arc::new(Mutex::new(false));
    let to_server = Pump::new(Direction::Sent, network, &is_writer);
    let to_client = Pump::new(Direction::Answered, network, &is_writer);
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || to_server.run(from, to));
    to_client.run(server, client);
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Sent,
    Answered,
}

/// One direction of a connection.
struct Pump {
    direction: Direction,
    network: Arc<Network>,
    /// Whether the session writes batches, as its first message says.
    is_writer: Arc<Mutex<bool>>,
    has_started: bool,
    /// How many messages of the open transaction have passed.
    passed: Option<usize>,
}

impl Pump {
    fn new(direction: Direction, network: &Arc<Network>, is_writer: &Arc<Mutex<bool>>) -> Self {
        Self {
            direction,
            network: Arc::clone(network),
            is_writer: Arc::clone(is_writer),
            // The first message to a server has no kind.
            has_started: direction == Direction::Answered,
            passed: None,
        }
    }

    /// Passes messages on until one side closes, or the connection is cut.
    fn run(mut self, mut from: TcpStream, mut to: TcpStream) {
        let mut held = Vec::new();
        let mut page = [0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut page) {
            held.extend_from_slice(&page[..read]);
            let (passes, is_cut) = self.passes(&held);
            self.network.wait();
            let written = to.write_all(&held[..passes]);
            held.drain(..passes);
            if is_cut || written.is_err() {
                break;
            }
        }
        // The other direction ends with this one.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    /// Returns how many bytes pass now, all of them whole messages, unless the connection is cut after them.
    fn passes(&mut self, held: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(message) = self.message(&held[at..]) {
            if let Some(bytes) = self.cut(message) {
                return (at + bytes, true);
            }
            at += message.len();
        }
        (at, false)
    }

    /// Returns the first message, if all of it is here.
    fn message<'h>(&self, held: &'h [u8]) -> Option<&'h [u8]> {
        let kind = usize::from(self.has_started);
        let length: [u8; 4] = held.get(kind..kind + 4)?.try_into().ok()?;
        held.get(..kind + u32::from_be_bytes(length) as usize)
    }

    /// Counts a message. Returns after how many bytes of it the connection is cut, if it is.
    fn cut(&mut self, message: &[u8]) -> Option<usize> {
        if !std::mem::replace(&mut self.has_started, true) {
            let is_writer = message.windows(8).any(|bytes| bytes == b" writer\0");
            *self
                .is_writer
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = is_writer;
            return None;
        }
        let begins = match self.direction {
            Direction::Sent => message.starts_with(b"Q") && message.ends_with(b"BEGIN\0"),
            Direction::Answered => message == BEGUN,
        };
        if begins {
            self.passed = Some(0);
        }
        let passed = self.passed?;
        self.passed = Some(passed + 1);
        let ends = match self.direction {
            Direction::Sent => message.ends_with(b"COMMIT\0") || message.ends_with(b"ROLLBACK\0"),
            Direction::Answered => message == IDLE,
        };
        if ends {
            self.passed = None;
        }
        if !*self
            .is_writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
        {
            return None;
        }
        let mut state = self.network.state();
        let cut = self.place(state.next?, message, passed)?;
        state.next = None;
        Some(cut)
    }

    /// Returns where a place is in a message, before which so many of its transaction have passed.
    fn place(&self, place: Cut, message: &[u8], passed: usize) -> Option<usize> {
        let in_message = |messages: usize, bytes: usize| match bytes {
            0 => (passed + 1 == messages).then_some(message.len()),
            _ => (passed == messages).then_some(bytes.min(message.len() - 1)),
        };
        match (place, self.direction) {
            (Cut::Sent { messages, bytes }, Direction::Sent)
            | (Cut::Answered { messages, bytes }, Direction::Answered) => {
                in_message(messages, bytes)
            }
            (Cut::InCommit { bytes }, Direction::Answered) => {
                (message == COMMITTED).then_some(bytes.min(message.len() - 1))
            }
            _ => None,
        }
    }
}
