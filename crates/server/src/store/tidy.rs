//! What is done beside the requests: abandoned uploads go, and what is stored is counted anew.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use rustix::fs::FileType;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::beneath::{Folder, TEMPORARY};
use super::layout::Layout;
use super::{Store, footprint};
use crate::Inner;

/// The longest time between two rounds.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The shortest.
const SHORTEST: Duration = Duration::from_millis(50);

/// How soon after a client was told that there is no room it is looked again.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// How soon it is counted again if something came while it was counted.
const RECOUNT: Duration = Duration::from_secs(60);

/// A file that is not whole yet and that nobody has written to for so long is of no use.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// Keeps the folder of a registry in order for as long as there is one, on the current runtime.
pub(crate) fn keep_tidy(inner: &Arc<Inner>) {
    tokio::spawn(rounds(Arc::downgrade(inner)));
}

async fn rounds(inner: Weak<Inner>) {
    // When the folder was opened all was counted.
    let mut counts = false;
    loop {
        let Some(registry) = inner.upgrade() else { return };
        let store = &registry.store;
        let longest =
            store.limits.abandoned.checked_div(24).unwrap_or_default().clamp(SHORTEST, LONGEST);
        let room = store.room.clone();
        let round = spawn_blocking(move || {
            let store = &registry.store;
            store.tidy()?;
            if counts { store.measure() } else { Ok(true) }
        });
        let round = round.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let is_exact = round.unwrap_or_else(|error| {
            tracing::warn!("looking for abandoned uploads: {error}");
            true
        });
        counts = true;
        let pause = if is_exact { longest } else { longest.min(RECOUNT) };
        tokio::select! {
            () = sleep(pause) => {}
            () = async { room.full.notified().await; sleep(SECOND_LOOK).await } => {}
        }
    }
}

impl Store {
    /// Counts what is stored, if anybody wants to know; whether nothing came meanwhile that may
    /// have been counted twice.
    pub(super) fn measure(&self) -> io::Result<bool> {
        self.room.measure(|| {
            // What has several names is stored once.
            let mut seen = HashSet::new();
            let mut sum: u64 = 0;
            self.each_layout(None, |path, layout| {
                if let Some(bucket) = &layout.bucket {
                    sum = sum.saturating_add(bucket.stored()?);
                    return Ok(true);
                }
                sum = sum.saturating_add(footprint(path));
                for folder in layout.filling()? {
                    for (name, kind) in folder.entries()? {
                        let Some(found) = folder.look(&name)?.filter(|_| kind.is_file()) else {
                            continue;
                        };
                        if found.nlink() == 1 || seen.insert((found.dev(), found.ino())) {
                            sum = sum.saturating_add(found.len());
                        }
                    }
                }
                Ok(true)
            })?;
            Ok(sum)
        })
    }

    fn tidy(&self) -> io::Result<()> {
        self.each_layout(None, |_, layout| {
            if let Some(bucket) = &layout.bucket {
                self.uploads.forget_idle(self.limits.abandoned);
                bucket.tidy(self.limits.abandoned)?;
                return Ok(true);
            }
            let abandoned = self.uploads.remove_abandoned(layout, self.limits.abandoned)?;
            for folder in layout.shelves()?.iter().chain([&layout.folder]) {
                remove_temporary(folder)?;
            }
            if abandoned {
                self.remove_if_empty(layout);
            } else {
                self.remove_if_abandoned(layout, self.limits.abandoned)?;
            }
            Ok(true)
        })
    }
}

impl Layout {
    /// The folders in which blobs lie.
    fn shelves(&self) -> io::Result<Vec<Folder>> {
        let blobs = self.folder.join("blobs");
        let found = blobs.entries()?.into_iter().filter(|(_, kind)| *kind == FileType::Directory);
        Ok(found.map(|(name, _)| blobs.join(&name)).collect())
    }

    /// The folders that grow by what clients send.
    fn filling(&self) -> io::Result<Vec<Folder>> {
        let mut found = self.shelves()?;
        found.push(self.uploads());
        Ok(found)
    }
}

fn remove_temporary(folder: &Folder) -> io::Result<()> {
    for (name, kind) in folder.entries()? {
        if !name.starts_with(TEMPORARY) || !kind.is_file() {
            continue;
        }
        let Some(found) = folder.look(&name)? else { continue };
        if SystemTime::now().duration_since(found.modified()?).is_ok_and(|age| age > ABANDONED) {
            tracing::info!("removing {}", folder.path().join(&name).display());
            folder.remove(&name)?;
        }
    }
    Ok(())
}
