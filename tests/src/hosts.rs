//! Several hosts on one database of PostgreSQL: their folders, and what the database says of them.

use std::time::Duration;

use cairn_test_postgres::Database;

use crate::program::Program;
use crate::slow::eventually;

/// The lease of a host in a folder that [`host`] creates.
pub const LEASE: Duration = Duration::from_secs(4);

/// Creates the folder of a host on the database at a URL, with more settings. `program`: see [`Program::new`].
pub fn host(program: &'static str, url: &str, more: &str) -> Program {
    let program = Program::new(program);
    let lease = LEASE.as_secs();
    let own =
        format!("project = \"acme\"\nlease = \"{lease}s\"\n[hosts]\nlocks = \"locks\"\n{more}");
    program.write("cairn.toml", cairn_test_postgres::settings(url, &own));
    program
}

/// Creates two hosts on a database of their own, in which project `acme` has no limits; `None` without PostgreSQL. Its partition is in the
/// upper half, which the host that came first keeps when the second takes its share.
pub fn two(program: &'static str) -> Option<(Database<'static>, [Program; 2])> {
    let database = cairn_test_postgres::shared()?.database();
    let hosts = [(); 2].map(|()| host(program, &database.url(), ""));
    let limits = ["quota", "set", "volumes=-1", "gigabytes=-1"];
    hosts[0].run(&limits).exits(0);
    Some((database, hosts))
}

/// Gives all partitions to a host that lives and does nothing.
pub fn far(database: &Database<'_>) {
    database.sql(
        "INSERT INTO cairn.hosts (id, name, pid, started_at, expires_at)
             VALUES (decode(repeat('01', 16), 'hex'), 'far', 7, 0, clock_timestamp() + interval '1 hour');
         UPDATE cairn.partitions SET host = (SELECT id FROM cairn.hosts)",
    );
}

/// Waits until a process owns this many partitions.
///
/// # Panics
/// If it does not in time.
#[track_caller]
pub fn owns(database: &Database<'_>, pid: u32, parts: usize) {
    let sql = format!(
        "SELECT count(*) FROM cairn.partitions JOIN cairn.hosts ON hosts.id = host WHERE pid = {pid}"
    );
    eventually(&format!("process {pid} owns {parts} partitions"), || {
        database.sql(&sql) == parts.to_string()
    });
}

/// Waits until hosts own these numbers of partitions, the oldest host first.
///
/// # Panics
/// If they do not in time.
#[track_caller]
pub fn own(database: &Database<'_>, parts: &[usize]) {
    let sql = "SELECT string_agg(owned::text, ' ' ORDER BY started_at, id) FROM
         (SELECT hosts.id, started_at, (SELECT count(*) FROM cairn.partitions WHERE host = hosts.id) AS owned FROM cairn.hosts) AS hosts";
    let parts: Vec<String> = parts.iter().map(usize::to_string).collect();
    let parts = parts.join(" ");
    eventually(&format!("hosts own {parts}"), || database.sql(sql) == parts);
}

/// Returns the process that works on the only flow that any works on.
pub fn works(database: &Database<'_>) -> String {
    database.sql("SELECT pid FROM cairn.flows JOIN cairn.hosts ON hosts.id = host")
}

/// Tells a host to give back what it owns.
pub fn drain(database: &Database<'_>, which: Which) {
    let condition = match which {
        Which::First => {
            "id = (SELECT id FROM cairn.hosts ORDER BY started_at, id LIMIT 1)".to_owned()
        }
        Which::Last => {
            "id = (SELECT id FROM cairn.hosts ORDER BY started_at DESC, id DESC LIMIT 1)".to_owned()
        }
        Which::Process(pid) => format!("pid = {pid}"),
    };
    database.sql(&format!(
        "UPDATE cairn.hosts SET draining = TRUE WHERE {condition}"
    ));
}

/// One of several hosts.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    /// The one that started first.
    First,
    /// The one that started last.
    Last,
    /// The one of this process.
    Process(u32),
}

/// Returns how many forwarded requests wait.
pub fn inbox(database: &Database<'_>) -> String {
    database.sql("SELECT count(*) FROM cairn.inbox")
}

/// Asserts that usages equal bookings, and that no request is left.
///
/// # Panics
/// If that is not so.
#[track_caller]
pub fn is_sound(database: &Database<'_>, program: &Program) {
    program.run(&["quota", "check", "--admin"]).exits(0);
    assert_eq!(inbox(database), "0");
}
