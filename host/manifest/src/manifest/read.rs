//! Parses a TOML document to a [`Manifest`].

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cairn_model::error::Diagnostic;
use cairn_model::text::{PLAIN_NAME, is_plain_name};
use cairn_model::value::Object;

use super::{
    ExternalEntry, GrantKinds, Grants, GrantsAt, GrantsForm, LimitKey, Limits, Manifest, Mode,
    OnLost, PluginEntry, PolicyEntry, Retry, Source, TaskEntry, ValidatorEntry, Wait, Work, wait,
};
use crate::document::{Document, Item, Table, nearest};

/// Maximum number of tasks: more than any flow needs, and few enough to wire quickly.
const MAX_TASKS: usize = 1000;
/// Maximum number of policies, and of validators, before the first task: each is its own instance.
const MAX_CHECKS: usize = 100;

pub(super) fn manifest(
    text: &str,
    file: &Path,
    kinds: &GrantKinds,
) -> Result<Manifest, Diagnostic> {
    let document = Document::new(text, file)?;
    let entries = document.parse()?;
    let root = document.root(&entries).only(&[
        "flow",
        "plugins",
        "externals",
        "policy",
        "validator",
        "task",
    ])?;
    let Some(flow) = root.get("flow") else {
        return Err(root
            .error("the manifest has no [flow] table")
            .help("add `[flow]` and `name = \"…\"` at its top"));
    };
    let flow = flow.table()?.only(&["name", "action", "on_lost"])?;
    let Some(flow_name) = flow.get("name") else {
        return Err(flow
            .error("the flow has no name")
            .help("add `name = \"…\"` to [flow]"));
    };
    let mut manifest = Manifest {
        name: name(&flow_name)?,
        action: flow.get("action").map(|item| name(&item)).transpose()?,
        on_lost: match flow.get("on_lost") {
            Some(item) => on_lost(&item)?,
            None => OnLost::default(),
        },
        plugins: BTreeMap::new(),
        externals: BTreeMap::new(),
        tasks: Vec::new(),
        policies: Vec::new(),
        validators: Vec::new(),
        file: file.to_owned(),
        warnings: Vec::new(),
    };
    if let Some(plugins) = root.get("plugins") {
        read_plugins(&plugins.table()?, &mut manifest, kinds)?;
    }
    if let Some(externals) = root.get("externals") {
        read_externals(&externals.table()?, &mut manifest, kinds)?;
    }
    if let Some(policies) = root.get("policy") {
        read_policies(&policies, &mut manifest)?;
    }
    if let Some(validators) = root.get("validator") {
        read_validators(&validators, &mut manifest)?;
    }
    if let Some(tasks) = root.get("task") {
        read_tasks(&tasks, &mut manifest)?;
    }
    if manifest.tasks.is_empty() {
        return Err(flow
            .error("the flow has no task")
            .help("add a [[task]] table with `plugin = \"…\"`"));
    }
    if let Some(policy) = manifest.policies.first()
        && manifest.action.is_none()
    {
        return Err(Diagnostic::new(
            "the flow has no action that its policies could be asked about",
        )
        .at(file, policy.line)
        .help("add `action = \"…\"` to [flow], such as `volume:create`"));
    }
    Ok(manifest)
}

fn read_plugins(
    table: &Table<'_>,
    manifest: &mut Manifest,
    kinds: &GrantKinds,
) -> Result<(), Diagnostic> {
    for (key, item) in table.items() {
        if !is_plain_name(key) {
            return Err(item.error("is no name for a plugin").help(PLAIN_NAME));
        }
        let table = item.table()?.only(&PLUGIN_KEYS)?;
        let entry = plugin(("plugins", key), &item, table, (&manifest.file, kinds))?;
        if let Some(line) = entry.limit_lines.get(&LimitKey::Act) {
            let message = format!("`plugins.{key}.limits.act` bounds acts, and only externals act");
            let help = "leave it out; `deadline` bounds the calls of other plugins";
            return Err(Diagnostic::new(message)
                .at(&manifest.file, *line)
                .help(help));
        }
        manifest.plugins.insert(key.to_owned(), entry);
    }
    Ok(())
}

