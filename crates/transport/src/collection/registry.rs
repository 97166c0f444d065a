//! A registry, or a path in it.

use async_trait::async_trait;
use skopeo_image::Digest;

use super::{Collection, join};
use crate::{Destination, Error, ImageName, NameError, Options, Probe};

#[derive(Debug)]
pub(super) struct Registry {
    place: String,
    options: Options,
}

impl Registry {
    pub(super) fn new(place: &str, options: &Options) -> Self {
        Self { place: place.to_owned(), options: options.clone() }
    }
}

#[async_trait]
impl Collection for Registry {
    fn name(&self, label: &str) -> Result<ImageName, NameError> {
        ImageName::parse(&format!("docker://{}", join(&self.place, label)))
    }

    async fn create(&self, name: &ImageName) -> Result<Box<dyn Destination>, Error> {
        crate::create(name, &self.options).await
    }

    async fn tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        let name = self.name(&format!("{repository}:latest"))?;
        match crate::tags(&name, &self.options).await {
            Err(error) if error.is_unknown_repository() => Ok(Vec::new()),
            tags => tags,
        }
    }

    async fn digest(&self, name: &ImageName) -> Result<Option<Digest>, Error> {
        crate::resolve(name, &self.options).await.map(Some)
    }

    async fn remove(&self, name: &ImageName, expected: &Digest) -> Result<Vec<String>, Error> {
        crate::untag(name, &self.options, Some(expected)).await.map(|_| Vec::new())
    }

    async fn give_back(&self, name: &ImageName, digest: &Digest) -> Result<bool, Error> {
        crate::retag(name, &self.options, digest).await
    }

    async fn look(&self, name: &ImageName) -> Result<Box<dyn Probe>, Error> {
        crate::look(name, &self.options).await
    }
}
