//! The built-in plugins, compiled to components and embedded. A manifest names them as `builtin = "NAME"`.
//!
//! The build script compiles them from the crates beside this one. They are ordinary plugins: they use only the interfaces in `wit/`, with
//! the grants of the manifest.

/// Name and component of each built-in plugin, in the order of the volume-create flow, followed by that of the first flow.
pub const PLUGINS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/plugins.rs"));

/// Expands to a plugin's name and the text of its cases.
macro_rules! cases {
    ($plugin:literal) => {
        (
            $plugin,
            include_str!(concat!("../../", $plugin, "/cases/", $plugin, ".toml")),
        )
    };
}

/// Returns the component of the built-in plugin with that name.
pub fn component(name: &str) -> Option<&'static [u8]> {
    PLUGINS
        .iter()
        .find(|(plugin, _)| *plugin == name)
        .map(|(_, component)| *component)
}

/// Name and cases of each built-in plugin, which `cairn plugin test` runs.
pub const CASES: &[(&str, &str)] = &[
    cases!("inject"),
    cases!("extract-volume-request"),
    cases!("quota-reserve"),
    cases!("entry-create"),
    cases!("quota-commit"),
    cases!("on-failure-change-status"),
    cases!("volume-cast"),
    cases!("greet"),
];

/// Returns the cases of the built-in plugin with that name, as TOML.
pub fn cases(name: &str) -> Option<&'static str> {
    CASES
        .iter()
        .find(|(plugin, _)| *plugin == name)
        .map(|(_, cases)| *cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first eight bytes of a component: the magic number, then version 13 of layer 1.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn every_plugin_is_a_component() {
        for (name, component) in PLUGINS {
            assert!(component.starts_with(COMPONENT), "{name} is no component");
        }
    }

    #[test]
    fn a_plugin_is_found_by_its_name() {
        assert_eq!(PLUGINS.len(), 8);
        assert_eq!(
            component("quota-reserve"),
            PLUGINS
                .iter()
                .find(|(name, _)| *name == "quota-reserve")
                .map(|p| p.1)
        );
        assert_eq!(component("quota"), None);
    }

    #[test]
    fn every_plugin_has_cases() {
        for (name, _) in PLUGINS {
            assert!(cases(name).is_some(), "{name} has no cases");
        }
    }
}
