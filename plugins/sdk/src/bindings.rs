//! Bindings that `wit-bindgen` generates from `wit/`.
//!
//! This module has the exports common to all plugins, and all imports. The exports of one kind of plugin are in a
//! submodule each, because an export macro combines two worlds into one component. The bindings are generated for every
//! target, so native tests use the same types and entry points. The imports in `cairn::plugin` work only inside a
//! component; the rest of the crate calls `crate::host`.
#![allow(missing_docs, clippy::all)]

pub mod external;
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
            import cairn:plugin/externals@0.1.0;
            import cairn:plugin/rpc@0.1.0;
            import cairn:plugin/secrets@0.1.0;
            export cairn:plugin/plugin@0.1.0;
        }
    ",
    world: "cairn:sdk/described",
    generate_all,
    additional_derives: [PartialEq, Eq],
    pub_export_macro: true,
    default_bindings_module: "cairn_plugin::bindings",
});
