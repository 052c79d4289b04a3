//! Runs the flow of a task's case on a fresh database.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn::capability::{Enforcer, Surroundings};
use cairn::clock::{Clock, ManualClock, Timestamp};
use cairn::domain::Domain;
use cairn::flow::{Recovery, TaskOptions};
use cairn::host::{Planner, ReadyTask};
use cairn::policy::Policy;
use cairn::secret::Secret;
use cairn::store::view::Dump;
use cairn::{
    Diagnostic, Domains, Flow, FlowError, Host, Object, Plan, Sqlite, SqliteConfig, Store,
    StoreError, TaskError, TaskSpec, Value, records, volumes,
};
use tempfile::TempDir;

use crate::asked::Asked;
use crate::case::{HostSettings, TaskCase, told, told_error};
use crate::error::LawsError;
use crate::fake::Fakes;
use crate::manifest;
use crate::state::BEGINNING;
use crate::subject::{Subject, Tools};
use crate::tasks::{After, Before, Observed, Seen, Sight};
use crate::watch::{BEFORE, Fault, Grave, Role, Watch, WatchedEnforcer};

/// The variations of a run.
#[derive(Clone, Default)]
pub(crate) struct Experiment {
    pub(crate) fault: Option<Fault>,
    /// Whether the flow succeeds instead of being rolled back.
    pub(crate) succeeds: bool,
    /// Whether the revert is done twice.
    pub(crate) twice: bool,
    /// Whether the plugin's clock shows a later time than usual.
    pub(crate) elsewhen: bool,
    /// Whether its random numbers differ from the usual ones.
    pub(crate) other_randomness: bool,
    pub(crate) fakes: Fakes,
}

/// The outcome of a run.
pub(crate) struct Run {
    pub(crate) seen: Seen,
    /// The database at the end, if the flow was to succeed.
    pub(crate) end: Option<Dump>,
    pub(crate) call: Vec<Asked>,
    pub(crate) revert: Vec<Asked>,
    /// The error of the subject's revert.
    pub(crate) revert_error: Option<TaskError>,
    /// Ids that the host generated -> names that are equal in every run.
    pub(crate) names: BTreeMap<String, String>,
}

/// A case with its plan.
pub(crate) struct Scene<'a> {
    case: &'a TaskCase,
    domains: Domains,
    folder: PathBuf,
    planner: Planner,
    plan: Plan,
    policy: Policy,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(
        tools: &Tools,
        subject: &Subject,
        case: &'a TaskCase,
    ) -> Result<Self, LawsError> {
        let planner = Planner::new(Arc::clone(&tools.plugins), &tools.builtins);
        let plan = manifest::of_task(tools, subject, case)
            .and_then(|manifest| Ok(planner.plan(&manifest)?))
            .map_err(|error| told_error(&case.name, &case.file, error))?;
        let rules = Value::Object(case.host.policy.clone()).to_string();
        let policy = Policy::parse(&rules, None)
            .and_then(|own| Policy::default().with(own))
            .map_err(|diagnostic| told(&case.name, &case.file, diagnostic))?;
        let volumes = volumes::domain(volumes::Settings {
            default_volume_type: case.host.default_volume_type.clone(),
            default_zone: case.host.default_zone.clone(),
            ..volumes::Settings::default()
        });
        let own = records_of(case)?;
        let others = tools.domains.iter().filter(|domain| {
            let is_replaced = own.as_ref().is_some_and(|own| own.name == domain.name);
            !is_replaced
        });
        let domains = [volumes]
            .into_iter()
            .chain(others.cloned())
            .chain(own.clone());
        let domains = Domains::new(domains).map_err(LawsError::Domains)?;
        Ok(Self {
            case,
            domains,
            folder: tools.folder.clone(),
            planner,
            plan,
            policy,
        })
    }

    fn config(&self) -> SqliteConfig {
        SqliteConfig {
            domains: self.domains.clone(),
            ..SqliteConfig::default()
        }
    }

    /// Runs the case's flow once.
    pub(crate) fn run(&self, experiment: &Experiment) -> Result<Run, LawsError> {
        let dies = matches!(experiment.fault, Some(Fault::Death(_) | Fault::DeathAtEnd));
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(BEGINNING)));
        let later = if experiment.elsewhen { 100_000 } else { 0 };
        let folder = if dies {
            Some(TempDir::new_in(&self.folder).map_err(LawsError::Folder)?)
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
        let builder = Host::with_planner(Arc::clone(&store) as _, self.planner.clone())
            .enforcer(Arc::new(WatchedEnforcer {
                inner: Arc::new(self.policy.clone()) as Arc<dyn Enforcer>,
                watch: Arc::clone(&watch),
                store: Arc::clone(&store),
            }))
            .surroundings(Surroundings {
                now: Duration::from_micros(BEGINNING.unsigned_abs()) + Duration::from_secs(later),
                seed: 1 + u64::from(experiment.other_randomness),
            })
            .secrets(Arc::new(case_secrets(&self.case.host)))
            .workers(1);
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
            // Reverts by the dead host did not happen in this copy of the database.
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

    /// Returns the tasks of the manifest, wrapped, and the tasks that observe the last one, which is the subject.
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

    /// Refuses a run in which a task before the subject failed.
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
        let help = "use the columns that `cairn volume list --json` and similar commands print";
        Diagnostic::new(message)
            .at(&self.case.file, None)
            .help(help)
            .into()
    }
}

/// Converts the end of a flow's run or recovery: a task that failed is no error here.
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

/// Returns the secrets of a case.
pub(crate) fn case_secrets(host: &HostSettings) -> BTreeMap<String, Secret> {
    let secrets = host.secrets.iter();
    secrets
        .map(|(name, value)| (name.clone(), Secret::new(value)))
        .collect()
}

/// Returns the domain of records with the settings of a case; `None` if it has none.
fn records_of(case: &TaskCase) -> Result<Option<Domain>, LawsError> {
    if case.host.records.is_empty() {
        return Ok(None);
    }
    // The line is left out: it refers to the generated text, not to the file.
    let invalid = |diagnostic| told(&case.name, &case.file, diagnostic);
    let written = Object::from_iter([("records".to_owned(), case.host.records.clone().into())]);
    let text =
        toml::to_string(&written).map_err(|error| invalid(Diagnostic::new(error.to_string())))?;
    let settings = records::Settings::parse(&text, &case.file).map_err(invalid)?;
    Ok(Some(records::domain(settings)))
}
