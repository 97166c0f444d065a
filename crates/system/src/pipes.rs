//! What is no regular file, and what the file system does with those that are: pipes, room, the way to the
//! disk.

use std::fs::{File, Metadata};
use std::io;
use std::num::NonZero;
use std::path::Path;

/// Returns whether what the system knows this of is a pipe.
#[cfg(unix)]
#[must_use]
pub fn is_pipe(found: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&found.file_type())
}

/// Returns whether what the system knows this of is a pipe.
#[cfg(windows)]
#[must_use]
pub fn is_pipe(_: &Metadata) -> bool {
    false
}

/// Opens a pipe for writing that has had a reader: one that has gone is not waited for.
///
/// # Errors
/// If there is no reader, or no such pipe.
#[cfg(unix)]
pub fn open_read_pipe(path: &Path) -> io::Result<fs_err::File> {
    use crate::Opening as _;

    let mut options = fs_err::OpenOptions::new();
    options.write(true).options_mut().no_wait();
    let pipe = options.open(path)?;
    rustix::fs::fcntl_setfl(&pipe, rustix::fs::OFlags::empty())?;
    Ok(pipe)
}

/// Opens a pipe for writing that has had a reader: one that has gone is not waited for.
///
/// # Errors
/// If there is no reader, or no such pipe.
#[cfg(windows)]
pub fn open_read_pipe(path: &Path) -> io::Result<fs_err::File> {
    fs_err::OpenOptions::new().write(true).open(path)
}

/// Returns how many bytes more the file system of a file could take; `None` where it does not say.
#[cfg(unix)]
#[must_use]
pub fn room(file: &File) -> Option<u64> {
    let found = rustix::fs::fstatvfs(file).ok()?;
    found.f_bfree.checked_mul(found.f_frsize)
}

/// Returns how many bytes more the file system of a file could take; `None` where it does not say.
#[cfg(windows)]
#[must_use]
pub fn room(_: &File) -> Option<u64> {
    None
}

/// Has the disk begin with what has been written to a part of a file, `len` bytes from `from` on. Does
/// nothing where the system has no word for that.
///
/// # Errors
/// If the system refuses, as it does for pipes.
#[cfg(target_os = "linux")]
pub fn write_back(file: &File, from: u64, len: NonZero<u64>) -> io::Result<()> {
    use rustix::fs::{Advice, fadvise};

    // Linux writes dirty pages back that are said not to be needed. It would also forget clean ones, but
    // these are none yet. `sync_file_range` says the same with better words, and no safe crate has it.
    Ok(fadvise(file, from, Some(len), Advice::DontNeed)?)
}

/// Has the disk begin with what has been written to a part of a file, `len` bytes from `from` on. Does
/// nothing where the system has no word for that.
///
/// # Errors
/// If the system refuses, as it does for pipes.
#[cfg(not(target_os = "linux"))]
pub fn write_back(_: &File, _: u64, _: NonZero<u64>) -> io::Result<()> {
    Ok(())
}

/// Returns the kind of the file system that a path is on, by Linux's magic number; `None` where it does not
/// say, and elsewhere.
#[cfg(target_os = "linux")]
#[must_use]
pub fn file_system(path: &Path) -> Option<i128> {
    rustix::fs::statfs(path).ok().map(|found| i128::from(found.f_type))
}

/// Returns the kind of the file system that a path is on, by Linux's magic number; `None` where it does not
/// say, and elsewhere.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn file_system(_: &Path) -> Option<i128> {
    None
}
