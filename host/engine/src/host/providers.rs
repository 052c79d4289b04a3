//! Providers of objects outside the database, from plans and for operators.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_effects::domain::Domains;
use cairn_manifest::plan::{Plan, PlannedExternal};
use cairn_model::error::Diagnostic;
use cairn_model::secret::Secrets;
use cairn_model::value::{Digest, Value};
use cairn_sandbox::admission::RulePlugins;
use cairn_sandbox::capability::{Granted, Services};
use cairn_sandbox::plugin::{Plugin, PluginExternal};
use cairn_store::StoreError;
use cairn_store::view::{StandingExternal, View};

use super::{Host, HostError, Planner};
use crate::flow::Provider;

/// How many stored plans are read at once.
const PAGE: usize = 50;

/// Help for a provider that has to be named by a manifest.
const NAME_IT: &str = "name the manifest of the one that is to be asked: `--manifest FLOW`";

impl Planner {
    /// Prepares a provider of a plan with its component.
    pub(super) fn provider(
        &self,
        name: &str,
        planned: &PlannedExternal,
        plugin: Arc<Plugin>,
        services: &Arc<Services>,
    ) -> Result<Provider, HostError> {
        let limits = self.limits_today(&planned.limits, &whose(name));
        // Fails, before a flow is changed, if the plugin cannot run within the current limits.
        plugin.describe(&planned.settings, &limits)?;
        let granted = Granted {
            settings: Value::Object(planned.settings.clone()).to_string(),
            grants: self.allow.narrow(
                planned.builtin.as_deref(),
                planned.digest,
                &planned.grants,
                self.kinds(),
            ),
            limits,
            sees_request: false,
        };
        let external = PluginExternal::new(name, plugin, granted, Arc::clone(services))
            .fencing(planned.fences);
        Ok(Provider {
            external: Arc::new(external),
            digest: planned.digest,
        })
    }

    /// Prepares the provider of this name of a plan that was just made, for an operator with these secrets.
    ///
    /// # Errors
    /// [`HostError::Invalid`] when the plan has none; [`HostError::Plugin`].
    pub fn planned_provider(
        &self,
        plan: &Plan,
        name: &str,
        secrets: Arc<dyn Secrets>,
    ) -> Result<Provider, HostError> {
        let Some(planned) = plan.externals.get(name) else {
            let known = plan.externals.keys().map(String::as_str);
            let known: Vec<&str> = known.collect();
            let message = format!("the manifest has no provider `{}`", name.escape_debug());
            let error = Diagnostic::new(message);
            return Err(match known.is_empty() {
                true => error.help("add an [externals.…] table, or name another manifest"),
                false => error.help(format!("its providers are {}", known.join(", "))),
            }
            .into());
        };
        let plugin = self.find(planned.digest, &whose(name), |_| Ok(None))?;
        self.provider(name, planned, plugin, &self.for_operator(secrets))
    }

    /// Prepares the provider of an object for an operator with these secrets, as stored plans have it: that of the object's flow, else the one that all plans
    /// with this provider agree on. `row` is the object's, if it has one.
    ///
    /// # Errors
    /// [`HostError::Invalid`] when no plan has it, or several have it with other components, settings or grants; [`HostError::Plugin`],
    /// [`HostError::Store`].
    pub fn stored_provider(
        &self,
        view: &View<'_>,
        name: &str,
        row: Option<&StandingExternal>,
        secrets: Arc<dyn Secrets>,
    ) -> Result<Provider, HostError> {
        let of_flow = match row.and_then(|row| row.flow) {
            Some(flow) => match view.plan_of(flow)? {
                Some(plan) => view.plan(plan)?.and_then(|body| named(&body, name)),
                None => None,
            },
            None => None,
        };
        let planned = match of_flow {
            Some(planned) => planned,
            None => only(view, name, row.map(|row| row.digest.as_str()))?,
        };
        let find = |digest| view.component(digest);
        let plugin = self.find(planned.digest, &whose(name), find)?;
        self.provider(name, &planned, plugin, &self.for_operator(secrets))
    }

