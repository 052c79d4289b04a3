//! The exports specific to a task.

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package cairn:sdk;

        world exports-task {
            export cairn:plugin/task@0.1.0;
        }
    ",
    world: "cairn:sdk/exports-task",
    with: {
        "cairn:plugin/types@0.1.0": crate::bindings::cairn::plugin::types,
    },
    additional_derives: [PartialEq, Eq],
    pub_export_macro: true,
    default_bindings_module: "cairn_plugin::bindings::task",
});
