//! What goes wrong: in a task, and in what the host is given to read.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::printable;
use crate::value::{Object, Value};

/// Who says that something went wrong. The host sets it; a plugin cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// The task itself.
    Plugin,
    /// The host, about the task; [`HostErrorKind`] lists what it says.
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
    /// The plugin wanted more memory than it may have.
    MemoryExceeded,
    /// The plugin has more linear memories than it may have.
    MemoriesExceeded,
    /// The plugin has more tables than it may have.
    TablesExceeded,
    /// The plugin wanted a larger table than it may have.
    TableEntriesExceeded,
    /// The plugin is made of more instances than it may have.
    InstancesExceeded,
    /// The plugin handed more bytes to the host at once than it may.
    BorderBytesExceeded,
    /// The plugin called the host more often than it may.
    HostCallsExceeded,
    /// The plugin holds more of WASI's resources than it may.
    ResourcesExceeded,
    /// The text of the result is longer than it may be.
    ResultTooLarge,
    /// The result nests deeper than it may.
    ResultTooDeep,
    /// The result is no JSON, or is no object.
    ResultInvalid,
    /// The result lacks names that the task provides.
    ResultIncomplete,
    /// A required input has no provider.
    MissingDependencies,
    /// The batch that held the call was lost; nothing of it is in the database.
    StoreLost,
    /// The call had been ended by the host when it asked for an effect.
    CallClosed,
    /// The plugin could not be instantiated.
    Instantiation,
    /// The plugin asked for what it was granted once, and the operator does not allow any more.
    NotGranted,
    /// An effect could not be undone: what it wrote was changed since, or something depends on it.
    UndoRefused,
    /// A task that was in hand when its host died.
    Interrupted,
    /// Somebody asked for the rollback.
    RollbackRequested,
}

impl HostErrorKind {
    /// The kind as it stands in an error.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "Trap",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::MemoryExceeded => "MemoryExceeded",
            Self::MemoriesExceeded => "MemoriesExceeded",
            Self::TablesExceeded => "TablesExceeded",
            Self::TableEntriesExceeded => "TableEntriesExceeded",
            Self::InstancesExceeded => "InstancesExceeded",
            Self::BorderBytesExceeded => "BorderBytesExceeded",
            Self::HostCallsExceeded => "HostCallsExceeded",
            Self::ResourcesExceeded => "ResourcesExceeded",
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
        }
    }
}

/// Why a task failed: for code (`kind`), for people (`message`), and in detail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskError {
    /// One word that code may compare, such as `InvalidInput`.
    pub kind: String,
    /// Who says so.
    pub origin: Origin,
    /// One sentence.
    pub message: String,
    /// The values the message was made of; null when there are none.
    #[serde(default)]
    pub details: Value,
    /// The last lines that a plugin logged or printed before the host ended its call, for the operator: other plugins do not see
    /// them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

impl TaskError {
    /// An error of a task's own.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            origin: Origin::Plugin,
            message: message.into(),
            details: Value::Null,
            log: Vec::new(),
        }
    }

    /// An error that the host states about a task.
    pub fn host(kind: HostErrorKind, message: impl Into<String>) -> Self {
        Self {
            origin: Origin::Host,
            ..Self::new(kind.as_str(), message)
        }
    }

    /// The same error with one more detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        if !self.details.is_object() {
            self.details = Value::Object(Object::new());
        }
        self.details[name] = value.into();
        self
    }

    /// The error, and how the plugin's log ends, on one line.
    pub fn with_log(&self) -> String {
        format!("{self}{}", log_end(&self.log))
    }

    /// Whether the host says this, and says `kind`.
    pub fn is_host(&self, kind: HostErrorKind) -> bool {
        self.origin == Origin::Host && self.kind == kind.as_str()
    }
}

/// How a plugin's log ends, as the rest of a sentence; empty when it said nothing. Its lines are literals: they are a plugin's text.
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

/// Why a flow is rolled back: the first error, and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// Name of the task that failed; empty when somebody asked for the rollback.
    pub task: String,
    /// The flow's error.
    pub error: TaskError,
}

impl Cause {
    /// The cause of a rollback that somebody asked for.
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

/// What is wrong in something the host was given to read, where, and the fix. Nothing ran.
///
/// It is made to be printed: the methods that take text escape it with [`printable::line`], so that names and values in it
/// neither act on a terminal nor look like lines of the diagnostic. Only [`Diagnostic::list`] and [`Diagnostic::steps`] add lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// One sentence, and what it lists, a line each.
    pub message: String,
    /// The file that is wrong.
    pub file: Option<PathBuf>,
    /// The line in it, counted from 1.
    pub line: Option<usize>,
    /// What to do about it, and what to write, a line each.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A diagnostic without a place.
    pub fn new(message: impl AsRef<str>) -> Self {
        Self {
            message: printable::line(message.as_ref()).into_owned(),
            file: None,
            line: None,
            help: None,
        }
    }

    /// The same, in `file`, and on `line` where one is known.
    #[must_use]
    pub fn at(mut self, file: &Path, line: impl Into<Option<usize>>) -> Self {
        self.file = Some(file.to_owned());
        self.line = line.into();
        self
    }

    /// The same, with what the sentence is about, a line each.
    #[must_use]
    pub fn list(mut self, items: impl IntoIterator<Item = impl fmt::Display>) -> Self {
        for item in items {
            self.message += "\n    ";
            self.message += &printable::line(&item.to_string());
        }
        self
    }

    /// The same, with the fix.
    #[must_use]
    pub fn help(mut self, help: impl AsRef<str>) -> Self {
        self.help = Some(printable::line(help.as_ref()).into_owned());
        self
    }

    /// The same, with a fix of several lines.
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