    /// Creates the services for a provider that an operator asks.
    fn for_operator(&self, secrets: Arc<dyn Secrets>) -> Arc<Services> {
        Arc::new(Services {
            enforcer: Arc::clone(&self.policy) as _,
            domains: Domains::default(),
            surroundings: None,
            rule_plugins: RulePlugins::default(),
            secrets,
        })
    }

    /// Finds a component of a plan: loaded, built in, or `stored`.
    pub(super) fn find(
        &self,
        digest: Digest,
        whose: &str,
        stored: impl FnOnce(Digest) -> Result<Option<Arc<[u8]>>, StoreError>,
    ) -> Result<Arc<Plugin>, HostError> {
        if let Some(plugin) = self.plugins.loaded(digest) {
            return Ok(plugin);
        }
        if let Some(bytes) = self.builtin(digest) {
            return Ok(self.component(bytes)?);
        }
        let problem = match stored(digest) {
            Ok(Some(bytes)) => return Ok(self.component(&bytes)?),
            Ok(None) => format!("gone: the database has none with the digest {digest}"),
            Err(StoreError::DamagedComponent { reason, .. }) => {
                format!("damaged in the database: it should have the digest {digest}, but {reason}")
            }
            Err(error) => return Err(error.into()),
        };
        let message = format!(
            "the component of {whose} is {problem}; a flow that uses this component stores it again, or restore the database from a backup"
        );
        Err(Diagnostic::new(message).into())
    }
}

impl Host {
    /// Prepares the provider of an object for an operator: see [`Planner::stored_provider`].
    ///
    /// # Errors
    /// Those of [`Planner::stored_provider`].
    pub fn stored_provider(
        &self,
        view: &View<'_>,
        name: &str,
        row: Option<&StandingExternal>,
    ) -> Result<Provider, HostError> {
        let secrets = Arc::clone(&self.core.services.secrets);
        self.core.planner.stored_provider(view, name, row, secrets)
    }
}

fn whose(name: &str) -> String {
    format!("provider `{}`", name.escape_debug())
}

/// Returns the provider of this name of a stored plan; `None` also for a plan that cannot be read.
fn named(body: &str, name: &str) -> Option<PlannedExternal> {
    let plan: Plan = serde_json::from_str(body).ok()?;
    let mut externals: BTreeMap<String, PlannedExternal> = plan.externals;
    externals.remove(name)
}

/// Returns the provider of this name that all stored plans agree on, of those with this component if one is given.
fn only(view: &View<'_>, name: &str, digest: Option<&str>) -> Result<PlannedExternal, HostError> {
    let (mut found, mut after): (Option<PlannedExternal>, _) = (None, String::new());
    loop {
        let plans = view.plans_after(&after, PAGE)?;
        let Some((last, _)) = plans.last() else { break };
        after.clone_from(last);
        for (_, body) in &plans {
            let planned = named(body, name)
                .filter(|one| digest.is_none_or(|digest| one.digest.to_string() == digest));
            match (&found, planned) {
                (Some(known), Some(other)) if !are_alike(known, &other) => {
                    let message = format!(
                        "stored plans have several providers `{}`, which differ in their components, settings, grants or `fences`",
                        name.escape_debug()
                    );
                    return Err(Diagnostic::new(message).help(NAME_IT).into());
                }
                (_, Some(planned)) => found = Some(planned),
                (_, None) => {}
            }
        }
    }
    found.ok_or_else(|| {
        let message = format!("no stored plan has a provider `{}`", name.escape_debug());
        Diagnostic::new(message).help(NAME_IT).into()
    })
}

/// Returns whether two providers reach the same backend in the same way.
fn are_alike(one: &PlannedExternal, other: &PlannedExternal) -> bool {
    let parts = |planned: &PlannedExternal| {
        (
            planned.digest,
            planned.settings.clone(),
            planned.grants.clone(),
            planned.fences,
        )
    };
    parts(one) == parts(other)
}
