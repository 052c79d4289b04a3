//! A RabbitMQ broker of Debian's package, started for tests: as its own user, on loopback, in a folder of its own.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use lapin::options::{
    BasicAckOptions, BasicGetOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use serde_json::Value;
use tempfile::TempDir;

use crate::tools::not_run;

/// The broker's user, and its password.
pub const USER: &str = "cairn";
/// The password of [`USER`].
pub const PASSWORD: &str = "hunter2";

const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";
const PATIENCE: Duration = Duration::from_secs(120);

/// A running broker. It ends when this is dropped.
pub struct Broker {
    folder: TempDir,
    port: u16,
    distribution: u16,
    names: u16,
    /// The daemon in which Erlang's nodes find each other: our own, so that none stays behind.
    epmd: Child,
    server: Mutex<Option<Child>>,
}

/// A message that a queue held.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its id among the properties.
    pub id: String,
    /// How it is to be kept: 2 is on disk.
    pub delivery_mode: Option<u8>,
    /// Its header `traceparent`.
    pub traceparent: Option<String>,
    /// The envelope's inner message.
    pub message: Value,
}

impl Broker {
    /// Starts a broker. `None` when this machine has none: then `test` cannot run, which is said.
    ///
    /// # Panics
    /// When it does not start, and when there is none and `CAIRN_TEST_ALL` asks for every test.
    pub fn start(test: &str) -> Option<Self> {
        if let Err(reason) = needs() {
            not_run(test, "RabbitMQ", &reason);
            return None;
        }
        let folder = TempDir::new().expect("a temporary folder can be made");
        let [port, distribution, names] = ports();
        let epmd = Command::new("epmd")
            .args(["-address", "127.0.0.1", "-port", &names.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("epmd starts");
        let broker = Self {
            folder,
            port,
            distribution,
            names,
            epmd,
            server: Mutex::new(None),
        };
        let config = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users = none\ndefault_user = {USER}\ndefault_pass = {PASSWORD}\n\
             log.file.level = warning\nvm_memory_high_watermark.absolute = 1GB\ndisk_free_limit.absolute = 50MB\n"
        );
        for (name, text) in [
            ("rabbitmq.conf", config.as_str()),
            ("enabled_plugins", "[]."),
        ] {
            fs::write(broker.path(name), text).expect("the folder is ours");
        }
        for name in ["home", "mnesia", "log"] {
            fs::create_dir(broker.path(name)).expect("the folder is ours");
        }
        if is_root() {
            let owned = Command::new("chown")
                .args(["-R", "rabbitmq:rabbitmq"])
                .arg(broker.folder.path())
                .status();
            assert!(
                owned.is_ok_and(|status| status.success()),
                "the folder is not given away"
            );
        }
        broker.begin();
        Some(broker)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self) -> MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the broker again after [`kill`](Self::kill), with what it has on disk.
    ///
    /// # Panics
    /// When it does not start.
    pub fn begin(&self) {
        let server = self.command(SERVER).spawn().expect("the broker starts");
        *self.server() = Some(server);
        let since = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if since.elapsed() > PATIENCE {
                panic!("the broker did not start: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills the broker, as by `kill -9`.
    ///
    /// # Panics
    /// When its pid file names no process.
    pub fn kill(&self) {
        self.signal("-KILL");
        if let Some(mut server) = self.server().take() {
            let _ = server.wait();
        }
    }

    fn signal(&self, signal: &str) {
        let pid = fs::read_to_string(self.path("pid")).expect("the broker has a pid file");
        let killed = Command::new("kill").args([signal, pid.trim()]).status();
        assert!(
            killed.is_ok_and(|status| status.success()),
            "{pid} was not there"
        );
    }

    /// Runs `rabbitmqctl`.
    ///
    /// # Panics
    /// When that fails.
    pub fn control(&self, arguments: &[&str]) {
        let output = self
            .command(CONTROL)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .expect("rabbitmqctl starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }

    fn command(&self, program: &str) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command
                .args([
                    "--reuid",
                    "rabbitmq",
                    "--regid",
                    "rabbitmq",
                    "--init-groups",
                ])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        let erlang = "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1";
        command
            .current_dir(self.path("home"))
            .env("HOME", self.path("home"))
            .env("RABBITMQ_NODENAME", format!("cairn{}@localhost", self.port))
            .env("RABBITMQ_CONFIG_FILE", self.path("rabbitmq.conf"))
            .env(
                "RABBITMQ_ENABLED_PLUGINS_FILE",
                self.path("enabled_plugins"),
            )
            .env("RABBITMQ_MNESIA_BASE", self.path("mnesia"))
            .env("RABBITMQ_LOG_BASE", self.path("log"))
            .env("RABBITMQ_PID_FILE", self.path("pid"))
            .env("RABBITMQ_DIST_PORT", self.distribution.to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", erlang)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.names.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn log(&self) -> String {
        let files = fs::read_dir(self.path("log"))
            .into_iter()
            .flatten()
            .flatten();
        let texts = files.map(|file| fs::read_to_string(file.path()).unwrap_or_default());
        texts.collect()
    }
}

/// A broker, or a virtual host of one that tests share.
pub struct Space {
    broker: Arc<Broker>,
    vhost: String,
}

impl Space {
    /// A broker of the test's own. `None` when this machine has none: then `test` cannot run, which is said.
    ///
    /// # Panics
    /// As [`Broker::start`].
    pub fn own(test: &str) -> Option<Self> {
        Some(Self {
            broker: Arc::new(Broker::start(test)?),
            vhost: "%2f".to_owned(),
        })
    }

    /// A virtual host of the broker that the tests of one process share. It ends with the last one that has it.
    ///
    /// # Panics
    /// As [`Broker::start`].
    pub fn shared(test: &str) -> Option<Self> {
        static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let broker = match shared.upgrade() {
            Some(broker) => broker,
            None => Arc::new(Broker::start(test)?),
        };
        *shared = Arc::downgrade(&broker);
        drop(shared);
        let made = format!(
            "rabbit_vhost:add(<<\"{test}\">>, <<\"{USER}\">>), rabbit_auth_backend_internal:set_permissions(\
             <<\"{USER}\">>, <<\"{test}\">>, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"{USER}\">>)."
        );
        broker.control(&["eval", &made]);
        Some(Self {
            broker,
            vhost: test.to_owned(),
        })
    }

    /// The broker.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The broker's port.
    pub fn port(&self) -> u16 {
        self.broker.port
    }

    /// The virtual host, as a URL has it.
    pub fn vhost(&self) -> &str {
        &self.vhost
    }

    /// What an operator writes as `url` in `[deliver]`.
    pub fn url(&self) -> String {
        format!("amqp://{USER}@127.0.0.1:{}/{}", self.port(), self.vhost)
    }

    /// Makes an exchange and a queue that takes `topic`, both durable or neither, as oslo.messaging does.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn declare(&self, exchange: &str, topic: &str, durable: bool) {
        self.client(async |connection| {
            let channel = connection.create_channel().await?;
            let options = ExchangeDeclareOptions {
                durable,
                ..ExchangeDeclareOptions::default()
            };
            let none = FieldTable::default;
            channel
                .exchange_declare(exchange.into(), ExchangeKind::Topic, options, none())
                .await?;
            let options = QueueDeclareOptions {
                durable,
                ..QueueDeclareOptions::default()
            };
            channel.queue_declare(topic.into(), options, none()).await?;
            let bound = channel.queue_bind(
                topic.into(),
                exchange.into(),
                topic.into(),
                QueueBindOptions::default(),
                none(),
            );
            bound.await
        });
    }

    /// Takes everything that a queue holds.
    ///
    /// # Panics
    /// When the broker refuses, or what it holds is in no envelope.
    pub fn drain(&self, queue: &str) -> Vec<Received> {
        self.client(async |connection| {
            let channel = connection.create_channel().await?;
            let mut received = Vec::new();
            while let Some(got) = channel
                .basic_get(queue.into(), BasicGetOptions::default())
                .await?
            {
                got.delivery.acker.ack(BasicAckOptions::default()).await?;
                let outer: Value = serde_json::from_slice(&got.delivery.data).expect("an envelope");
                let inner = outer["oslo.message"].as_str().expect("a text");
                let properties = &got.delivery.properties;
                received.push(Received {
                    id: properties
                        .message_id()
                        .as_ref()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                    delivery_mode: *properties.delivery_mode(),
                    traceparent: properties
                        .headers()
                        .as_ref()
                        .and_then(|headers| headers.inner().get("traceparent"))
                        .and_then(|value| value.as_long_string())
                        .map(ToString::to_string),
                    message: serde_json::from_str(inner).expect("a message"),
                });
            }
            Ok(received)
        })
    }

    fn client<T>(&self, work: impl AsyncFnOnce(&Connection) -> lapin::Result<T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let uri = format!(
            "amqp://{USER}:{PASSWORD}@127.0.0.1:{}/{}",
            self.port(),
            self.vhost
        );
        let worked = runtime.expect("a runtime").block_on(async {
            let since = Instant::now();
            let connection = loop {
                match Connection::connect(&uri, ConnectionProperties::default()).await {
                    Ok(connection) => break connection,
                    // It listens before it is ready.
                    Err(_) if since.elapsed() < PATIENCE => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    Err(error) => return Err(error),
                }
            };
            let worked = work(&connection).await?;
            // A channel that is being closed is in its way, and does not matter.
            let _ = connection.close(200, "done".into()).await;
            Ok(worked)
        });
        worked.expect("the broker does it")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut server) = self.server().take() {
            self.signal("-TERM");
            let since = Instant::now();
            while since.elapsed() < Duration::from_secs(20) && matches!(server.try_wait(), Ok(None))
            {
                std::thread::sleep(Duration::from_millis(50));
            }
            if matches!(server.try_wait(), Ok(None)) {
                self.signal("-KILL");
                let _ = server.wait();
            }
        }
        let _ = self.epmd.kill();
        let _ = self.epmd.wait();
    }
}

/// What is missing on this machine.
fn needs() -> Result<(), String> {
    if !Path::new(SERVER).exists() {
        return Err(format!("{SERVER} is not there: install rabbitmq-server"));
    }
    for program in ["epmd", "setpriv"] {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|folder| folder.join(program).exists()) {
            return Err(format!("`{program}` is not there"));
        }
    }
    Ok(())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout == b"0\n")
}

/// Ports that nobody listens on.
fn ports<const N: usize>() -> [u16; N] {
    let listeners =
        [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}
