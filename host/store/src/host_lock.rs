//! The lock of a host: a file that its process keeps locked. The system releases the lock however the process ends, so a free lock proves
//! that the process is dead.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use cairn_model::file;
use cairn_model::id::HostId;

/// The age at which a lock file that no process holds is removed. Until then it proves the death of a process that was in an act outside the
/// database, to hosts that may not look at once.
const ABANDONED: Duration = Duration::from_secs(7 * 86_400);

/// How often a process renews the time of its lock file.
const RENEWAL: Duration = Duration::from_secs(3600);

/// What is seen of a host's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Its process lives, or this cannot be known.
    Held,
    /// Its process has ended.
    Free,
    /// There is no such file.
    Missing,
}

/// Returns the path of a host's lock in a folder.
pub(crate) fn lock_path(folder: &Path, host: HostId) -> PathBuf {
    folder.join(host.to_string())
}

/// The lock of this process, until it is dropped.
pub(crate) struct OwnLock {
    file: File,
    renewed: Instant,
}

impl OwnLock {
    /// Creates a host's lock file and locks it.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn take(folder: &Path, host: HostId) -> io::Result<Self> {
        let file = File::create(lock_path(folder, host))?;
        file.lock()?;
        Ok(Self {
            file,
            renewed: Instant::now(),
        })
    }

    /// Renews the time of the file now and then, so that it is not old when this process ends.
    pub(crate) fn renew(&mut self) {
        if self.renewed.elapsed() >= RENEWAL {
            self.renewed = Instant::now();
            // A file that is not renewed is removed a little early.
            let _ = self.file.set_modified(SystemTime::now());
        }
    }
}

/// Looks at the lock of a host in a folder.
pub(crate) fn look_at(folder: &Path, host: HostId) -> Lock {
    match file::open(&lock_path(folder, host)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Lock::Missing,
        Err(_) => Lock::Held,
        Ok(file) => state(&file),
    }
}

fn state(file: &File) -> Lock {
    // A shared lock, because several processes may check at once.
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => Lock::Held,
        Ok(()) => Lock::Free,
    }
}

/// Removes the locks of processes that died long ago, except that of `own`.
pub(crate) fn sweep(folder: &Path, own: HostId) {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    for file in files {
        let host = file.file_name().to_string_lossy().parse::<HostId>();
        let Some(host) = host.ok().filter(|host| *host != own) else {
            continue;
        };
        // A recent file may be about to be locked.
        let age = file.metadata().and_then(|file| file.modified());
        let is_old = age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED));
        if is_old && look_at(folder, host) == Lock::Free {
            let _ = fs::remove_file(file.path());
        }
    }
}

/// Where a host's lock is, for other hosts of a database on a server: they may run on other machines, or see other files by the same path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LockPlace {
    /// The id of the start of the machine's kernel, which knows who holds the lock.
    pub(crate) boot: String,
    /// The path, without symbolic links.
    pub(crate) path: String,
    /// The device of the file.
    pub(crate) device: i64,
    /// The number of the file on its device.
    pub(crate) inode: i64,
}

impl LockPlace {
    /// Returns the place of a lock that was taken in `folder`, whose path has no symbolic links; `None` when others could not compare it.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn of(lock: &OwnLock, folder: &Path, host: HostId) -> io::Result<Option<Self>> {
        let (path, boot) = (lock_path(folder, host), boot_id());
        let (Some(path), Some(boot)) = (path.to_str(), boot) else {
            return Ok(None);
        };
        let (device, inode) = identity(&lock.file)?;
        Ok(Some(Self {
            boot,
            path: path.to_owned(),
            device,
            inode,
        }))
    }

    /// Returns whether the process that took this lock for `host` is dead, as hosts with this folder see: the lock is in `folder`, and
    /// [proves it](Self::is_dead).
    pub(crate) fn proves_death(&self, folder: &Path, host: HostId) -> bool {
        lock_path(folder, host).to_str() == Some(&*self.path) && self.is_dead(host)
    }

    /// Returns whether the process that took this lock for `host` is dead: this machine has not been started since, the file of this path is
    /// the same one, and its lock is free. A missing file proves nothing.
    pub(crate) fn is_dead(&self, host: HostId) -> bool {
        let path = Path::new(&self.path);
        let is_own_name = path.file_name() == Some(host.to_string().as_ref());
        if !is_own_name || boot_id().as_deref() != Some(&*self.boot) {
            return false;
        }
        let Ok(file) = file::open(path) else {
            return false;
        };
        let is_same = identity(&file)
            .is_ok_and(|(device, inode)| (device, inode) == (self.device, self.inode));
        is_same && state(&file) == Lock::Free
    }
}

fn identity(file: &File) -> io::Result<(i64, i64)> {
    let found = file.metadata()?;
    Ok((found.dev().cast_signed(), found.ino().cast_signed()))
}

/// Returns the id of the start of this machine's kernel; `None` where the system has none.
fn boot_id() -> Option<String> {
    const LONGEST: u64 = 64;
    let text = file::text(Path::new("/proc/sys/kernel/random/boot_id"), LONGEST).ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_free_lock_on_the_same_start_of_the_machine_proves_death() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let host = HostId::new();
        let lock = OwnLock::take(&folder, host).unwrap();
        let place = LockPlace::of(&lock, &folder, host).unwrap().unwrap();
        assert!(!place.proves_death(&folder, host), "it is held");
        drop(lock);
        assert!(place.proves_death(&folder, host));
        assert!(place.is_dead(host));
        assert!(
            !place.is_dead(HostId::new()),
            "it is the lock of another one"
        );
        assert!(
            !place.proves_death(&folder.join("other"), host),
            "it is elsewhere"
        );
        let other = |change: fn(&mut LockPlace)| {
            let mut other = place.clone();
            change(&mut other);
            other.proves_death(&folder, host)
        };
        assert!(!other(|place| place.boot.push('0')));
        assert!(!other(|place| place.inode += 1));
        assert!(!other(|place| place.device += 1));
        assert!(!other(|place| place.path.push('0')));
        assert!(!place.proves_death(&folder.join("."), HostId::new()));
        // Made while the lock's file is there, so that it does not get its number.
        fs::write(folder.join("other"), "").unwrap();
        fs::remove_file(lock_path(&folder, host)).unwrap();
        assert!(!place.proves_death(&folder, host), "it is missing");
        fs::rename(folder.join("other"), lock_path(&folder, host)).unwrap();
        assert!(!place.proves_death(&folder, host), "it is another file");
    }
}
