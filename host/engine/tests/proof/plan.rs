//! Generated cases: flows, the actions and failures of their tasks, and the order of turns. Plain data, so that a failing case
//! can be shrunk and read.

use proptest::prelude::*;

pub const PROJECTS: [&str; 3] = ["acme", "bolt", "cogs"];
pub const RESOURCES: [&str; 5] = [
    "volumes",
    "gigabytes",
    "snapshots",
    "volumes_gold",
    "gigabytes_gold",
];

/// Some flows on one store.
#[derive(Clone, Debug)]
pub struct Case {
    pub books: Books,
    pub quota: QuotaPlan,
    pub flows: Vec<FlowPlan>,
    /// The flow that runs at each turn: an index among those that can.
    pub turns: Vec<u8>,
}

/// How usage and volumes are related.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Books {
    /// Quota is reserved and committed independently of volumes. Usage is never recounted.
    Free,
    /// Quota is committed for the volumes that are made, so that usage may be recounted at any time.
    Kept,
}

#[derive(Clone, Debug)]
pub struct QuotaPlan {
    /// Limits above the usage at the start: counts, and GiB.
    pub spare: (i64, i64),
    /// As in [`cairn::volumes::quota::QuotaConfig`].
    pub until_refresh: i64,
    pub max_age: u64,
}

#[derive(Clone, Debug)]
pub struct FlowPlan {
    /// Index in [`PROJECTS`].
    pub project: usize,
    pub admin: bool,
    pub tasks: Vec<TaskPlan>,
    /// Interrupted after this task, then resumed if true, else rolled back.
    pub interrupt: Option<(usize, bool)>,
    /// Rolled back by hand at the end, also if it was rolled back already.
    pub again: bool,
    /// Its messages are taken before that.
    pub taken: bool,
}

#[derive(Clone, Debug)]
pub struct TaskPlan {
    pub call: Script,
    pub call_tries: Tries,
    pub revert: Script,
    pub revert_tries: Tries,
    /// The revert returns `keep`.
    pub keep: bool,
}

/// How often a call or revert is tried.
#[derive(Clone, Copy, Debug)]
pub struct Tries {
    pub attempts: u32,
    pub only_busy: bool,
}

/// The actions of a call or a revert.
#[derive(Clone, Debug)]
pub struct Script {
    pub acts: Vec<Act>,
    /// How each attempt fails; attempts beyond the list succeed.
    pub failures: Vec<Option<Failure>>,
}

#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// Number of acts before the failure.
    pub after: usize,
    pub how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Busy,
    Broken,
    Panic,
}

#[derive(Clone, Debug)]
pub struct Act {
    pub step: Step,
    /// Continues if the step is refused.
    pub tolerant: bool,
}

/// One action of a task, mostly one effect.
#[derive(Clone, Debug)]
pub enum Step {
    /// Resources (index in [`RESOURCES`]) and amounts; another project's if an admin asks.
    Reserve(Vec<(usize, i64)>, usize),
    Commit(Pick),
    Release(Pick),
    Create {
        size: i64,
        gold: bool,
        source: Option<Pick>,
    },
    Update(Pick, Update),
    Destroy(Pick),
    Key,
    CopyKey(Pick),
    DeleteKey(Pick),
    Cast,
    Checkpoint,
    /// Takes back by hand what this task's call made.
    ByHand,
    /// Reserves and commits the negative of this task's latest reservation. Does nothing in the revert of a call that did not
    /// return.
    GiveBack,
    /// Reserves for a volume, creates it, commits.
    Make {
        size: i64,
        gold: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub enum Update {
    Status(usize),
    Host(Option<usize>),
    Scheduled,
}

/// Picks one of the known objects, latest first.
#[derive(Clone, Copy, Debug)]
pub struct Pick {
    pub whose: Whose,
    pub index: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Task,
    Flow,
    /// Another flow's.
    Others,
    Anyone,
    /// From the start.
    Nobody,
}

fn pick() -> impl Strategy<Value = Pick> {
    let whose = prop_oneof![
        3 => Just(Whose::Task),
        2 => Just(Whose::Flow),
        4 => Just(Whose::Others),
        1 => Just(Whose::Anyone),
        1 => Just(Whose::Nobody),
    ];
    (whose, 0..4_usize).prop_map(|(whose, index)| Pick { whose, index })
}

fn own() -> impl Strategy<Value = Pick> {
    let whose =
        prop_oneof![2 => Just(Whose::Task), 1 => Just(Whose::Flow), 1 => Just(Whose::Anyone)];
    (whose, 0..3_usize).prop_map(|(whose, index)| Pick { whose, index })
}

fn update() -> impl Strategy<Value = Update> {
    prop_oneof![
        4 => (0..3_usize).prop_map(Update::Status),
        2 => prop::option::of(0..2_usize).prop_map(Update::Host),
        1 => Just(Update::Scheduled),
    ]
}

/// Returns steps that do not change usage.
fn neutral() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (pick(), update()).prop_map(|(volume, update)| Step::Update(volume, update)),
        2 => Just(Step::Key),
        1 => pick().prop_map(Step::CopyKey),
        1 => own().prop_map(Step::DeleteKey),
        2 => Just(Step::Cast),
        1 => Just(Step::Checkpoint),
    ]
}

