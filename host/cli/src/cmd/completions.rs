use clap::Args;
use clap_complete::Shell;

use crate::exit::Failure;
use crate::output;

/// Print a shell's completion script
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn run(self, mut grammar: clap::Command) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut grammar, "cairn", &mut script);
        output::print_as_is(&String::from_utf8_lossy(&script))
    }
}
