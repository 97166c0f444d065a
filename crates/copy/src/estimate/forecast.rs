//! What the images of a run will have brought when the next one comes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skopeo_blob::Encoder;
use skopeo_image::Digest;
use skopeo_transport::{How, ImageName};
use tokio::sync::OnceCell;

use crate::Error;
use crate::item::{Item, ItemKey};
use crate::known::made_of;

/// What the images of a run that have been estimated would bring: what one brings, the next finds.
#[derive(Debug, Default)]
pub struct Forecast {
    /// What was asked already of a room. An answer serves whoever asks for the same.
    asked: Mutex<HashMap<(String, BlobId), Answer>>,
    /// What was read of an image, which may go to several places, and the how manieth time.
    read: Mutex<HashSet<(String, ItemKey, usize)>>,
    /// The rooms of a pool that a blob will be in, each with the source that it comes from.
    coming: Mutex<HashMap<(String, BlobId), HashMap<String, String>>>,
}

/// How a room has a blob, once it has said so.
type Answer = Arc<OnceCell<Option<How>>>;

/// A blob by its digest, or by that of which it is made: the digest of what is packed anew shows
/// only when it has been.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum BlobId {
    Source(Digest),
    Made(Digest, Option<Encoder>),
}

/// Which bytes come to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bytes {
    /// Those of the source.
    AsTheyAre,
    /// Others, made of them: how many shows only when they have been made.
    Made,
}

impl Forecast {
    /// Returns whether the blob has not been read yet for another place, so many times.
    pub(super) fn reads(&self, source: &ImageName, item: &Item, times: usize) -> bool {
        lock(&self.read).insert((source.to_string(), item.key(), times))
    }

    /// Returns with which bytes, and how, a blob would come to a room of a pool, and notes that it does. `ask` says how the
    /// room has it now.
    pub(super) async fn how<F>(
        &self,
        pool: &str,
        room: &str,
        source: &ImageName,
        item: &Item,
        ask: impl FnOnce() -> F,
    ) -> Result<(Bytes, How), Error>
    where
        F: Future<Output = Result<Option<How>, Error>>,
    {
        let source = source.to_string();
        let digest = &item.blob.digest;
        let as_it_is = BlobId::Source(digest.clone());
        let made = item.recode().and_then(made_of);
        let made = made.map(|made| BlobId::Made(digest.clone(), made));
        if item.is_usable() && self.is_coming(pool, room, &as_it_is) {
            return Ok((Bytes::AsTheyAre, How::Present));
        }
        let held = {
            let key = (room.to_owned(), as_it_is.clone());
            let cell = lock(&self.asked).entry(key).or_default().clone();
            if item.is_usable() { *cell.get_or_try_init(ask).await? } else { None }
        };
        if held == Some(How::Present) {
            return Ok((Bytes::AsTheyAre, How::Present));
        }
        let is_elsewhere = item.is_usable() && self.is_elsewhere(pool, &source, &as_it_is);
        let (bytes, id) = match made {
            // What was made for another image is looked for as any other blob.
            Some(made) if held.is_none() && !is_elsewhere => (Bytes::Made, made),
            _ => (Bytes::AsTheyAre, as_it_is),
        };
        Ok((bytes, self.come(pool, room, source, id, held)))
    }

    fn is_coming(&self, pool: &str, room: &str, id: &BlobId) -> bool {
        let coming = lock(&self.coming);
        coming.get(&(pool.to_owned(), id.clone())).is_some_and(|rooms| rooms.contains_key(room))
    }

    fn is_elsewhere(&self, pool: &str, source: &str, id: &BlobId) -> bool {
        let coming = lock(&self.coming);
        let rooms = coming.get(&(pool.to_owned(), id.clone()));
        rooms.is_some_and(|rooms| rooms.values().any(|other| other != source))
    }

    /// Notes that a blob comes to a room, and returns how.
    fn come(&self, pool: &str, room: &str, source: String, id: BlobId, held: Option<How>) -> How {
        let mut coming = lock(&self.coming);
        let rooms = coming.entry((pool.to_owned(), id)).or_default();
        let how = if rooms.contains_key(room) {
            How::Present
        // One image is sent to all its places at the same time.
        } else if rooms.values().all(|other| *other == source) {
            held.unwrap_or(How::Moved)
        } else {
            How::Mounted
        };
        rooms.insert(room.to_owned(), source);
        how
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
