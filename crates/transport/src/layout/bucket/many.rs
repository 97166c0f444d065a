//! A bucket with many images.

use std::sync::Arc;

use super::super::editor::Replaced;
use super::super::many::accepts;
use super::destination::{self, BucketDestination};
use super::editor::Editor;
use super::name::BucketName;
use super::opening::bucket;
use crate::{Accepts, Error, Options};

/// A layout in a bucket that many images are written to, as they are.
#[derive(Debug)]
pub(crate) struct ManyInBucket {
    editor: Arc<Editor>,
    accepts: Accepts,
}

impl ManyInBucket {
    pub(crate) async fn new(place: &str, options: &Options) -> Result<Self, Error> {
        let all = BucketName::of_all(place)?;
        let bucket = bucket(all.url(), options).await?;
        let editor = Editor::new(bucket, Replaced::Goes);
        Ok(Self { editor, accepts: accepts(&options.layout) })
    }

    pub(crate) async fn create(&self, name: &BucketName) -> Result<BucketDestination, Error> {
        destination::create_in(&self.editor, name, self.accepts.clone()).await
    }

    /// Removes the images whose names others have got.
    pub(crate) async fn finish(&self) -> Result<(), Error> {
        self.editor.sweep().await?;
        self.editor.bucket().store().settle().await;
        Ok(())
    }
}
