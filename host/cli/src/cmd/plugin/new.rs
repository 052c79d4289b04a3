//! `cairn plugin new`.

use std::path::Path;

use cairn::error::Diagnostic;
use clap::Args;

use crate::exit::Failure;
use crate::folder;
use crate::output;
use crate::scaffold::{self, Language, World};

/// Make the folder of a new plugin, which builds and passes its own test
#[derive(Args, Debug)]
pub struct New {
    /// The plugin's name, and the folder's: lower-case letters, digits and hyphens
    #[arg(value_name = "NAME", value_parser = scaffold::plugin_name)]
    name: String,
    /// In what it is written
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    lang: Language,
    /// What it is
    #[arg(long, value_enum, value_name = "WORLD", default_value = "task")]
    world: World,
    /// What it may ask the host for, with commas between: results, policy, zones, catalog, images, keys, quota, volumes, rpc
    #[arg(long, value_name = "CAPABILITIES", value_delimiter = ',', value_parser = capability)]
    with: Vec<String>,
}

impl New {
    pub fn run(self) -> Result<(), Failure> {
        let folder = Path::new(&self.name);
        let with = self.capabilities()?;
        if folder.symlink_metadata().is_ok() {
            return Err(Diagnostic::new(format!("`{}` is there already", self.name))
                .help("choose another name, or another working folder; nothing was changed")
                .into());
        }
        let files = scaffold::files(&self.name, self.lang, self.world, &with);
        folder::write(folder, &files)?;
        output::print(&format!(
            "{0}: a {1} in {2}\n\ncd {0}\ncairn plugin build\ncairn plugin check\ncairn plugin test --laws\n",
            self.name,
            self.world.as_str(),
            self.lang.as_str(),
        ))
    }

    /// Each once, in one order.
    fn capabilities(&self) -> Result<Vec<String>, Diagnostic> {
        let kinds = cairn::grant_kinds();
        let with = kinds.names().map(str::to_owned);
        let with: Vec<_> = with.filter(|name| self.with.contains(name)).collect();
        if self.world != World::Task && !with.is_empty() {
            return Err(Diagnostic::new(format!(
                "a {} has `context` and `log`, and is granted nothing else",
                self.world.as_str()
            ))
            .help("leave --with out; what a flow is to do with the host is a task's work"));
        }
        Ok(with)
    }
}

fn capability(text: &str) -> Result<String, String> {
    let kinds = cairn::grant_kinds();
    if kinds.get(text).is_some() {
        return Ok(text.to_owned());
    }
    let names: Vec<&str> = kinds.names().collect();
    Err(format!("the capabilities are {}", names.join(", ")))
}
