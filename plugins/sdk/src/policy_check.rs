//! The trait of a policy, and the way from what a component exports to it.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::bindings::policy::exports::cairn::plugin::policy_check as wit;
use crate::guest::{Package, configured};
use crate::host::{context, types};
use crate::{Error, json};

/// Whether a caller may do something: a plugin of the world `policy-plugin`.
///
/// A manifest names it in `[[policy]]`, and then it is asked before the first task of each flow; a rule of the operator's
/// policy file asks it with `wasm:NAME`. It changes nothing, and is offered [`context`](crate::context) and
/// [`log`](crate::log) alone. As with a [`Task`](crate::Task), the value is the settings.
///
/// ```
/// use cairn_plugin::{Decision, Error, Policy, context};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// /// Small volumes for everybody, large ones for those with a role.
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct LargeVolumes {
///     /// The largest size that needs no role, in GiB. In the manifest: `settings = { most = 100, role = "storage" }`.
///     most: u64,
///     role: String,
/// }
///
/// /// What of the target counts: the host says more.
/// #[derive(Deserialize)]
/// struct Target {
///     size: u64,
/// }
///
/// impl Policy for LargeVolumes {
///     type Target = Target;
///
///     fn check(&self, _action: &str, target: Target) -> Result<Decision, Error> {
///         if target.size <= self.most || context::requester().roles.contains(&self.role) {
///             return Ok(Decision::Allow);
///         }
///         Ok(Decision::deny(format!(
///             "{} GiB is more than {}, and needs the role `{}`",
///             target.size, self.most, self.role
///         )))
///     }
/// }
///
/// cairn_plugin::export_policy!(LargeVolumes);
///
/// // In a test:
/// use cairn_plugin::testing::FakeHost;
/// use serde_json::json;
///
/// let host = FakeHost::new().settings(json!({"most": 100, "role": "storage"}));
/// let check = |size| host.check::<LargeVolumes>("volume:create", json!({"size": size})).unwrap();
/// assert_eq!(check(100), Decision::Allow);
/// assert_eq!(check(101), Decision::deny("101 GiB is more than 100, and needs the role `storage`"));
/// ```
pub trait Policy: DeserializeOwned + JsonSchema {
    /// What is acted upon: a type with the fields that count, or [`serde_json::Value`]. There are always `project_id` and
    /// `user_id`. A target that does not fit is an error, and so denies.
    type Target: DeserializeOwned;

    /// Decides on `action`, such as `volume:create`, for the caller that
    /// [`context::requester`](crate::context::requester) names. May be asked again; the same question should get the same
    /// answer.
    ///
    /// # Errors
    /// An error denies, as a panic and a missed deadline do, and is told to the caller.
    fn check(&self, action: &str, target: Self::Target) -> Result<Decision, Error>;
}

/// The verdict of a [`Policy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The caller may do it.
    Allow,
    /// The caller may not, for this reason: one sentence, which the caller is shown.
    Deny(String),
}

impl Decision {
    /// A denial with its reason.
    pub fn deny(reason: impl Into<String>) -> Self {
        Self::Deny(reason.into())
    }
}

impl<P: Package> wit::Guest for P
where
    P::Plugin: Policy,
{
    fn check(action: String, target: String) -> Result<wit::Decision, types::Error> {
        Ok(
            match check::<P::Plugin>(&context::settings(), &action, &target)? {
                Decision::Allow => wit::Decision::Allow,
                Decision::Deny(reason) => wit::Decision::Deny(reason),
            },
        )
    }
}

/// A question by its settings, its action and its target.
#[doc(hidden)]
pub type Check = fn(&str, &str, &str) -> Result<Decision, Error>;

/// One question, in the text that crosses the boundary.
#[doc(hidden)]
pub fn check<P: Policy>(settings: &str, action: &str, target: &str) -> Result<Decision, Error> {
    let policy = configured::<P>(settings)?;
    policy.check(
        action,
        json::from_text("InvalidInput", "the target", target)?,
    )
}

/// Makes a component of the crate: exports a type that implements [`Policy`](crate::Policy) as the plugin that bears the
/// crate's name and the first two parts of its version.
///
/// Once a crate, at its top level, and without any other export. Exports nothing where the target is not `wasm32`, so
/// that the crate can be tested.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty) => {
        // Checked on every target, where it also keeps the compiler from calling the policy unused.
        const _: $crate::policy_check::Check = $crate::policy_check::check::<$policy>;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Plugin;

            impl $crate::guest::Package for Plugin {
                type Plugin = $policy;
                const NAME: &'static str = env!("CARGO_PKG_NAME");
                const VERSION: (u32, u32) = (
                    $crate::guest::version_part(env!("CARGO_PKG_VERSION_MAJOR")),
                    $crate::guest::version_part(env!("CARGO_PKG_VERSION_MINOR")),
                );
            }

    $crate::bindings::export!(Plugin with_types_in $crate::bindings);
    $crate::bindings::policy::export!(Plugin with_types_in $crate::bindings::policy);
        };
    };
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::bindings::exports::cairn::plugin::plugin;
    use crate::testing::FakeHost;

    /// Denies whoever is not of the team.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Team {
        project: String,
    }

    #[derive(Deserialize)]
    struct Target {
        project_id: String,
    }

    impl Policy for Team {
        type Target = Target;

        fn check(&self, action: &str, target: Target) -> Result<Decision, Error> {
            if target.project_id == self.project {
                return Ok(Decision::Allow);
            }
            Ok(Decision::deny(format!("{action} is for {}", self.project)))
        }
    }

    struct Plugin;

    impl Package for Plugin {
        type Plugin = Team;
        const NAME: &'static str = "team";
        const VERSION: (u32, u32) = (1, 2);
    }

    fn check(target: &str) -> Result<wit::Decision, types::Error> {
        let host = FakeHost::new().settings(json!({"project": "blue"}));
        host.run(|| <Plugin as wit::Guest>::check("volume:create".into(), target.into()))
    }

    #[test]
    fn a_policy_describes_itself_by_its_crate_and_takes_part_in_no_wiring() {
        let descriptor =
            <Plugin as plugin::Guest>::describe(r#"{"project": "blue"}"#.into()).unwrap();
        assert_eq!(
            (descriptor.name.as_str(), descriptor.version),
            ("team", (1, 2))
        );
        assert!(descriptor.requires.is_empty() && descriptor.provides.is_empty());
        let error = <Plugin as plugin::Guest>::describe("{}".into()).unwrap_err();
        assert_eq!(error.kind, "InvalidSettings");
    }

    #[test]
    fn a_policy_allows_or_denies_with_its_reason() {
        assert_eq!(
            check(r#"{"project_id": "blue", "size": 1}"#),
            Ok(wit::Decision::Allow)
        );
        assert_eq!(
            check(r#"{"project_id": "red"}"#),
            Ok(wit::Decision::Deny("volume:create is for blue".into()))
        );
    }

    #[test]
    fn a_target_that_does_not_fit_is_an_error_which_denies() {
        let error = check(r#"{"project_id": 7}"#).unwrap_err();
        assert_eq!(error.kind, "InvalidInput");
        assert_eq!(error.details.as_deref(), Some(r#"{"field":"project_id"}"#));
    }
}
