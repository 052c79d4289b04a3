use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::exit::Failure;
use crate::folder;
use crate::output;
use crate::scaffold;

/// Write a first flow that runs as it is: its manifest, its settings, a request and a README
#[derive(Args, Debug)]
pub struct Init {
    /// Where to; it is made when it is not there, and no file in it is written over
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Which flow
    #[arg(long, value_enum, value_name = "EXAMPLE", default_value = "hello")]
    example: Example,
}

/// The flows that come with the program.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Example {
    /// Two greetings, records of a collection; the second one refuses the name `fail`
    Hello,
    /// A volume as OpenStack Cinder's API makes it
    VolumeCreate,
}

impl Example {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::VolumeCreate => "volume-create",
        }
    }

    /// What is run first.
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

/// A word as the shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    match word.chars().all(plain) && !word.starts_with('-') {
        true => word.to_owned(),
        false => format!("-- '{}'", word.replace('\'', r"'\''")),
    }
}
