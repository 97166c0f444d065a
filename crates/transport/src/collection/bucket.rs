//! An OCI layout in a bucket of an object store.

use async_trait::async_trait;
use skopeo_image::Digest;

use super::{Collection, CollectionError};
use crate::layout::{BucketName, ManyInBucket, bucket};
use crate::{Destination, Error, ImageName, NameError, Options, Probe};

#[derive(Debug)]
pub(super) struct Bucket {
    place: String,
    options: Options,
    many: ManyInBucket,
}

impl Bucket {
    pub(super) async fn new(place: &str, options: &Options) -> Result<Self, Error> {
        let many = ManyInBucket::new(place, options).await?;
        Ok(Self { place: place.to_owned(), options: options.clone(), many })
    }
}

fn in_bucket(name: &ImageName) -> Result<&BucketName, Error> {
    match name {
        ImageName::Bucket(name) => Ok(name),
        other => Err(CollectionError::OtherCollection(other.to_string()).into()),
    }
}

#[async_trait]
impl Collection for Bucket {
    fn name(&self, label: &str) -> Result<ImageName, NameError> {
        Ok(ImageName::Bucket(BucketName::within(&self.place, label)?))
    }

    async fn create(&self, name: &ImageName) -> Result<Box<dyn Destination>, Error> {
        Ok(Box::new(self.many.create(in_bucket(name)?).await?))
    }

    async fn look(&self, name: &ImageName) -> Result<Box<dyn Probe>, Error> {
        // Nothing is written before something is put.
        Ok(Box::new(self.many.create(in_bucket(name)?).await?))
    }

    async fn tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        let held = match bucket::held(&self.place, &self.options).await {
            // Nothing has been written yet.
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            held => held?,
        };
        // What others name otherwise, such as by a tag alone, was not written here.
        let labels = held.iter().filter(|held| {
            matches!(&held.name, ImageName::Bucket(name) if name.reference() == Some(&held.label))
        });
        let labels = labels.filter_map(|held| held.label.strip_prefix(repository));
        let tags = labels.filter_map(|rest| rest.strip_prefix(':'));
        // In `registry:5000/x:1` the first colon is before no tag.
        Ok(tags.filter(|tag| !tag.contains(['/', '@'])).map(str::to_owned).collect())
    }

    async fn digest(&self, name: &ImageName) -> Result<Option<Digest>, Error> {
        bucket::digest(in_bucket(name)?, &self.options).await.map(Some)
    }

    async fn remove(&self, name: &ImageName, expected: &Digest) -> Result<Vec<String>, Error> {
        bucket::delete(in_bucket(name)?, &self.options, Some(expected)).await?;
        Ok(Vec::new())
    }

    async fn finish(&self) -> Result<(), Error> {
        self.many.finish().await
    }
}
