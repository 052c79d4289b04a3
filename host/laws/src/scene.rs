//! One run of a case: a fresh database, and a flow on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn::capability::{Enforcer, Surroundings};
use cairn::clock::{Clock, ManualClock, Timestamp};
use cairn::error::{Diagnostic, TaskError};
use cairn::flow::{FlowError, Recovery, TaskOptions};
use cairn::host::{Planner, ReadyTask};
use cairn::manifest::Limits;
use cairn::plugin::Plugins;
use cairn::policy::Policy;
use cairn::store::view::Dump;
use cairn::store::{Sqlite, SqliteConfig, Store, StoreError};
use cairn::value::{Object, Value};
use cairn::{Flow, Host, Manifest, Plan, TaskSpec};
use serde_json::json;
use tempfile::TempDir;

use crate::asked::Asked;
use crate::case::Case;
use crate::error::LawsError;
use crate::fake::Fakes;
use crate::state::BEGINNING;
use crate::tasks::{After, BEFORE, Before, Observed, Seen, Sight};
use crate::watch::{Fault, Grave, Role, Watch, WatchedEnforcer};

/// What stands before the name of a built-in plugin.
const BUILTIN: &str = "builtin:";

/// The plugin's own key in the manifest of a case's flow.
const SUBJECT: &str = "subject";

/// The sandbox, and the plugins that cases may name as `builtin:NAME`. `inject` must be one of them.
pub struct Tools {
    /// The sandbox.
    pub plugins: Arc<Plugins>,
    /// Name and component.
    pub builtins: Vec<(&'static str, &'static [u8])>,
}

/// The plugin that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(pub(crate) String);

impl Subject {
    /// A component's file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(path.into().to_string_lossy().into_owned())
    }

    /// A built-in plugin.
    pub fn builtin(name: &str) -> Self {
        Self(format!("{BUILTIN}{name}"))
    }
}

/// What is done in a run, besides calling the plugin.
#[derive(Clone, Default)]
pub(crate) struct Experiment {
    pub(crate) fault: Option<Fault>,
    /// Whether the flow goes on, and succeeds.
    pub(crate) succeeds: bool,
    /// Whether the revert is done twice.
    pub(crate) twice: bool,
    /// Whether the plugin's clock says another time than usual.
    pub(crate) elsewhen: bool,
    /// Whether its randomness is other than usual.
    pub(crate) other_randomness: bool,
    pub(crate) fakes: Fakes,
}

/// What a run came to.
pub(crate) struct Run {
    pub(crate) seen: Seen,
    /// The database at the end, where the flow succeeded.
    pub(crate) end: Option<Dump>,
    pub(crate) call: Vec<Asked>,
    pub(crate) revert: Vec<Asked>,
    /// Why the subject could not be reverted.
    pub(crate) revert_error: Option<TaskError>,
    /// Ids that the host made up -> what they are called in every run.
    pub(crate) names: BTreeMap<String, String>,
}

