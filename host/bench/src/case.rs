//! The ends of a measured flow, with the manifest, request and quota that lead to each.

use std::path::Path;

use cairn::event::FlowState;
use cairn::volumes::quota::QuotaConfig;
use cairn::{Diagnostic, Manifest, Report};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::BenchError;

/// The plugin that replaces `volume-cast` in [`Case::CastFails`]: it sends its message, then fails.
const CAST_FAILS: (&str, &[u8]) = (
    "cast-fails",
    include_bytes!("../../../examples/volume-create/cast-fails.wat"),
);

const FLOW: &str = include_str!("../../../examples/volume-create/flow.toml");
const FLOW_CAST_FAILS: &str = include_str!("../../../examples/volume-create/flow-cast-fails.toml");
const REQUEST: &str = include_str!("../../../examples/volume-create/request.json");
const REQUEST_OVER_QUOTA: &str =
    include_str!("../../../examples/volume-create/request-over-quota.json");

/// The end of each measured flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Case {
    /// Seven tasks create a volume.
    Success,
    /// The third task exceeds the quota; three tasks are reverted, and no change remains.
    OverQuota,
    /// The last task fails; seven are reverted, and the volume remains in `error`.
    CastFails,
}

impl Case {
    /// All cases.
    pub const ALL: [Self; 3] = [Self::Success, Self::OverQuota, Self::CastFails];

    /// Returns its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::OverQuota => "over-quota",
            Self::CastFails => "cast-fails",
        }
    }

    /// Returns the plugins that manifests of cases may refer to as `builtin`.
    pub fn plugins() -> Vec<(&'static str, &'static [u8])> {
        let mut plugins = cairn_bundle::PLUGINS.to_vec();
        plugins.push(CAST_FAILS);
        plugins
    }

    /// Returns the manifest of the examples' flow. Replaces the file of the plugin that fails by the embedded plugin.
    ///
    /// # Errors
    /// The example is not a valid manifest.
    pub fn manifest(self) -> Result<Manifest, Diagnostic> {
        let (text, name) = match self {
            Self::Success | Self::OverQuota => (FLOW.to_owned(), "flow.toml"),
            Self::CastFails => (embedded(FLOW_CAST_FAILS), "flow-cast-fails.toml"),
        };
        Manifest::parse(&text, Path::new(name), &cairn::grant_kinds())
    }

    /// Returns the raw request.
    pub(crate) fn request(self) -> Value {
        let text = match self {
            Self::Success | Self::CastFails => REQUEST,
            Self::OverQuota => REQUEST_OVER_QUOTA,
        };
        serde_json::from_str(text).expect("the examples' requests are JSON")
    }

    /// Returns the quota settings: no limit for flows that succeed, else the default limit.
    pub(crate) fn quota(self) -> QuotaConfig {
        let gigabytes = match self {
            Self::Success | Self::CastFails => -1,
            Self::OverQuota => QuotaConfig::default().gigabytes,
        };
        QuotaConfig {
            volumes: -1,
            gigabytes,
            ..QuotaConfig::default()
        }
    }

    /// Checks that a flow ended as this case expects.
    ///
    /// # Errors
    /// [`BenchError::Unexpected`], with the actual end.
    pub fn check(self, report: &Report) -> Result<(), BenchError> {
        let error = report.error.as_ref().map(|error| error.kind.as_str());
        let as_expected = match self {
            Self::Success => report.flow.state == FlowState::Success,
            Self::OverQuota => error == Some("VolumeSizeExceedsAvailableQuota"),
            Self::CastFails => error == Some("CastFailed"),
        };
        let failed = report
            .rollback
            .iter()
            .flat_map(|rollback| &rollback.failed)
            .next();
        if as_expected && failed.is_none() {
            return Ok(());
        }
        let message = report.error.as_ref().map_or("", |error| &error.message);
        Err(BenchError::Unexpected(format!(
            "a flow of the case `{}` ended in {} ({}: {message})",
            self.as_str(),
            report.flow.state,
            error.unwrap_or("no error"),
        )))
    }
}

fn embedded(manifest: &str) -> String {
    let lines = manifest.lines().map(|line| match line.split_once('=') {
        Some((key, value)) if key.trim() == "path" && value.contains("cast-fails.wat") => {
            format!("builtin = \"{}\"\n", CAST_FAILS.0)
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use cairn::manifest::Source;

    use super::*;

    #[test]
    fn every_case_needs_nothing_but_what_is_embedded() {
        for case in Case::ALL {
            let manifest = case.manifest().unwrap();
            assert_eq!(manifest.tasks.len(), 7, "{}", case.as_str());
            for key in manifest.named() {
                let Source::Builtin(name) = &manifest.plugins[key].source else {
                    panic!("`{key}` of `{}` is a file", case.as_str());
                };
                assert!(
                    Case::plugins().iter().any(|(known, _)| known == name),
                    "{name}"
                );
            }
        }
    }
}
