use std::fs;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::find::{self, Missing};

/// The superuser of a server.
const SUPERUSER: &str = "cairn";

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for the end of its standard input, ends the server whose folder is `$1`, and removes the folder `$2`.
const WATCHDOG: &str = r#"
read -r _
pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
    kill -INT "$pid" 2>/dev/null
    tries=0
    while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 100 ]; do sleep 0.05; tries=$((tries + 1)); done
    kill -KILL "$pid" 2>/dev/null
fi
rm -rf "$2"
"#;

/// How a server is set up.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// It writes to disk what it commits, as crash tests need it.
    pub fsync: bool,
    /// Lines of `postgresql.conf`.
    pub settings: Vec<String>,
    /// The lines of `pg_hba.conf`; without any everybody is let in.
    pub hba: Vec<String>,
    /// The network namespace in which it runs, which needs root.
    pub network: Option<String>,
    /// Files that are put into the folder of the data, for its owner alone: names and contents.
    pub files: Vec<(String, String)>,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended, and everything is written.
    Fast,
    /// As by a power failure of the server's program: the next start recovers.
    Immediate,
    /// Its main process is killed (`kill -9`); the others notice and end.
    Kill,
}

/// A server. It runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    binaries: PathBuf,
    user: Option<(u32, u32)>,
    data: PathBuf,
    port: u16,
    network: Option<String>,
    running: Mutex<Option<Child>>,
    databases: AtomicUsize,
    /// Closed when this is dropped, or the process ends: then the watchdog acts.
    _watchdog: ChildStdin,
    /// Removed by the watchdog.
    folder: PathBuf,
}

/// A database of a server. It is dropped with this.
#[derive(Debug)]
pub struct Database<'s> {
    server: &'s Server,
    name: String,
}

impl Server {
    /// Makes and starts a server.
    ///
    /// # Errors
    /// [`Missing`]: what this machine lacks.
    pub fn start(setup: &Setup) -> Result<Self, Missing> {
        let failed = |error: io::Error| Missing(format!("a server cannot be made: {error}"));
        let (binaries, user) = (find::binaries()?, find::user()?);
        let (folder, data, watchdog) = folder(user).map_err(failed)?;
        let server = Self {
            binaries,
            user,
            data,
            port: free_port().map_err(failed)?,
            network: setup.network.clone(),
            running: Mutex::new(None),
            databases: AtomicUsize::new(0),
            _watchdog: watchdog,
            folder,
        };
        server.initialize(setup)?;
        server.start_again()?;
        Ok(server)
    }

    /// Makes and starts a standby of this server, which waits for it with every commit from now on, as with a synchronous standby of
    /// its own. The standby follows until it is [promoted](Self::promote).
    ///
    /// # Errors
    /// [`Missing`]: what this machine lacks.
    ///
    /// # Panics
    /// If the standby does not follow in time.
    pub fn standby(&self) -> Result<Self, Missing> {
        let standby = self.follower()?;
        self.configure("synchronous_standby_names", "*");
        let is_synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        self.is_followed(&standby, is_synchronous);
        Ok(standby)
    }

    /// Makes and starts a standby of this server, which does not wait for it.
    ///
    /// # Errors
    /// [`Missing`]: what this machine lacks.
    ///
    /// # Panics
    /// If the standby does not follow in time.
    pub fn follower(&self) -> Result<Self, Missing> {
        let failed = |error: io::Error| Missing(format!("a standby cannot be made: {error}"));
        let (folder, data, watchdog) = self::folder(self.user).map_err(failed)?;
        let standby = Self {
            binaries: self.binaries.clone(),
            user: self.user,
            data,
            port: free_port().map_err(failed)?,
            network: None,
            running: Mutex::new(None),
            databases: AtomicUsize::new(0),
            _watchdog: watchdog,
            folder,
        };
        let mut copy = self.command("pg_basebackup");
        copy.args(["-R", "-X", "stream", "-c", "fast", "-U", SUPERUSER])
            .args(["-p", &self.port.to_string(), "-h"])
            .arg(&self.folder)
            .arg("-D")
            .arg(&standby.data);
        run(&mut copy).map_err(|error| Missing(format!("pg_basebackup failed: {error}")))?;
        // The last line of a setting counts.
        let own = format!(
            "port = {}\nunix_socket_directories = '{}'\nsynchronous_standby_names = ''\n",
            standby.port,
            standby.folder.display(),
        );
        let mut settings = fs::OpenOptions::new()
            .append(true)
            .open(standby.data.join("postgresql.conf"))
            .map_err(failed)?;
        settings.write_all(own.as_bytes()).map_err(failed)?;
        standby.start_again()?;
        let follows = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        self.is_followed(&standby, follows);
        Ok(standby)
    }

