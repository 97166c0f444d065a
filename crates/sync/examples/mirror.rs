//! Mirrors the images of a repository, and says what comes of each.
//!
//! `cargo run --example mirror -- registry.example.com/busybox oci:mirror`
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::sync::Arc;

use skopeo_copy::Request;
use skopeo_image::Platform;
use skopeo_sync::{
    Error, Images, Input, Observer, Selection, SourceKind, SyncEvent, SyncReport, SyncRequest, sync,
};
use skopeo_transport::{Connections, Options};
use skopeo_trust::Policy;

struct Progress;

impl Observer for Progress {
    fn observe(&self, event: &SyncEvent<'_>) -> Result<(), Error> {
        match event {
            SyncEvent::Found(tasks) => println!("{} images", tasks.len()),
            SyncEvent::Done { entry, .. } => {
                println!("{}: {}", entry.outcome.as_str(), entry.destination);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Mirrors `repository` to a collection of images, such as `oci:FOLDER` or `docker://HOST/PATH`.
pub(crate) async fn mirror(
    options: &Options,
    repository: &str,
    place: &str,
) -> Result<SyncReport, Error> {
    let places = vec![place.parse()?];
    let input = Input::One { kind: SourceKind::Docker, source: repository.to_owned(), places };
    let images = Images::Selected(Box::new(Selection::new(input)));
    let (source, destination) = (Arc::new(options.clone()), options.clone());
    let copy = Request::new(Platform::host());
    let request = SyncRequest::new(images, source, destination, Policy::insecure(), copy);
    let session = skopeo_sync::session(None, None, Default::default());
    Ok(sync(&session, &request, Arc::new(Progress)).await)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [repository, place] = &words[..] else {
        return Err(Error::refused("usage: mirror REPOSITORY TRANSPORT:PLACE"));
    };
    let config = skopeo_config::Config::new(skopeo_config::Overrides::default());
    let options = Options::new(Arc::new(config), Connections::new());
    mirror(&options, repository, place).await?.result.map(|_| ())
}
