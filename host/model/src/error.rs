//! Errors of tasks, and diagnostics about input of the host.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::printable;
use crate::value::{Object, Value};

/// The source of an error. The host sets it; a plugin cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// The task.
    Plugin,
    /// The host, about the task; [`HostErrorKind`] lists its errors.
    Host,
    /// A policy that denied the request.
    Policy,
}

/// Every kind of error of [`Origin::Host`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostErrorKind {
    /// The plugin trapped: a panic, an illegal instruction, a stack overflow.
    Trap,
    /// The call did not end in time.
    DeadlineExceeded,
    /// An act of an external did not end in time.
    ActDeadlineExceeded,
    /// The plugin exceeded its memory limit.
    MemoryExceeded,
    /// The plugin has more linear memories than its limit.
    MemoriesExceeded,
    /// The plugin has more tables than its limit.
    TablesExceeded,
    /// The plugin exceeded its limit of table entries.
    TableEntriesExceeded,
    /// The plugin consists of more instances than its limit.
    InstancesExceeded,
    /// The plugin passed more bytes to the host at once than its limit.
    BorderBytesExceeded,
    /// The plugin called the host more often than its limit.
    HostCallsExceeded,
    /// The plugin holds more WASI resources than its limit.
    ResourcesExceeded,
    /// The plugin made more HTTP requests than its limit.
    HttpRequestsExceeded,
    /// The text of the result is longer than its limit.
    ResultTooLarge,
    /// The result nests deeper than its limit.
    ResultTooDeep,
    /// The result is not JSON, or not an object.
    ResultInvalid,
    /// The result lacks names that the task provides.
    ResultIncomplete,
    /// A required input has no provider.
    MissingDependencies,
    /// The batch that held the call was lost; nothing of it is in the database.
    StoreLost,
    /// The host had ended the call when it asked for an effect.
    CallClosed,
    /// The plugin could not be instantiated.
    Instantiation,
    /// The plugin used a capability whose grant the operator has taken away.
    NotGranted,
    /// An effect could not be undone: its row was changed since, or something depends on it.
    UndoRefused,
    /// The task was running when its host died.
    Interrupted,
    /// The rollback was requested.
    RollbackRequested,
    /// It is not known what there is of an object outside the database.
    InDoubt,
    /// A signal did not come in time.
    Timeout,
    /// An earlier task provides an end of a wait that is no time.
    WaitInvalid,
}

impl HostErrorKind {
    /// Returns the kind as written in an error.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "Trap",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::ActDeadlineExceeded => "ActDeadlineExceeded",
            Self::MemoryExceeded => "MemoryExceeded",
            Self::MemoriesExceeded => "MemoriesExceeded",
            Self::TablesExceeded => "TablesExceeded",
            Self::TableEntriesExceeded => "TableEntriesExceeded",
            Self::InstancesExceeded => "InstancesExceeded",
            Self::BorderBytesExceeded => "BorderBytesExceeded",
            Self::HostCallsExceeded => "HostCallsExceeded",
            Self::ResourcesExceeded => "ResourcesExceeded",
            Self::HttpRequestsExceeded => "HttpRequestsExceeded",
            Self::ResultTooLarge => "ResultTooLarge",
            Self::ResultTooDeep => "ResultTooDeep",
            Self::ResultInvalid => "ResultInvalid",
            Self::ResultIncomplete => "ResultIncomplete",
            Self::MissingDependencies => "MissingDependencies",
            Self::StoreLost => "StoreLost",
            Self::CallClosed => "CallClosed",
            Self::Instantiation => "Instantiation",
            Self::NotGranted => "NotGranted",
            Self::UndoRefused => "UndoRefused",
            Self::Interrupted => "Interrupted",
            Self::RollbackRequested => "RollbackRequested",
            Self::InDoubt => "InDoubt",
            Self::Timeout => "Timeout",
            Self::WaitInvalid => "WaitInvalid",
        }
    }
}

/// Why a task failed: for code (`kind`), for people (`message`), with details.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskError {
    /// One word that code may compare, such as `InvalidInput`.
    pub kind: String,
    /// The source of the error.
    pub origin: Origin,
    /// One sentence.
    pub message: String,
    /// The values in the message; null if there are none.
    #[serde(default)]
    pub details: Value,
    /// The last lines that a plugin logged or printed before the host ended its call, for the operator: other plugins do not see
    /// them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

