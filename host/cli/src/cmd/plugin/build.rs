//! `cairn plugin build`.

use std::fs;
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;

use crate::args::Format;
use crate::exit::Failure;
use crate::output;
use crate::project::Project;
use crate::toolchain;

/// Build a plugin's component, with its language's usual tool
#[derive(Args, Debug)]
pub struct Build {
    /// Folder of the plugin
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Fail if a tool is missing, instead of installing componentize-py in .venv or componentize-js in node_modules
    #[arg(long)]
    no_install: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Built {
    component: PathBuf,
    size: u64,
}

impl Build {
    pub fn run(self) -> Result<(), Failure> {
        let project = Project::open(&self.folder)?;
        let component = toolchain::build(&project, !self.no_install)?;
        let size = fs::metadata(&component)
            .map_err(|error| Failure::host(format!("{}: {error}", component.display())))?
            .len();
        if self.format.is_json() {
            return output::document(self.format, &Built { component, size });
        }
        let size = ByteSize(size).display().iec();
        let component = component.to_string_lossy();
        let component = output::printable(&component);
        output::print(&format!("{component}  {size}\n"))
    }
}
