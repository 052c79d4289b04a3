//! Reads a plugin's folder: its language, its name, and the path of its component.

use std::path::{Path, PathBuf};

use cairn::Diagnostic;
use cairn::file::{self, MAX_TEXT};
use serde_json::Value;

use crate::scaffold::Language;

/// The file by which each language is recognized, and where in it the plugin's name is.
const MANIFESTS: [(&str, Language, &str); 3] = [
    ("Cargo.toml", Language::Rust, "/package/name"),
    ("pyproject.toml", Language::Python, "/project/name"),
    ("package.json", Language::Js, "/name"),
];

/// The folder of a plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    pub folder: PathBuf,
    pub language: Language,
    pub name: String,
    /// The language's own file, as JSON.
    manifest: Value,
}

impl Project {
    /// Reads the folder of a plugin.
    ///
    /// # Errors
    /// When no file tells the language, several do, or the file has no valid name.
    pub fn open(folder: &Path) -> Result<Self, Diagnostic> {
        let mut found = MANIFESTS
            .iter()
            .filter(|(file, ..)| !file::is_absent(&folder.join(file)));
        let Some((file, language, place)) = found.next() else {
            return Err(Diagnostic::new(
                "this is not a plugin's folder: it has no Cargo.toml, pyproject.toml or package.json",
            )
            .at(folder, None)
            .help("name the folder of a plugin; `cairn plugin new` makes one"));
        };
        let path = folder.join(file);
        if let Some((other, ..)) = found.next() {
            return Err(Diagnostic::new(format!(
                "{file} and {other} are both there: which is the plugin's language?"
            ))
            .at(&path, None)
            .help("give each plugin a folder of its own"));
        }
        let wrong = |problem: String| Diagnostic::new(problem).at(&path, None);
        let text = file::text(&path, MAX_TEXT)
            .map_err(|error| wrong(format!("the plugin's {file} cannot be read: {error}")))?;
        let manifest: Value = match language {
            Language::Js => serde_json::from_str(cairn::value::without_bom(&text))
                .map_err(|error| wrong(format!("this is not JSON: {error}")))?,
            Language::Rust | Language::Python => toml::from_str(&text)
                .map_err(|error| wrong(format!("this is not TOML: {}", error.message())))?,
        };
        let name = manifest.pointer(place).and_then(Value::as_str);
        let name = name
            .filter(|name| is_file_name(name))
            .map(str::to_owned)
            .ok_or_else(|| {
                let key = place.trim_start_matches('/').replace('/', ".");
                wrong(format!("`{key}` is missing, or is not a valid plugin name"))
                    .help("a name has letters, digits, hyphens and underscores")
            })?;
        Ok(Self {
            folder: folder.to_owned(),
            language: *language,
            name,
            manifest,
        })
    }

    /// Returns the path to which `cairn plugin build` writes the component.
    pub fn component(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.name))
    }

    /// Returns the entry file of a JavaScript plugin.
    pub fn main(&self) -> &str {
        self.manifest["main"].as_str().unwrap_or("app.js")
    }
}

/// Returns whether a name can be used in the file name of a component.
fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn open(files: &[(&str, &str)]) -> Result<Project, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Project::open(folder.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_language_is_known_by_its_own_file() {
        for (file, text, language) in [
            ("Cargo.toml", "[package]\nname = \"a-b\"", Language::Rust),
            (
                "pyproject.toml",
                "[project]\nname = \"a-b\"",
                Language::Python,
            ),
            (
                "package.json",
                r#"{"name": "a-b", "main": "x.js"}"#,
                Language::Js,
            ),
        ] {
            let project = open(&[(file, text)]).unwrap();
            assert_eq!((project.language, project.name.as_str()), (language, "a-b"));
            assert!(project.component().ends_with("a-b.wasm"));
        }
    }

    #[test]
    fn a_folder_that_tells_no_language_or_two_or_no_name_is_refused() {
        for (files, reason) in [
            (&[][..], "not a plugin's folder"),
            (
                &[
                    ("Cargo.toml", "[package]\nname = \"a\""),
                    ("package.json", "{}"),
                ],
                "Cargo.toml and package.json are both there",
            ),
            (&[("Cargo.toml", "[package]")], "`package.name` is missing"),
            (
                &[("package.json", r#"{"name": "../a"}"#)],
                "`name` is missing",
            ),
            (&[("package.json", "{")], "not JSON"),
            (&[("pyproject.toml", "[")], "not TOML"),
        ] {
            let error = open(files).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
