//! The ways of a run to images by their names: the transports, or in tests what is in memory.

use async_trait::async_trait;
use skopeo_transport::{Collection, Error, Held, ImageName, Options, Source};

use crate::destination::Target;

/// What a run asks for by name. The methods are the functions of [`skopeo_transport`] of these names.
#[async_trait]
pub(crate) trait Transports: Send + Sync {
    async fn open(&self, name: &ImageName, options: &Options) -> Result<Box<dyn Source>, Error>;

    async fn collection(
        &self,
        place: &Target,
        options: &Options,
    ) -> Result<Box<dyn Collection>, Error>;

    async fn held(&self, place: &Target, options: &Options) -> Result<Vec<Held>, Error>;

    async fn repositories(&self, host: &str, options: &Options) -> Result<Vec<String>, Error>;

    async fn tags(&self, name: &ImageName, options: &Options) -> Result<Vec<String>, Error>;

    /// Tags, and what the registry lists that can be none.
    async fn valid_tags(
        &self,
        name: &ImageName,
        options: &Options,
    ) -> Result<(Vec<String>, Vec<String>), Error>;
}

/// The transports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Real;

#[async_trait]
impl Transports for Real {
    async fn open(&self, name: &ImageName, options: &Options) -> Result<Box<dyn Source>, Error> {
        skopeo_transport::open(name, options).await
    }

    async fn collection(
        &self,
        place: &Target,
        options: &Options,
    ) -> Result<Box<dyn Collection>, Error> {
        skopeo_transport::collection(place.kind, &place.place, options).await
    }

    async fn held(&self, place: &Target, options: &Options) -> Result<Vec<Held>, Error> {
        skopeo_transport::held(place.kind, &place.place, options).await
    }

    async fn repositories(&self, host: &str, options: &Options) -> Result<Vec<String>, Error> {
        skopeo_transport::repositories(host, options).await
    }

    async fn tags(&self, name: &ImageName, options: &Options) -> Result<Vec<String>, Error> {
        skopeo_transport::tags(name, options).await
    }

    async fn valid_tags(
        &self,
        name: &ImageName,
        options: &Options,
    ) -> Result<(Vec<String>, Vec<String>), Error> {
        skopeo_transport::valid_tags(name, options).await
    }
}
