//! Finds the plugin at fault when the host, not the plugin, reports a failure.

use cairn::error::{HostErrorKind, Origin};
use cairn::manifest::{LimitKey, Source};
use cairn::{Diagnostic, Manifest, Plan, Report};

/// Returns what to do about a plugin that broke the contract or its limits, with its place in the manifest. `None` for every other
/// end of a flow, which the report alone describes.
pub fn plugin_fault(report: &Report, plan: &Plan, manifest: &Manifest) -> Option<Diagnostic> {
    let (key, whose, kind) = fault(report, plan)?;
    let entry = manifest.plugins.get(key)?;
    let is = |known: HostErrorKind| kind == known.as_str();
    let help = if let Some(limit) = LimitKey::of_error(kind) {
        let needs = match limit {
            LimitKey::Deadline => "if it needs more time",
            LimitKey::Memory => "if it needs more memory",
            _ => "if it needs more",
        };
        format!("{needs}, raise `{limit}` in [plugins.{key}.limits]")
    } else if [
        HostErrorKind::Trap,
        HostErrorKind::ResultInvalid,
        HostErrorKind::ResultIncomplete,
        HostErrorKind::Instantiation,
    ]
    .into_iter()
    .any(is)
    {
        let component = match &entry.source {
            Source::Path(path) => path.display().to_string(),
            Source::Builtin(name) => format!("builtin:{name}"),
        };
        format!(
            "this is a defect of the plugin {component}: fix it, report it to its author, or use another version"
        )
    } else {
        return None;
    };
    let message = &report.error.as_ref()?.message;
    let message = match whose {
        Some(task) => format!("task `{task}` failed: {kind}: {message}"),
        // The message of a policy or validator names it already.
        None => format!("{kind}: {message}"),
    };
    Some(
        Diagnostic::new(message)
            .at(&manifest.file, entry.line)
            .help(help),
    )
}

/// Returns the plugin at fault, its task if it is one, and the kind of the host's error.
fn fault<'r>(report: &'r Report, plan: &'r Plan) -> Option<(&'r str, Option<&'r str>, &'r str)> {
    let error = report.error.as_ref()?;
    let detail = |name: &str| error.details.get(name);
    match error.origin {
        Origin::Host => {
            let mut tasks = plan.plugin_tasks();
            let task = tasks.find(|task| Some(&task.display) == error.task.as_ref());
            match task {
                Some(task) => Some((&task.plugin, Some(&task.display), &error.kind)),
                None => Some((detail("validator")?.as_str()?, None, &error.kind)),
            }
        }
        Origin::Policy => {
            let failure = detail("failure")?;
            let kind = failure.get("kind")?.as_str()?;
            let by_host = failure.get("origin")? == "host";
            by_host.then_some((detail("policy")?.as_str()?, None, kind))
        }
        _ => None,
    }
}