fn step(books: Books, revert: bool) -> BoxedStrategy<Step> {
    let deltas = prop::collection::vec((0..RESOURCES.len(), -2..4_i64), 1..3);
    let held = prop::collection::vec((0..RESOURCES.len(), 0..3_i64), 1..3);
    let size = 1..4_i64;
    match (books, revert) {
        (Books::Free, _) => prop_oneof![
            8 => neutral(),
            4 => (deltas, 0..PROJECTS.len()).prop_map(|(deltas, project)| Step::Reserve(deltas, project)),
            4 => own().prop_map(Step::Commit),
            2 => own().prop_map(Step::Release),
            4 => (size, any::<bool>(), prop::option::weighted(0.2, pick()))
                .prop_map(|(size, gold, source)| Step::Create { size, gold, source }),
            2 => own().prop_map(Step::Destroy),
            1 => Just(Step::GiveBack),
            (if revert { 3 } else { 0 }) => Just(Step::ByHand),
        ]
        .boxed(),
        // Only the first task makes a volume, and only its revert gives it back: see `kept`.
        (Books::Kept, false) => prop_oneof![
            3 => neutral(),
            2 => (held, 0..PROJECTS.len()).prop_map(|(deltas, project)| Step::Reserve(deltas, project)),
            1 => own().prop_map(Step::Release),
        ]
        .boxed(),
        (Books::Kept, true) => neutral().boxed(),
    }
}

fn act(books: Books, revert: bool) -> impl Strategy<Value = Act> {
    (step(books, revert), prop::bool::weighted(0.7))
        .prop_map(|(step, tolerant)| Act { step, tolerant })
}

fn failures(often: f64, attempts: usize) -> impl Strategy<Value = Vec<Option<Failure>>> {
    let how = prop_oneof![3 => Just(How::Busy), 2 => Just(How::Broken), 1 => Just(How::Panic)];
    let failure = (0..5_usize, how).prop_map(|(after, how)| Failure { after, how });
    prop::collection::vec(prop::option::weighted(often, failure), 0..=attempts)
}

fn tries() -> impl Strategy<Value = Tries> {
    (1..4_u32, any::<bool>()).prop_map(|(attempts, only_busy)| Tries {
        attempts,
        only_busy,
    })
}

fn script(books: Books, revert: bool) -> impl Strategy<Value = Script> {
    let (acts, often) = if revert { (0..4, 0.35) } else { (0..5, 0.3) };
    let acts = prop::collection::vec(act(books, revert), acts);
    (acts, failures(often, 3)).prop_map(|(acts, failures)| Script { acts, failures })
}

fn task(books: Books) -> impl Strategy<Value = TaskPlan> {
    let scripts = (script(books, false), script(books, true));
    (scripts, tries(), tries(), prop::bool::weighted(0.25)).prop_map(
        |((call, revert), call_tries, revert_tries, keep)| TaskPlan {
            call,
            call_tries,
            revert,
            revert_tries,
            keep,
        },
    )
}

/// How the task that makes a volume takes it back.
#[derive(Clone, Copy, Debug)]
enum Back {
    ByHost,
    Destroyed,
    InError,
}

/// Makes the first task of a flow create a volume and take it back according to `back`.
fn kept(mut flow: FlowPlan, size: i64, gold: bool, back: Back) -> FlowPlan {
    let mine = Pick {
        whose: Whose::Task,
        index: 0,
    };
    let strict = |step| Act {
        step,
        tolerant: false,
    };
    let tolerant = |step| Act {
        step,
        tolerant: true,
    };
    let task = &mut flow.tasks[0];
    // The last act, so that its reservation is the task's latest.
    task.call.acts.push(strict(Step::Make { size, gold }));
    // If the revert gives the volume's quota back by hand, the host must not give it back too.
    let after = match back {
        Back::ByHost => {
            task.keep = false;
            return flow;
        }
        Back::Destroyed => Step::Destroy(mine),
        Back::InError => Step::Update(mine, Update::Status(0)),
    };
    task.keep = true;
    task.revert
        .acts
        .splice(0..0, [strict(Step::GiveBack), tolerant(after)]);
    flow
}

fn flow(books: Books) -> BoxedStrategy<FlowPlan> {
    let project = prop_oneof![6 => Just(0), 2 => Just(1), 1 => Just(2_usize)];
    let interrupt = prop::option::weighted(0.1, (0..3_usize, any::<bool>()));
    let tasks = prop::collection::vec(task(books), 1..5);
    let flow = (
        project,
        prop::bool::weighted(0.1),
        tasks,
        interrupt,
        (prop::bool::weighted(0.2), any::<bool>()),
    )
        .prop_map(
            |(project, admin, tasks, interrupt, (again, taken))| FlowPlan {
                project,
                admin,
                tasks,
                interrupt,
                again,
                taken,
            },
        );
    match books {
        Books::Free => flow.boxed(),
        Books::Kept => {
            let back = prop_oneof![
                2 => Just(Back::ByHost),
                1 => Just(Back::Destroyed),
                1 => Just(Back::InError),
            ];
            let volume = prop::option::weighted(0.8, (1..4_i64, any::<bool>(), back));
            (flow, volume)
                .prop_map(|(flow, volume)| match volume {
                    Some((size, gold, back)) => kept(flow, size, gold, back),
                    None => flow,
                })
                .boxed()
        }
    }
}

pub fn case() -> impl Strategy<Value = Case> {
    prop_oneof![Just(Books::Free), Just(Books::Kept)].prop_flat_map(|books| {
        let refresh = match books {
            Books::Free => (Just(0), Just(0)).boxed(),
            Books::Kept => (0..4_i64, 0..4_u64).boxed(),
        };
        let quota =
            ((0..8_i64, 0..20_i64), refresh).prop_map(|(spare, (until_refresh, max_age))| {
                QuotaPlan {
                    spare,
                    until_refresh,
                    max_age,
                }
            });
        let flows = prop::collection::vec(flow(books), 1..6);
        let turns = prop::collection::vec(any::<u8>(), 0..120);
        (quota, flows, turns).prop_map(move |(quota, flows, turns)| Case {
            books,
            quota,
            flows,
            turns,
        })
    })
}
