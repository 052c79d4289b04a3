//! How the program ends.

use std::process::ExitCode;

use cairn::error::{Diagnostic, Origin, TaskError};
use cairn::event::FlowState;
use cairn::flow::FlowError;
use cairn::host::{Hindrance, HostError};
use cairn::plugin::PluginError;
use cairn::report::{Report, Verdict};
use cairn::request::RequestError;
use cairn::store::StoreError;
use cairn_bench::BenchError;
use cairn_laws::LawsError;

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The flow succeeded, or the query was answered.
    Ok = 0,
    /// The host itself failed: disk, database.
    Host = 1,
    /// What was given to read is wrong; nothing ran.
    Usage = 2,
    /// The flow failed, or was denied, and was rolled back: clean, or with what its tasks keep.
    Failed = 3,
    /// The flow failed and left residue, or its rollback is incomplete.
    Residue = 4,
    /// The flow was interrupted and can be resumed.
    Interrupted = 5,
    /// A check found a difference, an operator's change was refused, or a flow is stuck.
    Refused = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// What the end of a flow comes to.
    pub fn of(report: &Report) -> Self {
        let verdict = report.rollback.as_ref().map(|rollback| rollback.verdict);
        match (report.flow.state, verdict) {
            (FlowState::Success, _) => Self::Ok,
            (FlowState::Interrupted, _) => Self::Interrupted,
            (FlowState::Failure, None) => Self::Failed,
            (FlowState::Failure, Some(verdict)) => match leaves_nothing_unwanted(verdict) {
                true => Self::Failed,
                false => Self::Residue,
            },
            // Whoever had the flow in hand is gone: it is neither done nor undone.
            (
                FlowState::Pending
                | FlowState::Started
                | FlowState::Resuming
                | FlowState::Running
                | FlowState::Reverting,
                _,
            ) => Self::Host,
        }
    }

    /// What two ends come to together.
    pub fn worse(self, other: Self) -> Self {
        let rank = |exit| match exit {
            Self::Ok => 0,
            Self::Interrupted => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Failed => 4,
            Self::Residue => 5,
            Self::Host => 6,
        };
        if rank(other) > rank(self) {
            other
        } else {
            self
        }
    }

    /// What a refusal by a rule comes to: naming what is not there is bad usage, anything else was refused.
    fn of_refusal(error: &TaskError) -> Self {
        match error.kind.as_str() {
            _ if error.origin == Origin::Host => Self::Host,
            "NotUnique" | "QuotaResourceUnknown" | "InvalidInput" | "InvalidValue" => Self::Usage,
            kind if kind.ends_with("NotFound") => Self::Usage,
            _ => Self::Refused,
        }
    }
}

/// Says whether a rollback undid everything but what its tasks keep.
pub fn leaves_nothing_unwanted(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Clean | Verdict::Kept)
}

/// What to do about a journal that cannot be read.
const DAMAGED: &str = "other flows are not touched by it; restore the database from a copy that `cairn db backup` made to have this one back";

/// What to do about a flow of a domain that this program does not have.
const UNKNOWN_TABLE: &str = "nothing of the flow was changed; `cairn recover` tries it again";

/// What to do about a flow that is not there.
const SEE_FLOWS: &str = "`cairn flow list` shows the flows";

/// Why a command did not do what it says.
#[derive(Debug)]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// What is said on stderr.
    pub diagnostic: Diagnostic,
}

impl Failure {
    /// The host's own failure.
    pub fn host(message: impl AsRef<str>) -> Self {
        Self {
            exit: Exit::Host,
            diagnostic: Diagnostic::new(message),
        }
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            exit: Exit::Usage,
            diagnostic,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(error) => Self {
                exit: Exit::of_refusal(&error),
                diagnostic: match error.kind.as_str() {
                    "OverQuota" => Diagnostic::new(error.message).help(
                        "`cairn quota show` says what is used; `cairn quota set` raises a limit",
                    ),
                    "Backlog" => Diagnostic::new(error.to_string()).help(
                        "`cairn outbox list` shows the messages; receivers that take them, `cairn outbox discard` or `most` in [deliver] make room",
                    ),
                    "FlowNotFound" => Diagnostic::new(error.message).help(SEE_FLOWS),
                    _ => Diagnostic::new(error.message),
                },
            },
            StoreError::UnknownFlow(_) => Diagnostic::new(error.to_string()).help(SEE_FLOWS).into(),
            StoreError::Damaged { .. } => Self {
                exit: Exit::Host,
                diagnostic: Diagnostic::new(error.to_string()).help(DAMAGED),
            },
            StoreError::Lost(_)
            | StoreError::UnknownTable { .. }
            | StoreError::Clock(_)
            | StoreError::Database(_)
            | StoreError::CallClosed
            | StoreError::Fenced
            | StoreError::Gone(_)
            | StoreError::WentOn(_)
            | StoreError::InHand { .. }
            | StoreError::KeyTaken { .. } => Self::host(error.to_string()),
            other => Self::host(other.to_string()),
        }
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Invalid(diagnostic) => diagnostic.into(),
            RequestError::Store(error) => error.into(),
            other => Self::host(other.to_string()),
        }
    }
}

