//! A registry, or a path in it.

use async_trait::async_trait;

use super::{Collection, join};
use crate::{Destination, Error, ImageName, NameError, Options};

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

    async fn look(&self, name: &ImageName) -> Result<Box<dyn Destination>, Error> {
        crate::look(name, &self.options).await
    }
}
