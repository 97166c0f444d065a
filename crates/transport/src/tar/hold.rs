//! Who writes an archive: one at a time.
//!
//! An archive is written beside its place and renamed, so two that write it at the same time would
//! not hear of each other, and the last would take away what the first has added. So who writes one
//! holds a lock, on a file of its own beside the archive: there need not be an archive yet, and the
//! one that is there is replaced. The file names its process to those who wait. It goes with the
//! lock; what a killed process leaves holds nobody up.

use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fs_err::{File, OpenOptions};
use skopeo_archive::is_special;
use skopeo_config::links;
use skopeo_image::Digest;
use skopeo_system::Opening as _;
use tracing::info;

use super::ArchiveError;
use crate::invalid_file::InvalidFile;
use crate::temporary;
use crate::{Error, files};

/// How often the lock is asked for again while somebody has it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long who holds another archive waits: two of them could wait for each other for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is begun again when others make and remove the file meanwhile.
const TRIES: usize = 100;

/// The longest name of an archive that is in the name of its lock.
const LONGEST_NAME: usize = 200;

/// How many archives this process holds.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// Where an archive is written that the user named so: a link stays, and what it leads to is
/// replaced. A pipe, or what is open already, stays as it is named.
///
/// # Errors
/// If there is a link on the way that must not be followed.
pub(crate) fn place(path: &Path) -> Result<PathBuf, Error> {
    let target = links::target(path)?;
    Ok(match target.exists() {
        _ if is_special(path) => path.to_owned(),
        true => std::path::absolute(target)?,
        false => target,
    })
}

/// The right to write an archive, as long as the value lives.
#[derive(Debug)]
pub(crate) struct Hold {
    file: File,
    path: PathBuf,
}

/// What came of asking once.
enum Asked {
    Ours(Hold),
    /// Somebody has it: the number of the process, if it is known.
    Theirs(Option<u32>),
    /// Nothing can be made there, so no archive either. Who tries will see why.
    Nowhere,
}

impl Hold {
    /// Waits until nobody else writes the archive at `path`, which no link leads to. What is
    /// written to as it comes, as a pipe, is held by nobody.
    ///
    /// # Errors
    /// If somebody has it for long while this process holds another archive; if something is where
    /// the lock should be.
    pub(crate) async fn take(path: &Path) -> Result<Option<Self>, Error> {
        if is_special(path) {
            return Ok(None);
        }
        let begun = Instant::now();
        let mut told = false;
        loop {
            let archive = path.to_owned();
            let process = match files::blocking(move || ask(&archive)).await? {
                Asked::Ours(hold) => return Ok(Some(hold)),
                Asked::Nowhere => return Ok(None),
                Asked::Theirs(process) => process,
            };
            if HELD.load(Ordering::Relaxed) > 0 && begun.elapsed() > PATIENCE {
                return Err(ArchiveError::ArchiveBusy {
                    path: path.display().to_string(),
                    process,
                }
                .into());
            }
            if !told {
                told = true;
                let who = process.map_or_else(String::new, |id| format!(" (process {id})"));
                info!("Waiting for another program{who} to end its work in {}", path.display());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Before the lock is let go: whoever has opened it meanwhile sees that it is gone.
        let _ = fs_err::remove_file(&self.path);
        let _ = self.file.file().unlock();
        HELD.fetch_sub(1, Ordering::Relaxed);
    }
}

fn ask(archive: &Path) -> Result<Asked, Error> {
    let path = lock_path(archive);
    for _ in 0..TRIES {
        let mut file = match open(&path) {
            Ok(file) => file,
            Err(_) if path.is_symlink() => {
                return Err(InvalidFile::NotAFile { path, reason: "a link" }.into());
            }
            Err(_) => return Ok(Asked::Nowhere),
        };
        if !file.metadata()?.is_file() {
            return Err(InvalidFile::NotAFile { path, reason: "not a regular file" }.into());
        }
        if file.file().try_lock().is_err() {
            return Ok(Asked::Theirs(process_in(&mut file)));
        }
        // Who had it before us may have removed it, or swept it away.
        if files::is_at(&file, &path)? {
            let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            HELD.fetch_add(1, Ordering::Relaxed);
            return Ok(Asked::Ours(Hold { file, path }));
        }
    }
    Ok(Asked::Theirs(None))
}

/// Opens the lock's file, through no link. What another user left can at least be locked.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).options_mut().no_link(false);
    let mut writing = options.clone();
    match writing.write(true).create(true).truncate(false).open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => options.open(path),
        opened => opened,
    }
}

fn process_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(20).read_to_string(&mut text).ok()?;
    text.parse().ok()
}

/// Beside the archive, and swept away as all leftovers there are.
fn lock_path(archive: &Path) -> PathBuf {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    let name = match name.len() {
        0..=LONGEST_NAME => name.into_owned(),
        _ => Digest::sha256(name.as_bytes()).hex().to_owned(),
    };
    archive.with_file_name(format!("{}lock-{name}", temporary::BESIDE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.tar");
        let hold = Hold::take(&archive).await.unwrap().unwrap();
        let Asked::Theirs(process) = ask(&archive).unwrap() else { panic!("two have it") };
        assert_eq!(process, Some(std::process::id()));
        // Another archive is another matter.
        let other = Hold::take(&folder.path().join("b.tar")).await.unwrap();
        assert!(other.is_some());
        drop((hold, other));
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
        assert!(Hold::take(&archive).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn what_the_dead_have_left_holds_nobody_up_and_links_lead_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.tar");
        fs_err::write(lock_path(&archive), "4711").unwrap();
        assert!(Hold::take(&archive).await.unwrap().is_some());

        let victim = folder.path().join("victim");
        fs_err::os::unix::fs::symlink(&victim, lock_path(&archive)).unwrap();
        assert!(Hold::take(&archive).await.is_err());
        assert!(!victim.exists());
        assert!(Hold::take(Path::new("/nowhere/a.tar")).await.unwrap().is_none());
        assert!(Hold::take(Path::new("/dev/stdout")).await.unwrap().is_none());
        let long = "x".repeat(250);
        assert!(Hold::take(&folder.path().join(long)).await.unwrap().is_some());
    }
}
