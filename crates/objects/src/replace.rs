//! Writing an object only if nobody else has written it meanwhile.

use bytes::Bytes;
use object_store::{Error as StoreError, PutMode, PutOptions, UpdateVersion};
use tracing::{debug, warn};

use crate::error::Error;
use crate::store::{Store, Version};
use crate::url::Cloud;

/// What an object must be for it to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// There must be none.
    Nothing,
    /// This one.
    This(Version),
    /// Whatever it is: who replaces it holds a lock.
    Anything,
}

/// What has come of replacing an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It is there.
    Written(Version),
    /// It was another one than expected, and stays.
    Changed,
}

impl Store {
    /// Writes an object in the place of what was there `before`. The store decides, so of several
    /// who replace the same object only one does.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        before: &Before,
    ) -> Result<Replaced, Error> {
        let mode = match before {
            Before::Nothing => PutMode::Create,
            Before::This(version) => PutMode::Update(version.0.clone()),
            Before::Anything => PutMode::Overwrite,
        };
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = self.0.ways.usual.put_opts(&self.path(key)?, bytes.into(), options).await;
        match put {
            Ok(put) => Ok(Replaced::Written(Version(put.into()))),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                Ok(Replaced::Changed)
            }
            Err(error) => Err(self.error("writing", key, &error)),
        }
    }

    /// Returns whether the store knows conditional writes. S3's kin is tried, once: `key` is an
    /// object whose content is always `bytes`, which a store that does not look at conditions
    /// writes.
    ///
    /// # Errors
    /// If it cannot be tried.
    pub async fn has_conditions(&self, key: &str, bytes: &'static [u8]) -> Result<bool, Error> {
        if self.0.place.cloud() != Cloud::S3 {
            return Ok(true);
        }
        if self.0.ways.unconditional {
            return Ok(false);
        }
        let tried = self.0.conditions.get_or_try_init(|| self.try_conditions(key, bytes));
        tried.await.copied()
    }

    async fn try_conditions(&self, key: &str, bytes: &'static [u8]) -> Result<bool, Error> {
        // No object has this tag, which is the hash of nothing that is written here.
        let tag = "\"00000000000000000000000000000000\"".to_owned();
        let none = UpdateVersion { e_tag: Some(tag), version: None };
        let options = PutOptions { mode: PutMode::Update(none), ..PutOptions::default() };
        let path = self.path(key)?;
        let put = self.0.ways.once.put_opts(&path, bytes.into(), options.clone()).await;
        let knows = match put {
            Err(StoreError::Precondition { .. }) => true,
            Ok(_) => false,
            Err(error) => {
                let error = self.error("writing", key, &error);
                if matches!(error.status(), Some(501 | 400)) {
                    debug!("{error}");
                    false
                } else if error.is_transient() {
                    let put = self.0.ways.usual.put_opts(&path, bytes.into(), options).await;
                    match put {
                        Err(StoreError::Precondition { .. }) => true,
                        Ok(_) => false,
                        Err(error) => return Err(self.error("writing", key, &error)),
                    }
                } else {
                    return Err(error);
                }
            }
        };
        if !knows {
            warn!(
                "The store of {} has no conditional writes: a lock object in it keeps writers apart",
                self.0.place
            );
        }
        Ok(knows)
    }
}
