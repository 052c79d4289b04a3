//! Runs the commands in README.md and `host/docs/` in order, and compares their output.

use std::fs;
use std::path::{Path, PathBuf};

use acceptance::commands::{Block, blocks, copy, run, words};
use acceptance::program::{Program, repository};
use acceptance::serving::Serving;

/// Runs the blocks of a page.
struct Reader {
    program: Program,
    /// A copy of those files of the checkout that the commands use.
    checkout: PathBuf,
    /// The working folder of the next command.
    folder: PathBuf,
    /// The output of the last block's commands.
    printed: Option<String>,
    commands: usize,
}

impl Reader {
    fn new() -> Self {
        let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
        let checkout = program.path("checkout");
        copy(
            Path::new(&repository("examples")),
            &checkout.join("examples"),
        );
        Self {
            folder: checkout.clone(),
            checkout,
            program,
            printed: None,
            commands: 0,
        }
    }

    fn read(&mut self, page: &str) {
        for block in blocks(page) {
            let printed = self.printed.take();
            match block.language.as_str() {
                "sh" => {
                    let mut printed = String::new();
                    for line in block.text.lines() {
                        printed.push_str(&self.command(line));
                    }
                    self.printed = Some(printed);
                }
                "text" => {
                    if let Some(printed) = printed {
                        assert_eq!(without_ids(&block.text), without_ids(&printed));
                    }
                }
                _ => self.write(&block),
            }
        }
    }

    /// Runs one line. It must succeed, unless `# exits with N` follows it. Returns its output.
    fn command(&mut self, line: &str) -> String {
        let (command, comment) = line.split_once("  #").unwrap_or((line, ""));
        let words = words(command);
        let code = comment.trim().strip_prefix("exits with ");
        let code: i32 = code.map_or(0, |code| code.parse().expect("a number"));
        self.commands += 1;
        let name = words.first().map(String::as_str);
        match (name, words.get(1).map(String::as_str)) {
            (Some("cd"), Some(folder)) => {
                self.folder.push(folder);
                assert!(self.folder.is_dir(), "{line}");
                return String::new();
            }
            (Some("cargo"), Some("run")) => {
                let arguments = command.split_once(" -- ").expect("arguments").1;
                assert_eq!(words[2..5], ["--release", "--bin", "cairn"], "{line}");
                let command = format!("cairn {arguments}");
                return self.run(&self.checkout.clone(), &command, code);
            }
            (Some("cargo"), Some("test")) => {
                // These tests themselves.
                let check = fs::read_to_string(repository(".ci/run")).expect("the check");
                assert!(check.lines().any(|step| step == command), "{line}");
                return String::new();
            }
            (Some("cargo"), Some("install")) => {
                // Compiling everything again takes minutes: cargo only says what it would install.
                let path = words.last().expect("a path");
                let manifest = Path::new(&repository(path)).join("Cargo.toml");
                let manifest = fs::read_to_string(manifest).expect("a manifest");
                assert!(manifest.contains("[[bin]]\nname = \"cairn\""), "{manifest}");
                return String::new();
            }
            (Some("cairn"), Some("serve")) => {
                // It serves until it is stopped, on a port that others may use.
                drop(Serving::start_in(&self.program, &self.folder, &[]));
                return String::new();
            }
            _ => {}
        }
        self.run(&self.folder.clone(), command, code)
    }

    fn run(&self, folder: &Path, command: &str, code: i32) -> String {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let run = run(&self.program, folder, &path, &words(command));
        assert_eq!(run.exit, code, "{command}\n{}{}", run.stdout, run.stderr);
        run.stdout
    }

    /// Writes a block whose first line names an existing file.
    fn write(&self, block: &Block) {
        let first = block.text.lines().next().unwrap_or_default();
        let name = first
            .strip_prefix("// ")
            .or_else(|| first.strip_prefix("# "));
        if let Some(file) = name.map(|name| self.folder.join(name))
            && file.is_file()
        {
            fs::write(file, &block.text).expect("the folder is ours");
        }
    }
}

/// Replaces each id in a text by a word, and removes blanks at the ends of lines.
fn without_ids(text: &str) -> String {
    let is_id = |word: &str| {
        let dashes = [8, 13, 18, 23];
        word.len() == 36
            && word
                .char_indices()
                .all(|(at, c)| match dashes.contains(&at) {
                    true => c == '-',
                    false => c.is_ascii_hexdigit(),
                })
    };
    let lines = text.trim_end().lines().map(|line| {
        let words = line.trim_end().split(' ');
        let words = words.map(|word| if is_id(word) { "ID" } else { word });
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn page(name: &str) -> String {
    fs::read_to_string(repository(name)).expect("a page")
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let mut reader = Reader::new();
    reader.read(&page("README.md"));
    assert!(reader.commands > 15, "{}", reader.commands);
}

#[test]
fn every_command_of_the_documentation_does_what_it_says() {
    let mut commands = 0;
    for entry in fs::read_dir(repository("host/docs")).expect("a folder") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_str().expect("UTF-8");
        let mut reader = Reader::new();
        reader.read(&page(&format!("host/docs/{name}")));
        commands += reader.commands;
    }
    assert!(commands > 1, "{commands}");
}

#[test]
fn links_of_the_pages_lead_somewhere() {
    let mut found = 0;
    let mut pages = vec!["README.md".to_owned(), "host/ARCHITECTURE.md".to_owned()];
    for entry in fs::read_dir(repository("host/docs")).expect("a folder") {
        let name = entry.expect("an entry").file_name();
        pages.push(format!("host/docs/{}", name.display()));
    }
    for name in pages {
        let folder = Path::new(&name).parent().expect("a folder").to_owned();
        for link in page(&name).split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            if link.starts_with("http") {
                continue;
            }
            let path = folder.join(link.split('#').next().unwrap_or_default());
            let path = repository(path.to_str().expect("UTF-8"));
            assert!(Path::new(&path).exists(), "{name}: {link}");
            found += 1;
        }
    }
    assert!(found > 20, "{found}");
}
