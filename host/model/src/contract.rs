//! The contract of plugins: its package, its version, and the versions that are compatible with this host.

/// The version of the contract, for use in `concat!`.
macro_rules! version {
    () => {
        "0.1.0"
    };
}

/// The version of the contract that this host offers.
pub const VERSION: &str = version!();

/// The contract, as lock files and messages name it.
pub const CONTRACT: &str = concat!("cairn:plugin@", version!());

/// The package of the contract, with the slash that follows.
pub const PACKAGE: &str = "cairn:plugin/";

/// Returns the full name of an interface of the contract, such as `cairn:plugin/quota@0.1.0`.
pub fn full_name(interface: &str) -> String {
    format!("{PACKAGE}{interface}@{VERSION}")
}

/// Splits a name such as `cairn:plugin/quota@0.1.0` into interface and version; `None` if it is not an interface of the
/// contract.
pub fn interface(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.split_once('@')
}

/// Returns whether a component that was built against this version may run here. The rule is the linker's: before 1.0, versions
/// with the same minor number only add. Functions that this host lacks are reported when the component is linked.
pub fn is_compatible(version: &str) -> bool {
    let track = |version: &str| -> Option<(u64, u64)> {
        let mut numbers = version.splitn(3, '.').map(str::parse);
        let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        numbers.next()?.ok().map(|_: u64| (major, minor))
    };
    let own = track(VERSION);
    own.is_some() && track(version) == own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_apart_as_it_is_put_together() {
        assert_eq!(interface(&full_name("quota")), Some(("quota", VERSION)));
        assert_eq!(CONTRACT, format!("cairn:plugin@{VERSION}"));
        for other in ["cairn:plugin/quota", "wasi:io/poll@0.2.0", "quota"] {
            assert_eq!(interface(other), None);
        }
    }

    #[test]
    fn a_version_that_only_adds_is_compatible() {
        for version in [VERSION, "0.1.7"] {
            assert!(is_compatible(version), "{version}");
        }
        for version in ["0.2.0", "1.1.0", "0.1", "0.1.x", "0.1.0-rc.1", ""] {
            assert!(!is_compatible(version), "{version}");
        }
    }
}
