//! Maps reports and errors to exit codes and messages.

use std::process::ExitCode;

use cairn::error::Origin;
use cairn::event::FlowState;
use cairn::flow::SignalError;
use cairn::flow_request::RequestError;
use cairn::host::Hindrance;
use cairn::plugin::PluginError;
use cairn::{Diagnostic, FlowError, HostError, Report, StoreError, TaskError, Verdict};
use cairn_bench::BenchError;
use cairn_laws::LawsError;

/// Exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The flow succeeded, or the query was answered.
    Ok = 0,
    /// The host itself failed: disk, database.
    Host = 1,
    /// The command or its input is wrong; nothing ran.
    Usage = 2,
    /// The flow failed or was denied, and was rolled back with the verdict `clean` or `kept`.
    Failed = 3,
    /// The flow failed and left residue, or its rollback is incomplete.
    Residue = 4,
    /// The flow was interrupted and can be resumed, or sleeps and goes on later.
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
    /// Returns the exit code for a flow's report.
    pub fn of(report: &Report) -> Self {
        let verdict = report.rollback.as_ref().map(|rollback| rollback.verdict);
        match (report.flow.state, verdict) {
            (FlowState::Success, _) => Self::Ok,
            (FlowState::Interrupted, _) => Self::Interrupted,
            (_, Some(Verdict::Unknown)) => Self::Residue,
            _ if report.flow.sleep.is_some() => Self::Interrupted,
            (FlowState::Failure, None) => Self::Failed,
            (FlowState::Failure, Some(verdict)) => match leaves_nothing_unwanted(verdict) {
                true => Self::Failed,
                false => Self::Residue,
            },
            // The flow's owner is gone: the flow is neither finished nor rolled back.
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

    /// Returns the worse of two exit codes; from the worst on the order is 1, 4, 3, 6, 2, 5, 0.
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

    /// Returns the exit code for a refusal by a rule: an unknown name or a wrong value is bad usage, any other refusal is `Refused`.
    fn of_refusal(error: &TaskError) -> Self {
        match error.kind.as_str() {
            _ if error.origin == Origin::Host => Self::Host,
            "NotUnique"
            | "QuotaResourceUnknown"
            | "InvalidInput"
            | "InvalidValue"
            | "NoTransport" => Self::Usage,
            kind if kind.ends_with("NotFound") => Self::Usage,
            _ => Self::Refused,
        }
    }
}

/// Returns whether a rollback undid everything except what its tasks kept.
pub fn leaves_nothing_unwanted(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Clean | Verdict::Kept)
}

/// Help for a journal that cannot be read.
const DAMAGED: &str =
    "other flows are not affected; to get this one back, restore a backup with `cairn db restore`";

/// Help for a flow of a domain that this program does not have.
const UNKNOWN_TABLE: &str = "the flow was not changed; `cairn recover` tries it again";

/// Help for a database that is held after a restore.
const HELD: &str = "`cairn outbox list` shows the messages that may have left since the backup, and `cairn outbox discard` drops those that have; \
                    then run `cairn db release`";

/// Help for an unknown flow.
const SEE_FLOWS: &str = "`cairn flow list` shows the flows";

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The message for stderr.
    pub diagnostic: Diagnostic,
}

impl Failure {
    /// Creates a failure of the host itself.
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
                        "`cairn quota show` prints limits and usages; `cairn quota set` raises a limit",
                    ),
                    "Backlog" => Diagnostic::new(error.to_string()).help(
                        "`cairn outbox list` shows the messages; receivers that take them, `cairn outbox discard` or `most` in [deliver] make room",
                    ),
                    "NoTransport" => Diagnostic::new(error.message).help(
                        "add [deliver] to cairn.toml, or take messages with `cairn outbox ack`",
                    ),
                    "FlowNotFound" => Diagnostic::new(error.message).help(SEE_FLOWS),
                    _ => Diagnostic::new(error.message),
                },
            },
            StoreError::Elsewhere { .. } => Self {
                exit: Exit::Refused,
                diagnostic: Diagnostic::new(error.to_string()).help(
                    "`cairn host list` shows the hosts; a project is handed over once no task of its flows runs",
                ),
            },
            StoreError::UnknownFlow(_) => Diagnostic::new(error.to_string()).help(SEE_FLOWS).into(),
            StoreError::Held { .. } => Self {
                exit: Exit::Refused,
                diagnostic: Diagnostic::new(error.to_string()).help(HELD),
            },
            StoreError::Damaged { .. } => Self {
                exit: Exit::Host,
                diagnostic: Diagnostic::new(error.to_string()).help(DAMAGED),
            },
            StoreError::OtherSettings { .. } => Diagnostic::new(error.to_string())
                .help(
                    "give every host the same cairn.toml and policy file; to change a setting, drain all hosts (`cairn host drain --all`), then stop their processes: `cairn host list` must be empty",
                )
                .into(),
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
                "the flow was not changed: fix the cause and try again; `cairn recover` tries every stuck flow",
            ),
            HostError::Elsewhere {
                why: Hindrance::Stuck,
                ..
            } => stuck(
                &error,
                "the flow was not changed: fix the cause and try again",
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
                why: Hindrance::State | Hindrance::Input,
                ..
            } => Self {
                exit: Exit::Usage,
                diagnostic: Diagnostic::new(error.to_string()),
            },
            HostError::Flow(FlowError::PastPivot)
            | HostError::Elsewhere {
                why: Hindrance::Refused,
                ..
            } => Self {
                exit: Exit::Refused,
                diagnostic: Diagnostic::new(error.to_string()).help(
                    "`cairn flow show` says what fails; `cairn flow resume` tries it at once",
                ),
            },
            HostError::Flow(FlowError::Signal(refused)) => Self {
                exit: match refused {
                    SignalError::Other(_) | SignalError::Over(_) => Exit::Refused,
                    _ => Exit::Usage,
                },
                diagnostic: Diagnostic::new(refused.to_string()),
            },
            HostError::NotStarted => Self {
                exit: Exit::Interrupted,
                diagnostic: Diagnostic::new(error.to_string()),
            },
            HostError::GoesOn(flow) => Self {
                exit: Exit::Interrupted,
                diagnostic: Diagnostic::new(error.to_string())
                    .help(format!("`cairn flow show {flow}` shows it")),
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
            BenchError::Database(_)
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
