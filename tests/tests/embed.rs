//! A program outside of the workspace embeds the engine, and reuses the crates that the workspace has compiled.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use acceptance::program::repository;
use cairn::Value;

/// Features that the workspace's tests enable in dependencies of wasmtime. With other features these crates, and wasmtime, would be
/// compiled a second time, which is irrelevant to this test.
const FEATURES: &str = r#"
anyhow = "1"
base64 = "0.22"
crypto-common = { version = "0.1", features = ["std"] }
digest = { version = "0.10", features = ["mac", "std"] }
displaydoc = "0.2"
form_urlencoded = "1"
futures-channel = "0.3"
futures-core = "0.3"
futures-io = "0.3"
futures-sink = "0.3"
futures-task = { version = "0.3", default-features = false, features = ["std"] }
futures-util = { version = "0.3", default-features = false, features = ["async-await-macro", "sink", "std"] }
memchr = "2"
num-bigint = "0.4"
sha2 = "0.10"
tracing-core = "0.1"
zerocopy = { version = "0.8", features = ["derive"] }

[dependencies.serde_json]
version = "1"
features = ["alloc", "raw_value"]

[dependencies.tokio]
version = "1"
default-features = false
features = ["macros"]

[build-dependencies]
anyhow = "1"
indexmap = "2"
memchr = "2"
"#;

/// Crates that must not be compiled again, because that takes minutes.
const COSTLY: [&str; 4] = [
    "wasmtime",
    "wasmtime-wasi",
    "cranelift-codegen",
    "libsqlite3-sys",
];

/// Copies the example to a separate folder, with the versions, profile and features of the workspace.
fn copy(folder: &Path) -> PathBuf {
    let read = |path: &str| fs::read_to_string(repository(path)).expect("a file of the repository");
    fs::create_dir_all(folder.join("src")).expect("a folder");
    let host = format!("path = \"{}/", repository("host"));
    let manifest = read("examples/embed/Cargo.toml").replace("path = \"../../host/", &host);
    let manifest = manifest.replace("serde_json = \"1\"\n", "") + FEATURES;
    let files = [
        ("Cargo.toml", manifest),
        ("Cargo.lock", read("Cargo.lock")),
        ("profile.toml", profile(&read("Cargo.toml"))),
        ("flow.toml", read("examples/embed/flow.toml")),
        ("src/main.rs", read("examples/embed/src/main.rs")),
    ];
    for (name, text) in files {
        fs::write(folder.join(name), text).expect("a file");
    }
    folder.join("Cargo.toml")
}

/// Extracts the profile from the workspace's manifest. Our own crates are compiled again, so they are not optimised.
fn profile(manifest: &str) -> String {
    let own = "[profile.release.package.cairn";
    let tables = manifest.split("\n[").map(|table| format!("[{table}\n"));
    let tables = tables.filter(|table| table.starts_with("[profile.") && !table.starts_with(own));
    let mut profile = tables.collect::<String>();
    for part in [
        "",
        "-model",
        "-policy",
        "-manifest",
        "-effects",
        "-store",
        "-sandbox",
        "-volumes",
        "-records",
        "-engine",
    ] {
        profile += &format!("{own}{part}]\nopt-level = 0\n");
    }
    profile
}

fn succeeded(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Builds a copy in the target folder of the workspace, and returns the program. Fails if cargo compiles a costly crate again.
fn build(manifest: &Path) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    let release = program.parent().expect("a profile's folder");
    let target = release.parent().expect("the target folder");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--offline"])
        .args(["--message-format", "json"])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--config")
        .arg(manifest.with_file_name("profile.toml"))
        // The folder with the cargo settings of the workspace.
        .current_dir(repository("."))
        .env("CARGO_TARGET_DIR", target)
        .output();
    let messages = succeeded(output.expect("cargo starts"));
    let (mut fresh, mut compiled, mut built) = (0, Vec::new(), None);
    for message in messages.lines() {
        let message = cairn::value::parse(message).expect("JSON");
        let text = |key: &str| message.get(key).and_then(Value::as_str);
        if let Some(executable) = text("executable") {
            built = Some(PathBuf::from(executable));
        }
        let package = text("package_id").unwrap_or_default();
        let is_crate = text("reason") == Some("compiler-artifact");
        match message.get("fresh").and_then(Value::as_bool) {
            _ if !is_crate || !package.starts_with("registry") => {}
            Some(true) => fresh += 1,
            _ => compiled.push(package.to_owned()),
        }
    }
    assert!(fresh > 100, "cargo calls {fresh} crates fresh");
    let name = |id: &String| {
        let last = id.rsplit(['#', '/']).next().unwrap_or_default();
        last.split('@').next().unwrap_or_default().to_owned()
    };
    let again = compiled.iter().map(name);
    let again: Vec<String> = again.filter(|name| COSTLY.contains(&&**name)).collect();
    assert!(
        again.is_empty(),
        "{again:?} were compiled again, with {compiled:#?}: name in FEATURES what the tests of the workspace turn on in them"
    );
    built.expect("cargo has said where the program is")
}

#[test]
fn a_program_of_its_own_embeds_the_engine() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = build(&copy(folder.path()));
    for _ in 0..2 {
        let output = Command::new(&program).current_dir(folder.path()).output();
        let said = succeeded(output.expect("the program starts"));
        assert_eq!(said, "SUCCESS: \"Hello, Ann!\"\n");
    }
    assert!(folder.path().join("cairn.db").exists());

    // The engine also builds without any of the default features.
    let manifest = folder.path().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).expect("the manifest");
    let bare = text.replace("host/cairn\" }", "host/cairn\", default-features = false }");
    assert_ne!(bare, text);
    fs::write(&manifest, bare).expect("the manifest");
    let main = "fn main() { print!(\"{}\", cairn::extension::extensions().len()) }";
    fs::write(folder.path().join("src/main.rs"), main).expect("the program");
    let output = Command::new(build(&manifest)).output();
    assert_eq!(succeeded(output.expect("the program starts")), "0");
}
