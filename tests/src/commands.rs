//! Runs the commands that a page shows, and compares their output.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::{Program, Run, end};

/// A fenced block of a Markdown page: its language, and its lines.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// The info string of the fence.
    pub language: String,
    /// The text between the fences.
    pub text: String,
}

/// Returns the fenced blocks of a page, in order.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                open = Some(Block {
                    language: language.to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block does not end: {open:?}");
    blocks
}

/// Splits a command into words; text in single quotes is one word.
pub fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in command.split('\'').enumerate() {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// Runs a command that begins with `cairn` or `cargo` in a folder. Plugins in Rust are built in the target folder of the tests' examples.
pub fn run(program: &Program, folder: &Path, path: &OsStr, words: &[String]) -> Run {
    let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let mut command = match words[0].as_str() {
        "cairn" => program.command(&arguments),
        "cargo" => {
            let mut cargo =
                Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            cargo
        }
        other => panic!("`{other}` is no command of a page"),
    };
    let child = command
        .current_dir(folder)
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", program.beside("examples"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .spawn();
    end(child.expect("the command starts"))
}

/// Copies a folder without its build output, following links.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_owned();
        let made = ["target", ".venv", "wit_world", "node_modules"];
        if made.iter().any(|made| name == *made) {
            continue;
        }
        let target = to.join(name);
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).expect("a file is copied")),
        }
    }
}
