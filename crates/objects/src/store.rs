//! Reading, writing, listing and deleting objects.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStoreExt, PutPayload, UpdateVersion};
use skopeo_image::number::narrow;
use tokio::sync::{OnceCell, Semaphore};

use crate::aborting::Aborting;
use crate::error::Error;
use crate::http::Connector;
use crate::open::{self, Ways};
use crate::options::StoreOptions;
use crate::url::BucketUrl;

/// How many MiB of parts a store may hold in memory: one that fills for each of three, with one on
/// its way.
pub const ROOM: usize = 20;

/// A place in an object store. Clones are the same place, and share what may be in memory of
/// objects that are being written.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) place: BucketUrl,
    pub(crate) ways: Ways,
    pub(crate) connector: Connector,
    /// MiB of parts that may be in memory.
    pub(crate) room: Arc<Semaphore>,
    /// Whether the store knows conditional writes, once that has been tried.
    pub(crate) conditions: OnceCell<bool>,
    /// Uploads that are being ended before their time.
    pub(crate) aborting: Aborting,
    /// A lock that has not changed for so long is left over.
    pub(crate) dead_after: Duration,
}

/// What a listing says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key, without the prefix of the place.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was written, by the clock of the store.
    pub written: SystemTime,
    /// Which of those that had the key it is.
    pub version: Version,
}

/// What tells an object from what had its key before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub(crate) UpdateVersion);

/// What has come of reading an object that may be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It is the one that is known.
    Same,
    /// There is none.
    Missing,
    /// What is in it, and which one it is.
    Read(Bytes, Version),
}

/// An object that is being read.
pub struct Reading {
    /// The length of the whole object in bytes.
    pub size: u64,
    /// What is in it, or in the part that was asked for. What breaks off is gone on with by the
    /// stream itself, if the object is the same still.
    pub bytes: BoxStream<'static, Result<Bytes, Error>>,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a place. Nothing is asked of the store yet, but for the region of a bucket that nobody
    /// has said.
    ///
    /// # Errors
    /// If what is said about the store cannot be.
    pub async fn open(place: &BucketUrl, options: &StoreOptions) -> Result<Self, Error> {
        let connector = Connector::new(options);
        let ways = open::open(place, options, &connector).await?;
        Ok(Self(Arc::new(Inner {
            place: place.clone(),
            ways,
            connector,
            room: Arc::new(Semaphore::new(ROOM)),
            conditions: OnceCell::new(),
            aborting: Aborting::default(),
            dead_after: options.dead_after,
        })))
    }

    /// Returns the place.
    #[must_use]
    pub fn place(&self) -> &BucketUrl {
        &self.0.place
    }

    /// Returns what an object of the place is called among all.
    #[must_use]
    pub fn name_of(&self, key: &str) -> String {
        format!("{}/{key}", self.0.place)
    }

