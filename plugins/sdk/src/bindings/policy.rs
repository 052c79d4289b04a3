//! The exports specific to a policy.

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package cairn:sdk;

        world exports-policy {
            export cairn:plugin/policy-check@0.1.0;
        }
    ",
    world: "cairn:sdk/exports-policy",
    with: {
        "cairn:plugin/types@0.1.0": crate::bindings::cairn::plugin::types,
    },
    additional_derives: [PartialEq, Eq],
    pub_export_macro: true,
    default_bindings_module: "cairn_plugin::bindings::policy",
});
