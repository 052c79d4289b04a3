//! The cache of compiled components on disk. Loading an entry executes it, so it is trusted only if the loaded bytes have the
//! digest in its header, for the same component and engine; otherwise the component is compiled again.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use wasmtime::Engine;

use cairn_model::file;
use cairn_model::id;
use cairn_model::value::Digest;
use cairn_model::whole::Whole;

use super::PluginError;

/// First bytes of an entry; the last is the format's version.
const MAGIC: &[u8; 8] = b"cairnwc\x01";

/// Magic, digest of the body, digest of the component, compatibility of the engine.
const HEADER: usize = MAGIC.len() + 32 + 32 + 8;

/// Maximum size of one entry in bytes: no compiler makes more machine code of a component.
const LARGEST: u64 = 1 << 30;

/// Maximum size of all entries in bytes; the oldest are removed beyond it.
const MOST: u64 = 2 << 30;

pub(super) struct Cache {
    folder: PathBuf,
    /// The user that owns our files.
    owner: u32,
    /// Changes with the version of the engine, the processor and everything else that the code depends on. Both of our engines
    /// accept the same code.
    compatibility: u64,
}

impl Cache {
    /// Opens `folder`, creating it if needed; only our user may have access.
    pub(super) fn open(folder: &Path, engine: &Engine) -> Result<Self, PluginError> {
        let unusable = |problem: String| PluginError::Cache {
            folder: folder.to_owned(),
            problem,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| unusable(error.to_string()))?;
        let metadata = fs::symlink_metadata(folder).map_err(|error| unusable(error.to_string()))?;
        if !metadata.is_dir() {
            return Err(unusable("it is not a folder; name another".to_owned()));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(unusable(
                "others may read or write it; set its mode to 0700, or name another".to_owned(),
            ));
        }
        let owner = own_uid(folder).map_err(|error| unusable(error.to_string()))?;
        if metadata.uid() != owner {
            return Err(unusable(
                "it belongs to another user; name another".to_owned(),
            ));
        }
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            folder: folder.to_owned(),
            owner,
            compatibility: hasher.finish(),
        })
    }

    /// Passes the machine code of the component with this digest to `take`, if there is a trusted entry.
    pub(super) fn load<T>(
        &self,
        digest: Digest,
        take: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let path = self.path(digest);
        let entry = self.read(&path).ok()?;
        // The bytes that are checked are the bytes that are used; the file is not read again.
        let taken = match entry.get(HEADER..) {
            Some(body) if entry[..HEADER] == self.header(digest, body) => take(body),
            _ => None,
        };
        if taken.is_none() {
            tracing::warn!(path = %path.display(), "a damaged cache entry is replaced");
        }
        taken
    }

    /// Stores the machine code of a component. If that fails, the next process compiles it again.
    pub(super) fn keep(&self, digest: Digest, body: &[u8]) {
        let path = self.path(digest);
        if let Err(error) = self.save(body, digest, &path) {
            tracing::warn!(path = %path.display(), %error, "a compiled plugin could not be kept");
        }
        if let Err(error) = self.shrink(MOST) {
            tracing::warn!(folder = %self.folder.display(), %error, "old compiled plugins could not be removed");
        }
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder
            .join(format!("{digest}-{:016x}", self.compatibility))
    }

    /// Reads a regular file that we own and only we can write: no link, folder or pipe.
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        let named = fs::symlink_metadata(path)?;
        let foreign = || std::io::Error::other("the entry is not ours");
        if !named.is_file() {
            return Err(foreign());
        }
        let file = file::open(path)?;
        let opened = file.metadata()?;
        let same = (opened.dev(), opened.ino()) == (named.dev(), named.ino());
        if !same || opened.uid() != self.owner || opened.mode() & 0o022 != 0 {
            tracing::warn!(path = %path.display(), "a cache entry that another user may have written is ignored");
            return Err(foreign());
        }
        file::read_rest(file, LARGEST)
    }

    fn save(&self, body: &[u8], digest: Digest, path: &Path) -> std::io::Result<()> {
        // A concurrent writer of the same entry writes the same bytes.
        let how = Whole {
            mode: 0o600,
            replaces: true,
            is_durable: false,
        };
        how.write(path, |file| {
            file.write_all(&self.header(digest, body))?;
            file.write_all(body)
        })
    }

    /// Removes the oldest entries until the rest has at most this many bytes.
    fn shrink(&self, most: u64) -> std::io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Skips an entry that another process has removed.
            if let Ok(metadata) = entry.metadata() {
                entries.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        entries.sort_unstable();
        let mut total: u64 = entries.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in entries {
            if total <= most {
                break;
            }
            // Another process may have removed it.
            let _ = fs::remove_file(path);
            total -= size;
        }
        Ok(())
    }

    fn header(&self, digest: Digest, body: &[u8]) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        let (magic, rest) = header.split_at_mut(MAGIC.len());
        magic.copy_from_slice(MAGIC);
        rest[..32].copy_from_slice(&Digest::of(body).0);
        rest[32..64].copy_from_slice(&digest.0);
        rest[64..].copy_from_slice(&self.compatibility.to_le_bytes());
        header
    }
}

