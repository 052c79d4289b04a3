//! What `wit-bindgen` makes of `wit/`, and nothing else.
//!
//! Generated for every target: native tests use the same types and the same entry points. The imports of
//! `cairn::plugin` work in a component only; `crate::host` is what the rest of the crate calls.
#![allow(missing_docs, clippy::all)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "task-plugin-all",
    additional_derives: [PartialEq, Eq],
    pub_export_macro: true,
    default_bindings_module: "cairn_plugin::bindings",
});
