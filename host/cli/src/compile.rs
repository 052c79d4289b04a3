//! Compiling a stranger's component in a process of its own, which the system ends when it takes too long or too much.

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

/// Bytes that are taken of a component or its machine code.
const ARTIFACT: u64 = 1 << 30;

/// What the child's answer begins with.
const COMPILED: u8 = 0;
const REFUSED: u8 = 1;

/// How often it is looked whether a child that has answered is gone: it is, nearly always, at once.
const GLANCE: Duration = Duration::from_millis(2);

/// Compiles in a child: this program, with the hidden subcommand that ends in [`child`].
#[derive(Debug)]
pub struct InChild {
    program: Option<PathBuf>,
    limits: CompileConfig,
}

/// What the child is told.
#[derive(Args, Clone, Copy, Debug)]
pub struct Bounds {
    /// Seconds of processor time
    #[arg(long, default_value_t = CompileConfig::default().processor.as_secs())]
    processor: u64,
    /// Bytes of address space
    #[arg(long, default_value_t = CompileConfig::default().memory)]
    memory: u64,
}

/// How a child ended. `status` is `None` when it was still there after its time.
struct Ended {
    answer: Result<io::Result<Vec<u8>>, RecvTimeoutError>,
    status: Option<ExitStatus>,
}

impl InChild {
    /// Compiles within these limits.
    pub fn new(limits: CompileConfig) -> Self {
        Self {
            program: None,
            limits,
        }
    }

    /// Runs this program in the place of our own.
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
            // Nothing of ours is the child's to know.
            .env_clear()
            // What our allocator sets aside counts as taken, and it would begin with a GiB.
            .env("MIMALLOC_ARENA_RESERVE", "16M")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
    }

    /// Hands the child a component and hears it, until its time is over. Then it is gone, whatever it does.
    fn converse(&self, child: &mut Child, component: &[u8]) -> io::Result<Ended> {
        let until = Instant::now() + self.limits.time;
        let (mut stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let ended = thread::scope(|scope| {
            scope.spawn(move || {
                // A child that ended does not read; its answer says why.
                let _ = stdin.as_mut().map(|stdin| stdin.write_all(component));
            });
            let (sender, receiver) = sync_channel(1);
            scope.spawn(move || {
                let mut answer = Vec::new();
                let read = stdout.map_or(Ok(0), |stdout| {
                    stdout.take(ARTIFACT).read_to_end(&mut answer)
                });
                // Whoever asked may have given up.
                let _ = sender.send(read.map(|_| answer));
            });
            let answer = receiver.recv_timeout(self.limits.time);
            let status = match answer {
                Ok(_) => gone(child, until),
                Err(_) => Ok(None),
            };
            // The threads end with it: nothing here waits for a child that does not. It may be gone.
            if !matches!(status, Ok(Some(_))) {
                let _ = child.kill();
            }
            status.map(|status| Ended { answer, status })
        });
        // So that no zombie stays, however that went.
        let reaped = child.wait();
        let ended = ended?;
        reaped.map(|_| ended)
    }

    /// Why there is no answer to be had of a child that ended so.
    fn broke(&self, status: ExitStatus) -> PluginError {
        let signal = status.signal().and_then(Signal::from_named_raw);
        match signal {
            Some(Signal::XCPU) => PluginError::Compiler(format!(
                "that took more than {} of processor time (`compile.processor`)",
                humantime::format_duration(self.limits.processor)
            )),
            // What Rust does without memory, and what C does.
            Some(Signal::ABORT | Signal::SEGV | Signal::BUS) => PluginError::Compiler(format!(
                "the compiler broke down ({status}), most likely for want of memory: it may have {} (`compile.memory`)",
                bytes(self.limits.memory)
            )),
            Some(Signal::KILL) => PluginError::NotCompiled(
                "was killed, by hand or by a system that is short of memory".to_owned(),
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
                return Err(PluginError::NotCompiled("was not heard".to_owned()));
            }
        };
        if !status.success() {
            return Err(self.broke(status));
        }
        let nonsense = || PluginError::NotCompiled("said what makes no sense".to_owned());
        match answer.split_first() {
            Some((&COMPILED, artifact)) => Ok(artifact.to_vec()),
            Some((&REFUSED, error)) => {
                Err(serde_json::from_slice(error).unwrap_or_else(|_| nonsense()))
            }
            _ => Err(nonsense()),
        }
    }
}

/// How a child ended that has said all; `None` when it is there until then.
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

/// What the child does: bounds itself, reads a component from stdin, and writes machine code, or why there is none, to stdout.
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
    // The first ends it with a signal that says why, the second whatever it does.
    limit(
        Resource::Cpu,
        bounds.processor,
        bounds.processor.saturating_add(1),
    )?;
    limit(Resource::As, bounds.memory, bounds.memory)?;
    // It has no business with files.
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
