//! A network between a host and the server that loses what is sent in one direction. Both are in network namespaces of their own, joined by
//! a cable, which needs root and iproute2.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use acceptance::load::Load;
use cairn_test_postgres::{Database, Server, Setup};

use super::hosts::{LEASE, SOON, Two, end_fenced};
use super::{host, is_whole};

/// One end of the cable: its namespace, and its addresses.
struct Place {
    network: String,
    address: &'static str,
    hardware: &'static str,
}

/// A cable between two namespaces.
struct Cable {
    host: Place,
    server: Place,
}

/// The direction in which everything is lost.
#[derive(Clone, Copy)]
enum Lost {
    ToServer,
    ToHost,
}

/// The name of each end of the cable in its namespace.
const END: &str = "cable";

/// A hardware address that no end has.
const NOBODY: &str = "02:00:00:00:00:99";

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("ip: {error}; install iproute2"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "ip {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

impl Cable {
    /// Lays a cable; `None` without root. Root that cannot is a failure with `CAIRN_TEST_ALL=1`.
    fn new() -> Option<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        if !cairn_test_postgres::is_root() {
            eprintln!("not run: network namespaces need root");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let network = |end: &str| format!("cairn-{}-{number}-{end}", std::process::id());
        let cable = Self {
            host: Place {
                network: network("host"),
                address: "10.231.0.1",
                hardware: "02:00:00:00:00:01",
            },
            server: Place {
                network: network("server"),
                address: "10.231.0.2",
                hardware: "02:00:00:00:00:02",
            },
        };
        match cable.lay() {
            Ok(()) => Some(cable),
            Err(problem) => {
                let must = std::env::var_os("CAIRN_TEST_ALL").is_some_and(|value| value == "1");
                assert!(!must, "{problem}");
                eprintln!("not run: {problem}");
                None
            }
        }
    }

    fn lay(&self) -> Result<(), String> {
        let (host, server) = (&self.host, &self.server);
        for place in [host, server] {
            ip(&format!("netns add {}", place.network))?;
        }
        ip(&format!(
            "-n {} link add {END} address {} type veth peer name {END} address {} netns {}",
            host.network, host.hardware, server.hardware, server.network
        ))?;
        for place in [host, server] {
            let network = &place.network;
            ip(&format!(
                "-n {network} address add {}/24 dev {END}",
                place.address
            ))?;
            ip(&format!("-n {network} link set {END} up"))?;
            ip(&format!("-n {network} link set lo up"))?;
        }
        self.heal()
    }

    /// Sends what one end sends to the other to this hardware address.
    fn direct(&self, lost: Lost, hardware: &str) -> Result<(), String> {
        let (from, to) = match lost {
            Lost::ToServer => (&self.host, &self.server),
            Lost::ToHost => (&self.server, &self.host),
        };
        ip(&format!(
            "-n {} neighbour replace {} lladdr {hardware} dev {END} nud permanent",
            from.network, to.address
        ))
    }

    fn cut(&self, lost: Lost) {
        self.direct(lost, NOBODY).expect("the network is ours");
    }

    fn heal(&self) -> Result<(), String> {
        self.direct(Lost::ToServer, self.server.hardware)?;
        self.direct(Lost::ToHost, self.host.hardware)
    }

    /// Starts a server at its end.
    fn server(&self) -> Option<Server> {
        cairn_test_postgres::own(&Setup {
            fsync: true,
            settings: vec![format!("listen_addresses = '{}'", self.server.address)],
            hba: vec!["host all all 10.231.0.0/24 trust".to_owned()],
            network: Some(self.server.network.clone()),
            ..Setup::default()
        })
    }

    /// Starts two hosts, one of them at its end.
    fn hosts(&self, server: &Server, database: &Database<'_>) -> Two {
        let (address, port, name) = (self.server.address, server.port(), database.name());
        let url = format!("postgres://cairn@{address}:{port}/{name}?sslmode=disable");
        let far = host(&url, LEASE).in_network(&self.host.network);
        Two::start(database, Load::start(far, "project-0", "resume"))
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for place in [&self.host, &self.server] {
            if let Err(problem) = ip(&format!("netns delete {}", place.network)) {
                eprintln!("{problem}");
            }
        }
    }
}

#[test]
fn a_moment_in_which_a_direction_is_lost_loses_no_flow() {
    let Some(cable) = Cable::new() else { return };
    let Some(server) = cable.server() else { return };
    let database = server.database();
    let two = cable.hosts(&server, &database);
    let Two { doomed, survivor } = two;
    let loads = [doomed, survivor];
    for lost in [Lost::ToServer, Lost::ToHost] {
        cable.cut(lost);
        thread::sleep(Duration::from_secs(1));
        cable.heal().expect("the network is ours");
        for load in &loads {
            load.goes_on(load.reported(), 30);
        }
    }
    is_whole(&database.url(), loads);
}

/// A direction is lost for longer than a lease: the host that is cut off is fenced.
fn is_lost_for_long(lost: Lost) {
    let Some(cable) = Cable::new() else { return };
    let Some(server) = cable.server() else { return };
    let database = server.database();
    let mut two = cable.hosts(&server, &database);
    cable.cut(lost);
    two.is_taken_over(&database);
    cable.heal().expect("the network is ours");
    two.doomed.stop();
    two.doomed.has_ended(SOON);
    two.survivor.finish();
    end_fenced(&database, two.doomed);
}

#[test]
fn a_host_of_which_nothing_comes_to_the_server_for_a_lease_is_fenced() {
    is_lost_for_long(Lost::ToServer);
}

#[test]
fn a_host_to_which_nothing_comes_from_the_server_for_a_lease_is_fenced() {
    is_lost_for_long(Lost::ToHost);
}
