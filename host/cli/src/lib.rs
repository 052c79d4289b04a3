//! The command line of Cairn.
//!
//! A library, so that tests and other programs can run it; `main.rs` only calls [`main`]. Each module of `cmd` is one subcommand.

mod args;
mod blame;
mod cases;
mod cli;
mod cmd;
pub mod compile;
mod envelope;
mod exit;
mod folder;
mod input;
mod interrupt;
mod lockfile;
mod logging;
mod message;
mod operator;
mod origins;
mod output;
mod page;
mod progress;
mod project;
mod projects;
mod report;
mod scaffold;
mod scratch;
mod session;
mod settings;
mod since;
mod toolchain;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use cairn::clock::{Clock as _, SystemClock};
use cairn::extension::Extension;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _};

use cli::Cli;
use exit::{Exit, Failure};
use settings::Settings;

/// Flows allocate many small values on several threads; with the C library's allocator they take a fifth more time. Set here, not in
/// `main.rs`, so that tests use it, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Adds to the error about a missing command or manifest how to get to a first flow.
fn lead_in(mut error: clap::Error) -> clap::Error {
    let names = |kind, name: &str| match error.get(kind) {
        Some(ContextValue::String(found)) => found == name,
        Some(ContextValue::Strings(found)) => found.iter().any(|found| found == name),
        _ => false,
    };
    let no_flow = error.kind() == ErrorKind::MissingRequiredArgument
        && names(ContextKind::InvalidArg, "<FLOW>");
    let no_command = error.kind() == ErrorKind::MissingSubcommand
        && names(ContextKind::InvalidSubcommand, "cairn");
    if no_flow || no_command {
        let tip = if no_flow && Path::new("flow.toml").is_file() {
            "there is a flow in this folder: name `flow.toml`"
        } else {
            "`cairn init demo` writes a first flow, and prints how to run it"
        };
        let tip = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

/// Runs the program: parses the arguments, runs the command, prints errors, and returns the exit code.
pub fn main() -> ExitCode {
    main_with([])
}

/// Runs the program with additional domains: every command works with their tables, capabilities and settings. A domain with the name
/// of one that comes with `cairn` replaces it.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use cairn::domain::Domain;
///
/// fn main() -> ExitCode {
///     let shelves = Domain { name: "shelves", ..Domain::default() };
///     cairn_cli::main_with([shelves.into()])
/// }
/// ```
pub fn main_with(domains: impl IntoIterator<Item = Extension>) -> ExitCode {
    std::panic::set_hook(Box::new(message::panicked));
    let parsed = Cli::command()
        .try_get_matches()
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) if error.use_stderr() => {
            message::usage(lead_in(error));
            return Exit::Usage.into();
        }
        // Help and version are results, and go to stdout.
        Err(answer) => {
            let exit = match answer.print() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::Host,
                Ok(()) | Err(_) => Exit::Ok,
            };
            return exit.into();
        }
    };
    if let cmd::Command::CompileComponent(bounds) = cli.command {
        // Reads no settings: the result depends on the component and the limits alone.
        return compile::child(bounds);
    }
    logging::init(&cli.global);
    let done = SystemClock
        .now()
        .check()
        .map_err(|error| Failure::host(error.to_string()));
    let done = done
        .and_then(|_| Ok(args::check(&matches)?))
        .and_then(|()| {
            Settings::gather(
                &cli.global,
                args::Storage::of(&matches),
                origins::Origins::of(&matches),
                domains.into_iter().collect(),
            )
        })
        .and_then(|settings| cmd::run(cli.command, settings, Cli::command));
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            message::error(&cli.global, &failure.diagnostic);
            failure.exit.into()
        }
    }
}
