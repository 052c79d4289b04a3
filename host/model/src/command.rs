//! Runs a command that an operator configured, for its output.

use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// The pause between two looks at a command that has written its output and has not ended.
const LOOK: Duration = Duration::from_millis(2);

/// Why a command gave no output.
#[derive(Debug, thiserror::Error)]
#[error("`{}` {problem}", .program.escape_debug())]
pub struct CommandError {
    program: String,
    problem: String,
}

/// Runs a command without a shell, and returns its standard output. The first word is the program; its standard input is empty, and
/// its standard error is that of this process. The command, and processes that it started, have ended when its time was over.
///
/// # Errors
/// [`CommandError`] when it cannot be run, fails, takes longer than `patience`, or writes more than `most` bytes. It contains nothing of
/// the output.
pub fn output(command: &[String], most: u64, patience: Duration) -> Result<Vec<u8>, CommandError> {
    let until = Instant::now() + patience;
    let failed = |problem: &dyn fmt::Display| CommandError {
        program: command.first().cloned().unwrap_or_default(),
        problem: problem.to_string(),
    };
    let Some((program, arguments)) = command.split_first() else {
        return Err(failed(&"is no command: its program is not named"));
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // A group of its own, so that what it starts is ended with it.
        .process_group(0)
        .spawn()
        .map_err(|error| failed(&format!("cannot be run: {error}")))?;
    let (sender, receiver) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            let mut output = Vec::new();
            let read = stdout.take(most.saturating_add(1)).read_to_end(&mut output);
            // Fails once the time is over.
            let _ = sender.send(read.map(|_| output));
        });
    }
    let output = receiver.recv_timeout(patience);
    let status = match &output {
        Ok(Ok(output)) if output.len() as u64 > most => {
            end(&mut child);
            return Err(failed(&format!("wrote more than {most} bytes")));
        }
        Ok(_) => ended(&mut child, until),
        Err(_) => Ok(None),
    };
    let Some(status) = status.map_err(|error| failed(&error))? else {
        end(&mut child);
        let patience = humantime::format_duration(patience);
        return Err(failed(&format!("has not ended within {patience}")));
    };
    match output {
        _ if !status.success() => Err(failed(&format!("failed: {status}"))),
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(failed(&format!(
            "wrote output that cannot be read: {error}"
        ))),
        Err(_) => Err(failed(&"wrote no output")),
    }
}

/// Waits until `until` for a child to end; `None` if it still runs then.
fn ended(child: &mut Child, until: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        match child.try_wait()? {
            None if Instant::now() < until => thread::sleep(LOOK),
            ended => return Ok(ended),
        }
    }
}

/// Kills a child with its group, and reaps it.
fn end(child: &mut Child) {
    // Fails if all of them have ended.
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn run(script: &str, patience: Duration) -> Result<Vec<u8>, String> {
        let command = ["sh", "-c", script].map(str::to_owned);
        output(&command, 5, patience).map_err(|error| error.to_string())
    }

    #[test]
    fn the_output_is_returned_as_it_is() {
        assert_eq!(
            run("printf 'a\\n\\377\\0'", LONG),
            Ok(b"a\n\xff\0".to_vec())
        );
        assert_eq!(run("true", LONG), Ok(Vec::new()));
        assert_eq!(run("printf 12345", LONG), Ok(b"12345".to_vec()));
        // No shell reads the words.
        let words = ["printf", "$1;*"].map(str::to_owned);
        assert_eq!(output(&words, 5, LONG).unwrap(), b"$1;*");
    }

    #[test]
    fn what_went_wrong_is_said_without_the_output() {
        for (script, expected) in [
            ("printf key; exit 3", "`sh` failed: exit status: 3"),
            ("printf key; kill -9 $$", "`sh` failed: signal: 9"),
            ("printf 123456", "`sh` wrote more than 5 bytes"),
            ("exec yes key", "`sh` wrote more than 5 bytes"),
        ] {
            let error = run(script, LONG).unwrap_err();
            assert!(
                error.starts_with(expected) && !error.contains("key"),
                "{script}: {error}"
            );
        }
        let error = output(&["/nonexistent/p".to_owned()], 5, LONG).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("`/nonexistent/p` cannot be run"),
            "{error}"
        );
        assert!(output(&[], 5, LONG).is_err());
    }

    #[test]
    fn a_command_and_what_it_started_end_when_the_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let begun = Instant::now();
        // The first holds the output open, the second does not.
        for script in ["(sleep 600; :) & sleep 600", "exec >&-; sleep 600"] {
            let script = format!("echo $$ > {}; {script}", mark.display());
            let error = run(&script, Duration::from_millis(300)).unwrap_err();
            assert_eq!(error, "`sh` has not ended within 300ms");
            let group = std::fs::read_to_string(&mark).unwrap();
            let group = Pid::from_raw(group.trim().parse().unwrap()).unwrap();
            // An orphan is reaped by its new parent a moment later.
            let until = Instant::now() + LONG;
            while rustix::process::test_kill_process_group(group).is_ok() {
                assert!(Instant::now() < until, "{script}: a process is left");
                thread::sleep(LOOK);
            }
        }
        assert!(begun.elapsed() < LONG);
    }
}
