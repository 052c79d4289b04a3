//! Generated bindings of the interfaces that every plugin may import, of the core capabilities, and of the exports.
//!
//! A capability in another crate generates bindings of its own interfaces, and maps `cairn:plugin/types` to the types here with
//! `with`.

#![allow(missing_docs, clippy::all, clippy::pedantic)]

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package cairn:sandbox;

        world core {
            include cairn:plugin/task-plugin@0.1.0;
            import cairn:plugin/results@0.1.0;
            import cairn:plugin/policy@0.1.0;
            import cairn:plugin/externals@0.1.0;
            import cairn:plugin/rpc@0.1.0;
            import cairn:plugin/secrets@0.1.0;
        }
    ",
    imports: { default: trappable },
});
