//! Writes what a component imports and exports as WIT, from the types that the engine has checked: no byte of the component is parsed again.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Write as _;

use wasmtime::Engine;
use wasmtime::component::types::{
    Component, ComponentFunc, ComponentInstance, ComponentItem, Type,
};

use super::Plugin;

/// The longest text, in bytes. A component may have more types than a person would read.
const MOST: usize = 64 << 10;

/// The longest list of members on one line.
const WIDTH: usize = 90;

/// How deep types are followed, and how many are written.
const DEPTH: usize = 40;
const TYPES: usize = 20_000;

/// The end of a text that is longer.
const CUT: &str = "\n// … and more\n";

/// Words of WIT, which are written with `%` as names.
const WORDS: &[&str] = &[
    "as",
    "async",
    "bool",
    "borrow",
    "char",
    "constructor",
    "enum",
    "export",
    "f32",
    "f64",
    "flags",
    "from",
    "func",
    "future",
    "import",
    "include",
    "interface",
    "list",
    "map",
    "option",
    "own",
    "package",
    "record",
    "resource",
    "result",
    "s16",
    "s32",
    "s64",
    "s8",
    "static",
    "stream",
    "string",
    "tuple",
    "type",
    "u16",
    "u32",
    "u64",
    "u8",
    "use",
    "variant",
    "with",
    "world",
];

impl Plugin {
    /// Returns its imports and exports as WIT, at most 64 KiB. Comments are not part of a component's types; names are the component's own.
    pub fn wit(&self) -> String {
        written(self.engine(), &self.component_type())
    }
}

/// Writes the type of a component.
pub(super) fn written(engine: &Engine, component: &Component) -> String {
    let mut writer = Writer {
        engine,
        text: String::new(),
        names: HashMap::new(),
        depth: Cell::new(0),
        types: Cell::new(0),
    };
    for (name, item) in component.imports(engine) {
        writer.item("import", name, &item.ty);
    }
    for (name, item) in component.exports(engine) {
        writer.item("export", name, &item.ty);
    }
    writer.end()
}

struct Writer<'e> {
    engine: &'e Engine,
    text: String,
    /// The names of types, and the interfaces that name them. The engine keeps equal types of a component once, with an index that only the
    /// debug form of a type shows.
    names: HashMap<String, (String, String)>,
    /// How deep the type is that is being written, and how many types were written.
    depth: Cell<usize>,
    types: Cell<usize>,
}