    /// Waits until a question about standbys is answered with one.
    fn is_followed(&self, standby: &Self, question: &str) {
        let until = Instant::now() + PATIENCE;
        while self.sql("postgres", question) != "1" {
            // Nothing that a machine lacks: it must not skip a test.
            assert!(
                Instant::now() < until,
                "the standby does not follow: {}",
                standby.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Changes a setting of the server while it runs.
    pub fn configure(&self, setting: &str, value: &str) {
        let set = format!("ALTER SYSTEM SET {setting} = '{value}'");
        self.sql("postgres", &set);
        self.sql("postgres", "SELECT pg_reload_conf()");
    }

    /// Has a standby receive nothing more, and waits until that is so.
    ///
    /// # Panics
    /// If it goes on for too long.
    pub fn stop_following(&self) {
        self.configure("primary_conninfo", "");
        let until = Instant::now() + PATIENCE;
        while self.sql("postgres", "SELECT count(*) FROM pg_stat_wal_receiver") != "0" {
            assert!(Instant::now() < until, "the standby goes on");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes a standby a server that can be written to.
    pub fn promote(&self) {
        assert_eq!(self.sql("postgres", "SELECT pg_promote()"), "t");
    }

    fn initialize(&self, setup: &Setup) -> Result<(), Missing> {
        let failed = |error: io::Error| Missing(format!("a server cannot be set up: {error}"));
        let mut initdb = self.command("initdb");
        initdb
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            .args(["--username", SUPERUSER, "--pgdata"])
            .arg(&self.data);
        run(&mut initdb).map_err(|error| Missing(format!("initdb failed: {error}")))?;
        for (name, content) in &setup.files {
            let path = self.data.join(name);
            fs::write(&path, content).map_err(failed)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
            if let Some((uid, gid)) = self.user {
                chown(&path, Some(uid), Some(gid)).map_err(failed)?;
            }
        }
        let sync = if setup.fsync { "on" } else { "off" };
        let mut settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nfsync = {sync}\n\
             shared_buffers = 32MB\nmax_connections = 100\nlogging_collector = off\nlc_messages = 'C'\n",
            self.port,
            self.folder.display(),
        );
        if !setup.fsync {
            settings.push_str("synchronous_commit = off\nfull_page_writes = off\n");
        }
        for line in &setup.settings {
            settings.push_str(line);
            settings.push('\n');
        }
        let path = self.data.join("postgresql.conf");
        fs::write(path, settings).map_err(failed)?;
        if !setup.hba.is_empty() {
            let hba = format!("local all {SUPERUSER} trust\n{}\n", setup.hba.join("\n"));
            fs::write(self.data.join("pg_hba.conf"), hba).map_err(failed)?;
        }
        Ok(())
    }

    /// Starts the server that was stopped, and waits until it takes statements.
    ///
    /// # Errors
    /// [`Missing`]: the server does not start.
    pub fn start_again(&self) -> Result<(), Missing> {
        let failed = |error: io::Error| Missing(format!("the server cannot be started: {error}"));
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .map_err(failed)?;
        let mut child = self
            .server_command()
            .arg("-D")
            .arg(&self.data)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let until = Instant::now() + PATIENCE;
        loop {
            let ended = child.try_wait().map_err(failed)?;
            if ended.is_some() || Instant::now() > until {
                return Err(Missing(format!(
                    "the server does not start: {}",
                    self.log()
                )));
            }
            if self.try_sql("postgres", "SELECT 1").is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        *self.running() = Some(child);
        Ok(())
    }

    /// Stops the server, and waits for its end.
    pub fn stop(&self, how: Stop) {
        let signal = match how {
            Stop::Fast => "-INT",
            Stop::Immediate => "-QUIT",
            Stop::Kill => "-KILL",
        };
        let Some(mut child) = self.running().take() else {
            return;
        };
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "a signal");
        let until = Instant::now() + PATIENCE;
        while let Ok(None) = child.try_wait() {
            assert!(Instant::now() < until, "the server does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Makes an empty database.
    pub fn database(&self) -> Database<'_> {
        self.database_with("")
    }

    /// Returns the database of the server that this one was a standby of.
    pub fn with(&self, database: &Database<'_>) -> Database<'_> {
        let name = database.name.clone();
        Database { server: self, name }
    }

    /// Makes a copy of a database to which nothing is connected.
    pub fn copy_of(&self, template: &Database<'_>) -> Database<'_> {
        self.database_with(&format!("TEMPLATE {}", template.name))
    }

    /// Makes an empty database with these options of `CREATE DATABASE`.
    pub fn database_with(&self, options: &str) -> Database<'_> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.sql("postgres", &format!("CREATE DATABASE {name} {options}"));
        Database { server: self, name }
    }

    /// Runs SQL as the superuser and returns its rows, a line each, with `|` between columns.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let done = self.try_sql(database, sql);
        done.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        run(&mut self.psql(database, sql)).map(|output| output.trim_end().to_owned())
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut psql = self.command("psql");
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            database,
        ])
        .args(["-U", SUPERUSER, "-p", &self.port.to_string(), "-h"])
        .arg(&self.folder)
        .args(["-c", sql]);
        psql
    }

    /// Returns the port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the folder of the data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Returns the process id of the server; `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.running().as_ref().map(Child::id)
    }

    /// Returns what the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// A command of PostgreSQL's, as the server's user, whose environment says nothing of another server.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("PG") {
                command.env_remove(variable);
            }
        }
        command.current_dir(&self.folder).env("LC_ALL", "C");
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// The command of the server itself.
    fn server_command(&self) -> Command {
        let (Some(network), Some((uid, gid))) = (&self.network, self.user) else {
            return self.command("postgres");
        };
        let mut command = Command::new("ip");
        // Each of them becomes the next.
        command
            .args(["netns", "exec", network, "setpriv", "--clear-groups"])
            .args(["--reuid", &uid.to_string(), "--regid", &gid.to_string()])
            .arg(self.binaries.join("postgres"))
            .current_dir(&self.folder)
            .env("LC_ALL", "C");
        command
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Stop::Immediate);
    }
}

