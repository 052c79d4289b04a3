//! The generated bindings of records, nothing else.

#![allow(missing_docs, clippy::all, clippy::pedantic)]

cairn_sandbox::wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package cairn:link-records;

        world link {
            import cairn:plugin/records@0.1.0;
        }
    ",
    imports: { default: trappable },
    with: { "cairn:plugin/types": cairn_sandbox::wit::cairn::plugin::types },
    wasmtime_crate: cairn_sandbox::wasmtime,
});