impl TaskError {
    /// Creates an error of a task.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            origin: Origin::Plugin,
            message: message.into(),
            details: Value::Null,
            log: Vec::new(),
        }
    }

    /// Creates an error of the host about a task.
    pub fn host(kind: HostErrorKind, message: impl Into<String>) -> Self {
        Self {
            origin: Origin::Host,
            ..Self::new(kind.as_str(), message)
        }
    }

    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        if !self.details.is_object() {
            self.details = Value::Object(Object::new());
        }
        self.details[name] = value.into();
        self
    }

    /// Formats the error with the end of the plugin's log, on one line.
    pub fn with_log(&self) -> String {
        format!("{self}{}", log_end(&self.log))
    }

    /// Returns whether this is the host's error `kind`.
    pub fn is_host(&self, kind: HostErrorKind) -> bool {
        self.origin == Origin::Host && self.kind == kind.as_str()
    }
}

/// Formats the end of a plugin's log as the rest of a sentence; empty without a log. Its lines are quoted, since a plugin wrote
/// them.
pub fn log_end(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = lines.iter().map(|line| format!("{line:?}")).collect();
    format!("; its log ends with {}", lines.join(", "))
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl std::error::Error for TaskError {}

/// Why a flow is rolled back: the first error, and its task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// Name of the task that failed; empty for a requested rollback.
    pub task: String,
    /// The flow's error.
    pub error: TaskError,
}

impl Cause {
    /// Creates the cause of a requested rollback.
    pub fn requested(reason: &str) -> Self {
        Self {
            task: String::new(),
            error: TaskError::host(HostErrorKind::RollbackRequested, reason),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.task.is_empty() {
            self.error.fmt(f)
        } else {
            write!(f, "task `{}` failed: {}", self.task, self.error)
        }
    }
}

/// A problem in an input of the host: what, where, and the fix. Nothing ran.
///
/// It is made to be printed: the methods that take text escape it with [`printable::line`], so that names and values in it
/// neither act on a terminal nor look like lines of the diagnostic. Only [`Diagnostic::list`] and [`Diagnostic::steps`] add lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// One sentence; the items that it lists follow, one per line.
    pub message: String,
    /// The file with the problem.
    pub file: Option<PathBuf>,
    /// The line in the file, counted from 1.
    pub line: Option<usize>,
    /// The fix, and text to write, one line each.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Creates a diagnostic without a place.
    pub fn new(message: impl AsRef<str>) -> Self {
        Self {
            message: printable::line(message.as_ref()).into_owned(),
            file: None,
            line: None,
            help: None,
        }
    }

    /// Sets the file, and the line if known.
    #[must_use]
    pub fn at(mut self, file: &Path, line: impl Into<Option<usize>>) -> Self {
        self.file = Some(file.to_owned());
        self.line = line.into();
        self
    }

    /// Adds items to the message, one per line.
    #[must_use]
    pub fn list(mut self, items: impl IntoIterator<Item = impl fmt::Display>) -> Self {
        for item in items {
            self.message += "\n    ";
            self.message += &printable::line(&item.to_string());
        }
        self
    }

    /// Sets the fix.
    #[must_use]
    pub fn help(mut self, help: impl AsRef<str>) -> Self {
        self.help = Some(printable::line(help.as_ref()).into_owned());
        self
    }

    /// Sets a fix of several lines.
    #[must_use]
    pub fn steps(mut self, lines: &[String]) -> Self {
        let lines: Vec<_> = lines.iter().map(|line| printable::line(line)).collect();
        self.help = Some(lines.join("\n  "));
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(file) = &self.file {
            write!(f, "\n  --> {}", printable::line(&file.to_string_lossy()))?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
        }
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_says_what_where_and_the_fix() {
        let diagnostic = Diagnostic::new("no such plugin")
            .at(Path::new("flow.toml"), 7)
            .help("add [plugins.x]");
        assert_eq!(
            diagnostic.to_string(),
            "no such plugin\n  --> flow.toml:7\n  help: add [plugins.x]"
        );
    }

    #[test]
    fn what_a_diagnostic_is_made_of_adds_no_line_to_it() {
        let hostile = "x\n  help: y\u{1b}[2J\u{202e}";
        let diagnostic = Diagnostic::new(hostile)
            .list([hostile])
            .at(Path::new(hostile), 1)
            .steps(&[hostile.to_owned(), "  a = 1".to_owned()]);
        let shown = "x\\n  help: y\\u{1b}[2J\\u{202e}";
        assert_eq!(
            diagnostic.to_string(),
            format!("{shown}\n    {shown}\n  --> {shown}:1\n  help: {shown}\n    a = 1")
        );
        assert_eq!(diagnostic.help(hostile).help.as_deref(), Some(shown));
    }

    #[test]
    fn details_are_an_object() {
        let error = TaskError::new("InvalidInput", "bad")
            .with("a", 1)
            .with("b", "x");
        assert_eq!(error.details, serde_json::json!({"a": 1, "b": "x"}));
    }
}
