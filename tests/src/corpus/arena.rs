//! Runs a guest beside well-behaved flows.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cairn::clock::SystemClock;
use cairn::event::FlowState;
use cairn::host::{ReadyPlan, Submitted};
use cairn::plugin::Plugins;
use cairn::volumes::operator::{OperateVolumes as _, kind};
use cairn::{Diagnostic, Host, Identity, Manifest, Report, Sqlite, Submission, Value, Verdict};
use serde_json::json;
use tempfile::TempDir;

use super::{Ends, Expectation, Guest, Row};
use crate::program::volume_create;

/// The number of runs of a guest.
const TIMES: usize = 5;
/// The number of honest flows beside each run of a guest; 20 in total.
const BESIDE: usize = 4;

/// A host on its own database.
pub struct Arena {
    folder: TempDir,
    host: Host,
    honest: Arc<ReadyPlan>,
    request: Value,
}

/// The common result of all runs of a guest.
struct Ended {
    shown: String,
    took: Duration,
}

impl Arena {
    /// Creates a database, and plans the flow of the first example.
    ///
    /// # Errors
    /// If it cannot be set up.
    pub fn new(plugins: &Arc<Plugins>) -> Result<Self> {
        let folder = TempDir::new()?;
        let config = crate::any::config(Default::default());
        let store = Sqlite::open(
            &folder.path().join("cairn.db"),
            config,
            Arc::new(SystemClock),
        )?;
        let host = Host::builder(Arc::new(store), Arc::clone(plugins))
            .builtins(cairn_bundle::PLUGINS)
            .build()?;
        let flow = volume_create();
        let text = std::fs::read_to_string(&flow)?;
        // A busy machine must not cause failures.
        let text = text.replace("\nbuiltin", "\nlimits = { deadline = \"30s\" }\nbuiltin");
        let plan = host.plan(&Manifest::parse(
            &text,
            Path::new(&flow),
            &cairn::grant_kinds(),
        )?)?;
        let honest = honest();
        let request = host.store().try_admin(&honest, |admin| {
            for resource in ["volumes", "gigabytes"] {
                admin.set_project_limit(&honest.project_id, resource, Some(-1))?;
            }
            let action = plan.action.as_deref();
            cairn::flow_request::resolve(action, &json!({"size": 1}), None, &admin.view())
        })?;
        Ok(Self {
            honest: host.ready(&plan)?,
            request,
            host,
            folder,
        })
    }

    /// Runs a guest several times, each time beside honest flows, and checks its expectation.
    ///
    /// # Errors
    /// The first deviation.
    pub fn meet(&self, guest: Guest) -> Result<Row> {
        let name = guest.name();
        std::fs::write(self.folder.path().join("guest.wasm"), guest.bytes())?;
        let fails = Guest::TrapInCall.bytes();
        std::fs::write(self.folder.path().join("fails.wasm"), fails)?;
        let mut times = Vec::with_capacity(TIMES);
        let mut shown = String::new();
        for _ in 0..TIMES {
            let beside = (0..BESIDE)
                .map(|_| self.submit())
                .collect::<Result<Vec<_>>>()?;
            let ended = self.run(guest).with_context(|| name.clone())?;
            let most = guest.expectation().within;
            ensure!(
                ended.took <= most,
                "{name} took {:?}, and {most:?} is the most",
                ended.took
            );
            for flow in beside {
                let report = flow.wait()?;
                ensure!(
                    report.flow.state == FlowState::Success,
                    "a flow beside {name}: {:?}",
                    report.error
                );
            }
            times.push(ended.took);
            shown = ended.shown;
        }
        self.check_honest()?;
        Ok(Row {
            guest,
            ended: shown,
            times,
        })
    }

    /// Submits one honest flow.
    fn submit(&self) -> Result<Submitted> {
        Ok(self.host.submit(Submission {
            plan: Arc::clone(&self.honest),
            requester: honest(),
            request: Ok(self.request.clone()),
            key: None,
        })?)
    }

    /// Plans and runs the guest's flow once.
    fn run(&self, guest: Guest) -> Result<Ended> {
        let expectation = guest.expectation();
        let manifest = self.manifest(guest)?;
        let start = Instant::now();
        let plan = self.host.plan(&manifest);
        let took = start.elapsed();
        let plan = match (plan, expectation.ends) {
            (Err(error), Ends::Refused(words)) => return refused(&error, words, took),
            (Err(error), _) => return Err(error).context("it was not planned"),
            (Ok(_), Ends::Refused(_)) => bail!("it was planned"),
            (Ok(plan), _) => plan,
        };
        let submission = Submission {
            plan: self.host.ready(&plan)?,
            requester: hostile(),
            request: Ok(json!({"size": 1})),
            key: None,
        };
        let start = Instant::now();
        let report = self.host.submit(submission)?.wait()?;
        let took = start.elapsed();
        let shown = check(&report, expectation.ends).with_context(|| {
            let error = report
                .error
                .as_ref()
                .map(|error| (&error.kind, &error.message));
            format!("{error:.300?}, {:?}", report.rollback)
        })?;
        if expectation.ends != Ends::Succeeds {
            self.check_clean()?;
        }
        Ok(Ended { shown, took })
    }

