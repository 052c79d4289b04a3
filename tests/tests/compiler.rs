//! A third-party component is compiled in a separate process: however that ends, the end is reported, and nothing is
//! left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use acceptance::corpus::Guest;
use acceptance::guest::Call;
use acceptance::program::{Program, end};
use acceptance::slow::eventually;
use cairn::config::CompileConfig;
use cairn::plugin::{Compiler as _, PluginConfig, PluginError, Plugins};
use cairn_cli::compile::InChild;
use tempfile::TempDir;

/// Serializes the tests, because each inspects the children of this process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn limits(time: u64, processor: u64, memory: u64) -> CompileConfig {
    CompileConfig {
        time: Duration::from_secs(time),
        processor: Duration::from_secs(processor),
        memory,
    }
}

/// Returns a compiler that runs the program under test.
fn in_child(limits: CompileConfig) -> InChild {
    InChild::new(limits).program(env!("CARGO_BIN_EXE_cairn-under-test"))
}

/// Returns the processes whose parent is this one, including zombies.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("this system has processes");
    let processes = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes
        .filter(|process: &u32| {
            // The name, in parentheses, may contain anything; state and parent follow it.
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let fields = stat.rsplit_once(')').map(|(_, rest)| rest);
            let of = fields.and_then(|fields| fields.split_whitespace().nth(1));
            of.and_then(|of| of.parse().ok()) == Some(parent)
        })
        .collect()
}

fn kill(process: u32) {
    let mut kill = Command::new("kill");
    let status = kill.args(["-9", &process.to_string()]).status();
    assert!(status.expect("there is a `kill`").success());
}

/// Loads a component with this compiler, which must fail, and leave neither a process nor a file.
#[track_caller]
fn fails(compiler: InChild, component: &[u8]) -> PluginError {
    let _alone = alone();
    let folder = TempDir::new().expect("a temporary folder can be made");
    let cache = folder.path().join("cache");
    let plugins = Plugins::new(&PluginConfig {
        cache: Some(cache.clone()),
        compiler: Some(Arc::new(compiler)),
        ..cairn::plugin_config()
    });
    let loaded = plugins.expect("a sandbox").load(component);
    assert_eq!(
        children(std::process::id()),
        [] as [u32; 0],
        "processes are left"
    );
    let left = fs::read_dir(&cache).expect("the cache").count();
    assert_eq!(left, 0, "files are left");
    match loaded {
        Ok(_) => panic!("it was loaded"),
        Err(error) => error,
    }
}

/// Asserts that the help of the error names the operator's table.
#[track_caller]
fn is_the_component_s_fault(error: &PluginError, words: &str) {
    assert!(matches!(error, PluginError::Compiler(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!("the component could not be compiled: {words}")
    );
    let help = error.help().expect("it says what to do");
    assert!(help.contains("[compile]"), "{help}");
}

#[track_caller]
fn is_not_the_component_s_fault(error: &PluginError, words: &str) {
    assert!(matches!(error, PluginError::NotCompiled(_)), "{error:?}");
    let text = error.to_string();
    let begins = "the component was not compiled: the process that compiles ";
    assert!(text.starts_with(&format!("{begins}{words}")), "{text}");
    let help = error.help().expect("it says what to do");
    assert!(help.contains("try again"), "{help}");
}

#[test]
fn a_component_that_compiles_for_minutes_is_cut_off() {
    let start = Instant::now();
    let limits = limits(2, 100, 4 << 30);
    let error = fails(in_child(limits), &Guest::CompilesForMinutes.bytes());
    is_the_component_s_fault(&error, "that took longer than 2s (`compile.time`)");
    let took = start.elapsed();
    assert!(
        took >= limits.time && took < Duration::from_secs(30),
        "{took:?}"
    );
}

#[test]
fn a_component_that_keeps_the_processor_busy_is_cut_off() {
    let limits = limits(600, 1, 4 << 30);
    let error = fails(in_child(limits), &Guest::CompilesForMinutes.bytes());
    is_the_component_s_fault(
        &error,
        "that took more than 1s of processor time (`compile.processor`)",
    );
}

#[test]
fn a_component_that_takes_too_much_memory_is_cut_off() {
    let limits = limits(600, 600, 256 << 20);
    let error = fails(in_child(limits), &Guest::CompilesForMinutes.bytes());
    let text = error.to_string();
    let words = text.strip_prefix("the component could not be compiled: the compiler crashed (");
    let words = words.unwrap_or_else(|| panic!("{text}"));
    assert!(
        words.ends_with(", most likely out of memory: its limit is 256 MiB (`compile.memory`)"),
        "{words}"
    );
}

#[test]
fn a_compiler_that_is_killed_is_not_the_component_s_fault() {
    let killer = thread::spawn(|| {
        let mut found = Vec::new();
        eventually("the compiler starts", || {
            // The compilers of other tests have different limits.
            found = children(std::process::id());
            found.retain(|child| {
                let line = fs::read_to_string(format!("/proc/{child}/cmdline"));
                line.is_ok_and(|line| line.contains("--processor=599"))
            });
            !found.is_empty()
        });
        found.into_iter().for_each(kill);
    });
    let error = fails(
        in_child(limits(600, 599, 4 << 30)),
        &Guest::CompilesForMinutes.bytes(),
    );
    killer.join().expect("it was found");
    is_not_the_component_s_fault(&error, "was killed");
}

#[test]
fn what_the_compiler_refuses_is_refused_in_its_words() {
    let within = limits(600, 600, 4 << 30);
    let deep = fails(in_child(within), &Guest::DeepCode.bytes());
    assert!(matches!(deep, PluginError::TooComplex { .. }), "{deep:?}");
    let wrong = fails(in_child(within), b"(component (core module (func (drop))))");
    assert!(matches!(wrong, PluginError::Invalid(_)), "{wrong:?}");
    // Loading checks the first bytes before that; the child does not rely on it.
    let _alone = alone();
    let module = in_child(within).compile(b"\0asm\x01\0\0\0").unwrap_err();
    assert!(matches!(module, PluginError::CoreModule), "{module:?}");
}

/// Returns a compiler that is this shell script.
fn script(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("compiler");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("the folder is ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("the file is ours");
    path
}

#[test]
fn a_compiler_that_says_nonsense_is_not_believed() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let component = Call::Behaves.component();
    for (text, words) in [
        ("cat > /dev/null", "gave an answer that is not valid"),
        (
            "cat > /dev/null; echo 'no answer'",
            "gave an answer that is not valid",
        ),
        (
            "cat > /dev/null; printf '\\001{}'",
            "gave an answer that is not valid",
        ),
        (
            "cat > /dev/null; printf '\\000no code'",
            "made what cannot be loaded",
        ),
        (
            "cat > /dev/null; printf '\\000'; exit 3",
            "ended early (exit status: 3)",
        ),
        ("exit 0", "gave an answer that is not valid"),
        ("kill -TERM $$", "ended early (signal: 15 (SIGTERM))"),
    ] {
        let compiler = {
            let _alone = alone();
            script(&folder, text)
        };
        let compiler = InChild::new(limits(600, 600, 4 << 30)).program(compiler);
        is_not_the_component_s_fault(&fails(compiler, component.as_bytes()), words);
    }
    let missing = InChild::new(limits(600, 600, 4 << 30)).program(folder.path().join("missing"));
    is_not_the_component_s_fault(&fails(missing, component.as_bytes()), "cannot be run: ");
}

#[test]
fn a_compiler_that_does_not_end_is_ended() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    // Larger than the pipe's buffer: the writer blocks until it is read.
    let component = Call::Behaves.component() + &" ".repeat(1 << 20);
    for text in [
        // Neither reads nor answers.
        "exec sleep 600",
        // Closes its output without an answer, and does not end.
        "exec sleep 600 >&-",
        // Repeatedly writes bytes that are not an answer.
        "while :; do printf x; sleep 0.1; done",
    ] {
        let compiler = {
            let _alone = alone();
            script(&folder, text)
        };
        let start = Instant::now();
        let compiler = InChild::new(limits(1, 600, 4 << 30)).program(compiler);
        let error = fails(compiler, component.as_bytes());
        is_the_component_s_fault(&error, "that took longer than 1s (`compile.time`)");
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{:?}",
            start.elapsed()
        );
    }
}

