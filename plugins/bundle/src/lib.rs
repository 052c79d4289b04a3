//! The built-in plugins, compiled to components and embedded: what a manifest names as `builtin = "NAME"`.
//!
//! The build script compiles them from the crates beside this one. They are ordinary plugins: whatever they do, they do
//! through `wit/`, by grants of the manifest.

/// Name and component of each built-in plugin, in the order in which the volume-create flow runs them.
pub const PLUGINS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/plugins.rs"));

/// The component of the built-in plugin of that name.
pub fn component(name: &str) -> Option<&'static [u8]> {
    PLUGINS
        .iter()
        .find(|(plugin, _)| *plugin == name)
        .map(|(_, component)| *component)
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
        assert_eq!(PLUGINS.len(), 7);
        assert_eq!(
            component("quota-reserve"),
            PLUGINS
                .iter()
                .find(|(name, _)| *name == "quota-reserve")
                .map(|p| p.1)
        );
        assert_eq!(component("quota"), None);
    }
}