/// A case that was read, with its plan.
pub(crate) struct Scene<'a> {
    case: &'a Case,
    planner: Planner,
    plan: Plan,
    policy: Policy,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(tools: &Tools, subject: &Subject, case: &'a Case) -> Result<Self, LawsError> {
        let told = |diagnostic: Diagnostic| {
            let message = format!("case `{}`: {}", case.name, diagnostic.message);
            let told = Diagnostic::new(message).at(&case.file, None);
            match diagnostic.help {
                Some(help) => told.help(help),
                None => told,
            }
        };
        let planner = Planner::new(Arc::clone(&tools.plugins), &tools.builtins);
        let plan = manifest(tools, subject, case)
            .and_then(|manifest| Ok(planner.plan(&manifest)?))
            .map_err(|error| match error {
                LawsError::Invalid(diagnostic) => LawsError::Invalid(told(diagnostic)),
                other => other,
            })?;
        let rules = Value::Object(case.host.policy.clone()).to_string();
        let policy = Policy::parse(&rules, None)
            .and_then(|own| Policy::default().with(own))
            .map_err(told)?;
        Ok(Self {
            case,
            planner,
            plan,
            policy,
        })
    }

    fn config(&self) -> SqliteConfig {
        SqliteConfig {
            default_volume_type: self.case.host.default_volume_type.clone(),
            ..SqliteConfig::default()
        }
    }

    /// Runs the case's flow once.
    pub(crate) fn run(&self, experiment: &Experiment) -> Result<Run, LawsError> {
        let dies = matches!(experiment.fault, Some(Fault::Death(_) | Fault::DeathAtEnd));
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(BEGINNING)));
        let later = if experiment.elsewhen { 100_000 } else { 0 };
        let folder = if dies {
            Some(TempDir::new().map_err(LawsError::Folder)?)
        } else {
            None
        };
        let (store, grave) = match &folder {
            Some(folder) => {
                let database = folder.path().join("host.db");
                let store = Sqlite::open(&database, self.config(), Arc::clone(&clock))?;
                let copy = folder.path().join("after.db");
                let config = self.config();
                (
                    store,
                    Some(Grave {
                        database,
                        copy,
                        config,
                    }),
                )
            }
            None => (Sqlite::in_memory(self.config(), Arc::clone(&clock))?, None),
        };
        let copy = grave.as_ref().map(|grave| grave.copy.clone());
        let store = Arc::new(store);
        let requester = self.case.requester.identity();
        self.case
            .state
            .import(&store, &requester)
            .map_err(|error| self.unfit(&error))?;
        let watch = Watch::new(experiment.fault, experiment.fakes.clone(), grave);
        let mut builder = Host::with_planner(Arc::clone(&store), self.planner.clone())
            .enforcer(Arc::new(WatchedEnforcer {
                inner: Arc::new(self.policy.clone()) as Arc<dyn Enforcer>,
                watch: Arc::clone(&watch),
                store: Arc::clone(&store),
            }))
            .surroundings(Surroundings {
                now: Duration::from_micros(BEGINNING.unsigned_abs()) + Duration::from_secs(later),
                seed: 1 + u64::from(experiment.other_randomness),
            })
            .workers(1);
        if let Some(zone) = &self.case.host.default_zone {
            builder = builder.default_zone(zone);
        }
        let host = builder.build()?;
        let ready = host.ready(&self.plan)?;

        let sight = Sight::default();
        let flow = Flow::builder(&self.plan.name)
            .requester(requester)
            .request(Value::Object(self.case.inputs.clone()))
            .plan(ready.digest())
            .build(Arc::clone(&store) as Arc<dyn Store>);
        for (options, task) in self.tasks(ready.tasks(), experiment, &watch, &store, &sight) {
            flow.add_with(task, options).map_err(flow_error)?;
        }
        let run = flow.run();
        if let Some(error) = watch.not_copied() {
            return Err(error.into());
        }
        let flow = if let Some(copy) = copy {
            self.ran_before(&flow)?;
            let after = Arc::new(Sqlite::open(&copy, self.config(), clock)?);
            let journal = after.load(flow.id())?;
            let taken_up = Flow::restore(flow.id(), Arc::clone(&after) as Arc<dyn Store>, &journal)
                .map_err(flow_error)?;
            // What the dead host went on to do, it did not do in this database.
            sight.lock().reverts.clear();
            sight.lock().after = None;
            let known: Vec<_> =
                taken_up.with_history(|history| history.tasks.iter().map(|task| task.id).collect());
            let no_fault = Experiment {
                fault: None,
                ..experiment.clone()
            };
            let watch = Watch::new(None, Fakes::default(), None);
            let tasks = self.tasks(ready.tasks(), &no_fault, &watch, &after, &sight);
            for (index, (options, task)) in tasks.into_iter().enumerate() {
                let options = TaskOptions {
                    id: known.get(index).copied(),
                    ..options
                };
                taken_up.add_with(task, options).map_err(flow_error)?;
            }
            end(taken_up.recover(Recovery::Rollback))?;
            taken_up
        } else {
            end(run)?;
            flow
        };
        self.ran_before(&flow)?;
        let at_end = if experiment.succeeds {
            let read = store.read(&Default::default(), |view| view.dump(&Default::default()));
            Some(read?)
        } else {
            None
        };
        let subject = self.plan.tasks.len();
        let revert_error = flow.with_history(|history| {
            let subject = history.tasks.get(subject);
            subject.and_then(|task| task.revert_error.clone())
        });
        let (call, revert) = watch.asked();
        let mut names = watch.names();
        names.insert(flow.id().to_string(), "<flow>".to_owned());
        names.insert(flow.id().0.simple().to_string(), "<flow>".to_owned());
        let seen = sight.lock().clone();
        Ok(Run {
            seen,
            end: at_end,
            call,
            revert,
            revert_error,
            names,
        })
    }

    /// The tasks of the manifest, with what stands around the last one, which is the subject.
    fn tasks(
        &self,
        ready: &[ReadyTask],
        experiment: &Experiment,
        watch: &Arc<Watch>,
        store: &Arc<Sqlite>,
        sight: &Sight,
    ) -> Vec<ReadyTask> {
        let last = ready.len().saturating_sub(1);
        let mut tasks = Vec::<ReadyTask>::new();
        for (index, (options, task)) in ready.iter().enumerate() {
            let role = if index == last {
                let before = Before {
                    spec: TaskSpec::new(BEFORE),
                    store: Arc::clone(store),
                    sight: sight.clone(),
                };
                tasks.push((TaskOptions::default(), Arc::new(before)));
                Role::Subject
            } else {
                Role::Before
            };
            let observed = Observed {
                task: Arc::clone(task),
                role,
                watch: Arc::clone(watch),
                store: Arc::clone(store),
                sight: sight.clone(),
                fault: experiment.fault,
                twice: experiment.twice && role == Role::Subject,
            };
            tasks.push((options.clone(), Arc::new(observed)));
        }
        if !experiment.succeeds {
            let after = After(TaskSpec::new("after-subject"));
            tasks.push((TaskOptions::default(), Arc::new(after)));
        }
        tasks
    }

    /// Refuses a run in which a task failed that should have run before the subject.
    fn ran_before(&self, flow: &Flow) -> Result<(), LawsError> {
        let before = self.plan.tasks.len().saturating_sub(1);
        let failed = flow.with_history(|history| {
            let mut tasks = history.tasks.iter().take(before);
            tasks.find_map(|task| Some((task.name.clone(), task.error.clone()?)))
        });
        let Some((task, error)) = failed else {
            return Ok(());
        };
        let message = format!(
            "case `{}`: the task `{task}`, which runs before, failed: {error}",
            self.case.name
        );
        Err(Diagnostic::new(message).at(&self.case.file, None).into())
    }

    fn unfit(&self, error: &StoreError) -> LawsError {
        let message = format!(
            "case `{}`: its start state does not fit the database: {error}",
            self.case.name
        );
        let help = "the columns are those that `cairn volumes list --json` and its like show";
        Diagnostic::new(message)
            .at(&self.case.file, None)
            .help(help)
            .into()
    }
}