/// Returns the program with a flow whose plugin takes minutes to compile, its own cache, and these limits.
fn program(bounds: &str) -> Program {
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    program
        .write("guest.wat", Guest::CompilesForMinutes.bytes())
        .write(
            "flow.toml",
            "[flow]\nname = \"f\"\n\n[plugins.guest]\npath = \"guest.wat\"\n\n[[task]]\nplugin = \"guest\"\n",
        )
        .write("cairn.toml", format!("cache = \"cache\"\n[compile]\n{bounds}\n"));
    program
}

fn command(program: &Program, arguments: &[&str]) -> Command {
    let mut command = program.command(arguments);
    command.env_remove("CAIRN_CACHE");
    command
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).expect("the folder").count() == 0
}

#[test]
fn the_operator_says_how_long_it_may_take() {
    let _alone = alone();
    let program = program("time = \"1s\"");
    for arguments in [&["plan", "flow.toml"][..], &["run", "flow.toml"]] {
        let child = command(&program, arguments).spawn();
        let run = end(child.expect("the program starts")).exits(2);
        run.says(&[
            "plugin `guest` (guest.wat): the component could not be compiled: that took longer than 1s (`compile.time`)",
            "--> flow.toml:4",
            "raise the limit in [compile] of the operator's cairn.toml",
        ]);
        assert!(is_empty(&program.path("cache")));
    }
    let child = command(&program, &["plugin", "inspect", "guest.wat"]).spawn();
    let run = end(child.expect("the program starts")).exits(2);
    run.says(&["that took longer than 1s (`compile.time`)"]);
    assert!(is_empty(&program.path("cache")));
}

#[test]
fn a_compiler_that_is_killed_beside_the_program_is_named() {
    let _alone = alone();
    let program = program("");
    let child = command(&program, &["plan", "flow.toml"]).spawn();
    let child = child.expect("the program starts");
    let mut found = Vec::new();
    eventually("the compiler starts", || {
        found = children(child.id());
        !found.is_empty()
    });
    found.into_iter().for_each(kill);
    end(child).exits(2).says(&[
        "plugin `guest` (guest.wat): the component was not compiled: the process that compiles was killed",
        "--> flow.toml:4",
        "try again",
    ]);
    assert!(is_empty(&program.path("cache")));
}

#[test]
fn the_compiler_goes_with_the_program() {
    let _alone = alone();
    let program = program("processor = \"598s\"");
    let mut child = command(&program, &["plan", "flow.toml"])
        .spawn()
        .expect("the program starts");
    let mut found = Vec::new();
    eventually("the compiler bounds itself and reads", || {
        found = children(child.id());
        found.iter().any(|compiler| {
            let limits = fs::read_to_string(format!("/proc/{compiler}/limits"));
            limits.is_ok_and(|limits| limits.contains("598"))
        })
    });
    child.kill().expect("it still runs");
    child.wait().expect("it can be waited for");
    eventually("the compiler is gone", || {
        found.iter().all(|compiler| {
            // The process that adopts it may be slow to reap it.
            let stat = fs::read_to_string(format!("/proc/{compiler}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        })
    });
    assert!(is_empty(&program.path("cache")));
}
