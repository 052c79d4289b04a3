//! Builds the guests in `guests/` as components and generates the table that embeds them.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// The exports of a guest, each with its interface.
const EXPORTS: [(&str, &str); 4] = [
    ("settings-schema", "cairn:plugin/plugin@0.1.0"),
    ("describe", "cairn:plugin/plugin@0.1.0"),
    ("call", "cairn:plugin/task@0.1.0"),
    ("revert", "cairn:plugin/task@0.1.0"),
];

/// Component files that other tests and the examples use unchanged.
const OTHERS: [&str; 3] = ["admission.wat", "frame.wat", "task.wat"];

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let (guests, contract) = (here.join("guests"), here.join("../wit"));
    for watched in [Path::new("build.rs"), &guests, &contract] {
        println!("cargo:rerun-if-changed={}", watched.display());
    }

    let mut resolve = Resolve::default();
    resolve.push_dir(&contract)?;
    let package = resolve.push_file(guests.join("guest.wit"))?;
    let world = resolve.select_world(&[package], Some("guest"))?;
    let frame = fs::read_to_string(guests.join("frame.wat"))?;

    let mut files: Vec<PathBuf> = fs::read_dir(&guests)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut table = String::from("&[\n");
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| name.ends_with(".wat") && !OTHERS.contains(name))
        else {
            continue;
        };
        let text = fs::read_to_string(&file)?;
        let component = component(&resolve, world, &frame, &text)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let stem = name.trim_end_matches(".wat");
        let built = out.join(stem).with_extension("wasm");
        fs::write(&built, component)?;
        writeln!(
            table,
            "    ({stem:?}, include_bytes!({built:?}).as_slice()),"
        )?;
    }
    table.push(']');
    fs::write(out.join("guests.rs"), table)?;
    Ok(())
}

/// Returns the component of a guest: its file if that is a component, otherwise one made from its fields.
fn component(
    resolve: &Resolve,
    world: WorldId,
    frame: &str,
    text: &str,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let is_component = text.lines().any(|line| line.starts_with("(component"));
    if is_component {
        return Ok(wat::parse_str(text)?);
    }
    let mut module = wat::parse_str(module(frame, text))?;
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8)?;
    let mut encoder = ComponentEncoder::default().module(&module)?;
    Ok(encoder.encode().map_err(|error| format!("{error:#}"))?)
}

/// Returns the module of a guest: its own fields, plus those of the frame that it does not define.
fn module(frame: &str, text: &str) -> String {
    let mut fields = text.to_owned();
    for part in frame.split(";; == ").skip(1) {
        let wanted = match part.split_whitespace().nth(1) {
            Some(name) if part.starts_with("unless") => {
                !text.contains(&format!("(export \"{name}\""))
            }
            _ => true,
        };
        if wanted {
            // The rest of the marker line becomes a comment.
            fields.push_str("\n;; ");
            fields.push_str(part);
        }
    }
    for (name, interface) in EXPORTS {
        for prefix in ["", "cabi_post_"] {
            fields = fields.replace(
                &format!("(export \"{prefix}{name}\""),
                &format!("(export \"{prefix}{interface}#{name}\""),
            );
        }
    }
    format!("(module\n{fields}\n)")
}