/// The keys of a plugin's table.
const PLUGIN_KEYS: [&str; 6] = ["path", "builtin", "sha256", "settings", "limits", "grants"];

fn read_externals(
    table: &Table<'_>,
    manifest: &mut Manifest,
    kinds: &GrantKinds,
) -> Result<(), Diagnostic> {
    for (key, item) in table.items() {
        if !is_plain_name(key) {
            return Err(item.error("is no name for a provider").help(PLAIN_NAME));
        }
        if let Some(plugin) = manifest.plugins.get(key) {
            let problem = format!("has the name of the plugin on line {}", plugin.line);
            return Err(item.error(problem).help("give one of them another name"));
        }
        let mut keys = PLUGIN_KEYS.to_vec();
        keys.push("fences");
        let table = item.table()?.only(&keys)?;
        let fences = table.get("fences").map(|item| item.flag()).transpose()?;
        let entry = plugin(("externals", key), &item, table, (&manifest.file, kinds))?;
        manifest.plugins.insert(key.to_owned(), entry);
        let external = ExternalEntry {
            fences: fences.unwrap_or(false),
        };
        manifest.externals.insert(key.to_owned(), external);
    }
    Ok(())
}

/// Reads a plugin's table, `[GROUP.KEY]`.
fn plugin(
    (group, key): (&str, &str),
    item: &Item<'_>,
    table: Table<'_>,
    (file, kinds): (&Path, &GrantKinds),
) -> Result<PluginEntry, Diagnostic> {
    let source = match (table.get("path"), table.get("builtin")) {
        (Some(item), None) => {
            let path = item.text()?;
            if path.is_empty() {
                return Err(item
                    .error("is empty")
                    .help("name the component's file, relative to this one"));
            }
            let folder = file.parent().unwrap_or_else(|| Path::new(""));
            Source::Path(folder.join(path))
        }
        (None, Some(item)) => Source::Builtin(name(&item)?),
        (Some(_), Some(item)) => {
            return Err(item
                .error(format!("cannot stand beside `{group}.{key}.path`"))
                .help("keep one of them"));
        }
        (None, None) => {
            return Err(table
                .error(format!("plugin `{key}` has no component"))
                .help(format!(
                    "add `path = \"{key}.wasm\"` or `builtin = \"…\"` to [{group}.{key}]"
                )));
        }
    };
    let sha256 = match table.get("sha256") {
        Some(item) => Some(item.text()?.parse().map_err(|_| {
            item.error("is no SHA-256 digest")
                .help("write its 64 hexadecimal digits")
        })?),
        None => None,
    };
    let (limits, limit_lines) = match table.get("limits") {
        Some(item) => Limits::default().read(item.table()?)?,
        None => Default::default(),
    };
    Ok(PluginEntry {
        source,
        sha256,
        settings: match table.get("settings") {
            Some(item) => item.object()?,
            None => Object::new(),
        },
        settings_at: table
            .get("settings")
            .map(|item| item.lines())
            .unwrap_or_default(),
        limits,
        limit_lines,
        grants: match table.get("grants") {
            Some(item) => Grants::read(item.table()?, kinds)?,
            None => Grants::default(),
        },
        grants_at: grants_at(item, table.get("grants").as_ref(), kinds),
        line: table.line(),
    })
}

fn grants_at(plugin: &Item<'_>, grants: Option<&Item<'_>>, kinds: &GrantKinds) -> GrantsAt {
    let form = match grants {
        Some(grants) if grants.has_header() => GrantsForm::Table(grants.line()),
        Some(grants) => GrantsForm::Value(grants.line()),
        None if plugin.has_header() => GrantsForm::Absent(plugin.line()),
        None => GrantsForm::Elsewhere,
    };
    let entries = grants.and_then(Item::as_table);
    let withheld = kinds.names().filter_map(|capability| {
        let item = entries.as_ref()?.get(capability)?;
        (item.as_bool() == Some(false)).then(|| (capability.to_owned(), item.line()))
    });
    GrantsAt {
        form,
        withheld: withheld.collect(),
    }
}

