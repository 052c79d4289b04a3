//! Reads files that a person or a manifest names, or that another process may have put there.
//!
//! Such a name may lead to a pipe without a writer, to an endless device, or to a sparse file of terabytes. So every file is
//! opened without waiting, must be of the expected kind, and is read up to a length that the caller gives. The test
//! `architecture` makes sure that the host reads files this way only.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::retry_on_intr;

/// Maximum length in bytes of a text that is read at once, such as a request. Manifests, policies and settings have a lower
/// limit.
pub const MAX_TEXT: u64 = 16 << 20;

/// Maximum length in bytes of a plugin's component: the highest value of the limit `component_bytes`.
pub const MAX_COMPONENT: u64 = 256 << 20;

/// How long [`read_or_pipe`] waits for a process that opens the other end of a pipe.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a regular file, for reading in pieces.
///
/// # Errors
/// Those of the system, with this module's message where it is clearer. [`io::ErrorKind::NotFound`] also for a dangling
/// symbolic link; [`io::ErrorKind::IsADirectory`] for a folder; [`io::ErrorKind::InvalidInput`] for a pipe, a device or a
/// socket, none of which is opened.
pub fn open(path: &Path) -> io::Result<File> {
    open_if(path, FileType::is_file).map_err(|error| dangling(path, error))
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// Those of [`open`] and of [`read_rest`].
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_rest(open(path)?, most)
}

/// Reads a text file of at most `most` bytes.
///
/// # Errors
/// Those of [`read`]; [`io::ErrorKind::InvalidData`] when it is not UTF-8.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    utf8(read(path, most)?)
}

/// Reads text from a regular file, or from a pipe such as a shell makes of `<(…)`, until its writers have closed it.
///
/// # Errors
/// Those of [`text`]; [`io::ErrorKind::TimedOut`] when no process has opened the pipe for writing within five seconds. A writer
/// that has opened it may take any time.
pub fn read_or_pipe(path: &Path, most: u64) -> io::Result<String> {
    read_or_pipe_within(path, most, PATIENCE)
}

/// Reads the rest of an open file, at most `most` bytes. A longer regular file is not read at all.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`], and those of the system.
pub fn read_rest(file: File, most: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > most {
        return Err(too_large(format!("has {length} bytes"), most));
    }
    read_at_most(file, most)
}

/// Reads text from an open stream to its end, at most `most` bytes.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`], [`io::ErrorKind::InvalidData`] when it is not UTF-8, and those of the system.
pub fn text_of(stream: impl Read, most: u64) -> io::Result<String> {
    utf8(read_at_most(stream, most)?)
}

/// Maps a missing file to `None`. A dangling symbolic link is not missing, and remains an error.
///
/// # Errors
/// Every other error of `read`, the result of reading `path`.
pub fn optional<T>(path: &Path, read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_absent(path) => Ok(None),
        read => read.map(Some),
    }
}

/// Returns whether this name does not exist, not even as a dangling symbolic link. A name that cannot be checked counts as
/// existing.
pub fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Waits until the contents of a file, or the names in a folder, are on disk.
///
/// # Errors
/// Those of the system.
pub fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn read_or_pipe_within(path: &Path, most: u64, patience: Duration) -> io::Result<String> {
    let may_be = |kind: &FileType| kind.is_file() || kind.is_fifo();
    let file = open_if(path, may_be).map_err(|error| dangling(path, error))?;
    if file.metadata()?.is_file() {
        return utf8(read_rest(file, most)?);
    }
    let begun = await_writer(&file, patience)?;
    // From here on a read blocks until the writer writes.
    fcntl_setfl(&file, OFlags::empty())?;
    text_of(begun.as_slice().chain(file), most)
}

/// Waits until a pipe that was opened without blocking has, or had, a writer. Returns the bytes that were read to find out.
fn await_writer(mut pipe: &File, patience: Duration) -> io::Result<Vec<u8>> {
    let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
    let ready = retry_on_intr(|| {
        let mut watched = [PollFd::new(&pipe, PollFlags::IN)];
        poll(&mut watched, Some(&timeout))
    })?;
    if ready > 0 {
        return Ok(Vec::new());
    }
    // There may be a writer that has not written yet: then the read would block. Without a writer it finds the end.
    let mut first = [0; 1];
    match pipe.read(&mut first) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
        Ok(0) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!(
                "no process has opened the pipe for writing within {}",
                humantime::format_duration(patience)
            ),
        )),
        read => Ok(first[..read?].to_vec()),
    }
}

/// Opens a file of a wanted kind. Checks the kind before opening, since opening some devices has side effects, and again
/// afterwards.
fn open_if(path: &Path, wanted: impl Fn(&FileType) -> bool) -> io::Result<File> {
    let check = |kind: FileType| match wanted(&kind) {
        true => Ok(()),
        false => Err(unwanted(kind)),
    };
    check(fs::metadata(path)?.file_type())?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)?;
    check(file.metadata()?.file_type())?;
    Ok(file)
}

