//! A folder of locks for databases on servers, which have no folder of their own.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::StoreError;

/// Returns the folder of locks for a database on a server, unless the operator names one, and creates it: `cairn` in the user's
/// `runtime` folder (`XDG_RUNTIME_DIR`), else `/tmp/cairn-UID`.
///
/// # Errors
/// [`StoreError::Database`] when it cannot be created, is not a folder, is not this user's, or is open to other users.
pub fn private_folder(runtime: Option<&Path>) -> Result<PathBuf, StoreError> {
    // A relative path is ignored, as the specification of the variable demands.
    let runtime = runtime.filter(|path| path.is_absolute() && path.is_dir());
    let folder = match runtime {
        Some(runtime) => runtime.join("cairn"),
        None => PathBuf::from(format!("/tmp/cairn-{}", geteuid().as_raw())),
    };
    private(&folder)?;
    Ok(folder)
}

/// Creates a folder that only this user can access, or checks that an existing one is such a folder.
fn private(folder: &Path) -> Result<(), StoreError> {
    let unusable = |problem: &str| {
        StoreError::Database(format!(
            "{} cannot hold locks: {problem}; remove it, or name another folder with `locks` in [hosts] of cairn.toml",
            folder.display()
        ))
    };
    let failed = |error: io::Error| unusable(&error.to_string());
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    // The name itself, because another user may have made it a link.
    let found = fs::symlink_metadata(folder).map_err(failed)?;
    if !found.is_dir() {
        return Err(unusable("it is not a folder"));
    }
    if found.uid() != geteuid().as_raw() {
        return Err(unusable(&format!("it belongs to user {}", found.uid())));
    }
    if found.mode() & 0o077 != 0 {
        let mode = found.mode() & 0o7777;
        return Err(unusable(&format!(
            "its mode is {mode:04o}, so other users can access it"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    #[test]
    fn it_is_in_the_runtime_folder_or_named_after_the_user() {
        let runtime = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let folder = private_folder(Some(runtime.path())).unwrap();
            assert_eq!(folder, runtime.path().join("cairn"));
            assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        }
        let named = PathBuf::from(format!("/tmp/cairn-{}", geteuid().as_raw()));
        let gone = runtime.path().join("gone");
        for runtime in [None, Some(Path::new("relative")), Some(&*gone)] {
            assert_eq!(private_folder(runtime).unwrap(), named);
        }
    }

    #[test]
    fn a_folder_that_others_can_access_or_own_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let refused = |name: &str, problem: &str| {
            let error = private(&place.path().join(name)).unwrap_err().to_string();
            assert!(
                error.contains(problem) && error.contains("`locks` in [hosts]"),
                "{error}"
            );
        };
        let folder = place.path().join("open");
        private(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o770)).unwrap();
        refused("open", "its mode is 0770");
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        symlink(&folder, place.path().join("link")).unwrap();
        refused("link", "not a folder");
        fs::write(place.path().join("file"), "").unwrap();
        refused("file", "not a folder");
        refused("none/deep", "No such file");
        // Only root can give a folder away.
        if geteuid().is_root() {
            chown(&folder, Some(12345), None).unwrap();
            refused("open", "belongs to user 12345");
        }
    }
}