/// Returns the user that owns files that we create.
fn own_uid(folder: &Path) -> std::io::Result<u32> {
    let probe = folder.join(format!(".{}", id::uuid()));
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&probe)?;
    let uid = file.metadata().map(|metadata| metadata.uid());
    fs::remove_file(&probe)?;
    uid
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(cache: &Cache) -> PathBuf {
        let mut entries = fs::read_dir(&cache.folder).unwrap();
        let path = entries.next().unwrap().unwrap().path();
        assert!(entries.next().is_none(), "one entry, and nothing left over");
        path
    }

    fn cache(folder: &tempfile::TempDir) -> Cache {
        Cache::open(&folder.path().join("cache"), &Engine::default()).unwrap()
    }

    fn taken(cache: &Cache, digest: Digest) -> Option<Vec<u8>> {
        cache.load(digest, |body| Some(body.to_vec()))
    }

    #[test]
    fn a_damaged_entry_is_never_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(&folder);
        let digest = Digest::of(b"component");
        cache.keep(digest, b"machine code");
        let path = entry(&cache);
        let good = fs::read(&path).unwrap();
        assert_eq!(taken(&cache, digest).unwrap(), b"machine code");
        assert_eq!(taken(&cache, Digest::of(b"another")), None);
        for index in [0, MAGIC.len(), 50, HEADER - 1, HEADER, good.len() - 1] {
            let mut damaged = good.clone();
            damaged[index] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert_eq!(taken(&cache, digest), None, "byte {index}");
        }
        fs::write(&path, &good[..HEADER - 1]).unwrap();
        assert_eq!(taken(&cache, digest), None, "too short");
        cache.keep(digest, b"machine code");
        assert_eq!(fs::read(entry(&cache)).unwrap(), good, "made anew");
    }

    #[test]
    fn a_link_and_a_file_that_others_may_write_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(&folder);
        let digest = Digest::of(b"component");
        cache.keep(digest, b"machine code");
        let path = entry(&cache);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(taken(&cache, digest), None, "writable by others");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(taken(&cache, digest).is_some());
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert_eq!(taken(&cache, digest), None, "a link");
        cache.keep(digest, b"machine code");
        assert!(taken(&cache, digest).is_some(), "made anew in its place");
    }

    #[test]
    fn the_oldest_entries_go_when_there_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(&folder);
        let digests = [1, 2, 3].map(|number: u8| Digest::of(&[number]));
        for digest in digests {
            cache.keep(digest, &[0; 1000]);
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        cache.shrink(2500).unwrap();
        let left = digests.map(|digest| taken(&cache, digest).is_some());
        assert_eq!(left, [false, true, true]);
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = Cache::open(folder.path(), &Engine::default())
            .err()
            .unwrap();
        assert!(error.to_string().contains("0700"), "{error}");
    }
}
