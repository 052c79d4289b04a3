use std::path::PathBuf;
use std::sync::Arc;

use cairn::admission::RulePlugins;
use cairn::error::Diagnostic;
use cairn::event::LogLevel;
use cairn::id::Identity;
use cairn::manifest::Manifest;
use cairn::policy::{self, Credentials};
use cairn::text::Text;
use cairn::value::{self, Object, Value};
use clap::{Args, Subcommand};
use serde::Deserialize;

use crate::args::Format;
use crate::exit::{Exit, Failure};
use crate::input::{self, Input};
use crate::output;
use crate::session::Session;

/// Look after the rules that say who may do what
#[derive(Debug, Subcommand)]
pub enum Policy {
    Check(Check),
}

/// Ask the policy, and see why it answers as it does: exit 0 allowed, 3 denied
///
/// The rules are the built-in ones with those of --policy, or of `policy` in cairn.toml, before them: what a flow is
/// decided by. A flow's plugin that names no owner asks about the caller's own; here nothing is filled in. Rules that ask
/// plugins need a flow that has them.
#[derive(Args, Debug)]
pub struct Check {
    /// The action, or the name of a rule; without a rule of its own, `default` decides
    #[arg(long, value_name = "RULE")]
    rule: String,
    /// Who asks: a JSON object of user_id, project_id, and if wanted roles, is_admin, quota_class; a file, - for stdin, or the object itself
    #[arg(long = "as", value_name = "FILE|JSON")]
    user: Input,
    /// What it is done to, any JSON object: a file, - for stdin, or the object itself
    #[arg(long, value_name = "FILE|JSON")]
    target: Input,
    /// The manifest of the flow whose plugins the rules ask with wasm:NAME
    #[arg(long, value_name = "FLOW")]
    flow: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// The caller as a file names them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    user_id: String,
    project_id: String,
    #[serde(default)]
    roles: Vec<String>,
    /// What the rule `context_is_admin` says of the roles, unless it is given.
    is_admin: Option<bool>,
    quota_class: Option<String>,
}

impl Policy {
    /// A denial is no error.
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Self::Check(check) = self;
        let policy = session.policy()?;
        let user = user(&check.user)?;
        let target = target(&check.target)?;
        let credentials = Credentials {
            user_id: &user.user_id,
            project_id: &user.project_id,
            roles: &user.roles,
            is_admin: user
                .is_admin
                .unwrap_or_else(|| policy.is_admin(&user.roles)),
            quota_class: user.quota_class.as_deref(),
        };
        let plugins = check.plugins(session, &policy)?;
        let requester = Identity {
            roles: user.roles.clone(),
            is_admin: credentials.is_admin,
            quota_class: user.quota_class.clone(),
            ..Identity::new(&user.user_id, &user.project_id)
        };
        let log = |plugin: &str, level: LogLevel, message: String| {
            tracing::info!(plugin, ?level, message, "policy");
        };
        let asks = plugins.on_behalf_of(&requester, &log);
        let explanation = policy.explain(&check.rule, &credentials, &target, &asks);
        if check.format.is_json() {
            output::document(check.format, &explanation)?;
        } else {
            output::print(&format!("{explanation}\n"))?;
        }
        Ok(match explanation.allowed {
            true => Exit::Ok,
            false => Exit::Failed,
        })
    }
}

impl Check {
    /// The plugins that the rule may ask, of the flow that is named.
    fn plugins(
        &self,
        session: &Session,
        policy: &Arc<policy::Policy>,
    ) -> Result<RulePlugins, Failure> {
        let asked = policy.plugins_of(&self.rule);
        let Some(flow) = &self.flow else {
            return match asked.first() {
                None => Ok(RulePlugins::default()),
                Some(plugin) => Err(Diagnostic::new(format!(
                    "the rules for `{}` ask `wasm:{plugin}`, a plugin of some flow's manifest",
                    self.rule
                ))
                .help("name the manifest with --flow FLOW")
                .into()),
            };
        };
        let text = input::text(flow, "the manifest")?;
        let manifest = Manifest::parse(&text, flow, &session.settings.kinds)?;
        let planner = session.planner()?.policy(Arc::clone(policy));
        planner.check_asked(&manifest, &self.rule)?;
        let plan = planner.plan(&manifest)?;
        Ok(planner.rule_plugins(&plan)?)
    }
}

fn user(source: &Input) -> Result<User, Diagnostic> {
    let text = input::document(source, "the user")?;
    let user: User = serde_json::from_str(value::without_bom(&text)).map_err(|error| {
        let help = r#"write {"user_id": "ann", "project_id": "blue", "roles": ["member"], "is_admin": false}"#;
        let problem = format!("the user is no JSON object of a caller: {error}");
        source.misread(problem, &error).help(help)
    })?;
    for (name, text) in [("user_id", &user.user_id), ("project_id", &user.project_id)] {
        let fits = Text::Name.check(text);
        fits.map_err(|unfit| source.place(Diagnostic::new(format!("`{name}` {unfit}")), None))?;
    }
    Ok(user)
}

fn target(source: &Input) -> Result<Object, Diagnostic> {
    const HELP: &str =
        r#"write one JSON object, such as {"project_id": "blue"}; {} when there is no target"#;
    let text = input::document(source, "the target")?;
    match value::parse(&text) {
        Ok(Value::Object(target)) => Ok(target),
        Ok(_) => Err(source
            .place(Diagnostic::new("the target is no JSON object"), None)
            .help(HELP)),
        Err(error) => Err(source
            .misread(value::refused("the target", &error), &error)
            .help(HELP)),
    }
}
