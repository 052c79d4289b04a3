//! Processes that crash at named points, and the invariants that must hold after a restart.

pub mod child;
mod invariants;

pub use invariants::{Found, check, check_on_a_server};

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One run of the child process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Life {
    /// The folder of the database `cairn.db`, or of the key and the locks of a database on a server.
    pub folder: PathBuf,
    /// The URL of the database, if it is on a server.
    pub server: Option<String>,
    /// The folder of compiled plugins, shared by all lives.
    pub cache: PathBuf,
    /// The task of this life.
    pub task: Task,
    /// The task of the flow that fails after its work, counted from 1.
    pub fails: Option<usize>,
    /// Whether recovery resumes the flow.
    pub resumes: bool,
    /// The number of events per commit.
    pub events: usize,
    /// The duration of a lease, after which others take over the flows of a stopped process; `None` for the store's
    /// default.
    pub lease: Option<Duration>,
    /// The place where it crashes; `None` to count the visits instead.
    pub dies: Option<Death>,
    /// Stops there by SIGSTOP instead of crashing.
    pub stops: bool,
    /// Whether it delivers messages, to the file [`RECEIVED`] in its folder.
    pub delivers: bool,
}

/// The file of messages that were delivered: flow and id of each, a line.
pub const RECEIVED: &str = "received";

/// The purpose of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Runs the volume-create flow.
    Run,
    /// Recovers the flows left behind.
    Recover,
    /// Serves the requests that concern flows left behind.
    Serve,
    /// Takes a share of the projects, until a flow has ended.
    Share,
}

/// The place where a life ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// The name of the crash point.
    pub point: String,
    /// Whether the revert of a task of the flow had begun.
    pub reverting: bool,
    /// The number of the visit, counted from 1.
    pub time: usize,
}

/// The number of visits of a crash point in one life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visits {
    /// The name of the crash point.
    pub point: String,
    /// Whether the revert of a task of the flow had begun.
    pub reverting: bool,
    /// The number of visits.
    pub times: usize,
}
