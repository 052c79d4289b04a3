//! Checks the layers of `host/ARCHITECTURE.md` against the code. Cargo prevents cycles between crates; this test restricts the dependencies
//! of each crate, and the order of the modules in the crates that the table names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The crates of the host, bottom layer first, each with its permitted dependencies.
const CRATES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("policy", &["cairn-model"]),
    ("manifest", &["cairn-model"]),
    ("effects", &["cairn-model"]),
    ("store", &["cairn-effects", "cairn-model"]),
    (
        "deliver",
        &[
            "cairn-effects",
            "cairn-manifest",
            "cairn-model",
            "cairn-store",
        ],
    ),
    (
        "traces",
        &[
            "cairn-deliver",
            "cairn-effects",
            "cairn-manifest",
            "cairn-model",
            "cairn-store",
        ],
    ),
    ("outbound", &["cairn-manifest", "cairn-model"]),
    (
        "sandbox",
        &[
            "cairn-effects",
            "cairn-manifest",
            "cairn-model",
            "cairn-outbound",
            "cairn-policy",
        ],
    ),
    (
        "engine",
        &[
            "cairn-deliver",
            "cairn-effects",
            "cairn-manifest",
            "cairn-model",
            "cairn-policy",
            "cairn-sandbox",
            "cairn-store",
        ],
    ),
    (
        "volumes",
        &[
            "cairn-effects",
            "cairn-manifest",
            "cairn-model",
            "cairn-sandbox",
            "cairn-store",
        ],
    ),
    (
        "records",
        &[
            "cairn-effects",
            "cairn-manifest",
            "cairn-model",
            "cairn-sandbox",
            "cairn-store",
        ],
    ),
    (
        "cairn",
        &[
            "cairn-bundle",
            "cairn-deliver",
            "cairn-effects",
            "cairn-engine",
            "cairn-manifest",
            "cairn-model",
            "cairn-policy",
            "cairn-records",
            "cairn-sandbox",
            "cairn-store",
            "cairn-traces",
            "cairn-volumes",
        ],
    ),
    ("service", &["cairn"]),
];

/// Dependencies that only some crates may have, and the files in each that may name them; an empty list means all files.
const CONFINED: &[(&str, &str, &[&str])] = &[
    ("rusqlite", "store", &["sqlite"]),
    ("rusqlite_migration", "store", &["sqlite"]),
    ("tokio_postgres", "store", &["postgres"]),
    ("rustls", "store", &["postgres/tls.rs"]),
    ("rustls", "outbound", &["tls.rs", "client/connect.rs"]),
    ("rustls", "service", &["listen.rs"]),
    ("axum", "service", &[]),
    ("bcrypt", "service", &["auth/basic.rs"]),
    ("utoipa", "service", &["api", "error.rs"]),
    ("maud", "service", &["ui"]),
    ("prometheus_client", "service", &["metrics.rs", "scrape.rs"]),
    ("lapin", "deliver", &["amqp"]),
    ("ureq", "deliver", &["agent.rs", "http.rs", "http"]),
    ("ureq", "traces", &["otlp.rs"]),
    ("opentelemetry", "traces", &["otlp.rs"]),
    ("wasmtime", "sandbox", &[]),
    ("wasmtime_wasi", "sandbox", &["plugin", "capability"]),
    ("wasmtime_wasi_io", "sandbox", &["plugin"]),
    ("wasmtime_wasi_http", "sandbox", &["capability/http"]),
    // The parts of a component that are parsed before compilation are parsed by the compiler.
    ("wasmparser", "sandbox", &["plugin/compiler.rs"]),
    ("saphyr_parser", "policy", &["file"]),
    ("jsonschema", "manifest", &["plan/settings.rs"]),
];