    fn manifest(&self, guest: Guest) -> Result<Manifest> {
        let Expectation {
            limits,
            grants,
            ends,
            ..
        } = guest.expectation();
        let mut text = format!(
            "[flow]\nname = \"hostile\"\n\n\
             [plugins.inject]\nbuiltin = \"inject\"\nsettings = {{ provides = [\"size\", \"volume_type_id\"] }}\n\n\
             [plugins.quota-reserve]\nbuiltin = \"quota-reserve\"\ngrants = {{ quota = true }}\n\n\
             [plugins.guest]\npath = \"guest.wasm\"\nlimits = {{ {limits} }}\ngrants = {{ {grants} }}\n\n\
             [plugins.fails]\npath = \"fails.wasm\"\n\n\
             [[task]]\nplugin = \"inject\"\n\n[[task]]\nplugin = \"quota-reserve\"\n\n[[task]]\nplugin = \"guest\"\n"
        );
        if matches!(ends, Ends::RevertFails(..)) {
            text.push_str("\n[[task]]\nplugin = \"fails\"\n");
        }
        Ok(Manifest::parse(
            &text,
            &self.folder.path().join("flow.toml"),
            &cairn::grant_kinds(),
        )?)
    }

    /// Checks that the guest's project has no volumes, usage or reservations left.
    fn check_clean(&self) -> Result<()> {
        let hostile = hostile();
        self.check_usage(&hostile, 0)?;
        let project = Some(hostile.project_id.as_str());
        let volumes = self
            .host
            .store()
            .read(&hostile, |view| view.list(&kind::VOLUME, project, true))?;
        ensure!(volumes.is_empty(), "volumes are left: {volumes:?}");
        Ok(())
    }

    /// Checks that every honest flow has its volume, and no other quota is used.
    fn check_honest(&self) -> Result<()> {
        self.check_usage(&honest(), (TIMES * BESIDE) as i64)
    }

    fn check_usage(&self, who: &Identity, in_use: i64) -> Result<()> {
        let project = Some(who.project_id.as_str());
        let usages = self
            .host
            .store()
            .read(who, |view| view.list(&kind::USAGE, project, false))?;
        for usage in usages {
            let (used, reserved) = (&usage["in_use"], &usage["reserved"]);
            ensure!(
                *used == in_use && *reserved == 0,
                "{} of {}: {used} are in use and {reserved} reserved",
                usage["resource"],
                who.project_id
            );
        }
        Ok(())
    }
}

fn honest() -> Identity {
    Identity::new("ann", "honest")
}

fn hostile() -> Identity {
    Identity::new("mallory", "hostile")
}

fn refused(error: &Diagnostic, words: &str, took: Duration) -> Result<Ended> {
    let text = error.to_string();
    ensure!(text.contains(words), "`{words}` is not in: {text}");
    ensure!(error.line.is_some(), "it is not said where: {text}");
    Ok(Ended {
        shown: "refused before anything runs".to_owned(),
        took,
    })
}

/// Checks a report against the expectation, and returns a readable description of the guest's end.
fn check(report: &Report, ends: Ends) -> Result<String> {
    let rollback = report.rollback.as_ref();
    let error = report.error.as_ref();
    match ends {
        Ends::Refused(_) => bail!("it was run"),
        Ends::Succeeds => {
            ensure!(report.flow.state == FlowState::Success, "it failed");
            Ok("success".to_owned())
        }
        Ends::Fails(origin, kind) => {
            let error = error.context("it did not fail")?;
            let expected = (Some("guest"), origin, kind);
            let found = (error.task.as_deref(), error.origin, error.kind.as_str());
            ensure!(found == expected, "{found:?}, and not {expected:?}");
            let rollback = rollback.context("nothing was rolled back")?;
            ensure!(rollback.verdict == Verdict::Clean, "it is not clean");
            ensure!(
                rollback.reverted == ["guest", "quota-reserve", "inject"],
                "{:?} were reverted",
                rollback.reverted
            );
            Ok(shown(origin, kind))
        }
        Ends::RevertFails(origin, kind) => {
            let error = error.context("it did not fail")?;
            ensure!(
                error.task.as_deref() == Some("fails"),
                "another task failed"
            );
            let rollback = rollback.context("nothing was rolled back")?;
            ensure!(
                rollback.verdict == Verdict::Incomplete,
                "the revert did not fail"
            );
            let failed = rollback.failed.iter();
            let failed: Vec<_> = failed
                .map(|failed| {
                    let error = failed.error.as_ref();
                    (
                        failed.task.as_str(),
                        error.map(|error| (error.origin, error.kind.as_str())),
                    )
                })
                .collect();
            ensure!(
                failed == [("guest", Some((origin, kind)))],
                "{failed:?} failed"
            );
            Ok(format!("{} in revert", shown(origin, kind)))
        }
    }
}

fn shown(origin: cairn::error::Origin, kind: &str) -> String {
    format!("{} ({origin:?})", kind.escape_debug()).to_lowercase()
}
