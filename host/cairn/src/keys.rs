//! Where a host's master key comes from.

use std::path::PathBuf;

use cairn_effects::keyring::KeySource;
use cairn_manifest::config::KeysConfig;

/// Returns where the master key comes from: what `[keys]` says, else the file `beside` the database. A key is created only for a database
/// that is a file: `beside` is `None` for one on a server, which other hosts use, too.
pub fn key_source(keys: Option<KeysConfig>, beside: Option<PathBuf>) -> KeySource {
    match (keys, beside) {
        (Some(KeysConfig::Command(command)), _) => KeySource::Command(command),
        (Some(KeysConfig::File(file)), Some(_)) => KeySource::NewFile(file),
        (Some(KeysConfig::File(file)), None) => KeySource::File(file),
        (None, Some(beside)) => KeySource::NewFile(beside),
        (None, None) => KeySource::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_created_only_for_a_database_that_is_a_file() {
        let file = || Some(KeysConfig::File("k".into()));
        let command = || Some(KeysConfig::Command(vec!["c".to_owned()]));
        let beside = || Some(PathBuf::from("a.db.key"));
        assert_eq!(
            key_source(None, beside()),
            KeySource::NewFile("a.db.key".into())
        );
        assert_eq!(key_source(file(), beside()), KeySource::NewFile("k".into()));
        assert_eq!(key_source(None, None), KeySource::None);
        assert_eq!(key_source(file(), None), KeySource::File("k".into()));
        for beside in [beside(), None] {
            let expected = KeySource::Command(vec!["c".to_owned()]);
            assert_eq!(key_source(command(), beside), expected);
        }
    }
}
