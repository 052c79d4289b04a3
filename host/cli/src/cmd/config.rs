use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use cairn::{SqliteConfig, Value};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::args::{Format, Placement, Who};
use crate::exit::Failure;
use crate::origins::Origin;
use crate::output::{self, cell, count};
use crate::session::Session;

/// Show and check the settings
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Check cairn.toml and the policy file that it names; an error has its line, and exit code 2
    Check(Check),
    /// Show each setting, its value and its source
    Show(Show),
}

#[derive(Args, Debug)]
pub struct Check {
    #[command(flatten)]
    format: Format,
}

#[derive(Args, Debug)]
pub struct Show {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    placement: Placement,
}

/// The result of a check.
#[derive(Serialize)]
struct Checked<'c> {
    file: Option<&'c Path>,
    settings: usize,
    policy: Option<&'c Path>,
}

/// A setting, its value and its source.
#[derive(Serialize)]
struct Row {
    name: String,
    value: Value,
    /// `flag`, `variable`, `file` or `default`.
    source: &'static str,
    /// The option, the variable, or the file and its line.
    from: Option<String>,
}

impl Config {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Check(check) => check.run(session),
            Self::Show(show) => show.run(session),
        }
    }
}

impl Check {
    /// Checks the policy, the authorities and the domains; errors in the settings themselves were reported when they were read.
    fn run(self, session: &Session) -> Result<(), Failure> {
        session.policy()?;
        session.authorities()?;
        session.domains(cairn::keyring::KeySource::Memory)?;
        let settings = &session.settings;
        let checked = Checked {
            file: settings.origins.file(),
            settings: settings.origins.written().count(),
            policy: settings.policy.as_deref(),
        };
        if self.format.is_json() {
            return output::document(self.format, &checked);
        }
        let file = match checked.file {
            Some(file) => {
                let settings = count(checked.settings, "setting");
                format!("{}: {settings}, no problem was found\n", file.display())
            }
            None => "there is no cairn.toml here: settings have their defaults\n".to_owned(),
        };
        let policy = checked.policy.map_or_else(String::new, |policy| {
            format!("{}: no problem was found\n", policy.display())
        });
        output::print(&(file + &policy))
    }
}

impl Show {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let rows = rows(session, &self.who);
        if self.format.is_json() {
            return output::document(self.format, &rows);
        }
        let cells = rows.iter().map(|row| {
            let from = row.from.clone().unwrap_or_else(|| row.source.to_owned());
            vec![row.name.clone(), cell(&row.value), from]
        });
        output::print(&output::table(&["setting", "value", "from"], cells))
    }
}

/// Lists every setting with its value: those with a default first, then all others of the file.
fn rows(session: &Session, who: &Who) -> Vec<Row> {
    let settings = &session.settings;
    let origins = &settings.origins;
    let defaults = SqliteConfig::default();
    let path = |path: &Path| Value::from(path.display().to_string());
    let time = |time: Duration| Value::from(humantime::format_duration(time).to_string());
    let seconds = |seconds: u64| Value::from(seconds);
    let option = |name: &str| Value::from(origins.option(name));
    let quota = &settings.quota;
    let compile = &settings.compile;
    let known = [
        ("db", path(&settings.db_name)),
        ("cache", settings.cache.as_deref().map_or(Value::Null, path)),
        (
            settings.key_setting(),
            settings.key_file().map_or(Value::Null, path),
        ),
        (
            "hosts.locks",
            settings.locks.as_deref().map_or(Value::Null, path),
        ),
        (
            "policy",
            settings.policy.as_deref().map_or(Value::Null, path),
        ),
        (
            "user",
            who.user.as_ref().unwrap_or(&settings.user).as_str().into(),
        ),
        (
            "project",
            who.project
                .as_ref()
                .unwrap_or(&settings.project)
                .as_str()
                .into(),
        ),
        (
            "zone",
            settings
                .zone
                .as_deref()
                .unwrap_or(cairn::volumes::DEFAULT_ZONE)
                .into(),
        ),
        (
            "default_volume_type",
            settings.default_volume_type.as_deref().into(),
        ),
        ("lease", time(settings.lease.unwrap_or(defaults.lease))),
        (
            "patience",
            time(settings.patience.unwrap_or(defaults.patience)),
        ),
        ("idempotency.keep", time(settings.idempotency.keep)),
        ("audit.keep", time(settings.audit.keep)),
        ("status.run", time(settings.status.run)),
        ("status.wait", time(settings.status.wait)),
        ("status.overdue", time(settings.status.overdue)),
        ("status.undelivered", time(settings.status.undelivered)),
        (
            "status.backup",
            settings.status.backup.map_or(Value::Null, time),
        ),
        ("compile.time", time(compile.time)),
        ("compile.processor", time(compile.processor)),
        ("compile.memory", compile.memory.into()),
        ("quota.volumes", quota.volumes.into()),
        ("quota.snapshots", quota.snapshots.into()),
        ("quota.gigabytes", quota.gigabytes.into()),
        ("quota.use_default_class", quota.use_default_class.into()),
        (
            "quota.no_snapshot_gigabytes",
            quota.no_snapshot_gigabytes.into(),
        ),
        (
            "quota.reservation_expire",
            seconds(quota.reservation_expire),
        ),
        ("quota.until_refresh", quota.until_refresh.into()),
        ("quota.max_age", seconds(quota.max_age)),
        ("log_format", option("log_format")),
        ("log_level", option("log_level")),
    ];
    let names: BTreeSet<&str> = known.iter().map(|(name, _)| *name).collect();
    let others = origins
        .written()
        .filter(|(name, _)| !names.contains(name))
        .map(|(name, written)| (name, written.value.clone()));
    let rows = known.iter().cloned().chain(others);
    rows.map(|(name, value)| {
        let (source, from) = match origins.origin(name) {
            Origin::Flag(flag) => ("flag", Some(flag)),
            Origin::Variable(variable) => ("variable", Some(variable)),
            Origin::File(file, line) => ("file", Some(format!("{}:{line}", file.display()))),
            Origin::Default => ("default", None),
        };
        Row {
            name: name.to_owned(),
            value,
            source,
            from,
        }
    })
    .collect()
}
