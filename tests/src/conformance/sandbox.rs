//! Creates tasks from the built-in plugins, as a host does.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use cairn::flow::TaskOptions;
use cairn::plugin::{InProcess, PluginConfig, Plugins};
use cairn::store::HostStore;
use cairn::{Host, Manifest, Task};
use serde_json::json;

use super::database::Databases;
use super::format::Config;
use super::probe::SeamedPolicy;

/// A task that is ready to be added.
pub type Ready = (TaskOptions, Arc<dyn Task>);

/// The keys of the volume-create flow's request.
pub const REQUEST: [&str; 11] = [
    "availability_zone",
    "backup_source_volume",
    "description",
    "image_id",
    "metadata",
    "name",
    "scheduler_hints",
    "size",
    "snapshot",
    "source_volume",
    "volume_type",
];

/// The plugins of the volume-create flow in order, with their grants.
const FLOW: [(&str, &[&str]); 7] = [
    ("inject", &[]),
    (
        "extract-volume-request",
        &["policy", "zones", "catalog", "images", "keys"],
    ),
    ("quota-reserve", &["quota"]),
    ("entry-create", &["volumes"]),
    ("quota-commit", &["quota"]),
    ("on-failure-change-status", &["results", "volumes"]),
    ("volume-cast", &["catalog", "volumes", "rpc"]),
];

/// The sandbox shared by all scenarios, in which each plugin is compiled once, and the place of their databases.
pub struct Sandbox {
    plugins: Arc<Plugins>,
    /// Where the scenarios are stored.
    pub databases: Databases,
}

impl Sandbox {
    /// Creates the sandbox.
    ///
    /// # Errors
    /// If this machine cannot run it.
    pub fn new(databases: Databases) -> Result<Self> {
        let plugins = Plugins::new(&PluginConfig {
            compiler: Some(Arc::new(InProcess)),
            ..cairn::plugin_config()
        })?;
        Ok(Self { plugins, databases })
    }

    /// Creates a host on the store of one scenario.
    ///
    /// # Errors
    /// If its threads cannot be started.
    pub fn host(&self, store: &Arc<dyn HostStore>, policy: Arc<SeamedPolicy>) -> Result<Host> {
        let host = Host::builder(Arc::clone(store), Arc::clone(&self.plugins))
            .builtins(cairn_bundle::PLUGINS)
            .enforcer(policy)
            .build()?;
        Ok(host)
    }
}

/// Creates the tasks of the volume-create flow.
///
/// # Errors
/// If they cannot be planned.
pub fn flow(host: &Host, config: &Config) -> Result<Vec<Ready>> {
    tasks(host, &FLOW, &REQUEST, config)
}

/// Creates the task that provides these keys of a request to its flow.
///
/// # Errors
/// If it cannot be planned.
pub fn inject(host: &Host, keys: &[&str]) -> Result<Ready> {
    let tasks = tasks(host, &FLOW[..1], keys, &Config::default())?;
    tasks.into_iter().next().context("the plan has no task")
}

fn tasks(
    host: &Host,
    plugins: &[(&str, &[&str])],
    keys: &[&str],
    config: &Config,
) -> Result<Vec<Ready>> {
    let text = manifest(plugins, keys, config);
    let manifest = Manifest::parse(&text, Path::new("flow.toml"), &cairn::grant_kinds())?;
    Ok(host.ready(&host.plan(&manifest)?)?.tasks().to_vec())
}

/// Returns a manifest of these plugins. JSON strings and lists are also valid TOML.
fn manifest(plugins: &[(&str, &[&str])], keys: &[&str], config: &Config) -> String {
    let mut text = "[flow]\nname = \"volume_create_api\"\naction = \"volume:create\"\n".to_owned();
    for (plugin, grants) in plugins {
        let settings = match *plugin {
            "inject" => format!("provides = {}", json!(keys)),
            // As in the original.
            "entry-create" => "kept_status = \"\"".to_owned(),
            "extract-volume-request" => {
                format!("cloned_volume_same_az = {}", config.cloned_volume_same_az)
            }
            "volume-cast" => {
                let topic = json!(config.volume_topic);
                format!(
                    "snapshot_same_host = {}, topic = {topic}",
                    config.snapshot_same_host
                )
            }
            _ => String::new(),
        };
        // A busy machine must not cause failures.
        let limits = "limits = { deadline = \"60s\" }";
        let grants: Vec<String> = grants
            .iter()
            .map(|grant| format!("{grant} = true"))
            .collect();
        let _ = write!(
            text,
            "[plugins.{plugin}]\nbuiltin = \"{plugin}\"\nsettings = {{ {settings} }}\n{limits}\ngrants = {{ {} }}\n",
            grants.join(", ")
        );
    }
    for (plugin, _) in plugins {
        let _ = write!(text, "[[task]]\nplugin = \"{plugin}\"\n");
    }
    text
}