fn unwanted(kind: FileType) -> io::Error {
    let (error, what) = match kind {
        kind if kind.is_dir() => (io::ErrorKind::IsADirectory, "a folder"),
        kind if kind.is_fifo() => (io::ErrorKind::InvalidInput, "a pipe"),
        kind if kind.is_socket() => (io::ErrorKind::InvalidInput, "a socket"),
        _ => (io::ErrorKind::InvalidInput, "a device"),
    };
    io::Error::new(error, format!("it is {what}, and no regular file"))
}

/// Names the target in the error of a dangling symbolic link.
fn dangling(path: &Path, error: io::Error) -> io::Error {
    match fs::read_link(path) {
        Ok(target) if error.kind() == io::ErrorKind::NotFound => io::Error::new(
            error.kind(),
            format!("it is a link to {}, where nothing is", target.display()),
        ),
        _ => error,
    }
}

fn read_at_most(stream: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(too_large("is longer".to_owned(), most)),
        false => Ok(bytes),
    }
}

fn too_large(is: String, most: u64) -> io::Error {
    let message = format!("it {is}, and at most {most} bytes are read");
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("it is no text in UTF-8: byte {at} is wrong");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write as _};
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use rustix::fs::{CWD, FileType as Node, Mode, mknodat};

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn pipe(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("pipe");
        mknodat(CWD, &path, Node::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        path
    }

    #[test]
    fn a_file_is_read_up_to_its_limit_and_not_one_byte_further() {
        let folder = folder();
        let path = folder.path().join("file");
        fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        let error = read(&path, 3).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert_eq!(
            error.to_string(),
            "it has 4 bytes, and at most 3 bytes are read"
        );
        // A sparse file takes no room on disk, and is not read to find out that it is too long.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(
            text(&path, MAX_TEXT).unwrap_err().kind(),
            ErrorKind::FileTooLarge
        );
        // A file without a known length is read up to the limit.
        let endless = File::open("/dev/zero").unwrap();
        assert_eq!(
            text_of(endless, 100).unwrap_err().kind(),
            ErrorKind::FileTooLarge
        );
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = folder();
        let pipe = pipe(&folder);
        for (path, kind, what) in [
            (pipe.as_path(), ErrorKind::InvalidInput, "a pipe"),
            (folder.path(), ErrorKind::IsADirectory, "a folder"),
            (Path::new("/dev/zero"), ErrorKind::InvalidInput, "a device"),
        ] {
            let error = read(path, 10).unwrap_err();
            assert_eq!(error.kind(), kind, "{}", path.display());
            let message = format!("it is {what}, and no regular file");
            assert_eq!(error.to_string(), message);
        }
        let error = read_or_pipe(Path::new("/dev/zero"), 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_pipe_is_read_to_its_end_however_late_its_writer_comes() {
        let folder = folder();
        let path = pipe(&folder);
        let writer = std::thread::spawn({
            let path = path.clone();
            move || {
                let mut file = OpenOptions::new().write(true).open(path).unwrap();
                file.write_all(b"{}").unwrap();
                std::thread::sleep(Duration::from_millis(30));
                file.write_all(b"\n").unwrap();
            }
        });
        let patience = Duration::from_secs(60);
        assert_eq!(read_or_pipe_within(&path, 10, patience).unwrap(), "{}\n");
        writer.join().unwrap();
    }

    #[test]
    fn a_writer_may_take_longer_than_we_wait_for_one() {
        let folder = folder();
        let path = pipe(&folder);
        // Keeps the pipe open from the start.
        let mut writer = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let read = std::thread::spawn({
            let path = path.clone();
            move || read_or_pipe_within(&path, 10, Duration::from_millis(1))
        });
        std::thread::sleep(Duration::from_millis(30));
        writer.write_all(b"late").unwrap();
        drop(writer);
        assert_eq!(read.join().unwrap().unwrap(), "late");
    }

    #[test]
    fn a_pipe_without_a_writer_or_an_end_is_an_error() {
        let folder = folder();
        let path = pipe(&folder);
        let error = read_or_pipe_within(&path, 10, Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().ends_with("within 20ms"), "{error}");

        let writer = std::thread::spawn({
            let path = path.clone();
            move || fs::write(path, [b'x'; 100])
        });
        let error = read_or_pipe_within(&path, 10, Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        // The writer may have written all, or found that its reader is gone.
        let _ = writer.join().unwrap();
    }

    #[test]
    fn a_link_that_leads_nowhere_is_there() {
        let folder = folder();
        let (path, gone) = (folder.path().join("link"), folder.path().join("gone"));
        assert!(is_absent(&path));
        assert!(optional(&path, text(&path, 10)).unwrap().is_none());
        symlink(&gone, &path).unwrap();
        assert!(!is_absent(&path));
        let error = optional(&path, text(&path, 10)).unwrap_err();
        let message = format!("it is a link to {}, where nothing is", gone.display());
        assert_eq!(error.to_string(), message);
        fs::write(&gone, "x").unwrap();
        assert_eq!(
            optional(&path, text(&path, 10)).unwrap(),
            Some("x".to_owned())
        );
    }

    #[test]
    fn text_is_utf_8() {
        let folder = folder();
        let path = folder.path().join("file");
        fs::write(&path, b"ab\xff").unwrap();
        let error = text(&path, 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("byte 2"), "{error}");
    }
}