fn read_policies(policies: &Item<'_>, manifest: &mut Manifest) -> Result<(), Diagnostic> {
    for table in check_tables(policies, "policy", &["plugin", "mode"])? {
        let plugin = plugin_of(&table, "policy", manifest)?;
        let named = manifest
            .policies
            .iter()
            .map(|entry| (&entry.plugin, entry.line));
        refuse_twice(&table, "policy", &plugin, named)?;
        let mode = match table.get("mode") {
            Some(item) => mode(&item)?,
            None => Mode::default(),
        };
        let line = table.line();
        manifest.policies.push(PolicyEntry { plugin, mode, line });
    }
    Ok(())
}

fn read_validators(validators: &Item<'_>, manifest: &mut Manifest) -> Result<(), Diagnostic> {
    for table in check_tables(validators, "validator", &["plugin"])? {
        let plugin = plugin_of(&table, "validator", manifest)?;
        let named = manifest
            .validators
            .iter()
            .map(|entry| (&entry.plugin, entry.line));
        refuse_twice(&table, "validator", &plugin, named)?;
        let line = table.line();
        manifest.validators.push(ValidatorEntry { plugin, line });
    }
    Ok(())
}

/// Returns the tables of `[[policy]]` or `[[validator]]`.
fn check_tables<'d>(
    item: &Item<'d>,
    what: &str,
    keys: &'static [&'static str],
) -> Result<Vec<Table<'d>>, Diagnostic> {
    let tables = item
        .array()
        .map_err(|error| error.help(format!("write `[[{what}]]`, with two brackets")))?;
    let tables = tables.into_iter().map(|item| item.table()?.only(keys));
    let tables = tables.collect::<Result<Vec<_>, _>>()?;
    match tables.get(MAX_CHECKS) {
        Some(table) => Err(table.error(format!(
            "the flow has more than {MAX_CHECKS} tables [[{what}]]"
        ))),
        None => Ok(tables),
    }
}

fn refuse_twice<'e>(
    table: &Table<'_>,
    what: &str,
    plugin: &str,
    mut named: impl Iterator<Item = (&'e String, usize)>,
) -> Result<(), Diagnostic> {
    match named.find(|(name, _)| *name == plugin) {
        Some((_, line)) => Err(table
            .error(format!(
                "a second [[{what}]] names `{plugin}`; the first is on line {line}"
            ))
            .help(
                "take one of them out; for other settings, give it a [plugins.…] table of its own",
            )),
        None => Ok(()),
    }
}