/// The modules of a crate, bottom layer first: each may name only those before it.
const MODULES: &[(&str, &[&str])] = &[
    (
        "model",
        &[
            "value",
            "clock",
            "trace",
            "id",
            "audit",
            "command",
            "crash",
            "retry",
            "contract",
            "file",
            "whole",
            "secret",
            "printable",
            "text",
            "token",
            "status",
            "stall",
            "idempotency",
            "error",
        ],
    ),
    (
        "manifest",
        &[
            "document",
            "manifest",
            "allow",
            "wire",
            "plan",
            "lockfile",
            "diff",
            "flow_diff",
            "config",
            "testing",
        ],
    ),
    (
        "effects",
        &[
            "key", "keyring", "effect", "event", "rows", "rules", "outbox", "external", "domain",
            "net", "task", "history", "report",
        ],
    ),
    (
        "sandbox",
        &["wit", "admission", "capability", "extension", "plugin"],
    ),
    ("engine", &["flow", "host", "externals"]),
    (
        "volumes",
        &[
            "quota",
            "rules",
            "config",
            "operator",
            "request",
            "capability",
        ],
    ),
    (
        "records",
        &["settings", "config", "rules", "operator", "capability"],
    ),
];

/// Ways to open or read a file without `cairn::file`, which refuses files that may block or have no end, and limits the bytes that it
/// reads.
const READS: &[&str] = &[
    "fs::read(",
    "fs::copy(",
    "File::open(",
    "OpenOptions::new()",
    "read_to_end(",
    "read_to_string(",
];

