//! Which module of the engine may know which: the floors of `host/ARCHITECTURE.md`, held against the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module, from the ground up, with those it may name.
const ALLOWED: &[(&str, &[&str])] = &[
    ("value", &[]),
    ("id", &[]),
    ("clock", &[]),
    ("crash", &[]),
    ("retry", &[]),
    ("wit", &[]),
    ("contract", &[]),
    ("wire", &[]),
    ("file", &[]),
    ("printable", &[]),
    ("keyring", &["file"]),
    ("text", &[]),
    ("idempotency", &["text", "value"]),
    ("error", &["printable", "value"]),
    ("document", &["error", "value"]),
    ("quota", &["clock", "error", "value"]),
    ("policy", &["error", "id", "printable", "value"]),
    ("effect", &["clock", "id", "value"]),
    ("event", &["clock", "effect", "error", "id", "value"]),
    ("rows", &["clock", "effect", "error", "id", "value"]),
    (
        "volumes",
        &[
            "clock", "effect", "error", "event", "id", "keyring", "quota", "rows", "value",
        ],
    ),
    ("task", &["effect", "error", "event", "id", "value"]),
    (
        "history",
        &[
            "clock",
            "effect",
            "error",
            "event",
            "id",
            "idempotency",
            "task",
            "value",
        ],
    ),
    (
        "report",
        &["effect", "error", "event", "history", "id", "value"],
    ),
    (
        "manifest",
        &["contract", "document", "error", "retry", "value"],
    ),
    (
        "check",
        &["error", "event", "id", "manifest", "policy", "value"],
    ),
    ("allow", &["document", "error", "manifest", "value"]),
    (
        "plan",
        &[
            "allow", "contract", "document", "error", "manifest", "value", "wire",
        ],
    ),
    (
        "lock",
        &[
            "contract",
            "document",
            "error",
            "manifest",
            "plan",
            "printable",
            "value",
        ],
    ),
    ("upgrade", &["manifest", "plan", "value"]),
    (
        "config",
        &[
            "allow",
            "document",
            "error",
            "idempotency",
            "manifest",
            "quota",
            "text",
            "value",
        ],
    ),
    (
        "store",
        &[
            "clock",
            "crash",
            "effect",
            "error",
            "event",
            "file",
            "history",
            "id",
            "idempotency",
            "keyring",
            "quota",
            "report",
            "rows",
            "value",
            "volumes",
        ],
    ),
    (
        "request",
        &["document", "error", "idempotency", "store", "text", "value"],
    ),
    (
        "flow",
        &[
            "check",
            "clock",
            "effect",
            "error",
            "event",
            "history",
            "id",
            "idempotency",
            "retry",
            "store",
            "task",
            "value",
            "wire",
        ],
    ),
    (
        "capability",
        &[
            "check", "effect", "error", "event", "id", "manifest", "policy", "quota", "task",
            "value", "wit",
        ],
    ),
    (
        "plugin",
        &[
            "capability",
            "check",
            "contract",
            "effect",
            "error",
            "event",
            "file",
            "id",
            "manifest",
            "plan",
            "task",
            "value",
            "wit",
        ],
    ),
    (
        "host",
        &[
            "allow",
            "capability",
            "check",
            "crash",
            "error",
            "event",
            "file",
            "flow",
            "history",
            "id",
            "idempotency",
            "manifest",
            "plan",
            "plugin",
            "policy",
            "report",
            "request",
            "store",
            "task",
            "value",
        ],
    ),
];

/// Crates that one place only may name: crate, and the folders or files where it may stand.
const CONFINED: &[(&str, &[&str])] = &[
    ("saphyr_parser", &["policy/file"]),
    ("rusqlite", &["store/sqlite"]),
    ("rusqlite_migration", &["store/sqlite"]),
    ("wasmtime", &["plugin", "capability", "wit.rs"]),
    ("wasmtime_wasi", &["plugin", "capability"]),
    ("wasmtime_wasi_io", &["plugin"]),
    // What is read of a component before it is compiled is read by whoever compiles.
    ("wasmparser", &["plugin/compiler.rs"]),
];

/// Ways of opening or reading a file past `cairn::file`, which opens nothing that may block or have no end, and reads no more
/// than is asked for.
const READS: &[&str] = &[
    "fs::read(",
    "fs::copy(",
    "File::open(",
    "OpenOptions::new()",
    "read_to_end(",
    "read_to_string(",
];

