//! Compiling a stranger's component in a process of its own, which the system ends when it takes too long or too much.

use std::io::{self, Read as _, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use cairn::plugin::{Compiler, PluginError, compile};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

/// How long it may take; Python's interpreter takes half a minute on a slow machine.
const TIME: Duration = Duration::from_secs(120);

/// Seconds of processor time, on all cores together.
const CPU: u64 = 240;

/// Bytes of address space.
const MEMORY: u64 = 4 << 30;

/// Bytes of machine code that are taken.
const ARTIFACT: u64 = 1 << 30;

/// What the child's answer begins with.
const COMPILED: u8 = 0;
const REFUSED: u8 = 1;

/// Compiles in a child: this program, with the hidden subcommand that ends in [`child`].
#[derive(Debug)]
pub struct InChild;

impl Compiler for InChild {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, PluginError> {
        let failed = |error: io::Error| {
            PluginError::Compiler(format!("the process that compiles cannot be run: {error}"))
        };
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .arg("compile-component")
            // Nothing of ours is the child's to know.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let (mut stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let answer = thread::scope(|scope| {
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
            let answer = receiver.recv_timeout(TIME);
            // One that answered ends by itself; for the others there is nothing to wait for. It may be gone.
            if !matches!(answer, Ok(Ok(_))) {
                let _ = child.kill();
            }
            answer
        });
        let status = child.wait().map_err(failed)?;
        let answer = match answer {
            Ok(answer) => answer.map_err(failed)?,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(PluginError::Compiler(format!(
                    "that took longer than {}",
                    humantime::format_duration(TIME)
                )));
            }
        };
        match answer.split_first() {
            Some((&COMPILED, artifact)) if status.success() => Ok(artifact.to_vec()),
            Some((&REFUSED, error)) if status.success() => Err(serde_json::from_slice(error)
                .unwrap_or_else(|error| {
                    PluginError::Compiler(format!("the process that compiles said: {error}"))
                })),
            _ => Err(PluginError::Compiler(format!(
                "the process that compiles ended early ({status}): it may use {} of memory and {CPU} s of the processor",
                bytes(MEMORY)
            ))),
        }
    }
}

fn bytes(bytes: u64) -> String {
    format!("{} GiB", bytes >> 30)
}

/// What the child does: bounds itself, reads a component from stdin, and writes machine code, or why there is none, to stdout.
pub fn child() -> ExitCode {
    match bound().and_then(|()| answer()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn bound() -> io::Result<()> {
    let limit = |resource, most| {
        let most = Some(most);
        setrlimit(
            resource,
            Rlimit {
                current: most,
                maximum: most,
            },
        )
    };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    limit(Resource::Cpu, CPU)?;
    limit(Resource::As, MEMORY)?;
    // It has no business with files.
    limit(Resource::Fsize, 0)?;
    limit(Resource::Core, 0)?;
    Ok(())
}

fn answer() -> io::Result<()> {
    let mut component = Vec::new();
    io::stdin().lock().read_to_end(&mut component)?;
    let (tag, body) = match compile(&component) {
        Ok(artifact) => (COMPILED, artifact),
        Err(error) => (REFUSED, serde_json::to_vec(&error)?),
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(&[tag])?;
    stdout.write_all(&body)?;
    stdout.flush()
}
