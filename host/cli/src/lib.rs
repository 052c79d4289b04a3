//! The command line of Cairn.
//!
//! The library is here so that tests can run the program; `main.rs` calls [`main`] and does nothing else. Each module of
//! `cmd` is one subcommand.

mod args;
mod blame;
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
mod origins;
mod output;
mod page;
mod progress;
mod project;
mod report;
mod scaffold;
mod scratch;
mod session;
mod settings;
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

/// Flows are many small values that come and go on several threads; the C library's allocator costs them a fifth of their
/// time. Here and not in `main.rs`, so that tests run the program as it is.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Adds to an error about what is missing how to get to a first flow.
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
            "there is a flow here: name `flow.toml`"
        } else {
            "`cairn init demo` writes a first flow, and says how to run it"
        };
        let tip = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

/// Runs the program: reads its arguments, does what they say, and says how that went.
pub fn main() -> ExitCode {
    main_with([])
}

/// Runs the program with more domains than its own: each command works with their tables, capabilities and settings. A domain with the
/// name of one that comes with `cairn` takes its place.
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
    std::panic::set_hook(Box::new(output::panicked));
    let parsed = Cli::command()
        .try_get_matches()
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) if error.use_stderr() => {
            output::usage(lead_in(error));
            return Exit::Usage.into();
        }
        // Help and version are answers, and go to stdout.
        Err(answer) => {
            let exit = match answer.print() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::Host,
                Ok(()) | Err(_) => Exit::Ok,
            };
            return exit.into();
        }
    };
    if let cmd::Command::CompileComponent(bounds) = cli.command {
        // It reads no settings: its answer depends on the component and its bounds alone.
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
            output::error(&cli.global, &failure.diagnostic);
            failure.exit.into()
        }
    }
}
