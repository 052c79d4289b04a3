//! `cairn plugin new`.

use std::path::Path;

use cairn::Diagnostic;
use clap::Args;

use crate::exit::Failure;
use crate::folder;
use crate::output;
use crate::scaffold::{self, Language, World};

/// Create the folder of a new plugin, which builds and passes its own tests
#[derive(Args, Debug)]
pub struct New {
    /// Name of the plugin and of its folder: lower-case letters, digits and hyphens
    #[arg(value_name = "NAME", value_parser = scaffold::plugin_name)]
    name: String,
    /// Language of the plugin
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    lang: Language,
    /// Kind of the plugin
    #[arg(long, value_enum, value_name = "WORLD", default_value = "task")]
    world: World,
    /// Capabilities of the host that it uses, separated by commas: results, policy, zones, catalog, images, keys, quota, volumes, records, externals, rpc, secrets
    #[arg(long, value_name = "CAPABILITIES", value_delimiter = ',', value_parser = capability)]
    with: Vec<String>,
}

impl New {
    pub fn run(self) -> Result<(), Failure> {
        let folder = Path::new(&self.name);
        let with = self.capabilities()?;
        if folder.symlink_metadata().is_ok() {
            return Err(Diagnostic::new(format!("`{}` exists already", self.name))
                .help("choose another name, or another working folder; nothing was changed")
                .into());
        }
        let files = scaffold::files(&self.name, self.lang, self.world, &with);
        folder::write(folder, &files)?;
        output::print(&format!(
            "{0}: {1} in {2}\n\ncd {0}\ncairn plugin build\ncairn plugin check\n{3}cairn plugin test --laws\n",
            self.name,
            self.world.with_article(),
            self.lang.as_str(),
            match (self.world, self.lang) {
                (World::External, Language::Rust) => "cargo run --example server &\n",
                (World::External, Language::Python) => "python3 server.py &\n",
                (World::External, Language::Js) => "node server.mjs &\n",
                (World::Task | World::Policy | World::Validator, _) => "",
            },
        ))
    }

    /// Returns each wanted capability once, in a fixed order.
    fn capabilities(&self) -> Result<Vec<String>, Diagnostic> {
        let kinds = cairn::grant_kinds();
        let with = kinds.names().map(str::to_owned);
        let with: Vec<_> = with.filter(|name| self.with.contains(name)).collect();
        if self.world != World::Task && !with.is_empty() {
            let whose = self.world.with_article();
            return Err(match self.world {
                World::External => Diagnostic::new(format!(
                    "{whose} can use `context`, `log` and `wasi:http` only"
                ))
                .help("leave out --with; its template uses `wasi:http`"),
                _ => Diagnostic::new(format!("{whose} can use `context` and `log` only"))
                    .help("leave out --with; only tasks can be granted more"),
            });
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
