//! The generated bindings of block storage, nothing else.

#![allow(missing_docs, clippy::all, clippy::pedantic)]

cairn_sandbox::wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package cairn:volumes;

        world volumes {
            import cairn:plugin/zones@0.1.0;
            import cairn:plugin/catalog@0.1.0;
            import cairn:plugin/images@0.1.0;
            import cairn:plugin/keys@0.1.0;
            import cairn:plugin/quota@0.1.0;
            import cairn:plugin/volumes@0.1.0;
        }
    ",
    imports: { default: trappable },
    with: { "cairn:plugin/types": cairn_sandbox::wit::cairn::plugin::types },
    wasmtime_crate: cairn_sandbox::wasmtime,
});
