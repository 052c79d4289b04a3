//! Files that a command is given to read.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use cairn::error::Diagnostic;
use cairn::file::{self, MAX_TEXT};
use cairn::manifest::Limits;
use cairn::value::{self, Object, Value};

/// What stands for stdin. The last three are opened by nobody: behind them may be a socket, which cannot be.
const STDIN: [&str; 4] = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

/// The text of a file.
///
/// # Errors
/// When it is no regular file of UTF-8 text, has more than [`MAX_TEXT`] bytes, or cannot be read.
pub fn text(path: &Path, what: &str) -> Result<String, Diagnostic> {
    file::text(path, MAX_TEXT).map_err(|error| unreadable(what, path, &error))
}

/// The bytes of a component.
///
/// # Errors
/// When it is no regular file, is larger than any manifest may allow, or cannot be read.
pub fn component(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    file::read(path, Limits::most().component_bytes)
        .map_err(|error| unreadable("the plugin", path, &error))
}

/// The text of a document that another program may be writing this moment: in a file, a pipe, or on stdin for `-`.
///
/// # Errors
/// As [`text`]; when no program opens the pipe; when stdin is named a second time.
pub fn document(path: &Path, what: &str) -> Result<String, Diagnostic> {
    /// Stdin has one end, at which a second document would be empty.
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let text = if !STDIN.iter().any(|name| path == Path::new(name)) {
        file::read_or_pipe(path, MAX_TEXT)
    } else if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(Diagnostic::new(format!(
            "{what} cannot be read from stdin: another file of this command is read from there"
        ))
        .at(path, None)
        .help("write one of them to a file"));
    } else {
        file::text_of(io::stdin().lock(), MAX_TEXT)
    };
    text.map_err(|error| unreadable(what, path, &error))
}

/// The request in a document; an empty object when there is none. With its path, where it has one.
///
/// # Errors
/// When it cannot be read, or is not one JSON document.
pub fn request(path: Option<&Path>) -> Result<(Value, Option<&Path>), Diagnostic> {
    let Some(path) = path else {
        return Ok((Value::Object(Object::new()), None));
    };
    let request = value::parse(&document(path, "the request")?).map_err(|error| {
        Diagnostic::new(value::refused("the request", &error))
            .at(path, Some(error.line()).filter(|&line| line > 0))
            .help(r#"a request is one JSON object, such as {"size": 1, "name": "data"}"#)
    })?;
    Ok((request, Some(path)))
}

fn unreadable(what: &str, path: &Path, error: &io::Error) -> Diagnostic {
    let diagnostic = Diagnostic::new(format!("{what} cannot be read: {error}")).at(path, None);
    match error.kind() {
        io::ErrorKind::NotFound => diagnostic.help("name a file that is there"),
        io::ErrorKind::IsADirectory => diagnostic.help("name a file in it"),
        io::ErrorKind::InvalidInput => {
            diagnostic.help("copy what it gives to a file, and name that")
        }
        io::ErrorKind::TimedOut => diagnostic.help("start what writes to it first"),
        _ => diagnostic,
    }
}