impl Database<'_> {
    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its URL, by the Unix socket.
    pub fn url(&self) -> String {
        let folder = self.server.folder.display().to_string();
        let folder = folder.replace('/', "%2F");
        format!(
            "postgres://{SUPERUSER}@{folder}:{}/{}",
            self.server.port, self.name
        )
    }

    /// Returns its URL by TCP, for a user, with this after it.
    pub fn tcp_url(&self, user: &str, parameters: &str) -> String {
        let (port, name) = (self.server.port, &self.name);
        format!("postgres://{user}@127.0.0.1:{port}/{name}{parameters}")
    }

    /// Returns the text of `cairn.toml` for programs on it: see [`settings`](crate::settings).
    pub fn settings(&self, more: &str) -> String {
        crate::settings(&self.url(), more)
    }

    /// Runs SQL in it: see [`Server::sql`].
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        if self.server.running().is_some() {
            let dropped = format!("DROP DATABASE {} WITH (FORCE)", self.name);
            let mut psql = self.server.psql("postgres", &dropped);
            // Also where commits wait for a standby that there is not.
            psql.env("PGOPTIONS", "-c synchronous_commit=local");
            // It goes with the server's folder at the latest.
            let _ = run(&mut psql);
        }
    }
}

/// Makes the folder of a server and the path of its data, which a watchdog removes once its input is closed.
fn folder(user: Option<(u32, u32)>) -> io::Result<(PathBuf, PathBuf, ChildStdin)> {
    let folder = TempDir::with_prefix("cairn-postgres-")?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    if let Some((uid, gid)) = user {
        chown(folder.path(), Some(uid), Some(gid))?;
    }
    let data = folder.path().join("data");
    let watchdog = watch(&data, folder.path())?;
    Ok((folder.keep(), data, watchdog))
}

fn watch(data: &Path, folder: &Path) -> io::Result<ChildStdin> {
    let mut shell = Command::new("sh")
        .args(["-c", WATCHDOG, "sh"])
        .args([data, folder])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let stdin = shell.stdin.take();
    stdin.ok_or_else(|| io::Error::other("the watchdog has no standard input"))
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_takes_statements_stops_starts_and_leaves_nothing() {
        let Some(server) = crate::own(&Setup::default()) else {
            return;
        };
        let database = server.database();
        database.sql("CREATE TABLE a (id int); INSERT INTO a VALUES (7)");
        let pid = server.pid().unwrap();
        server.stop(Stop::Fast);
        server.start_again().unwrap();
        assert_eq!(database.sql("SELECT id FROM a"), "7");
        assert_ne!(server.pid(), Some(pid));
        let (folder, pid) = (server.folder.clone(), server.pid().unwrap());
        drop(database);
        drop(server);
        let process = PathBuf::from(format!("/proc/{pid}"));
        let until = Instant::now() + Duration::from_secs(20);
        while folder.exists() || process.exists() {
            assert!(Instant::now() < until, "{} is left", folder.display());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
