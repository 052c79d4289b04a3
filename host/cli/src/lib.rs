//! The command line of Cairn.
//!
//! The library is here so that tests can run the program; `main.rs` calls [`main`] and does nothing else. Each module of
//! `cmd` is one subcommand.

mod args;
mod blame;
mod cmd;
pub mod compile;
mod exit;
mod input;
mod interrupt;
mod lockfile;
mod logging;
mod output;
mod progress;
mod project;
mod report;
mod scaffold;
mod session;
mod settings;
mod toolchain;

use std::process::ExitCode;

use cairn::clock::{Clock as _, SystemClock};
use clap::Parser as _;

use args::Cli;
use exit::{Exit, Failure};
use settings::Settings;

/// Flows are many small values that come and go on several threads; the C library's allocator costs them a fifth of their
/// time. Here and not in `main.rs`, so that tests run the program as it is.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the program: reads its arguments, does what they say, and says how that went.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(output::panicked));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            output::usage(error);
            return Exit::Usage.into();
        }
        // Help and version are answers, and go to stdout.
        Err(answer) => {
            // Nobody is left to tell when this fails.
            let _ = answer.print();
            return Exit::Ok.into();
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
        .and_then(|_| Settings::gather(&cli.global))
        .and_then(|settings| cmd::run(cli.command, settings));
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::error(&cli.global, &failure.diagnostic);
            failure.exit.into()
        }
    }
}
