//! Combines the domains of this crate with those that a program adds.

use std::sync::Arc;

use cairn_manifest::manifest::GrantKinds;
use cairn_model::error::Diagnostic;
use cairn_sandbox::capability::{self, Authorities, Capability};
use cairn_sandbox::extension::Extension;
use cairn_sandbox::plugin::PluginConfig;

/// Returns the domains of this crate, one for each of the features `volumes` and `records`.
pub fn extensions() -> Vec<Extension> {
    vec![
        #[cfg(feature = "volumes")]
        cairn_volumes::extension(),
        #[cfg(feature = "records")]
        cairn_records::extension(),
    ]
}

/// Returns the domains of this crate and those of a program. A program's domain replaces one of this crate that has the same name.
///
/// # Errors
/// Two of the program's domains have one name.
pub fn extensions_with(added: Vec<Extension>) -> Result<Vec<Extension>, Diagnostic> {
    let mut extensions = extensions();
    for (at, extension) in added.iter().enumerate() {
        let name = extension.name();
        if added[..at].iter().any(|other| other.name() == name) {
            let message = format!("two domains are called `{name}`");
            return Err(Diagnostic::new(message).help("add each domain once"));
        }
        match extensions.iter_mut().find(|own| own.name() == name) {
            Some(own) => *own = extension.clone(),
            None => extensions.push(extension.clone()),
        }
    }
    Ok(extensions)
}

/// Returns the capabilities of the core and of these domains, in the order in which grants are written. Servers of plugins' requests are
/// verified by these authorities.
pub fn capabilities_of(
    extensions: &[Extension],
    authorities: Authorities,
) -> Vec<Arc<dyn Capability>> {
    let [results, policy, externals, rpc, http, secrets] = capability::core(authorities);
    let own = extensions.len().min(self::extensions().len());
    let (own, added) = extensions.split_at(own);
    let offered = |extensions: &[Extension]| {
        let offers = extensions.iter().flat_map(Extension::offers);
        offers.cloned().collect::<Vec<_>>()
    };
    [
        vec![results, policy],
        offered(own),
        vec![externals, rpc, http, secrets],
        offered(added),
    ]
    .concat()
}

/// Registers [`capabilities_of`] these domains, for reading manifests, settings and lock files.
///
/// # Errors
/// Two capabilities have one name or one interface.
pub fn grant_kinds_of(extensions: &[Extension]) -> Result<GrantKinds, Diagnostic> {
    let capabilities = capabilities_of(extensions, Authorities::default()).into_iter();
    GrantKinds::new(capabilities.map(|capability| capability as _))
}

/// Registers the capabilities of the core and of this crate's domains, for reading manifests, settings and lock files.
pub fn grant_kinds() -> GrantKinds {
    grant_kinds_of(&extensions()).expect("they have different names and interfaces")
}

/// Returns the default configuration of plugins, with the capabilities of the core and of this crate's domains. It has no compiler for
/// components that are not built in.
pub fn plugin_config() -> PluginConfig {
    PluginConfig {
        capabilities: capabilities_of(&extensions(), Authorities::default()),
        ..PluginConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_effects::domain::Domain;

    fn named(name: &'static str, keys: &'static [&'static str]) -> Extension {
        Extension::configured(name, keys, move |_| {
            Ok(Domain {
                name,
                ..Domain::default()
            })
        })
    }

    #[test]
    fn a_domain_of_the_program_takes_the_place_of_one_with_its_name() {
        let own = extensions();
        let replaced = own.first().expect("a domain").name();
        let all = extensions_with(vec![named(replaced, &["new"]), named("more", &[])]).unwrap();
        assert_eq!(all.len(), own.len() + 1);
        assert_eq!(all[0].keys(), ["new"]);
        assert_eq!(all[own.len()].name(), "more");
    }

    #[test]
    fn two_domains_of_one_name_are_refused() {
        let error = extensions_with(vec![named("a", &[]), named("a", &[])]).unwrap_err();
        assert!(error.to_string().contains("`a`"), "{error}");
    }

    #[test]
    fn grants_are_written_in_one_order() {
        let capabilities = capabilities_of(&extensions(), Authorities::default());
        let names: Vec<&str> = capabilities.iter().map(|one| one.name()).collect();
        assert_eq!(names[..2], ["results", "policy"]);
        assert_eq!(names.last(), Some(&"secrets"));
    }
}
