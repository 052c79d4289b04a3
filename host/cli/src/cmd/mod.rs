//! The subcommands, one module each.

mod audit;
mod bench;
mod completions;
mod config;
mod db;
mod external;
mod find;
mod flows;
mod hosts;
mod images;
mod init;
mod man;
mod outbox;
mod plan;
mod plugin;
mod policy;
mod quota;
mod record;
mod recover;
mod run;
mod serve;
mod snapshots;
mod status;
mod tokens;
mod types;
mod volumes;
mod zones;

use cairn::store::view::{Kind, View};
use cairn::{Object, StoreError};
use clap::Subcommand;

use crate::compile::Bounds;
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::settings::Settings;

/// The subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(init::Init),
    Run(run::Run),
    Plan(plan::Plan),
    #[command(subcommand, visible_alias = "flows")]
    Flow(flows::Flows),
    Status(status::Status),
    Find(find::Find),
    #[command(subcommand, visible_alias = "quotas")]
    Quota(quota::Quota),
    #[command(subcommand, visible_alias = "volumes")]
    Volume(volumes::Volumes),
    #[command(subcommand, visible_alias = "snapshots")]
    Snapshot(snapshots::Snapshots),
    #[command(subcommand, visible_alias = "types")]
    Type(types::Types),
    #[command(subcommand, visible_alias = "images")]
    Image(images::Images),
    #[command(subcommand, visible_alias = "zones")]
    Zone(zones::Zones),
    #[command(subcommand, visible_alias = "records")]
    Record(record::Record),
    #[command(subcommand, visible_alias = "externals")]
    External(external::External),
    #[command(subcommand)]
    Outbox(outbox::Outbox),
    #[command(subcommand)]
    Audit(audit::Audit),
    #[command(subcommand, alias = "plugins")]
    Plugin(plugin::Plugin),
    #[command(subcommand, alias = "policies")]
    Policy(policy::Policy),
    #[command(subcommand, visible_alias = "tokens")]
    Token(tokens::Tokens),
    #[command(subcommand, visible_alias = "hosts")]
    Host(hosts::Hosts),
    #[command(subcommand)]
    Db(db::Db),
    #[command(subcommand)]
    Config(config::Config),
    Serve(serve::Serve),
    Recover(recover::Recover),
    Bench(bench::Bench),
    Completions(completions::Completions),
    Man(man::Man),
    /// Compile the component on stdin; this program runs it to compile a plugin
    #[command(hide = true)]
    CompileComponent(Bounds),
}

/// Runs a command. `grammar` returns the whole command line, for completions and manual pages.
///
/// # Errors
/// Why the command failed. A flow that failed is not an error.
pub fn run(
    command: Command,
    settings: Settings,
    grammar: fn() -> clap::Command,
) -> Result<Exit, Failure> {
    let session = Session::new(settings);
    let done = match command {
        Command::Run(run) => return run.run(&session),
        Command::Status(status) => return status.run(&session),
        Command::External(externals) => return externals.run(&session),
        Command::Volume(volumes) => return volumes.run(&session),
        Command::Db(db) => return db.run(&session),
        Command::Host(hosts) => return hosts.run(&session),
        Command::Flow(flows) => return flows.run(&session),
        Command::Quota(quota) => return quota.run(&session),
        Command::Serve(serve) => return serve.run(&session).map(|()| Exit::Ok),
        Command::Recover(recover) => return recover.run(&session),
        Command::Policy(policy) => return policy.run(&session),
        Command::Plugin(plugin) => return plugin.run(&session),
        Command::Find(find) => find.run(&session),
        Command::Init(init) => init.run(),
        Command::Plan(plan) => plan.run(&session),
        Command::Config(config) => config.run(&session),
        Command::Snapshot(snapshots) => snapshots.run(&session),
        Command::Type(types) => types.run(&session),
        Command::Image(images) => images.run(&session),
        Command::Zone(zones) => zones.run(&session),
        Command::Record(record) => record.run(&session),
        Command::Token(tokens) => tokens.run(&session),
        Command::Outbox(outbox) => outbox.run(&session),
        Command::Audit(audit) => audit.run(&session),
        Command::Bench(bench) => bench.run(&session),
        Command::Completions(completions) => completions.run(grammar()),
        Command::Man(man) => man.run(grammar()),
        // `main_with` runs it before it reads the settings.
        Command::CompileComponent(_) => Ok(()),
    };
    done.map(|()| Exit::Ok)
}

/// Finds what a name or an id, which may be shortened, refers to, if the requester may see it. For commands that show something.
fn look_up(view: &View<'_>, kind: &Kind, id_or_name: &str) -> Result<Object, StoreError> {
    view.resolve_shortened(kind, id_or_name)
}

/// Returns the id of what a name or a full id refers to. For commands that change something.
fn id_of(view: &View<'_>, kind: &Kind, id_or_name: &str) -> Result<String, StoreError> {
    let found = view.resolve_visible(kind, id_or_name)?;
    Ok(found
        .get("id")
        .and_then(|id| id.as_str())
        .unwrap_or(id_or_name)
        .to_owned())
}
