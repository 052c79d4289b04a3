//! Compiles untrusted components in a child process with limits on time, processor time and memory.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use cairn::config::CompileConfig;
use cairn::plugin::{Compiler, PluginError, compile};
use clap::Args;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

/// Longest component or machine code that is read, in bytes.
const ARTIFACT: u64 = 1 << 30;

/// First byte of the child's answer.
const COMPILED: u8 = 0;
const REFUSED: u8 = 1;

/// Interval between checks whether a child that has answered has exited. Nearly always it has at the first check.
const GLANCE: Duration = Duration::from_millis(2);

/// A compiler that runs this program as a child, with the hidden subcommand that calls [`child`].
#[derive(Debug)]
pub struct InChild {
    program: Option<PathBuf>,
    limits: CompileConfig,
}

/// Limits that the child sets for itself.
#[derive(Args, Clone, Copy, Debug)]
pub struct Bounds {
    /// Seconds of processor time
    #[arg(long, default_value_t = CompileConfig::default().processor.as_secs())]
    processor: u64,
    /// Bytes of address space
    #[arg(long, default_value_t = CompileConfig::default().memory)]
    memory: u64,
}

/// Answer and exit status of a child. `status` is `None` if the child still ran when its time was over.
struct Ended {
    answer: Result<io::Result<Vec<u8>>, RecvTimeoutError>,
    status: Option<ExitStatus>,
}

impl InChild {
    /// Creates a compiler with these limits.
    pub fn new(limits: CompileConfig) -> Self {
        Self {
            program: None,
            limits,
        }
    }

    /// Sets the program to run instead of the current executable.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    fn spawn(&self) -> io::Result<Child> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?,
        };
        Command::new(program)
            .arg("compile-component")
            .arg(format!("--processor={}", self.limits.processor.as_secs()))
            .arg(format!("--memory={}", self.limits.memory))
            // The child needs nothing from this environment.
            .env_clear()
            // Address space that the allocator reserves counts towards the memory limit; by default it reserves 1 GiB first.
            .env("MIMALLOC_ARENA_RESERVE", "16M")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
    }

    /// Sends a component to the child and reads the answer until the time limit. The child has ended when this returns.
    fn converse(&self, child: &mut Child, component: &[u8]) -> io::Result<Ended> {
        let until = Instant::now() + self.limits.time;
        let (mut stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let ended = thread::scope(|scope| {
            scope.spawn(move || {
                // Fails when the child ended early; its answer or status tells why.
                let _ = stdin.as_mut().map(|stdin| stdin.write_all(component));
            });
            let (sender, receiver) = sync_channel(1);
            scope.spawn(move || {
                let mut answer = Vec::new();
                let read = stdout.map_or(Ok(0), |stdout| {
                    stdout.take(ARTIFACT).read_to_end(&mut answer)
                });
                // Fails after the time limit, when the receiver is gone.
                let _ = sender.send(read.map(|_| answer));
            });
            let answer = receiver.recv_timeout(self.limits.time);
            let status = match answer {
                Ok(_) => gone(child, until),
                Err(_) => Ok(None),
            };
            // Ends the threads, which wait for the child's pipes. Fails if the child has ended already.
            if !matches!(status, Ok(Some(_))) {
                let _ = child.kill();
            }
            status.map(|status| Ended { answer, status })
        });
        // Reaps the child in every case, so that no zombie stays.
        let reaped = child.wait();
        let ended = ended?;
        reaped.map(|_| ended)
    }

    /// Returns the error for a child that ended with this failure status.
    fn broke(&self, status: ExitStatus) -> PluginError {
        let signal = status.signal().and_then(Signal::from_named_raw);
        match signal {
            Some(Signal::XCPU) => PluginError::Compiler(format!(
                "that took more than {} of processor time (`compile.processor`)",
                humantime::format_duration(self.limits.processor)
            )),
            // How Rust and how C end when memory runs out.
            Some(Signal::ABORT | Signal::SEGV | Signal::BUS) => PluginError::Compiler(format!(
                "the compiler crashed ({status}), most likely out of memory: its limit is {} (`compile.memory`)",
                bytes(self.limits.memory)
            )),
            Some(Signal::KILL) => PluginError::NotCompiled(
                "was killed, by a user or by a system that is out of memory".to_owned(),
            ),
            _ => PluginError::NotCompiled(format!("ended early ({status})")),
        }
    }
}

impl Compiler for InChild {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, PluginError> {
        let failed = |error: io::Error| PluginError::NotCompiled(format!("cannot be run: {error}"));
        let mut child = self.spawn().map_err(failed)?;
        let Ended { answer, status } = self.converse(&mut child, component).map_err(failed)?;
        let (answer, status) = match (answer, status) {
            (Ok(answer), Some(status)) => (answer.map_err(failed)?, status),
            (Ok(_) | Err(RecvTimeoutError::Timeout), _) => {
                return Err(PluginError::Compiler(format!(
                    "that took longer than {} (`compile.time`)",
                    humantime::format_duration(self.limits.time)
                )));
            }
            (Err(RecvTimeoutError::Disconnected), _) => {
                return Err(PluginError::NotCompiled("gave no answer".to_owned()));
            }
        };
        if !status.success() {
            return Err(self.broke(status));
        }
        let nonsense = || PluginError::NotCompiled("gave an answer that is not valid".to_owned());
        match answer.split_first() {
            Some((&COMPILED, artifact)) => Ok(artifact.to_vec()),
            Some((&REFUSED, error)) => {
                Err(serde_json::from_slice(error).unwrap_or_else(|_| nonsense()))
            }
            _ => Err(nonsense()),
        }
    }
}

/// Waits until `until` for a child that has answered to exit; `None` if it still runs then.
fn gone(child: &mut Child, until: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        match child.try_wait()? {
            None if Instant::now() < until => thread::sleep(GLANCE),
            ended => return Ok(ended),
        }
    }
}

fn bytes(bytes: u64) -> String {
    match bytes >> 20 {
        mib if mib % 1024 == 0 => format!("{} GiB", mib / 1024),
        mib => format!("{mib} MiB"),
    }
}

/// Runs the child: sets its limits, reads a component from stdin, and writes the machine code or an error to stdout.
pub fn child(bounds: Bounds) -> ExitCode {
    match bound(bounds).and_then(|()| answer()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn bound(bounds: Bounds) -> io::Result<()> {
    let limit = |resource, current, maximum| {
        let (current, maximum) = (Some(current), Some(maximum));
        setrlimit(resource, Rlimit { current, maximum })
    };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The soft limit ends it with SIGXCPU, which tells why; the hard limit kills it.
    limit(
        Resource::Cpu,
        bounds.processor,
        bounds.processor.saturating_add(1),
    )?;
    limit(Resource::As, bounds.memory, bounds.memory)?;
    // It writes no files.
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Core, 0, 0)?;
    Ok(())
}

fn answer() -> io::Result<()> {
    let mut component = Vec::new();
    io::stdin()
        .lock()
        .take(ARTIFACT)
        .read_to_end(&mut component)?;
    let (tag, body) = match compile(&component) {
        Ok(artifact) => (COMPILED, artifact),
        Err(error) => (REFUSED, serde_json::to_vec(&error)?),
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(&[tag])?;
    stdout.write_all(&body)?;
    stdout.flush()
}
