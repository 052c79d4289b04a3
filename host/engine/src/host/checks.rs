//! Prepares the policies and validators of a plan as admission checks.

use std::sync::Arc;

use cairn_manifest::manifest::Grants;
use cairn_manifest::plan::{Plan, PlannedCheck};
use cairn_model::value::Value;
use cairn_sandbox::capability::{Granted, Services};
use cairn_sandbox::check::{Checks, Policy, RulePlugins, Validator};
use cairn_sandbox::plugin::{Plugin, PolicyPlugin, ValidatorPlugin};

use super::{HostError, Planner};

/// Finds the component of a policy or validator.
type Find<'f> = dyn Fn(&PlannedCheck) -> Result<Arc<Plugin>, HostError> + 'f;

/// Creates the admission checks of the plan's flows.
pub(super) fn checks(
    plan: &Plan,
    find: &Find<'_>,
    planner: &Planner,
    services: &Arc<Services>,
) -> Result<Checks, HostError> {
    let policies = plan.policies.iter();
    let policies = policies.map(|check| Ok((check.mode, policy(check, find, planner, services)?)));
    let validators = plan.validators.iter().map(|check| {
        let plugin = ValidatorPlugin::new(
            &check.plugin,
            find(check)?,
            granted(check, planner),
            Arc::clone(services),
        );
        Ok(Arc::new(plugin) as Arc<dyn Validator>)
    });
    Ok(Checks::new(
        plan.action.as_deref().unwrap_or_default(),
        policies.collect::<Result<_, HostError>>()?,
        validators.collect::<Result<_, HostError>>()?,
    ))
}

/// Creates the policies that rules may ask while a flow of the plan runs.
pub(super) fn rule_plugins(
    plan: &Plan,
    find: &Find<'_>,
    planner: &Planner,
    services: &Arc<Services>,
) -> Result<RulePlugins, HostError> {
    let plugins = plan.rule_plugins.iter();
    let plugins = plugins.map(|check| policy(check, find, planner, services));
    Ok(RulePlugins::new(plugins.collect::<Result<Vec<_>, _>>()?))
}

fn policy(
    check: &PlannedCheck,
    find: &Find<'_>,
    planner: &Planner,
    services: &Arc<Services>,
) -> Result<Arc<dyn Policy>, HostError> {
    let plugin = find(check)?;
    let services = Arc::clone(services);
    Ok(Arc::new(PolicyPlugin::new(
        &check.plugin,
        plugin,
        granted(check, planner),
        services,
    )))
}

/// Grants no capability: admission checks have no side effects, and ask no rules themselves.
fn granted(check: &PlannedCheck, planner: &Planner) -> Granted {
    Granted {
        settings: Value::Object(check.settings.clone()).to_string(),
        grants: Grants::default(),
        limits: planner.limits_today(&check.limits, &format!("`{}`", check.plugin)),
        sees_request: false,
    }
}