impl Writer<'_> {
    fn is_full(&self) -> bool {
        self.text.len() > MOST
    }

    fn end(mut self) -> String {
        if self.is_full() {
            let end = self.text.floor_char_boundary(MOST);
            self.text.truncate(end);
            self.text += CUT;
        }
        self.text
    }

    fn line(&mut self, depth: usize, text: &str) {
        if self.is_full() {
            return;
        }
        for _ in 0..depth {
            self.text += "  ";
        }
        self.text += text;
        self.text.push('\n');
    }

    /// Writes an import or an export of the component.
    fn item(&mut self, word: &str, name: &str, item: &ComponentItem) {
        if self.is_full() {
            return;
        }
        match item {
            ComponentItem::ComponentInstance(instance) => {
                self.line(0, &format!("{word} {name}: interface {{"));
                self.interface(name, instance);
                self.line(0, "}");
            }
            ComponentItem::ComponentFunc(function) => {
                let function = self.function(function);
                self.line(0, &format!("{word} {}: {function};", escaped(name)));
            }
            ComponentItem::Type(ty) => self.named(0, "", name, ty),
            ComponentItem::Resource(resource) => {
                self.name(format!("{resource:?}"), "", name);
                self.line(0, &format!("resource {};", escaped(name)));
            }
            ComponentItem::CoreFunc(_) | ComponentItem::Module(_) | ComponentItem::Component(_) => {
                self.line(0, &format!("// {word} {name}: no function or interface"));
            }
        }
    }

    fn interface(&mut self, interface: &str, instance: &ComponentInstance) {
        let items: Vec<(&str, ComponentItem)> = instance
            .exports(self.engine)
            .map(|(name, item)| (name, item.ty))
            .collect();
        // A function may precede the type that it names.
        for (name, item) in &items {
            match item {
                ComponentItem::Type(ty) => self.named(1, interface, name, ty),
                ComponentItem::Resource(resource) => {
                    let key = format!("{resource:?}");
                    if self.is_used(&key, interface, name) {
                        continue;
                    }
                    self.name(key, interface, name);
                    self.resource(name, &items);
                }
                _ => {}
            }
        }
        for (name, item) in &items {
            if let (ComponentItem::ComponentFunc(function), false) = (item, name.starts_with('[')) {
                let function = self.function(function);
                self.line(1, &format!("{}: {function};", escaped(name)));
            }
        }
    }

    /// Writes a resource with its functions, whose names begin with `[method]name.` and the like.
    fn resource(&mut self, resource: &str, items: &[(&str, ComponentItem)]) {
        let mut lines = Vec::new();
        for (name, item) in items {
            let ComponentItem::ComponentFunc(function) = item else {
                continue;
            };
            let Some((kind, rest)) = name.strip_prefix('[').and_then(|rest| rest.split_once(']'))
            else {
                continue;
            };
            let (of, function_name) = rest.split_once('.').unwrap_or((rest, ""));
            if of != resource {
                continue;
            }
            let function = self.function(function);
            lines.push(match kind {
                "constructor" => format!("constructor{};", function.trim_start_matches("func")),
                "static" => format!("{}: static {function};", escaped(function_name)),
                _ => format!("{}: {function};", escaped(function_name)),
            });
            if self.is_full() || lines.len() > MOST / 16 {
                break;
            }
        }
        match lines.is_empty() {
            true => self.line(1, &format!("resource {};", escaped(resource))),
            false => {
                self.line(1, &format!("resource {} {{", escaped(resource)));
                lines.iter().for_each(|line| self.line(2, line));
                self.line(1, "}");
            }
        }
    }

    fn name(&mut self, key: String, interface: &str, name: &str) {
        let known = self.names.entry(key);
        known.or_insert_with(|| (interface.to_owned(), name.to_owned()));
    }

    /// Writes where the name of a type comes from, if an interface before this one has it; returns whether it has.
    fn is_used(&mut self, key: &str, interface: &str, name: &str) -> bool {
        let Some((from, known)) = self.names.get(key) else {
            return false;
        };
        if from == interface {
            return false;
        }
        let line = match known == name {
            true => format!("use {from}.{{{}}};", escaped(name)),
            false => format!("use {from}.{{{} as {}}};", escaped(known), escaped(name)),
        };
        self.line(1, &line);
        true
    }

    /// Writes a type that an interface names.
    fn named(&mut self, depth: usize, interface: &str, name: &str, ty: &Type) {
        let has_name = matches!(
            ty,
            Type::Record(_)
                | Type::Variant(_)
                | Type::Enum(_)
                | Type::Flags(_)
                | Type::Own(_)
                | Type::Borrow(_)
        );
        let key = key(ty);
        if has_name && self.is_used(&key, interface, name) {
            return;
        }
        let escaped = escaped(name);
        match self.members(ty) {
            Some((word, members)) => {
                let length: usize = members.iter().map(|member| member.len() + 2).sum();
                if length <= WIDTH {
                    self.line(
                        depth,
                        &format!("{word} {escaped} {{ {} }}", members.join(", ")),
                    );
                } else {
                    self.line(depth, &format!("{word} {escaped} {{"));
                    members
                        .iter()
                        .for_each(|member| self.line(depth + 1, &format!("{member},")));
                    self.line(depth, "}");
                }
            }
            None => {
                let line = format!("type {escaped} = {};", self.ty(ty));
                self.line(depth, &line);
            }
        }
        if has_name {
            self.name(key, interface, name);
        }
    }

    fn function(&mut self, function: &ComponentFunc) -> String {
        let mut text = String::from(if function.async_() {
            "async func("
        } else {
            "func("
        });
        for (at, (name, ty)) in function.params().enumerate() {
            if text.len() > MOST {
                break;
            }
            let comma = if at > 0 { ", " } else { "" };
            let _ = write!(text, "{comma}{}: {}", escaped(name), self.ty(&ty));
        }
        text.push(')');
        if let Some(result) = function.results().next() {
            text += " -> ";
            text += &self.ty(&result);
        }
        text
    }

    /// Writes a type: its name, if it has one.
    fn ty(&self, ty: &Type) -> String {
        if let Some((_, name)) = self.names.get(&key(ty)) {
            let name = escaped(name);
            return match ty {
                Type::Borrow(_) => format!("borrow<{name}>"),
                _ => name,
            };
        }
        self.types.set(self.types.get() + 1);
        if self.depth.get() >= DEPTH || self.types.get() > TYPES {
            return "…".to_owned();
        }
        self.depth.set(self.depth.get() + 1);
        let body = self.body(ty);
        self.depth.set(self.depth.get() - 1);
        body
    }

    /// Returns the word for a type with members, and the members; `None` for any other type.
    fn members(&self, ty: &Type) -> Option<(&'static str, Vec<String>)> {
        Some(match ty {
            Type::Record(record) => {
                let fields = record.fields();
                let fields =
                    fields.map(|field| format!("{}: {}", escaped(field.name), self.ty(&field.ty)));
                ("record", enough(fields))
            }
            Type::Variant(variant) => {
                let cases = variant.cases().map(|case| match case.ty {
                    Some(ty) => format!("{}({})", escaped(case.name), self.ty(&ty)),
                    None => escaped(case.name),
                });
                ("variant", enough(cases))
            }
            Type::Enum(names) => ("enum", enough(names.names().map(escaped))),
            Type::Flags(names) => ("flags", enough(names.names().map(escaped))),
            _ => return None,
        })
    }

    /// Writes what a type consists of.
    fn body(&self, ty: &Type) -> String {
        let optional = |ty: Option<Type>| ty.map_or_else(|| "_".to_owned(), |ty| self.ty(&ty));
        let of = |word: &str, ty: Option<Type>| match ty {
            Some(ty) => format!("{word}<{}>", self.ty(&ty)),
            None => word.to_owned(),
        };
        match ty {
            Type::Bool => "bool".to_owned(),
            Type::S8 => "s8".to_owned(),
            Type::U8 => "u8".to_owned(),
            Type::S16 => "s16".to_owned(),
            Type::U16 => "u16".to_owned(),
            Type::S32 => "s32".to_owned(),
            Type::U32 => "u32".to_owned(),
            Type::S64 => "s64".to_owned(),
            Type::U64 => "u64".to_owned(),
            Type::Float32 => "f32".to_owned(),
            Type::Float64 => "f64".to_owned(),
            Type::Char => "char".to_owned(),
            Type::String => "string".to_owned(),
            Type::ErrorContext => "error-context".to_owned(),
            Type::List(list) => of("list", Some(list.ty())),
            Type::FixedLengthList(list) => format!("list<{}, {}>", self.ty(&list.ty()), list.len()),
            Type::Map(map) => format!("map<{}, {}>", self.ty(&map.key()), self.ty(&map.value())),
            Type::Option(option) => of("option", Some(option.ty())),
            Type::Future(future) => of("future", future.ty()),
            Type::Stream(stream) => of("stream", stream.ty()),
            Type::Result(result) => match (result.ok(), result.err()) {
                (None, None) => "result".to_owned(),
                (ok, None) => of("result", ok),
                (ok, err) => format!("result<{}, {}>", optional(ok), optional(err)),
            },
            Type::Tuple(tuple) => format!(
                "tuple<{}>",
                enough(tuple.types().map(|ty| self.ty(&ty))).join(", ")
            ),
            Type::Record(_) | Type::Variant(_) | Type::Enum(_) | Type::Flags(_) => {
                let (word, members) = self.members(ty).unwrap_or_default();
                format!("{word} {{ {} }}", members.join(", "))
            }
            // Of an interface that does not export it.
            Type::Own(_) => "own<resource>".to_owned(),
            Type::Borrow(_) => "borrow<resource>".to_owned(),
        }
    }
}

/// Returns by what a type is known: a resource by itself, whether it is owned or borrowed.
fn key(ty: &Type) -> String {
    match ty {
        Type::Own(resource) | Type::Borrow(resource) => format!("{resource:?}"),
        ty => format!("{ty:?}"),
    }
}

/// Returns parts, but not many more than fit.
fn enough(parts: impl Iterator<Item = String>) -> Vec<String> {
    let mut length = 0;
    let fit = parts.take_while(|part| {
        let fits = length <= MOST;
        length += part.len();
        fits
    });
    fit.collect()
}

fn escaped(name: &str) -> String {
    match WORDS.contains(&name) {
        true => format!("%{name}"),
        false => name.to_owned(),
    }
}
