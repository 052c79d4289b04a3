//! The trait of a policy, and its adapter to the functions that a component exports.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::bindings::policy::exports::cairn::plugin::policy_check as wit;
use crate::guest::{Package, configured};
use crate::host::{context, types};
use crate::{Error, json};

/// Decides whether a caller may perform an action: a plugin of the world `policy-plugin`.
///
/// A manifest names it in `[[policy]]`; the host then asks it before the first task of each flow. A rule of the
/// operator's policy file can also ask it, with `wasm:NAME`. A policy has no effects, and can only use
/// [`context`](crate::context) and [`log`](crate::log). As with a [`Task`](crate::Task), the fields of the type are the
/// settings.
///
/// ```
/// use cairn_plugin::{Decision, Error, Policy, context};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// /// Allows small volumes to everyone, and large ones to callers with a role.
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct LargeVolumes {
///     /// The largest size that needs no role, in GiB. In the manifest: `settings = { most = 100, role = "storage" }`.
///     most: u64,
///     role: String,
/// }
///
/// /// The fields of the target that this policy reads; the host sends more.
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
    /// The object of the action: a type with the fields that the policy reads, or [`serde_json::Value`]. `project_id`
    /// and `user_id` are always present. A target that does not deserialize is an error, and so denies.
    type Target: DeserializeOwned;

    /// Decides on `action`, such as `volume:create`, for the caller that
    /// [`context::requester`](crate::context::requester) returns. May be asked repeatedly; the same question should get
    /// the same answer.
    ///
    /// # Errors
    /// An error denies, as a panic and a missed deadline do. The caller is shown it.
    fn check(&self, action: &str, target: Self::Target) -> Result<Decision, Error>;
}

/// The decision of a [`Policy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The caller may perform the action.
    Allow,
    /// The caller may not, for this reason: one sentence, shown to the caller.
    Deny(String),
}

impl Decision {
    /// Creates a denial with its reason.
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

/// A function that asks a policy, given its settings, the action and the target.
#[doc(hidden)]
pub type Check = fn(&str, &str, &str) -> Result<Decision, Error>;

/// Asks a policy, given the texts that cross the component boundary.
#[doc(hidden)]
pub fn check<P: Policy>(settings: &str, action: &str, target: &str) -> Result<Decision, Error> {
    let policy = configured::<P>(settings)?;
    policy.check(
        action,
        json::from_text("InvalidInput", "the target", target)?,
    )
}

/// Exports a type that implements [`Policy`](crate::Policy) as a component. The plugin has the crate's name and the
/// first two parts of its version.
///
/// Use it once per crate, at its top level, and without any other export. It exports nothing on targets other than
/// `wasm32`, so that the crate can be tested natively.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty) => {
        // Type-checked on every target, which also avoids an unused-code warning for the policy.
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

    /// Denies callers of other projects than the team's.
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