fn mode(item: &Item<'_>) -> Result<Mode, Diagnostic> {
    match item.text()? {
        "enforce" => Ok(Mode::Enforce),
        "monitor" => Ok(Mode::Monitor),
        other => Err(item
            .error(format!("has the unknown value `{}`", other.escape_debug()))
            .help(r#"write "enforce" or "monitor""#)),
    }
}

fn read_tasks(tasks: &Item<'_>, manifest: &mut Manifest) -> Result<(), Diagnostic> {
    let tasks = tasks
        .array()
        .map_err(|error| error.help("write `[[task]]`, with two brackets"))?;
    let (mut lines, mut signals) = (BTreeMap::new(), BTreeMap::new());
    for item in tasks {
        let table = item.table()?;
        let (work, table) = match table.get("wait") {
            Some(wait) => {
                let table = table.only(&["wait", "name"])?;
                (Work::Wait(wait::read(&wait)?), table)
            }
            None => {
                let table = table.only(&["plugin", "wait", "name", "retry", "revert", "pivot"])?;
                (Work::Plugin(plugin_of(&table, "task", manifest)?), table)
            }
        };
        if manifest.tasks.len() == MAX_TASKS {
            return Err(table.error(format!("the flow has more than {MAX_TASKS} tasks")));
        }
        let entry = TaskEntry {
            work,
            name: table.get("name").map(|item| name(&item)).transpose()?,
            retry: match table.get("retry") {
                Some(item) => retry(&item, &mut manifest.warnings)?,
                None => Retry::default(),
            },
            revert: match table.get("revert") {
                Some(item) => retry(&item, &mut manifest.warnings)?,
                None => Retry::default(),
            },
            pivot: table.get("pivot").map_or(Ok(false), |item| item.flag())?,
            line: table.line(),
        };
        if let Some(line) = lines.insert(entry.name().to_owned(), entry.line) {
            let message = format!(
                "a second task named `{}`; the first is on line {line}",
                entry.name()
            );
            return Err(table
                .error(message)
                .help("give this one a name of its own: `name = \"…\"`"));
        }
        if let Work::Wait(Wait {
            signal: Some(signal),
            ..
        }) = &entry.work
            && let Some(line) = signals.insert(signal.clone(), entry.line)
        {
            let message =
                format!("a second wait for the signal `{signal}`; the first is on line {line}");
            return Err(table
                .error(message)
                .help("a flow keeps one signal of each name: give this one another name"));
        }
        manifest.tasks.push(entry);
    }
    Ok(())
}

fn plugin_of(table: &Table<'_>, what: &str, manifest: &Manifest) -> Result<String, Diagnostic> {
    let Some(item) = table.get("plugin") else {
        return Err(table
            .error(format!("the {what} names no plugin"))
            .help("add `plugin = \"…\"`, the key of a [plugins.…] table"));
    };
    let key = item.text()?;
    if manifest.plugins.contains_key(key) {
        return Ok(key.to_owned());
    }
    let help = match nearest(key, manifest.plugins.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if is_plain_name(key) => {
            format!("add a [plugins.{key}] table, or name one that is there")
        }
        None => PLAIN_NAME.to_owned(),
    };
    Err(item
        .error(format!(
            "names `{}`, and there is no such plugin",
            key.escape_debug()
        ))
        .help(help))
}

fn retry(item: &Item<'_>, warnings: &mut Vec<String>) -> Result<Retry, Diagnostic> {
    let table = item.table()?.only(&["attempts", "backoff", "on"])?;
    let mut retry = Retry::default();
    if let Some(item) = table.get("attempts") {
        retry.attempts = u32::try_from(item.integer()?)
            .ok()
            .filter(|attempts| (1..=100).contains(attempts))
            .ok_or_else(|| {
                item.error("must be from 1 to 100")
                    .help("it counts every attempt, the first one too")
            })?;
    }
    if let Some(item) = table.get("backoff") {
        retry.backoff = item.duration(Duration::ZERO)?;
    }
    if let Some(item) = table.get("on") {
        retry.on = Some(error_kinds(&item)?);
    }
    if retry.attempts == 1 && retry != Retry::default() {
        warnings.push(format!(
            "`attempts` is 1 on line {}, so nothing is tried again and the keys beside it say nothing",
            item.line()
        ));
    }
    Ok(retry)
}

fn error_kinds(item: &Item<'_>) -> Result<Vec<String>, Diagnostic> {
    let mut kinds = Vec::new();
    for kind in item.array()? {
        let text = kind.text()?;
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(kind
                .error(format!(
                    "holds `{}`, which is no kind of error",
                    text.escape_debug()
                ))
                .help("a kind is one word, such as `Busy`"));
        }
        kinds.push(text.to_owned());
    }
    if kinds.is_empty() {
        return Err(item
            .error("is empty, so nothing would be tried again")
            .help("name the kinds of error, or leave it out to mean every kind"));
    }
    Ok(kinds)
}

fn on_lost(item: &Item<'_>) -> Result<OnLost, Diagnostic> {
    match item.text()? {
        "rollback" => Ok(OnLost::Rollback),
        "resume" => Ok(OnLost::Resume),
        other => Err(item
            .error(format!("has the unknown value `{}`", other.escape_debug()))
            .help(r#"write "rollback" or "resume""#)),
    }
}

fn name(item: &Item<'_>) -> Result<String, Diagnostic> {
    let text = item.text()?;
    if is_plain_name(text) {
        Ok(text.to_owned())
    } else {
        Err(item
            .error(format!("is `{}`, which is no name", text.escape_debug()))
            .help(PLAIN_NAME))
    }
}
