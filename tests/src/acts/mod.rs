//! Processes that crash while they make and remove objects outside the database, and what must hold of the objects and their rows.

pub mod child;
mod judge;
mod points;
mod world;

pub use judge::{Found, accounted, settled};

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One run of the child process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Life {
    /// The folder of the database [`DATABASE`] and of the objects, which are in its folder [`WORLD`].
    pub folder: PathBuf,
    /// The task of this life.
    pub task: Task,
    /// How far the clock of this life is ahead of the machine's.
    pub later: Duration,
    /// Whether the flow's last task fails.
    pub fails: bool,
    /// Whether recovery resumes the flow.
    pub resumes: bool,
    /// What goes wrong in this life.
    pub faults: Faults,
    /// A mistake that this life makes.
    pub mistake: Option<Mistake>,
    /// Where it crashes; `None` to count the visits instead.
    pub dies: Option<Death>,
    /// What its process is as a host.
    pub host: Host,
}

/// What a process is as a host of the database.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Host {
    /// The URL of the database; a file in the folder of the life without one.
    pub server: Option<String>,
    /// The folder of its locks.
    pub locks: Option<PathBuf>,
    /// Its lease; longer than all lives without one, so that a life that ended is known to be dead by its lock.
    pub lease: Option<Duration>,
    /// Whether it is stopped by a signal, where it would crash.
    pub stops: bool,
    /// Whether the provider refuses acts with older tokens.
    pub fences: bool,
}

/// The name of the database.
pub const DATABASE: &str = "cairn.db";

/// The folder of the objects, a file each.
pub const WORLD: &str = "world";

/// The folder of the newest token of each object, for a provider that fences.
const TOKENS: &str = "tokens";

/// What the name of a file begins with while its object is a part.
pub const PART: &str = ".new.";

/// The labels of the objects that a flow makes.
pub const LABELS: [&str; 2] = ["a", "b"];

/// The purpose of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Runs the flow.
    Run,
    /// Runs a flow whose pivot removes all objects, and then fails once.
    Remove,
    /// Recovers the flows left behind, and wakes them until none sleeps.
    Recover,
    /// Recovers the flows left behind, and wakes those that are due once.
    Look,
    /// As `Recover`; then rolls those back whose rollback is incomplete.
    RollBack,
}

/// What goes wrong in the world during one life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// How the acts that make objects go wrong, in order; those after the last one work.
    pub makes: Vec<Fault>,
    /// How the acts that remove objects go wrong.
    pub removes: Vec<Fault>,
    /// How many looks fail.
    pub blind: usize,
}

/// How an act goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// Does nothing wrong.
    Works,
    /// It says that nothing has changed, and nothing has.
    Refuses,
    /// It does not know, and nothing has changed.
    UnsureBefore,
    /// It does not know, and leaves a part.
    UnsureWithin,
    /// It does not know, and the work is done.
    UnsureAfter,
    /// It panics after the work is done.
    Panics,
}

/// A mistake that is known from other systems. The child makes it on purpose, to see that the judgement notices it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mistake {
    /// The object is made before its intent is on disk.
    ActBeforeIntent,
    /// An answer that does not know is taken for a refusal.
    UnsureIsRefused,
    /// The row is removed, and the object stays.
    ObjectLeft,
    /// The row is removed before the object is.
    RowFirst,
    /// The object is made under its own name bit by bit, so that a part looks whole.
    InPlace,
}

/// The place where a life ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// The name of a crash point, or of a [point of the world](WORLD_POINTS).
    pub point: String,
    /// The number of the visit, counted from 1.
    pub time: usize,
}

/// The points of the provider: within an act.
pub const WORLD_POINTS: [&str; 5] = [
    MAKE_BEGUN,
    PART_WRITTEN,
    OBJECT_WHOLE,
    REMOVAL_BEGUN,
    OBJECT_REMOVED,
];

/// The provider was asked to make an object, and has done nothing.
const MAKE_BEGUN: &str = "MakeBegun";
/// There is a part of an object.
const PART_WRITTEN: &str = "PartWritten";
/// An object is whole; its provider has not answered.
const OBJECT_WHOLE: &str = "ObjectWhole";
/// The provider was asked to remove an object, and has done nothing.
const REMOVAL_BEGUN: &str = "RemovalBegun";
/// An object is gone; its provider has not answered.
const OBJECT_REMOVED: &str = "ObjectRemoved";
/// By [mistake](Mistake::RowFirst): the row is gone, and the object is there.
const ROW_REMOVED: &str = "RowRemoved";

/// The number of visits of a point in one life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visits {
    /// The name of the point.
    pub point: String,
    /// The number of visits.
    pub times: usize,
}
