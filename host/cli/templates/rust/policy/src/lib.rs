//! Allows large volumes to callers with a role only.

use cairn_plugin::{Decision, Error, Policy, context};
use schemars::JsonSchema;
use serde::Deserialize;

/// The settings, from the manifest.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LargeVolumes {
    /// The largest size that needs no role, in GiB.
    most: u64,
    #[serde(default = "storage")]
    role: String,
}

fn storage() -> String {
    "storage".to_owned()
}

/// The fields of the target that the policy uses; the host gives more.
#[derive(Deserialize)]
struct Target {
    size: u64,
}

impl Policy for LargeVolumes {
    type Target = Target;

    fn check(&self, _action: &str, target: Target) -> Result<Decision, Error> {
        if target.size <= self.most || context::requester().roles.contains(&self.role) {
            return Ok(Decision::Allow);
        }
        Ok(Decision::deny(format!(
            "{} GiB is more than {}, and needs the role `{}`",
            target.size, self.most, self.role
        )))
    }
}

cairn_plugin::export_policy!(LargeVolumes);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;
    use serde_json::json;

    use super::*;

    fn check(size: u64) -> Decision {
        let host = FakeHost::new().settings(json!({"most": 100}));
        host.check::<LargeVolumes>("volume:create", json!({"size": size})).unwrap()
    }

    #[test]
    fn any_caller_may_create_a_small_volume() {
        assert_eq!(check(100), Decision::Allow);
    }

    #[test]
    fn a_large_volume_needs_a_role() {
        assert_eq!(check(101), Decision::deny("101 GiB is more than 100, and needs the role `storage`"));
    }
}
