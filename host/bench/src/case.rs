//! How a measured flow ends, and what makes it end so.

use std::path::Path;

use cairn::error::Diagnostic;
use cairn::event::FlowState;
use cairn::manifest::Manifest;
use cairn::report::Report;
use cairn::volumes::quota::QuotaConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::BenchError;

/// The plugin that stands in for `volume-cast` in [`Case::CastFails`]: it sends its message, and fails.
const CAST_FAILS: (&str, &[u8]) = (
    "cast-fails",
    include_bytes!("../../../examples/volume-create/cast-fails.wat"),
);

const FLOW: &str = include_str!("../../../examples/volume-create/flow.toml");
const FLOW_CAST_FAILS: &str = include_str!("../../../examples/volume-create/flow-cast-fails.toml");
const REQUEST: &str = include_str!("../../../examples/volume-create/request.json");
const REQUEST_OVER_QUOTA: &str =
    include_str!("../../../examples/volume-create/request-over-quota.json");

/// How each flow ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// Seven tasks, a volume.
    Success,
    /// The third task finds quota exceeded; three tasks are reverted, and nothing is left.
    OverQuota,
    /// The last task fails; seven are reverted, and the volume is left in `error`.
    CastFails,
}

impl Case {
    /// Every case.
    pub const ALL: [Self; 3] = [Self::Success, Self::OverQuota, Self::CastFails];

    /// As the command line writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::OverQuota => "over-quota",
            Self::CastFails => "cast-fails",
        }
    }

    /// The plugins that its manifest may name as `builtin`.
    pub fn plugins() -> Vec<(&'static str, &'static [u8])> {
        let mut plugins = cairn_bundle::PLUGINS.to_vec();
        plugins.push(CAST_FAILS);
        plugins
    }

    /// The flow: the one of the examples. Where that names the plugin that fails by its file, the embedded one is meant.
    ///
    /// # Errors
    /// When the example is no manifest any more.
    pub fn manifest(self) -> Result<Manifest, Diagnostic> {
        let (text, name) = match self {
            Self::Success | Self::OverQuota => (FLOW.to_owned(), "flow.toml"),
            Self::CastFails => (embedded(FLOW_CAST_FAILS), "flow-cast-fails.toml"),
        };
        Manifest::parse(&text, Path::new(name), &cairn::grant_kinds())
    }

    /// What an operator asks for.
    pub(crate) fn request(self) -> Value {
        let text = match self {
            Self::Success | Self::CastFails => REQUEST,
            Self::OverQuota => REQUEST_OVER_QUOTA,
        };
        serde_json::from_str(text).expect("the examples' requests are JSON")
    }

    /// No limit on what succeeds, and the usual one on what does not.
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

    /// Whether a flow ended as this case says.
    ///
    /// # Errors
    /// [`BenchError::Unexpected`], with how it ended instead.
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
            for task in &manifest.tasks {
                let Source::Builtin(name) = &manifest.plugins[&task.plugin].source else {
                    panic!("`{}` of `{}` is a file", task.plugin, case.as_str());
                };
                assert!(
                    Case::plugins().iter().any(|(known, _)| known == name),
                    "{name}"
                );
            }
        }
    }
}
