//! The generated bindings, nothing else.

#![allow(missing_docs, clippy::all, clippy::pedantic)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "task-plugin-all",
    imports: { default: trappable },
});
