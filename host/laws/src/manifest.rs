//! Makes the manifest of a case's flow.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use cairn::host::Planner;
use cairn::manifest::Limits;
use cairn::plan::Role;
use cairn::{Diagnostic, Manifest, Object, Value, file};
use serde_json::json;

use crate::case::{ExternalCase, TaskCase};
use crate::error::LawsError;
use crate::subject::{BUILTIN, Subject, Tools};

/// The key of the plugin under test.
pub(crate) const SUBJECT: &str = "subject";

/// Makes a manifest of `inject`, the tasks before, and the subject, with their grants.
pub(crate) fn of_task(
    tools: &Tools,
    subject: &Subject,
    case: &TaskCase,
) -> Result<Manifest, LawsError> {
    let mut plugins = Object::new();
    let mut tasks = vec![json!({"plugin": "inject"})];
    let mut provides: BTreeSet<String> = case.inputs.keys().cloned().collect();
    let before = case.before.iter().enumerate().map(|(index, before)| {
        let key = format!("before-{}", index + 1);
        (
            key,
            before.plugin.as_str(),
            &before.settings,
            before.grants.as_ref(),
        )
    });
    let itself = (
        SUBJECT.to_owned(),
        subject.0.as_str(),
        &case.settings,
        case.grants.as_ref(),
    );
    let planner = Planner::new(Arc::clone(&tools.plugins), &tools.builtins);
    for (key, plugin, settings, grants) in before.chain([itself]) {
        // Paths of a case start at its file's folder, the subject's path at the current directory.
        let folder = match key.as_str() {
            SUBJECT => Path::new(""),
            _ => case.file.parent().unwrap_or(Path::new("")),
        };
        let bytes = read(tools, plugin, folder)?;
        let loaded = planner.component(&bytes)?;
        let grants = grants.cloned().unwrap_or_else(|| {
            let imports = loaded.imports().iter();
            let granted = imports.filter_map(|import| import.capability.clone());
            granted.map(|name| (name, true.into())).collect()
        });
        // The plan reports invalid settings, with a better message.
        if let Ok(descriptor) = loaded.describe(settings, &Limits::default()) {
            provides.extend(descriptor.requires);
        }
        let mut entry = entry(plugin, folder, settings);
        entry["grants"] = grants.into();
        tasks.push(json!({"plugin": key}));
        plugins.insert(key, entry);
    }
    plugins.insert(
        "inject".to_owned(),
        json!({"builtin": "inject", "settings": {"provides": provides}}),
    );
    let manifest = json!({"flow": {"name": "case"}, "plugins": plugins, "task": tasks});
    written(tools, &manifest, &case.file)
}

/// Makes a manifest with the subject as the admission check of `action`. A flow needs a task, so it has one, which is not run.
pub(crate) fn of_check(
    tools: &Tools,
    subject: &Subject,
    role: Role,
    action: &str,
    settings: &Object,
    file: &Path,
) -> Result<Manifest, LawsError> {
    let mut manifest = json!({
        "flow": {"name": "case", "action": action},
        "plugins": {
            "inject": {"builtin": "inject", "settings": {"provides": []}},
            SUBJECT: entry(&subject.0, Path::new(""), settings),
        },
        "task": [{"plugin": "inject"}],
    });
    manifest[role.noun()] = json!([{"plugin": SUBJECT}]);
    written(tools, &manifest, file)
}

/// Makes a manifest with the subject as a provider. A flow needs a task, so it has one.
pub(crate) fn of_external(
    tools: &Tools,
    subject: &Subject,
    case: &ExternalCase,
) -> Result<Manifest, LawsError> {
    let mut provider = entry(&subject.0, Path::new(""), &case.settings);
    provider["grants"] = match &case.grants {
        Some(grants) => grants.clone(),
        None => imports(tools, &subject.0)?,
    }
    .into();
    let manifest = json!({
        "flow": {"name": "case"},
        "plugins": {"inject": {"builtin": "inject", "settings": {"provides": []}}},
        "externals": {SUBJECT: provider},
        "task": [{"plugin": "inject"}],
    });
    written(tools, &manifest, &case.file)
}

/// Grants a plugin all of its imports.
fn imports(tools: &Tools, plugin: &str) -> Result<Object, LawsError> {
    let planner = Planner::new(Arc::clone(&tools.plugins), &tools.builtins);
    let loaded = planner.component(&read(tools, plugin, Path::new(""))?)?;
    let imports = loaded.imports().iter();
    let granted = imports.filter_map(|import| import.capability.clone());
    Ok(granted.map(|name| (name, true.into())).collect())
}

/// Makes the error of a plan without the plugin under test. Does not occur, because the case's manifest names it.
pub(crate) fn not_in_plan() -> Diagnostic {
    Diagnostic::new("the plan of this case does not have the plugin under test")
}

/// Makes the table of a plugin.
fn entry(plugin: &str, folder: &Path, settings: &Object) -> Value {
    let (key, source) = match plugin.strip_prefix(BUILTIN) {
        Some(name) => ("builtin", name.to_owned()),
        None => ("path", path(plugin, folder)),
    };
    json!({key: source, "settings": settings})
}

fn written(tools: &Tools, manifest: &Value, file: &Path) -> Result<Manifest, LawsError> {
    let text = toml::to_string(manifest).map_err(|error| {
        Diagnostic::new(format!(
            "its settings or grants do not fit a manifest: {error}"
        ))
        .help("a manifest has no null")
    })?;
    Ok(Manifest::parse(&text, file, tools.plugins.kinds())?)
}

fn path(plugin: &str, folder: &Path) -> String {
    let path = folder.join(plugin);
    std::path::absolute(&path)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}

fn read(tools: &Tools, plugin: &str, folder: &Path) -> Result<Vec<u8>, Diagnostic> {
    if let Some(name) = plugin.strip_prefix(BUILTIN) {
        let mut builtins = tools.builtins.iter();
        let found = builtins.find(|(known, _)| *known == name);
        return found
            .map(|(_, bytes)| bytes.to_vec())
            .ok_or_else(|| Diagnostic::new(format!("there is no built-in plugin `{name}`")));
    }
    let path = path(plugin, folder);
    let most = Limits::most().component_bytes;
    file::read(Path::new(&path), most).map_err(|error| {
        Diagnostic::new(format!("the plugin {path} cannot be read: {error}"))
            .help("build it first if it is yours")
    })
}
