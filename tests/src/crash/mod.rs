//! Processes that die at named points, and what must hold whenever one is started again.

pub mod child;
mod invariants;

pub use invariants::{Found, check};

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One life of the child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Life {
    /// The folder of the database, `cairn.db`.
    pub folder: PathBuf,
    /// The folder of compiled plugins, shared by all lives.
    pub cache: PathBuf,
    /// What it does.
    pub task: Task,
    /// The task of the flow that fails after it has done its work, counted from 1.
    pub fails: Option<usize>,
    /// What recovery does with the flow.
    pub resumes: bool,
    /// Every so many events are a commit.
    pub events: usize,
    /// How long it may be stopped before others take its flows over; the store's own default when there is none.
    pub lease: Option<Duration>,
    /// Where it dies; it counts instead when there is no such place.
    pub dies: Option<Death>,
    /// It is stopped there, as by SIGSTOP, and does not die.
    pub stops: bool,
    /// Whether it delivers messages, to the file [`RECEIVED`] in its folder.
    pub delivers: bool,
}

/// The file of messages that were delivered: flow and id of each, a line.
pub const RECEIVED: &str = "received";

/// What a life is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Runs the volume-create flow.
    Run,
    /// Takes up what is left behind.
    Recover,
    /// Serves what was asked of flows that are left behind.
    Serve,
}

/// A place where a life ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// The name of the point.
    pub point: String,
    /// Whether a task of the flow had begun to be reverted.
    pub reverting: bool,
    /// The how manieth time the process is there, counted from 1.
    pub time: usize,
}

/// How often a life came to a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visits {
    /// The name of the point.
    pub point: String,
    /// Whether a task of the flow had begun to be reverted.
    pub reverting: bool,
    /// How often.
    pub times: usize,
}
