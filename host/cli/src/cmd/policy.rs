use std::path::PathBuf;
use std::sync::Arc;

use cairn::admission::RulePlugins;
use cairn::event::LogLevel;
use cairn::policy::{self, Credentials};
use cairn::text::Text;
use cairn::value;
use cairn::{Diagnostic, Identity, Manifest, Object, Value};
use clap::{Args, Subcommand};
use serde::Deserialize;

use crate::args::Format;
use crate::exit::{Exit, Failure};
use crate::input::{self, Input};
use crate::output;
use crate::session::Session;

/// Evaluate the rules that say who may do what
#[derive(Debug, Subcommand)]
pub enum Policy {
    Check(Check),
}

/// Evaluate a policy rule and explain the result; exit 0 if allowed, 3 if denied
///
/// The rules are those that flows use: the built-in ones, overridden by those of --policy or of `policy` in cairn.toml. In a flow, a
/// plugin's target without `project_id` or `user_id` gets the caller's; here nothing is filled in. Rules that ask plugins need --flow.
#[derive(Args, Debug)]
pub struct Check {
    /// Action, or name of a rule; `default` decides an action without a rule
    #[arg(long, value_name = "RULE")]
    rule: String,
    /// Caller, a JSON object with user_id, project_id, and optionally roles, is_admin, quota_class: a file, - for stdin, or the object itself
    #[arg(long = "as", value_name = "FILE|JSON")]
    user: Input,
    /// Target of the action, a JSON object: a file, - for stdin, or the object itself
    #[arg(long, value_name = "FILE|JSON")]
    target: Input,
    /// Manifest with the plugins that a rule asks with wasm:NAME
    #[arg(long, value_name = "FLOW")]
    flow: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// The caller, as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    user_id: String,
    project_id: String,
    #[serde(default)]
    roles: Vec<String>,
    /// Decided by the rule `context_is_admin` on the roles if not given.
    is_admin: Option<bool>,
    quota_class: Option<String>,
}

impl Policy {
    /// Evaluates the rule. A denial is not an error.
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
    /// Loads the plugins that the rule may ask, from the named flow.
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
                    "the rules for `{}` ask `wasm:{plugin}`, a plugin of a flow's manifest",
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
        let problem = format!("the user is not a JSON object that describes a caller: {error}");
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
            .place(Diagnostic::new("the target is not a JSON object"), None)
            .help(HELP)),
        Err(error) => Err(source
            .misread(value::refused("the target", &error), &error)
            .help(HELP)),
    }
}
