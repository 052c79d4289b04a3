//! Prepares the policies and validators of a plan as admission checks.

use std::sync::Arc;

use cairn_manifest::manifest::Grants;
use cairn_manifest::plan::{Plan, PlannedAdmission};
use cairn_model::value::Value;
use cairn_sandbox::admission::{Admission, Policy, RulePlugins, Validator};
use cairn_sandbox::capability::{Granted, Services};
use cairn_sandbox::plugin::{Plugin, PolicyPlugin, ValidatorPlugin};

use super::{HostError, Planner};

/// Finds the component of a policy or validator.
type Find<'f> = dyn Fn(&PlannedAdmission) -> Result<Arc<Plugin>, HostError> + 'f;

/// Creates the admission checks of the plan's flows.
pub(super) fn admission(
    plan: &Plan,
    find: &Find<'_>,
    planner: &Planner,
    services: &Arc<Services>,
) -> Result<Admission, HostError> {
    let policies = plan.policies.iter();
    let policies =
        policies.map(|planned| Ok((planned.mode, policy(planned, find, planner, services)?)));
    let validators = plan.validators.iter().map(|planned| {
        let plugin = ValidatorPlugin::new(
            &planned.plugin,
            find(planned)?,
            granted(planned, planner),
            Arc::clone(services),
        );
        Ok(Arc::new(plugin) as Arc<dyn Validator>)
    });
    Ok(Admission::new(
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
    let plugins = plugins.map(|planned| policy(planned, find, planner, services));
    Ok(RulePlugins::new(plugins.collect::<Result<Vec<_>, _>>()?))
}

fn policy(
    planned: &PlannedAdmission,
    find: &Find<'_>,
    planner: &Planner,
    services: &Arc<Services>,
) -> Result<Arc<dyn Policy>, HostError> {
    let plugin = find(planned)?;
    let services = Arc::clone(services);
    Ok(Arc::new(PolicyPlugin::new(
        &planned.plugin,
        plugin,
        granted(planned, planner),
        services,
    )))
}

/// Grants no capability: admission checks have no side effects, and ask no rules themselves.
fn granted(planned: &PlannedAdmission, planner: &Planner) -> Granted {
    Granted {
        settings: Value::Object(planned.settings.clone()).to_string(),
        grants: Grants::default(),
        limits: planner.limits_today(&planned.limits, &format!("`{}`", planned.plugin)),
        sees_request: false,
    }
}
