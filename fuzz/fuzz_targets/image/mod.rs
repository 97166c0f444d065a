//! A copy's reading half, of a file: all that its manifest names is read to the end.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::TryStreamExt;
use skopeo_config::{Config, Environment, Overrides};
use skopeo_image::Which;
use skopeo_image::manifest::Manifest;
use skopeo_transport::{Connections, ImageName, Options};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

static OPTIONS: LazyLock<Options> = LazyLock::new(|| {
    let root = Path::new("/nonexistent");
    let environment = Environment::fixed([("PATH", "/nonexistent")], root, 1000, root);
    let config = Config::with_environment(Overrides::default(), environment);
    Options::new(Arc::new(config), Connections::new())
});

/// Reads the image of this transport in a file of these bytes. A second is enough: some files say
/// that they are as long as they may be.
pub(crate) fn read(transport: &str, bytes: &[u8], details: &str) {
    let file = tempfile::NamedTempFile::new_in("/dev/shm").expect("a file");
    file.as_file().write_all_at(bytes, 0).expect("room for it");
    let name = format!("{transport}:{}{details}", file.path().display());
    let Ok(name) = ImageName::parse(&name) else { return };
    let _ =
        RUNTIME.block_on(async { tokio::time::timeout(Duration::from_secs(1), all(&name)).await });
}

async fn all(name: &ImageName) -> Option<()> {
    let _ = skopeo_transport::tags(name, &OPTIONS).await;
    let source = skopeo_transport::open(name, &OPTIONS).await.ok()?;
    let Manifest::Image(image) = source.manifest(&Which::Top).await.ok()?.parse().ok()? else {
        return None;
    };
    let layers = image.layers();
    let blobs = layers.iter().map(|layer| &layer.blob).chain(image.config());
    for blob in blobs {
        let stream = source.blob(blob).await.ok()?.expect(&blob.digest, blob.size).into_stream();
        let _ = stream.try_for_each(|_| async { Ok(()) }).await;
    }
    Some(())
}
