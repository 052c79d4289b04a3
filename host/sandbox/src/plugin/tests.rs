//! Imports of components, and the registered capabilities.

mod external;
mod guests;
mod http;
mod interface;

use wasmtime::component::Linker;

use cairn_manifest::manifest::SimpleGrantKind;
use cairn_outbound::{Authorities, Client, SystemResolver};

use super::*;
use crate::capability::{Http, SimpleCapability, State};

/// A capability of another package.
const COUNTER: SimpleCapability = SimpleCapability::new(
    SimpleGrantKind::new("counter", &["acme:counter/counter@1.0.0"], &["add"]),
    |linker: &mut Linker<State>| {
        let mut counter = linker.instance("acme:counter/counter@1.0.0")?;
        counter.func_wrap("add", |mut store, (number,): (u32,)| {
            store.data_mut().enter().grant("counter")?;
            Ok((number + 1,))
        })
    },
);

fn plugins(capabilities: &[SimpleCapability]) -> Result<Arc<Plugins>, PluginError> {
    let mut config = PluginConfig {
        compiler: Some(Arc::new(InProcess)),
        ..PluginConfig::default()
    };
    for capability in capabilities {
        config.capabilities.push(Arc::new(*capability));
    }
    Plugins::new(&config)
}

/// Returns a component that imports a function and lacks every export of a plugin.
fn component(interface: &str, version: &str) -> String {
    format!(
        r#"(component (import "{interface}@{version}" (instance (export "add" (func (param "number" u32) (result u32))))))"#
    )
}

/// Returns why a component cannot be used.
fn refused(plugins: &Plugins, component: &str) -> PluginError {
    let error = plugins.load(component.as_bytes()).err();
    error.expect("it exports nothing")
}

#[test]
fn a_component_imports_what_was_registered() {
    let component = component("acme:counter/counter", "1.0.0");
    let without = refused(&plugins(&[]).unwrap(), &component);
    assert_eq!(
        without.to_string(),
        "the component imports `acme:counter/counter@1.0.0`, which this host does not have"
    );
    let plugins = plugins(&[COUNTER]).unwrap();
    let with = refused(&plugins, &component);
    assert!(matches!(with, PluginError::MissingExport { .. }), "{with}");
}

#[test]
fn a_strangers_component_needs_a_compiler() {
    let cache = tempfile::tempdir().unwrap();
    let plugins = |compiler: Option<Arc<dyn Compiler>>| {
        Plugins::new(&PluginConfig {
            cache: Some(cache.path().join("compiled")),
            compiler,
            ..PluginConfig::default()
        })
        .unwrap()
    };
    let component = b"(component)";
    let digest = Digest::of(component);
    let refuses = |plugins: &Plugins| {
        let error = plugins.load(component).err().expect("no compiler");
        assert!(error.to_string().contains(&digest.to_string()), "{error}");
        assert!(error.help().unwrap().contains("compiler"), "{error}");
        assert!(matches!(error, PluginError::Untrusted { .. }), "{error}");
    };
    let without = plugins(None);
    refuses(&without);
    let compiled = |error: Option<PluginError>| {
        let error = error.expect("it exports nothing");
        let is_compiled = matches!(error, PluginError::MissingExport { .. });
        assert!(is_compiled, "{error}");
    };
    // A built-in component is compiled.
    compiled(without.load_trusted(component).err());
    compiled(plugins(Some(Arc::new(InProcess))).load(component).err());
    // Machine code in the cache does not make the component trusted.
    refuses(&without);
}

#[test]
fn an_import_needs_the_grant_of_the_capability_that_provides_it() {
    let plugins = plugins(&[COUNTER]).unwrap();
    let needs = |name: &str| component::check_import(name, plugins.kinds(), false);
    for (name, capability) in [
        ("acme:counter/counter@1.0.0", Some("counter")),
        ("acme:counter/counter", Some("counter")),
        ("cairn:plugin/rpc@0.1.0", Some("rpc")),
        ("cairn:plugin/context@0.1.0", None),
        ("wasi:io/poll@0.2.0", None),
    ] {
        let import = needs(name).unwrap();
        assert_eq!(import.capability.as_deref(), capability, "{name}");
    }
    for name in [
        "rpc",
        "counter",
        "cairn:plugin/rpc",
        "acme:counter/other",
        "wasi:nn/nn@0.2.0",
    ] {
        let error = needs(name).unwrap_err();
        assert!(
            matches!(error, PluginError::UnknownImport { .. }),
            "{error}"
        );
    }
}

#[test]
fn only_a_plugin_whose_one_role_is_external_may_import_http() {
    const HTTP: &str = "(import \"wasi:http/outgoing-handler@0.2.0\" (instance))";
    let client = Client::new(Arc::new(SystemResolver), Authorities::default());
    let plugins = Plugins::new(&PluginConfig {
        compiler: Some(Arc::new(InProcess)),
        capabilities: vec![Arc::new(Http::new(client))],
        ..PluginConfig::default()
    })
    .unwrap();
    let refused = |exports: &[&str]| {
        let exports = exports
            .iter()
            .map(|name| format!("(export \"cairn:plugin/{name}@0.1.0\" (instance $empty))"));
        let exports: String = exports.collect();
        let component = format!("(component {HTTP} (instance $empty) {exports})");
        refused(&plugins, &component)
    };
    for exports in [
        &["plugin", "task"][..],
        &["plugin", "policy-check"],
        &["plugin", "validator"],
        &["plugin", "external", "task"],
        &["external", "validator", "plugin"],
        &["plugin"],
    ] {
        let error = refused(exports);
        assert!(
            matches!(error, PluginError::Network { .. }),
            "{exports:?}: {error}"
        );
    }
    // Its import is taken; then its exports turn out to be empty.
    let error = refused(&["plugin", "external"]);
    assert!(
        matches!(error, PluginError::MissingExport { .. }),
        "{error}"
    );
    let import = component::check_import("wasi:http/types@0.2.4", plugins.kinds(), true);
    assert_eq!(import.unwrap().capability.as_deref(), Some("http"));
}

#[test]
fn two_capabilities_with_one_interface_are_refused() {
    let other = SimpleCapability::new(
        SimpleGrantKind::new("tally", &["acme:counter/counter"], &[]),
        |_| Ok(()),
    );
    let error = plugins(&[COUNTER, other]).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the sandbox cannot be set up: the capabilities `counter` and `tally` both provide the interface \
         `acme:counter/counter`"
    );
}