/// The end of a flow's run or recovery: that a task failed is no error here.
fn end(result: Result<(), FlowError>) -> Result<(), LawsError> {
    match result {
        Ok(()) | Err(FlowError::Failed(_)) => Ok(()),
        Err(error) => Err(flow_error(error)),
    }
}

fn flow_error(error: FlowError) -> LawsError {
    match error {
        FlowError::Store(error) => error.into(),
        other => LawsError::Host(cairn::HostError::Flow(other)),
    }
}

// ---- The manifest of a case's flow ---------------------------------------------------------------------------------------

/// `inject`, the tasks before, and the subject, wired and granted as a manifest would.
fn manifest(tools: &Tools, subject: &Subject, case: &Case) -> Result<Manifest, LawsError> {
    let mut plugins = Object::new();
    let mut tasks = vec![json!({"plugin": "inject"})];
    let mut provides: BTreeSet<String> = case.inputs.keys().cloned().collect();
    let before = case.before.iter().enumerate().map(|(index, before)| {
        let key = format!("before-{}", index + 1);
        (
            key,
            before.plugin.as_str(),
            &before.settings,
            before.grants.as_ref(),
        )
    });
    let itself = (
        SUBJECT.to_owned(),
        subject.0.as_str(),
        &case.settings,
        case.grants.as_ref(),
    );
    for (key, plugin, settings, grants) in before.chain([itself]) {
        let bytes = read(tools, plugin, case, key == SUBJECT)?;
        let loaded = tools.plugins.load(&bytes)?;
        let grants = grants.cloned().unwrap_or_else(|| {
            let imports = loaded.imports().iter();
            let granted = imports.filter_map(|import| Some(import.capability?.interface()));
            granted.map(|name| (name.to_owned(), true.into())).collect()
        });
        // What is wrong with the settings, the plan says better.
        if let Ok(descriptor) = loaded.describe(settings, &Limits::default()) {
            provides.extend(descriptor.requires);
        }
        let mut entry = json!({"settings": settings, "grants": grants});
        match plugin.strip_prefix(BUILTIN) {
            Some(name) => entry["builtin"] = name.into(),
            None => entry["path"] = path(plugin, case, key == SUBJECT).into(),
        }
        tasks.push(json!({"plugin": key}));
        plugins.insert(key, entry);
    }
    plugins.insert(
        "inject".to_owned(),
        json!({"builtin": "inject", "settings": {"provides": provides}}),
    );
    let manifest = json!({"flow": {"name": "case"}, "plugins": plugins, "task": tasks});
    let text = toml::to_string(&manifest).map_err(|error| {
        Diagnostic::new(format!(
            "its settings or grants do not fit a manifest: {error}"
        ))
        .help("a manifest has no null")
    })?;
    Ok(Manifest::parse(&text, &case.file)?)
}

/// A case's paths start at its file, the subject's where the program stands.
fn path(plugin: &str, case: &Case, is_subject: bool) -> String {
    let path = PathBuf::from(plugin);
    let path = match case.file.parent() {
        Some(folder) if !is_subject => folder.join(path),
        _ => path,
    };
    std::path::absolute(&path)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}

fn read(tools: &Tools, plugin: &str, case: &Case, is_subject: bool) -> Result<Vec<u8>, Diagnostic> {
    if let Some(name) = plugin.strip_prefix(BUILTIN) {
        let mut builtins = tools.builtins.iter();
        let found = builtins.find(|(known, _)| *known == name);
        return found
            .map(|(_, bytes)| bytes.to_vec())
            .ok_or_else(|| Diagnostic::new(format!("there is no built-in plugin `{name}`")));
    }
    let path = path(plugin, case, is_subject);
    std::fs::read(&path).map_err(|error| {
        Diagnostic::new(format!("the plugin {path} cannot be read: {error}"))
            .help("build it first if it is yours")
    })
}