/// Where one of them may stand nevertheless, and why.
const OTHER_READS: &[(&str, &str, &str)] = &[
    (
        "engine/src/file.rs",
        "OpenOptions::new()",
        "the helper itself",
    ),
    (
        "engine/src/file.rs",
        "read_to_end(",
        "the helper itself, bounded",
    ),
    (
        "engine/src/file.rs",
        "File::open(",
        "syncs, and reads nothing",
    ),
    (
        "engine/src/keyring.rs",
        "OpenOptions::new()",
        "makes a new file",
    ),
    (
        "engine/src/plugin/cache.rs",
        "OpenOptions::new()",
        "makes new files",
    ),
    (
        "engine/src/store/sqlite/file.rs",
        "OpenOptions::new()",
        "makes a new file",
    ),
    (
        "engine/src/store/sqlite/restore.rs",
        "OpenOptions::new()",
        "opens for locks on a file that was looked at before, and reads nothing",
    ),
    (
        "engine/src/store/sqlite/turnstile.rs",
        "OpenOptions::new()",
        "opens for writing too, which waits for no other end of a pipe",
    ),
    (
        "cli/src/compile.rs",
        "read_to_end(",
        "pipes between this program and its child, bounded",
    ),
    (
        "cli/src/cmd/db/parts.rs",
        "OpenOptions::new()",
        "makes a new file",
    ),
    (
        "cli/src/interrupt.rs",
        "read_to_string(",
        "what the kernel says of this process",
    ),
    (
        "cli/src/toolchain.rs",
        "fs::copy(",
        "what cargo has just made",
    ),
    (
        "bench/src/lib.rs",
        "fs::copy(",
        "what the benchmark has just made",
    ),
    (
        "bench/src/meter.rs",
        "read_to_string(",
        "the kernel's own files",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/engine/src")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the engine's sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file: no comments, no unit tests.
fn code(path: &Path) -> String {
    if path.ends_with("tests.rs") {
        return String::new();
    }
    let text = fs::read_to_string(path).expect("a source file");
    let text = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default()
        .to_owned();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The names that follow `prefix` in `code`.
fn names_after<'a>(code: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(prefix).filter_map(move |(at, _)| {
        let before = code[..at].chars().next_back();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if before.is_some_and(is_name) {
            return None;
        }
        let rest = &code[at + prefix.len()..];
        let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        Some(&rest[..end])
    })
}

/// Module -> modules it names, with one file that does.
fn edges() -> BTreeMap<String, BTreeMap<String, PathBuf>> {
    let root = root();
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 50, "the engine's sources were found");
    let mut edges = BTreeMap::<String, BTreeMap<String, PathBuf>>::new();
    for file in files {
        let relative = file
            .strip_prefix(&root)
            .expect("a file below the root")
            .to_owned();
        let first = relative.components().next().expect("a component");
        let module = first
            .as_os_str()
            .to_string_lossy()
            .trim_end_matches(".rs")
            .to_owned();
        if module == "lib" {
            continue;
        }
        let named = edges.entry(module.clone()).or_default();
        let code = code(&file);
        assert!(
            !code.contains("crate::{"),
            "{}: one `use crate::…` a module, please",
            relative.display()
        );
        for other in names_after(&code, "crate::").filter(|other| *other != module) {
            // Macros and re-exports at the root are nobody's floor.
            if root.join(other).is_dir() || root.join(format!("{other}.rs")).is_file() {
                named
                    .entry(other.to_owned())
                    .or_insert_with(|| relative.clone());
            }
        }
    }
    edges
}

#[test]
fn every_module_is_on_a_floor_and_names_only_those_below() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = ALLOWED
        .iter()
        .map(|(module, below)| (*module, below.iter().copied().collect()))
        .collect();
    for (module, named) in edges() {
        let below = allowed.get(module.as_str());
        let below = below
            .unwrap_or_else(|| panic!("module `{module}` is on no floor: add it to the table"));
        for (other, file) in named {
            assert!(
                below.contains(other.as_str()),
                "`{module}` must not know `{other}` ({}): see host/ARCHITECTURE.md",
                file.display()
            );
        }
    }
}

#[test]
fn the_floors_themselves_have_no_circle() {
    let mut placed = BTreeSet::new();
    for (module, below) in ALLOWED {
        for other in *below {
            assert!(
                placed.contains(other),
                "`{module}` names `{other}`, which is not below it"
            );
        }
        placed.insert(module);
    }
}

#[test]
fn sqlite_and_wasmtime_are_named_in_one_place_each() {
    let root = root();
    let mut files = Vec::new();
    sources(&root, &mut files);
    for file in files {
        let relative = file.strip_prefix(&root).expect("a file below the root");
        let code = code(&file);
        for (name, places) in CONFINED {
            let named = names_after(&code, name).any(|rest| rest.is_empty());
            let home = places.iter().any(|place| relative.starts_with(place));
            assert!(!named || home, "{} names `{name}`", relative.display());
        }
    }
}

#[test]
fn files_are_read_in_one_place() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host");
    let mut files = Vec::new();
    for part in ["engine", "laws", "bench", "cli"] {
        sources(&host.join(part).join("src"), &mut files);
    }
    let mut used = BTreeSet::new();
    for file in files {
        let relative = file.strip_prefix(&host).expect("a file below the host");
        let of_tests = relative
            .components()
            .any(|part| part.as_os_str() == "tests");
        let code = if of_tests { String::new() } else { code(&file) };
        for read in READS.iter().filter(|read| code.contains(**read)) {
            let known = OTHER_READS
                .iter()
                .position(|(path, known, _)| relative == Path::new(path) && known == read);
            let known = known.unwrap_or_else(|| {
                let file = relative.display();
                panic!("{file} has `{read}`: read with `cairn::file`, or say here why not")
            });
            used.insert(known);
        }
    }
    assert_eq!(
        used.len(),
        OTHER_READS.len(),
        "an exception is not needed any more"
    );
}

#[test]
fn guests_do_not_know_the_host() {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    for entry in fs::read_dir(plugins).expect("the plugins") {
        let manifest = entry.expect("an entry").path().join("Cargo.toml");
        let text = fs::read_to_string(&manifest).expect("a manifest");
        let depends = text.lines().any(|line| {
            line.starts_with("cairn.") || line.starts_with("cairn ") || line.contains("host/")
        });
        assert!(!depends, "{} depends on the host", manifest.display());
    }
}
