//! Files that a command is given to read.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use cairn::error::Diagnostic;
use cairn::value::{self, Object, Value};

/// More than any request needs.
const MAX_REQUEST: u64 = 16 << 20;

/// What stands for stdin.
const STDIN: &str = "-";

/// The text of a file.
///
/// # Errors
/// When it cannot be read.
pub fn text(path: &Path, what: &str) -> Result<String, Diagnostic> {
    fs::read_to_string(path).map_err(|error| unreadable(what, path, &error))
}

/// The bytes of a file.
///
/// # Errors
/// When it cannot be read.
pub fn bytes(path: &Path, what: &str) -> Result<Vec<u8>, Diagnostic> {
    fs::read(path).map_err(|error| unreadable(what, path, &error))
}

/// The request in a file, or on stdin for `-`; an empty object when there is none. With the file, where it is one.
///
/// # Errors
/// When it cannot be read, or is not one JSON document.
pub fn request(path: Option<&Path>) -> Result<(Value, Option<&Path>), Diagnostic> {
    let Some(path) = path else {
        return Ok((Value::Object(Object::new()), None));
    };
    let text = if path == Path::new(STDIN) {
        read(io::stdin().lock())
    } else {
        fs::File::open(path).and_then(read)
    };
    let text = text.map_err(|error| unreadable("the request", path, &error))?;
    let request = value::parse(&text).map_err(|error| {
        Diagnostic::new(value::refused("the request", &error))
            .at(path, Some(error.line()).filter(|&line| line > 0))
            .help(r#"a request is one JSON object, such as {"size": 1, "name": "data"}"#)
    })?;
    Ok((request, Some(path)))
}

fn read(from: impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    let read = from.take(MAX_REQUEST + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_REQUEST {
        return Err(io::Error::other(format!(
            "it is larger than {MAX_REQUEST} bytes"
        )));
    }
    Ok(text)
}

fn unreadable(what: &str, path: &Path, error: &io::Error) -> Diagnostic {
    let diagnostic = Diagnostic::new(format!("{what} cannot be read: {error}")).at(path, None);
    match error.kind() {
        io::ErrorKind::NotFound => diagnostic.help("name a file that is there"),
        io::ErrorKind::IsADirectory => diagnostic.help("this is a folder; name a file in it"),
        io::ErrorKind::InvalidData => diagnostic.help("it must be text in UTF-8"),
        _ => diagnostic,
    }
}