    /// Returns how many requests have been sent so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.connector.requests()
    }

    /// Returns the bytes of an object that is not longer than `limit` bytes, and which one it was;
    /// `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read, or is longer.
    pub async fn get(&self, key: &str, limit: u64) -> Result<Option<(Bytes, Version)>, Error> {
        match self.get_newer(key, limit, None).await? {
            Fetched::Read(bytes, version) => Ok(Some((bytes, version))),
            Fetched::Missing | Fetched::Same => Ok(None),
        }
    }

    /// Returns the same, unless the object is the one that is known.
    ///
    /// # Errors
    /// If it cannot be read, or is longer than `limit` bytes.
    pub async fn get_newer(
        &self,
        key: &str,
        limit: u64,
        known: Option<&Version>,
    ) -> Result<Fetched, Error> {
        let path = self.path(key)?;
        let tag = known.and_then(|version| version.0.e_tag.clone());
        let options = GetOptions::new().with_if_none_match(tag);
        let found = match self.0.ways.usual.get_opts(&path, options).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(Fetched::Missing),
            Err(object_store::Error::NotModified { .. }) => return Ok(Fetched::Same),
            Err(error) => return Err(self.error("reading", key, &error)),
        };
        let (size, version) = (found.meta.size, version(&found.meta));
        let too_large = |size| Error::TooLarge { name: self.name_of(key), size, limit };
        if size > limit {
            return Err(too_large(size));
        }
        let mut bytes = BytesMut::with_capacity(narrow(size));
        let mut pieces = found.into_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| self.error("reading", key, &error))?;
            if bytes.len().saturating_add(piece.len()) > narrow(limit) {
                return Err(too_large(limit.saturating_add(1)));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Fetched::Read(bytes.freeze(), version))
    }

    /// Returns the bytes of an object from the first on, or a part of them.
    ///
    /// # Errors
    /// If it is not there, or cannot be read.
    pub async fn read(&self, key: &str, part: Option<Range<u64>>) -> Result<Reading, Error> {
        let path = self.path(key)?;
        let range = part.map(GetRange::Bounded);
        let options = GetOptions::new().with_range(range);
        let found = self.0.ways.usual.get_opts(&path, options).await;
        let found = found.map_err(|error| self.error("reading", key, &error))?;
        let (size, store, key) = (found.meta.size, self.clone(), key.to_owned());
        let bytes = found.into_stream().map_err(move |error| store.error("reading", &key, &error));
        Ok(Reading { size, bytes: bytes.boxed() })
    }

    /// Returns what is known of an object; `None` if there is none.
    ///
    /// # Errors
    /// If the store does not say it.
    pub async fn head(&self, key: &str) -> Result<Option<Object>, Error> {
        match self.0.ways.usual.head(&self.path(key)?).await {
            Ok(found) => Ok(Some(self.object(&found))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error("looking for", key, &error)),
        }
    }

    /// Returns all objects whose keys begin with `folder` and a slash, sorted by key; with an empty
    /// one, all of the place.
    pub fn list(&self, folder: &str) -> BoxStream<'static, Result<Object, Error>> {
        let path = match self.path(folder) {
            Ok(path) => path,
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let prefix = (!path.as_ref().is_empty()).then_some(&path);
        let (store, folder) = (self.clone(), folder.to_owned());
        let found = self.0.ways.usual.list(prefix);
        found
            .map(move |found| match found {
                Ok(found) => Ok(store.object(&found)),
                Err(error) => Err(store.error("listing", &folder, &error)),
            })
            .boxed()
    }

    /// Writes a whole object in one request, in the place of what has the key.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put(&self, key: &str, bytes: impl Into<PutPayload>) -> Result<Version, Error> {
        let put = self.0.ways.usual.put(&self.path(key)?, bytes.into()).await;
        put.map(|put| Version(put.into())).map_err(|error| self.error("writing", key, &error))
    }

    /// Deletes objects; what is not there is no error.
    ///
    /// # Errors
    /// If one of them cannot be deleted. Others may be gone then.
    pub async fn delete(&self, keys: &[String]) -> Result<(), Error> {
        let paths = keys.iter().map(|key| self.path(key)).collect::<Result<Vec<_>, _>>()?;
        let all = || stream::iter(paths.clone().into_iter().map(Ok)).boxed();
        let Some(first) = keys.first() else { return Ok(()) };
        let deleted = self.0.ways.usual.delete_stream(all());
        let Err(error) = ended(deleted).await else { return Ok(()) };
        let error = self.error("deleting", first, &error);
        // Some stores do not know how to delete many at once.
        if !matches!(error.status(), Some(400 | 405 | 501)) {
            return Err(error);
        }
        let deleted = self.0.ways.single.delete_stream(all());
        ended(deleted).await.map_err(|error| self.error("deleting", first, &error))
    }

    /// Lets so many MiB more of objects that are being written be in memory.
    pub fn add_room(&self, mib: usize) {
        self.0.room.add_permits(mib);
    }

    /// Waits until all uploads that were given up have been ended at the store.
    pub async fn settle(&self) {
        self.0.aborting.settle().await;
    }

    pub(crate) fn path(&self, key: &str) -> Result<Path, Error> {
        let prefix = self.0.place.prefix();
        let whole = match (prefix, key) {
            ("", key) => key.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, key) => format!("{prefix}/{key}"),
        };
        Path::parse(&whole).map_err(|error| Error::Settings {
            place: self.0.place.to_string(),
            words: error.to_string(),
        })
    }

    pub(crate) fn error(&self, doing: &str, key: &str, error: &object_store::Error) -> Error {
        let doing = match key {
            "" => format!("{doing} {}", self.0.place),
            key => format!("{doing} {}", self.name_of(key)),
        };
        Error::of(doing, self.0.place.cloud(), error)
    }

    pub(crate) fn object(&self, found: &ObjectMeta) -> Object {
        let whole = found.location.as_ref();
        let key = whole.strip_prefix(self.0.place.prefix()).unwrap_or(whole);
        Object {
            key: key.trim_start_matches('/').to_owned(),
            size: found.size,
            written: found.last_modified.into(),
            version: version(found),
        }
    }
}

/// Drives a deletion to its end. What was not there is deleted.
async fn ended(
    mut deleted: BoxStream<'static, object_store::Result<Path>>,
) -> object_store::Result<()> {
    while let Some(one) = deleted.next().await {
        match one {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(crate) fn version(found: &ObjectMeta) -> Version {
    Version(UpdateVersion { e_tag: found.e_tag.clone(), version: found.version.clone() })
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.0.place).finish()
    }
}
