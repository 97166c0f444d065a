//! A store of podman and buildah.

use async_trait::async_trait;
use skopeo_image::Digest;

use super::{Collection, CollectionError, Held};
use crate::storage::{self, StorageName};
use crate::{Destination, Error, ImageName, NameError, Options, Probe};

#[derive(Debug)]
pub(super) struct Store {
    place: String,
    options: Options,
}

impl Store {
    pub(super) fn new(place: &str, options: &Options) -> Result<Self, Error> {
        StorageName::within(place, "any")?;
        Ok(Self { place: place.to_owned(), options: options.clone() })
    }
}

#[async_trait]
impl Collection for Store {
    fn name(&self, label: &str) -> Result<ImageName, NameError> {
        Ok(ImageName::Storage(StorageName::within(&self.place, label)?))
    }

    async fn create(&self, name: &ImageName) -> Result<Box<dyn Destination>, Error> {
        crate::create(name, &self.options).await
    }

    async fn tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        let any = StorageName::within(&self.place, "any")?;
        let labels = storage::own_labels(&any, &self.options).await?;
        let tags =
            labels.iter().filter_map(|label| label.strip_prefix(repository)?.strip_prefix(':'));
        // In `registry:5000/x:1` the first colon is before no tag.
        Ok(tags.filter(|tag| !tag.contains(['/', '@'])).map(str::to_owned).collect())
    }

    async fn digest(&self, name: &ImageName) -> Result<Option<Digest>, Error> {
        storage::digest(stored(name)?, &self.options).await
    }

    async fn remove(&self, name: &ImageName, expected: &Digest) -> Result<Vec<String>, Error> {
        storage::remove_name(stored(name)?, &self.options, expected).await.map(|()| Vec::new())
    }

    async fn look(&self, name: &ImageName) -> Result<Box<dyn Probe>, Error> {
        crate::look(name, &self.options).await
    }
}

fn stored(name: &ImageName) -> Result<&StorageName, Error> {
    match name {
        ImageName::Storage(name) => Ok(name),
        other => Err(CollectionError::OtherCollection(other.to_string()).into()),
    }
}

/// All names of all images of a store.
pub(super) async fn held(place: &str, options: &Options) -> Result<Vec<Held>, Error> {
    let any = StorageName::within(place, "any")?;
    let labels = storage::labels(&any, options).await?;
    let held = labels.into_iter().map(|label| {
        let name = ImageName::Storage(StorageName::within(place, &label)?);
        Ok(Held { name, label })
    });
    held.collect()
}