/// The permitted exceptions, with their reasons.
const OTHER_READS: &[(&str, &str, &str)] = &[
    (
        "model/src/file.rs",
        "OpenOptions::new()",
        "the helper itself",
    ),
    (
        "model/src/command.rs",
        "read_to_end(",
        "reads the pipe of a child process, with limits on time and length",
    ),
    (
        "model/src/file.rs",
        "read_to_end(",
        "the helper itself, bounded",
    ),
    (
        "model/src/file.rs",
        "File::open(",
        "syncs, and reads nothing",
    ),
    (
        "sandbox/src/plugin/cache.rs",
        "OpenOptions::new()",
        "makes new files",
    ),
    (
        "store/src/sqlite/backup.rs",
        "OpenOptions::new()",
        "makes a new file that only its owner may read",
    ),
    (
        "store/src/sqlite/file.rs",
        "OpenOptions::new()",
        "makes a new file",
    ),
    (
        "store/src/sqlite/outbox.rs",
        "OpenOptions::new()",
        "opens a lock, and reads nothing",
    ),
    (
        "store/src/sqlite/restore.rs",
        "OpenOptions::new()",
        "opens for locks on a file that was looked at before, and reads nothing",
    ),
    (
        "store/src/sqlite/turnstile.rs",
        "OpenOptions::new()",
        "opens for writing too, which waits for no other end of a pipe",
    ),
    (
        "deliver/src/http/answer.rs",
        "read_to_end(",
        "what a receiver answers, bounded",
    ),
    (
        "cli/src/compile.rs",
        "read_to_end(",
        "pipes between this program and its child, bounded",
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
    (
        "bench/src/server.rs",
        "read_to_string(",
        "the kernel's own files",
    ),
];

fn host() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns the code of a file, without comments and unit tests.
fn code(path: &Path) -> String {
    if path.ends_with("tests.rs") || path.ends_with("testing.rs") {
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

/// Returns the names that follow `prefix` in `code`.
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

/// Returns the sources of a crate, each with its path below `src`.
fn crate_sources(name: &str) -> Vec<(PathBuf, String)> {
    let root = host().join(name).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(!files.is_empty(), "the sources of {name} were found");
    let with_code = files.into_iter().map(|file| {
        let relative = file.strip_prefix(&root).expect("a file below the root");
        (relative.to_owned(), code(&file))
    });
    with_code.collect()
}

#[test]
fn every_crate_depends_only_on_those_below_it() {
    for (name, allowed) in CRATES {
        let path = host().join(name).join("Cargo.toml");
        let manifest = fs::read_to_string(&path).expect("a manifest");
        let dependencies = manifest
            .split_once("[dependencies]")
            .expect("dependencies")
            .1;
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        let names = dependencies
            .lines()
            .filter_map(|line| line.split(['.', ' ']).next());
        for dependency in names.filter(|name| !name.is_empty()) {
            let is_ours = dependency.starts_with("cairn");
            assert!(
                !is_ours || allowed.contains(&dependency),
                "`{name}` must not depend on `{dependency}`: see host/ARCHITECTURE.md"
            );
            let is_it = |confined: &str| confined == dependency.replace('-', "_");
            let mut homes = CONFINED
                .iter()
                .filter(|(confined, _, _)| is_it(confined))
                .map(|(_, home, _)| home)
                .peekable();
            assert!(
                homes.peek().is_none() || homes.any(|home| home == name),
                "`{name}` must not depend on `{dependency}`"
            );
        }
    }
}

#[test]
fn what_is_confined_is_named_where_it_belongs() {
    for (name, home, places) in CONFINED {
        let mut found = false;
        for (path, code) in crate_sources(home) {
            if names_after(&code, name).any(str::is_empty) {
                found = true;
                let at_home =
                    places.is_empty() || places.iter().any(|place| path.starts_with(place));
                assert!(at_home, "{home}/src/{} names `{name}`", path.display());
            }
        }
        assert!(found, "nothing in `{home}` names `{name}` any more");
    }
}

#[test]
fn every_module_names_only_those_before_it() {
    for (name, order) in MODULES {
        let floors: BTreeMap<&str, usize> = order
            .iter()
            .enumerate()
            .map(|(at, module)| (*module, at))
            .collect();
        for (path, code) in crate_sources(name) {
            let first = path.components().next().expect("a component");
            let module = first.as_os_str().to_string_lossy();
            let module = module.trim_end_matches(".rs");
            if module == "lib" {
                continue;
            }
            let floor = floors.get(module).unwrap_or_else(|| {
                panic!("`{name}::{module}` is on no floor: add it to the table")
            });
            assert!(
                !code.contains("crate::{"),
                "{}: one `use crate::…` a module, please",
                path.display()
            );
            for other in names_after(&code, "crate::") {
                // Macros and re-exports at the root belong to no layer.
                if let Some(below) = floors.get(other) {
                    assert!(
                        below <= floor,
                        "`{name}::{module}` must not know `{other}` ({}): see host/ARCHITECTURE.md",
                        path.display()
                    );
                }
            }
        }
    }
}

/// Checks that the engine, the store and the sandbox do not know the domains.
#[test]
fn a_domain_is_known_to_none_below_it() {
    for name in ["engine", "store", "sandbox"] {
        for (path, code) in crate_sources(name) {
            for word in ["volume", "cairn_records"] {
                let knows = code.to_lowercase().contains(word);
                assert!(!knows, "{name}/src/{} knows a domain", path.display());
            }
        }
    }
}

/// Checks that a program that embeds the engine does not need the SQLite library.
#[test]
fn no_type_of_rusqlite_is_in_a_public_signature() {
    for (path, code) in crate_sources("store") {
        let public = code.match_indices("pub ").map(|(at, _)| {
            let text = &code[at..];
            let signature = &text[..text.find(['{', ';']).unwrap_or(text.len())];
            // A field, with only `pub` and a name before its type, ends at the comma.
            let name = signature.split(':').next().unwrap_or_default();
            match name.split_whitespace().count() {
                2 => signature.split(",\n").next().unwrap_or_default(),
                _ => signature,
            }
        });
        for signature in public {
            for name in ["rusqlite", "Connection", "Statement", "ToSql"] {
                let is_named = signature.contains(name);
                assert!(!is_named, "store/src/{}: {signature}", path.display());
            }
        }
        for line in code
            .lines()
            .filter(|line| line.starts_with("impl From<rusqlite"))
        {
            let target = line.split(" for ").nth(1).unwrap_or_default();
            let target = target.trim_end_matches([' ', '{']);
            let is_public = ["pub enum ", "pub struct "]
                .iter()
                .any(|public| code.contains(&format!("\n{public}{target}")));
            assert!(!is_public, "store/src/{}: {line}", path.display());
        }
    }
}

#[test]
fn files_are_read_in_one_place() {
    let host = host();
    let mut files = Vec::new();
    let others = ["laws", "bench", "cli"];
    for part in CRATES.iter().map(|(name, _)| *name).chain(others) {
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
            let name = line.split(['.', ' ']).next().unwrap_or_default();
            let of_host = |(part, _): &(&str, _)| name.strip_prefix("cairn-") == Some(part);
            name == "cairn" || CRATES.iter().any(of_host) || line.contains("host/")
        });
        assert!(!depends, "{} depends on the host", manifest.display());
    }
}
