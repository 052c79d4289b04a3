//! Compiled components on disk. Loading one is running it, so an entry is trusted only when the bytes that are loaded have
//! the digest in its header, for the same component and the same engine; anything else is compiled anew.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

use super::PluginError;
use super::component::{compile, describe_error};
use crate::value::Digest;

/// First bytes of an entry; the last is the format's version.
const MAGIC: &[u8; 8] = b"cairnwc\x01";

/// Magic, digest of the body, digest of the component, compatibility of the engine.
const HEADER: usize = MAGIC.len() + 32 + 32 + 8;

pub(super) struct Cache {
    folder: PathBuf,
    compatibility: u64,
}

impl Cache {
    /// Uses `folder`, and makes it; it must be ours alone.
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
            return Err(unusable("it is no folder; name another".to_owned()));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(unusable(
                "others may read or write it; set its mode to 0700, or name another".to_owned(),
            ));
        }
        if metadata.uid() != own_uid(folder).map_err(|error| unusable(error.to_string()))? {
            return Err(unusable(
                "it belongs to somebody else; name another".to_owned(),
            ));
        }
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            folder: folder.to_owned(),
            compatibility: hasher.finish(),
        })
    }

    pub(super) fn get_or_compile(
        &self,
        engine: &Engine,
        digest: Digest,
        bytes: &[u8],
    ) -> Result<Component, PluginError> {
        let path = self
            .folder
            .join(format!("{digest}-{:016x}", self.compatibility));
        if let Some(component) = self.load(engine, digest, &path) {
            return Ok(component);
        }
        let component = compile(engine, bytes)?;
        if let Err(error) = self.save(&component, digest, &path) {
            // The next process compiles it again.
            tracing::warn!(path = %path.display(), %error, "a compiled plugin could not be kept");
        }
        Ok(component)
    }

    /// A component from an entry that can be trusted.
    fn load(&self, engine: &Engine, digest: Digest, path: &Path) -> Option<Component> {
        let entry = fs::read(path).ok()?;
        let body = entry.get(HEADER..)?;
        if entry[..HEADER] != self.header(digest, body) {
            tracing::warn!(path = %path.display(), "a damaged cache entry is made anew");
            return None;
        }
        // SAFETY: `body` has the digest that was written when this host compiled it, in a folder that only we may write;
        // and it is these bytes that are loaded, not the file's anew.
        #[expect(
            unsafe_code,
            reason = "the one way to load compiled code; see the safety comment"
        )]
        let component = unsafe { Component::deserialize(engine, body) };
        match component {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(path = %path.display(), error = describe_error(&error), "a cache entry is made anew");
                None
            }
        }
    }

    fn save(&self, component: &Component, digest: Digest, path: &Path) -> std::io::Result<()> {
        let body = component.serialize().map_err(std::io::Error::other)?;
        let temporary = self.folder.join(format!(".{}", uuid::Uuid::now_v7()));
        let write = || -> std::io::Result<()> {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(&self.header(digest, &body))?;
            file.write_all(&body)?;
            fs::rename(&temporary, path)
        };
        write().inspect_err(|_| {
            // Nothing refers to it.
            let _ = fs::remove_file(&temporary);
        })
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

/// The user that files we make belong to.
fn own_uid(folder: &Path) -> std::io::Result<u32> {
    let probe = folder.join(format!(".{}", uuid::Uuid::now_v7()));
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

    #[test]
    fn a_damaged_entry_is_never_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let cache = Cache::open(&folder.path().join("cache"), &engine).unwrap();
        let bytes = b"(component)";
        let digest = Digest::of(bytes);
        cache.get_or_compile(&engine, digest, bytes).unwrap();
        let path = entry(&cache);
        let good = fs::read(&path).unwrap();
        assert!(cache.load(&engine, digest, &path).is_some());
        assert!(cache.load(&engine, Digest::of(b"another"), &path).is_none());
        for index in [0, MAGIC.len(), 50, HEADER - 1, HEADER, good.len() - 1] {
            let mut damaged = good.clone();
            damaged[index] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert!(cache.load(&engine, digest, &path).is_none(), "byte {index}");
        }
        fs::write(&path, &good[..HEADER - 1]).unwrap();
        cache.get_or_compile(&engine, digest, bytes).unwrap();
        assert_eq!(fs::read(entry(&cache)).unwrap(), good, "made anew");
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
