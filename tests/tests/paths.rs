//! Checks that each item of the crates that programs use has one public path. Reads the sources as text: items that a macro defines are
//! not seen, and a `use` must name its module in full, as in the host's code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The crates below `host/`, and whether their items need a single path. The items of the others are used by their paths in `cairn`.
const CRATES: &[(&str, bool)] = &[
    ("model", false),
    ("policy", false),
    ("manifest", false),
    ("effects", false),
    ("store", false),
    ("sandbox", false),
    ("volumes", false),
    ("records", false),
    ("engine", false),
    ("cairn", true),
    ("bench", true),
    ("laws", true),
];

/// The path of a module or item from its crate, such as `cairn_model::id`.
type Name = Vec<String>;

#[derive(Default)]
struct Module {
    /// The public items that it defines.
    items: BTreeSet<String>,
    /// The modules in it, and whether they are public.
    modules: BTreeMap<String, bool>,
    imports: Vec<Import>,
}

/// One path of a `use`.
struct Import {
    path: Vec<String>,
    /// The name that it has in the module; `*` for a glob.
    name: String,
    public: bool,
}

/// What a path leads to.
#[derive(Clone)]
enum Target {
    Module(Name),
    Item(Name),
}

#[derive(Default)]
struct Tree(BTreeMap<Name, Module>);

impl Tree {
    fn load(&mut self, name: Name, file: &Path, folder: &Path) {
        let text = fs::read_to_string(file).expect("a source file");
        let text = text.split("#[cfg(test)]\nmod tests {").next();
        let lines = text.unwrap_or_default().lines();
        let code: Vec<&str> = lines
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        self.parse(&name, &code.join("\n"), folder);
    }

    /// Reads the items at the first column of a module's code.
    fn parse(&mut self, name: &Name, code: &str, folder: &Path) {
        self.0.entry(name.clone()).or_default();
        let mut lines = code.lines();
        while let Some(line) = lines.next() {
            let (public, rest) = match line.strip_prefix("pub ") {
                Some(rest) => (true, rest),
                None => (false, line),
            };
            let mut rest_of_block = |end: &str| -> Vec<&str> {
                lines.by_ref().take_while(|line| *line != end).collect()
            };
            if let Some(module) = rest.strip_prefix("mod ") {
                let ident = module.trim_end_matches([';', '{', '}', ' ']).to_owned();
                self.module(name, &ident, public);
                let child = [name.as_slice(), std::slice::from_ref(&ident)].concat();
                if module.ends_with(';') {
                    let inner = folder.join(&ident);
                    for file in [folder.join(format!("{ident}.rs")), inner.join("mod.rs")] {
                        if file.exists() {
                            self.load(child.clone(), &file, &inner);
                        }
                    }
                } else if module.ends_with('{') {
                    let body: Vec<_> = rest_of_block("}")
                        .iter()
                        .map(|line| line.strip_prefix("    ").unwrap_or(line))
                        .collect();
                    self.parse(&child, &body.join("\n"), &folder.join(&ident));
                }
            } else if let Some(path) = rest.strip_prefix("use ") {
                let mut statement = path.to_owned();
                if !statement.ends_with(';') {
                    statement.extend(rest_of_block("};"));
                    statement.push('}');
                }
                let imports = flat(statement.trim_end_matches(';'), &[]);
                let imports = imports
                    .into_iter()
                    .map(|(path, name)| Import { path, name, public });
                self.get(name).imports.extend(imports);
            } else if line == "modules! {" {
                for line in rest_of_block("}") {
                    self.without(name, line.trim().trim_end_matches(';'));
                }
            } else if public {
                let words = ["unsafe ", "const fn ", "async fn "];
                let rest = words.iter().fold(rest, |rest, word| {
                    rest.strip_prefix(word).map_or(rest, |rest| rest)
                });
                let keyword = rest.split(' ').next().unwrap_or_default();
                let known = ["struct", "enum", "trait", "fn", "type", "const", "static"];
                let rest = if known.contains(&keyword) {
                    rest[keyword.len()..].trim_start()
                } else {
                    rest
                };
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                let item = rest[..end.unwrap_or(rest.len())].to_owned();
                self.get(name).items.insert(item);
            }
        }
    }

    /// Reads a line of the macro `modules!` in the crate `cairn`: `name: a::path without Some, Items`.
    fn without(&mut self, parent: &Name, line: &str) {
        let Some((ident, rest)) = line.split_once(": ") else {
            return;
        };
        let (path, hidden) = rest.split_once(" without ").expect("the macro's form");
        self.module(parent, ident, true);
        let module = [parent.as_slice(), &[ident.to_owned()]].concat();
        self.parse(
            &module,
            &format!("pub use {path}::*;\nuse {path}::{{{hidden}}};"),
            Path::new(""),
        );
    }

    fn module(&mut self, parent: &Name, ident: &str, public: bool) {
        self.get(parent).modules.insert(ident.to_owned(), public);
    }

    fn get(&mut self, name: &Name) -> &mut Module {
        self.0.entry(name.clone()).or_default()
    }

