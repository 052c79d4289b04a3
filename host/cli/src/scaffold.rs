//! Generates the files that `cairn plugin new` and `cairn init` write, from a name, a language and a world, or from the name of an
//! example. Pure.
//!
//! The templates are files in `templates/`. In each, `my-plugin` is replaced by the plugin's name, and a line `with.PART` by the lines
//! that the wanted capabilities need there, if any.

use std::collections::BTreeMap;

use clap::ValueEnum;

/// The embedded files: name and text.
static EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The plugin's name in the templates.
const NAME: &str = "my-plugin";

/// Where the SDK finds the contract in this repository, and in a generated folder.
const SDK_WIT: (&str, &str) = (r#"path: "../../wit""#, r#"path: "wit""#);

/// Language of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Rust,
    Python,
    Js,
}

impl Language {
    /// Returns the name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Js => "js",
        }
    }
}

/// Kind of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum World {
    /// One step of a flow
    Task,
    /// Decides whether a caller may do something
    Policy,
    /// Finds what is wrong with a request
    Validator,
    /// Makes and removes objects outside the database
    External,
}

impl World {
    /// Returns the name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Policy => "policy",
            Self::Validator => "validator",
            Self::External => "external",
        }
    }

    /// Returns the name with its article.
    pub const fn with_article(self) -> &'static str {
        match self {
            Self::Task => "a task",
            Self::Policy => "a policy",
            Self::Validator => "a validator",
            Self::External => "an external",
        }
    }
}

/// Accepts the name of a plugin.
///
/// # Errors
/// Why the name is not allowed, and which names are.
pub fn plugin_name(text: &str) -> Result<String, String> {
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
    let holds = text
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !starts || !holds || text.ends_with('-') || text.len() > 64 {
        return Err("a name has 1 to 64 lower-case letters, digits and hyphens, begins with a letter and does not end \
                    with a hyphen"
            .to_owned());
    }
    if RESERVED.contains(&text) {
        return Err(format!(
            "`{text}` is reserved by the tools that build plugins, or by flows; choose another name"
        ));
    }
    Ok(text.to_owned())
}

/// Names that a crate cannot have, names of its dependencies, names that a language's tool uses itself, and the name of the built-in
/// plugin in the template's flow.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    "cairn-plugin",
    "schemars",
    "serde",
    "serde-json",
    "wit-bindgen",
    "node-modules",
    "inject",
];

/// The line of a world that imports `wasi:http`.
const IMPORT_HTTP: &str = "import wasi:http/outgoing-handler@0.2.12;";

/// Where the parts of WASI are that this needs.
const WASI: &str = "examples/dns-record/pdns-python/wit/deps/";

/// Returns whether a plugin's world names `wasi:http`. The tools of the other languages add it themselves.
fn imports_http(language: Language, world: World) -> bool {
    language == Language::Python && world == World::External
}

/// Generates the files of a new plugin, keyed by their paths in its folder.
pub fn files(
    name: &str,
    language: Language,
    world: World,
    with: &[String],
) -> BTreeMap<String, String> {
    let lang = language.as_str();
    let mut files = BTreeMap::new();
    for folder in ["every", world.as_str()] {
        for (path, text) in embedded(&format!("templates/{lang}/{folder}/")) {
            files.insert(path.to_owned(), filled(text, name, language, with));
        }
    }
    match language {
        Language::Rust => {
            for (path, text) in embedded("sdk/") {
                let text = text.replace(SDK_WIT.0, SDK_WIT.1);
                files.insert(format!("vendor/cairn-plugin/{path}"), text);
            }
            contract("vendor/cairn-plugin/wit/", &mut files);
            // The versions that the SDK was tested with; cargo removes those that this crate does not use.
            for path in ["Cargo.lock", "rust-toolchain.toml"] {
                files.extend(embedded(path).map(|(_, text)| (path.to_owned(), text.to_owned())));
            }
        }
        Language::Python | Language::Js => {
            for (path, text) in embedded("templates/wit/") {
                let text = text.replace("task-plugin", &format!("{}-plugin", world.as_str()));
                let text = match imports_http(language, world) {
                    true => text.replace("// with.wit", IMPORT_HTTP),
                    false => text,
                };
                files.insert(format!("wit/{path}"), filled(&text, name, language, with));
            }
            contract("wit/deps/cairn/", &mut files);
            if imports_http(language, world) {
                for (path, text) in embedded(WASI) {
                    files.insert(format!("wit/deps/{path}"), text.to_owned());
                }
            }
        }
    }
    files
}

/// Returns the files of an example: the repository's flow and request, and a README.
pub fn example(name: &str) -> BTreeMap<String, String> {
    [
        format!("examples/{name}/"),
        format!("templates/example/{name}/"),
    ]
    .iter()
    .flat_map(|folder| embedded(folder))
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .collect()
}

/// Adds the files of the contract.
fn contract(folder: &str, files: &mut BTreeMap<String, String>) {
    let wit = embedded("wit/").filter(|(path, _)| path.ends_with(".wit"));
    files.extend(wit.map(|(path, text)| (format!("{folder}{path}"), text.to_owned())));
}

/// Lists the embedded files below a folder, by their paths in it.
fn embedded(folder: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    EMBEDDED
        .iter()
        .filter_map(move |(path, text)| Some((path.strip_prefix(folder)?, *text)))
}

/// Fills the name and the capabilities into a template.
fn filled(text: &str, name: &str, language: Language, with: &[String]) -> String {
    let mut filled = String::new();
    for line in text.lines() {
        let content = line.trim_start();
        let marker = content.trim_start_matches(['/', '#']).trim_start();
        let Some(part) = marker.strip_prefix("with.") else {
            filled.push_str(line);
            filled.push('\n');
            continue;
        };
        let indent = &line[..line.len() - content.len()];
        for line in part_of(part, language, with).lines() {
            filled.push_str(indent);
            filled.push_str(line);
            filled.push('\n');
        }
    }
    filled.replace(NAME, name)
}

/// Returns the lines that the capabilities need at one place.
fn part_of(part: &str, language: Language, with: &[String]) -> String {
    if part == "grants" && !with.is_empty() {
        let grants = with
            .iter()
            .map(|capability| format!("{capability} = true\n"));
        return format!("[plugins.{NAME}.grants]\n{}", grants.collect::<String>());
    }
    let lines = with.iter().map(|capability| match (part, language) {
        ("wit", _) => format!("import cairn:plugin/{capability}@0.1.0;\n"),
        ("import", Language::Python) => format!("from wit_world.imports import {capability}\n"),
        ("import", Language::Js) => {
            format!("import * as {capability} from 'cairn:plugin/{capability}@0.1.0';\n")
        }
        _ => {
            let file = format!("templates/{}/with/{capability}.{part}", language.as_str());
            embedded(&file).map(|(_, text)| text).collect()
        }
    });
    lines.collect()
}
