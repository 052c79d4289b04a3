use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::exit::Failure;
use crate::folder;
use crate::output;
use crate::scaffold;

/// Write an example flow that runs as it is: manifest, request, README, and settings if it needs any
#[derive(Args, Debug)]
pub struct Init {
    /// Folder to write to; it is created if it does not exist, and no file in it is overwritten
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Example to write
    #[arg(long, value_enum, value_name = "EXAMPLE", default_value = "hello")]
    example: Example,
}

/// The flows that come with the program.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Example {
    /// Puts two greetings as records; the second task refuses the name `fail`
    Hello,
    /// Creates a volume as OpenStack Cinder's API does
    VolumeCreate,
}

impl Example {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::VolumeCreate => "volume-create",
        }
    }

    /// Returns the commands that run the example.
    const fn commands(self) -> &'static str {
        match self {
            Self::Hello => {
                "cairn run flow.toml --input '{\"name\": \"Ada\"}'\ncairn run flow.toml --input '{\"name\": \"fail\"}'   # fails, and is rolled back\n"
            }
            Self::VolumeCreate => "cairn run flow.toml --input request.json\n",
        }
    }
}

impl Init {
    pub fn run(self) -> Result<(), Failure> {
        let files = scaffold::example(self.example.as_str());
        folder::write(&self.folder, &files)?;
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        let mut text = format!("wrote {}\n\n", names.join(", "));
        if self.folder != Path::new(".") {
            let folder = self.folder.to_string_lossy();
            text += &format!("cd {}\n", output::printable(&quoted(&folder)));
        }
        text += self.example.commands();
        output::print(&text)
    }
}

/// Quotes a word for the shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    match word.chars().all(plain) && !word.starts_with('-') {
        true => word.to_owned(),
        false => format!("-- '{}'", word.replace('\'', r"'\''")),
    }
}
