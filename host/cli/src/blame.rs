//! Whose fault it is when the host, and not a plugin, says that a task failed.

use cairn::error::{Diagnostic, HostErrorKind, Origin};
use cairn::manifest::{Manifest, Source};
use cairn::plan::Plan;
use cairn::report::Report;

/// What to do about a plugin that broke the contract or its limits, with its place in the manifest. `None` for every
/// other end of a flow: those are the report's to tell.
pub fn plugin_fault(report: &Report, plan: &Plan, manifest: &Manifest) -> Option<Diagnostic> {
    let error = report
        .error
        .as_ref()
        .filter(|error| error.origin == Origin::Host)?;
    let task = plan
        .tasks
        .iter()
        .find(|task| Some(&task.display) == error.task.as_ref())?;
    let entry = manifest.plugins.get(&task.plugin)?;
    let is = |kind: HostErrorKind| error.kind == kind.as_str();
    let help = if is(HostErrorKind::DeadlineExceeded) {
        format!(
            "if it needs more time, raise `deadline` in [plugins.{}.limits]",
            task.plugin
        )
    } else if is(HostErrorKind::MemoryExceeded) {
        format!(
            "if it needs more memory, raise `memory` in [plugins.{}.limits]",
            task.plugin
        )
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
            "this is a defect of the plugin {component}: mend it, tell its author, or use another version"
        )
    } else {
        return None;
    };
    let message = format!(
        "task `{}` failed: {}: {}",
        task.display, error.kind, error.message
    );
    Some(
        Diagnostic::new(message)
            .at(&manifest.file, entry.line)
            .help(help),
    )
}
