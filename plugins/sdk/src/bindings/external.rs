//! The exports specific to an external.

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package cairn:sdk;

        world exports-external {
            export cairn:plugin/external@0.1.0;
        }
    ",
    world: "cairn:sdk/exports-external",
    with: {
        "cairn:plugin/types@0.1.0": crate::bindings::cairn::plugin::types,
    },
    additional_derives: [PartialEq, Eq],
    pub_export_macro: true,
    default_bindings_module: "cairn_plugin::bindings::external",
});