impl From<PluginError> for Failure {
    fn from(error: PluginError) -> Self {
        let diagnostic = Diagnostic::new(error.to_string());
        let diagnostic = match error.help() {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        };
        let exit = match error {
            PluginError::Sandbox(_) | PluginError::Cache { .. } | PluginError::NotCompiled(_) => {
                Exit::Host
            }
            PluginError::TooLarge { .. }
            | PluginError::NotAComponent(_)
            | PluginError::CoreModule
            | PluginError::Invalid(_)
            | PluginError::MissingExport { .. }
            | PluginError::UnknownImport { .. }
            | PluginError::Network { .. }
            | PluginError::TooComplex { .. }
            | PluginError::Compiler(_)
            | PluginError::Precompiled
            | PluginError::Untrusted { .. }
            | PluginError::Truncated { .. }
            | PluginError::Mismatch(_)
            | PluginError::WrongVersion { .. }
            | PluginError::Describe(_)
            | PluginError::Description(_) => Exit::Usage,
            _ => Exit::Usage,
        };
        Self { exit, diagnostic }
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        let stuck = |error: &HostError, help| Self {
            exit: Exit::Refused,
            diagnostic: Diagnostic::new(error.to_string()).help(help),
        };
        match error {
            HostError::Invalid(diagnostic) => diagnostic.into(),
            HostError::Store(StoreError::Damaged { .. }) => stuck(&error, DAMAGED),
            HostError::Store(StoreError::UnknownTable { .. }) => stuck(&error, UNKNOWN_TABLE),
            HostError::Store(error) => error.into(),
            HostError::Plugin(error) => error.into(),
            HostError::CannotTakeUp { .. } => stuck(
                &error,
                "nothing of the flow was changed: mend what is named, and try again; `cairn recover` tries every flow that is stuck",
            ),
            HostError::Elsewhere {
                why: Hindrance::Stuck,
                ..
            } => stuck(
                &error,
                "nothing of the flow was changed: mend what is named, and try again",
            ),
            HostError::Elsewhere {
                why: Hindrance::Host,
                ..
            } => Self::host(error.to_string()),
            HostError::Flow(
                FlowError::InvalidState { .. }
                | FlowError::EffectsStand
                | FlowError::Unreverted
                | FlowError::Left(_)
                | FlowError::NothingToAccept,
            )
            | HostError::KeyReused { .. }
            | HostError::Elsewhere {
                why: Hindrance::State,
                ..
            } => Self {
                exit: Exit::Usage,
                diagnostic: Diagnostic::new(error.to_string()),
            },
            HostError::NotStarted => Self {
                exit: Exit::Interrupted,
                diagnostic: Diagnostic::new(error.to_string()),
            },
            other => Self::host(other.to_string()),
        }
    }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        match error {
            BenchError::Host(error) => error.into(),
            BenchError::Store(error) => error.into(),
            BenchError::Folder(diagnostic) => diagnostic.into(),
            BenchError::Sqlite(_)
            | BenchError::Sandbox(_)
            | BenchError::Io(_)
            | BenchError::Unexpected(_) => Self::host(error.to_string()),
            other => Self::host(other.to_string()),
        }
    }
}

impl From<LawsError> for Failure {
    fn from(error: LawsError) -> Self {
        match error {
            LawsError::Invalid(diagnostic) => diagnostic.into(),
            LawsError::Host(error) => error.into(),
            LawsError::Store(error) => error.into(),
            other => Self::host(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_bad_usage_and_what_a_rule_forbids_is_refused() {
        for (kind, exit) in [
            ("NotFound", Exit::Usage),
            ("VolumeNotFound", Exit::Usage),
            ("QuotaResourceUnknown", Exit::Usage),
            ("OverQuota", Exit::Refused),
            ("VolumeInUse", Exit::Refused),
            ("NotAuthorized", Exit::Refused),
        ] {
            let failure = Failure::from(StoreError::Refused(TaskError::new(kind, "no")));
            assert_eq!(failure.exit, exit, "{kind}");
        }
        assert_eq!(
            Failure::from(StoreError::Database("x".to_owned())).exit,
            Exit::Host
        );
    }

    #[test]
    fn of_several_ends_the_worst_counts() {
        let by_severity = [
            Exit::Host,
            Exit::Residue,
            Exit::Failed,
            Exit::Refused,
            Exit::Usage,
            Exit::Interrupted,
            Exit::Ok,
        ];
        for (at, worse) in by_severity.into_iter().enumerate() {
            for better in by_severity.into_iter().skip(at) {
                assert_eq!(worse.worse(better), worse, "{worse:?} {better:?}");
                assert_eq!(better.worse(worse), worse, "{worse:?} {better:?}");
            }
        }
    }
}