    /// Follows a path from a module. `None` for a path out of these crates, or to an item that a macro defines.
    fn resolve(&self, from: &Name, path: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let mut at = from.clone();
        let mut rest = rest;
        match first.as_str() {
            "crate" => at.truncate(1),
            "self" => {}
            "super" => drop(at.pop()),
            other if self.0.contains_key(std::slice::from_ref(first)) => {
                at = vec![other.to_owned()];
            }
            _ => rest = path,
        }
        for (index, part) in rest.iter().enumerate() {
            let module = self.0.get(&at)?;
            let child = [at.as_slice(), std::slice::from_ref(part)].concat();
            if module.modules.contains_key(part) {
                at = child;
                continue;
            }
            if module.items.contains(part) {
                return Some(Target::Item(child));
            }
            let import = module.imports.iter().find(|import| import.name == *part);
            let import = import.filter(|_| depth < 8)?;
            match self.resolve(&at, &import.path, depth + 1)? {
                Target::Module(module) => at = module,
                item @ Target::Item(_) => return (index + 1 == rest.len()).then_some(item),
            }
        }
        Some(Target::Module(at))
    }

    /// Adds the public path of each item of a module to `found`, except for those that are `hidden`.
    fn walk(
        &self,
        name: &Name,
        public: &str,
        hidden: &BTreeSet<&str>,
        found: &mut BTreeMap<Name, BTreeSet<String>>,
    ) {
        let Some(module) = self.0.get(name) else {
            return;
        };
        let mut note = |item: Name, name: &str| {
            let path = format!("{public}::{name}");
            found.entry(item).or_default().insert(path);
        };
        let shown = |ident: &str| !hidden.contains(ident);
        for item in module.items.iter().filter(|item| shown(item)) {
            note([name.as_slice(), std::slice::from_ref(item)].concat(), item);
        }
        let exports = module.imports.iter().filter(|import| import.public);
        let mut further = Vec::new();
        for import in exports.filter(|import| shown(&import.name)) {
            match self.resolve(name, &import.path, 0) {
                Some(Target::Item(item)) => note(item, &import.name),
                Some(Target::Module(target)) if import.name == "*" => {
                    let own = module.imports.iter().map(|import| import.name.as_str());
                    let own = own.chain(module.modules.keys().map(String::as_str));
                    further.push((target, public.to_owned(), own.collect()));
                }
                Some(Target::Module(target)) => {
                    let path = format!("{public}::{}", import.name);
                    further.push((target, path, BTreeSet::new()));
                }
                None => {}
            }
        }
        for (ident, _) in module.modules.iter().filter(|(_, public)| **public) {
            if shown(ident) {
                let child = [name.as_slice(), std::slice::from_ref(ident)].concat();
                further.push((child, format!("{public}::{ident}"), BTreeSet::new()));
            }
        }
        for (module, path, hidden) in further {
            self.walk(&module, &path, &hidden, found);
        }
    }
}

/// Splits the tree of a `use` into its paths, each with its name in the module.
fn flat(tree: &str, before: &[String]) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    let (path, group) = match tree.split_once('{') {
        Some((path, group)) => (path, group.strip_suffix('}')),
        None => (tree, None),
    };
    let (path, alias) = match path.split_once(" as ") {
        Some((path, alias)) => (path, Some(alias)),
        None => (path, None),
    };
    let parts = path.split("::").filter(|part| !part.is_empty());
    let mut parts = [before, &parts.map(str::to_owned).collect::<Vec<_>>()].concat();
    let Some(group) = group else {
        if parts.len() > 1 && parts.last().is_some_and(|last| last == "self") {
            parts.pop();
        }
        let name = alias.map(str::to_owned).or_else(|| parts.last().cloned());
        parts.retain(|part| part != "*");
        return vec![(parts, name.unwrap_or_default())];
    };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let branch = group[start..at].trim();
                if !branch.is_empty() {
                    found.extend(flat(branch, &parts));
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

fn name_of(folder: &str) -> String {
    match folder {
        "cairn" => "cairn".to_owned(),
        other => format!("cairn_{other}"),
    }
}

#[test]
fn each_item_has_one_public_path() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host");
    let mut tree = Tree::default();
    for (folder, _) in CRATES {
        let source = host.join(folder).join("src");
        tree.load(vec![name_of(folder)], &source.join("lib.rs"), &source);
    }
    let mut twice = Vec::new();
    for (folder, _) in CRATES.iter().filter(|(_, single)| *single) {
        let mut found = BTreeMap::new();
        let name = name_of(folder);
        tree.walk(&vec![name.clone()], &name, &BTreeSet::new(), &mut found);
        assert!(found.len() > 20, "the items of {name} were found");
        twice.extend(found.into_values().filter(|paths| paths.len() > 1));
    }
    assert!(
        twice.is_empty(),
        "items with several public paths: {twice:#?}"
    );
    // The reader sees through globs and private imports that hide an item.
    let mut found = BTreeMap::new();
    let root = vec!["cairn".to_owned()];
    tree.walk(&root, "cairn", &BTreeSet::new(), &mut found);
    let paths: BTreeSet<String> = found.into_values().flatten().collect();
    for path in [
        "cairn::Report",
        "cairn::report::TaskReport",
        "cairn::store::HostStore",
        "cairn::store::view::View",
        "cairn::records::Reads",
    ] {
        assert!(paths.contains(path), "{path} was found");
    }
}
