//! Reads the files and documents that a command is given.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use cairn::file::{self, MAX_TEXT};
use cairn::manifest::Limits;
use cairn::value;
use cairn::{Diagnostic, Object, Value};

/// Names of stdin. The last three are not opened as files, because stdin may be a socket, which cannot be opened by its name.
const STDIN: [&str; 4] = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

/// Reads a text file; errors call it `what`.
///
/// # Errors
/// When it is not a regular file of UTF-8 text, has more than [`MAX_TEXT`] bytes, or cannot be read.
pub fn text(path: &Path, what: &str) -> Result<String, Diagnostic> {
    file::text(path, MAX_TEXT).map_err(|error| unreadable(what, path, &error))
}

/// Reads a component.
///
/// # Errors
/// When it is not a regular file, is larger than any manifest may allow, or cannot be read.
pub fn component(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    file::read(path, Limits::most().component_bytes)
        .map_err(|error| unreadable("the plugin", path, &error))
}

/// Where a document is: on the command line, in a file, or on stdin.
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
    /// Returns the path, if the document is in a file.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Inline(_) => None,
            Self::File(path) => Some(path),
        }
    }

    /// Adds the file and line to a problem, if the document is in a file.
    pub fn place(&self, problem: Diagnostic, line: Option<usize>) -> Diagnostic {
        match self {
            Self::Inline(_) => problem,
            Self::File(path) => problem.at(path, line),
        }
    }

    /// Creates the error for text that is not JSON, with its file and line.
    pub fn misread(&self, problem: impl AsRef<str>, error: &serde_json::Error) -> Diagnostic {
        let line = Some(error.line()).filter(|&line| line > 0);
        self.place(Diagnostic::new(problem), line)
    }
}

/// Reads a document from the command line, a file, a pipe, or stdin (`-`). Another program may still be writing it.
///
/// # Errors
/// As [`text`]; when no program opens the pipe; when stdin is named a second time.
pub fn document(source: &Input, what: &str) -> Result<String, Diagnostic> {
    /// Whether stdin was read: a second document would find it at its end.
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let path = match source {
        Input::Inline(text) => return Ok(text.clone()),
        Input::File(path) => path,
    };
    let text = if !STDIN.iter().any(|name| path == Path::new(name)) {
        file::read_or_pipe(path, MAX_TEXT)
    } else if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(Diagnostic::new(format!(
            "{what} cannot be read from stdin: another document of this command is read from it"
        ))
        .at(path, None)
        .help("write one of them to a file"));
    } else {
        file::text_of(io::stdin().lock(), MAX_TEXT)
    };
    text.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => unreadable(what, path, &error)
            .help("name an existing file; an argument that begins with `{` is the document itself"),
        _ => unreadable(what, path, &error),
    })
}

/// Reads a request; an empty object if there is no source.
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

/// Reads a JSON object; errors call it `what`.
///
/// # Errors
/// When it cannot be read, or is not one JSON object.
pub fn object(source: &Input, what: &str) -> Result<Object, Diagnostic> {
    match value::parse(&document(source, what)?) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => {
            let problem = Diagnostic::new(format!("{what}: this is not a JSON object"));
            Err(source.place(problem, None).help("write a JSON object"))
        }
        Err(error) => Err(source.misread(value::refused(what, &error), &error)),
    }
}

fn unreadable(what: &str, path: &Path, error: &io::Error) -> Diagnostic {
    let diagnostic = Diagnostic::new(format!("{what} cannot be read: {error}")).at(path, None);
    match error.kind() {
        io::ErrorKind::NotFound => diagnostic.help("name an existing file"),
        io::ErrorKind::IsADirectory => diagnostic.help("name a file in it"),
        io::ErrorKind::InvalidInput => {
            diagnostic.help("copy its content to a file, and name that file")
        }
        io::ErrorKind::TimedOut => diagnostic.help("start the program that writes to it first"),
        _ => diagnostic,
    }
}
