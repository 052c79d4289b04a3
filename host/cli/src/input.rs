//! Files that a command is given to read.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
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

/// A document that a command is given: on the command line, in a file, or on stdin.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The document itself: the argument begins with `{`.
    Inline(String),
    /// A file or a pipe; `-` is stdin.
    File(PathBuf),
}

impl From<OsString> for Input {
    fn from(argument: OsString) -> Self {
        match argument.into_string() {
            Ok(text) if text.starts_with('{') => Self::Inline(text),
            Ok(path) => Self::File(path.into()),
            Err(path) => Self::File(path.into()),
        }
    }
}

impl Input {
    /// Returns the file, where the document is in one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Inline(_) => None,
            Self::File(path) => Some(path),
        }
    }

    /// Says of a problem where it is: in which file, or nothing more.
    pub fn place(&self, problem: Diagnostic, line: Option<usize>) -> Diagnostic {
        match self {
            Self::Inline(_) => problem,
            Self::File(path) => problem.at(path, line),
        }
    }

    /// Says of text that is no JSON where it is wrong.
    pub fn misread(&self, problem: impl AsRef<str>, error: &serde_json::Error) -> Diagnostic {
        let line = Some(error.line()).filter(|&line| line > 0);
        self.place(Diagnostic::new(problem), line)
    }
}

/// The text of a document that another program may be writing this moment: on the command line, in a file, a pipe, or on stdin for
/// `-`.
///
/// # Errors
/// As [`text`]; when no program opens the pipe; when stdin is named a second time.
pub fn document(source: &Input, what: &str) -> Result<String, Diagnostic> {
    /// Stdin has one end, at which a second document would be empty.
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let path = match source {
        Input::Inline(text) => return Ok(text.clone()),
        Input::File(path) => path,
    };
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
    text.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => unreadable(what, path, &error).help(
            "name a file that is there; an argument that begins with `{` is the document itself",
        ),
        _ => unreadable(what, path, &error),
    })
}

/// The request in a document; an empty object when there is none.
///
/// # Errors
/// When it cannot be read, or is not one JSON document.
pub fn request(source: Option<&Input>) -> Result<Value, Diagnostic> {
    let Some(source) = source else {
        return Ok(Value::Object(Object::new()));
    };
    value::parse(&document(source, "the request")?).map_err(|error| {
        source
            .misread(value::refused("the request", &error), &error)
            .help(r#"a request is one JSON object, such as {"size": 1, "name": "data"}"#)
    })
}

/// The JSON object in a document.
///
/// # Errors
/// When it cannot be read, or is not one JSON object.
pub fn object(source: &Input, what: &str) -> Result<Object, Diagnostic> {
    match value::parse(&document(source, what)?) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => {
            let problem = Diagnostic::new(format!("{what}: this is no JSON object"));
            Err(source.place(problem, None).help("write a JSON object"))
        }
        Err(error) => Err(source.misread(value::refused(what, &error), &error)),
    }
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
