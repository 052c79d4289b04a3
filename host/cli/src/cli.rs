//! The grammar of the command line.

use clap::Parser;

use crate::args::Global;
use crate::cmd::Command;

/// Runs flows of sandboxed tasks that succeed as a unit or are rolled back as a unit.
#[derive(Debug, Parser)]
#[command(name = "cairn", bin_name = "cairn", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
A first flow: cairn init demo && cd demo && cairn run flow.toml --input '{\"name\": \"Ada\"}'

Exit codes: 0 done, 1 the host failed (disk, database), 2 bad usage or input, nothing ran,
3 failed and rolled back, 4 failed and left residue or an incomplete rollback, 5 interrupted,
6 a check found a difference, a change was refused, or a flow is stuck.";
