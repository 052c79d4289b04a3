//! What `wit-bindgen` makes of `wit/`, and nothing else.
//!
//! What every plugin exports, with all that it may import, is here; what its kind exports besides is in a module each, for
//! a macro makes one component of two worlds. Generated for every target: native tests use the same types and the same
//! entry points. The imports of `cairn::plugin` work in a component only; `crate::host` is what the rest of the crate
//! calls.
#![allow(missing_docs, clippy::all)]

pub mod policy;
pub mod task;
pub mod validator;

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package cairn:sdk;

        world described {
            import cairn:plugin/context@0.1.0;
            import cairn:plugin/log@0.1.0;
            import cairn:plugin/results@0.1.0;
            import cairn:plugin/policy@0.1.0;
            import cairn:plugin/zones@0.1.0;
            import cairn:plugin/catalog@0.1.0;
            import cairn:plugin/images@0.1.0;
            import cairn:plugin/keys@0.1.0;
            import cairn:plugin/quota@0.1.0;
            import cairn:plugin/volumes@0.1.0;
            import cairn:plugin/records@0.1.0;
            import cairn:plugin/rpc@0.1.0;
            export cairn:plugin/plugin@0.1.0;
        }
    ",
    world: "cairn:sdk/described",
    generate_all,
    additional_derives: [PartialEq, Eq],
    pub_export_macro: true,
    default_bindings_module: "cairn_plugin::bindings",
});
