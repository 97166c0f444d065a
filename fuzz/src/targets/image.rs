//! A copy's reading half: all that a manifest names is read to the end.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::TryStreamExt;
use skopeo_blob::MaxUnpacked;
use skopeo_config::{Config, Environment, Overrides};
use skopeo_image::Which;
use skopeo_image::manifest::Manifest;
use skopeo_transport::{Connections, ImageName, Options};
use tokio::runtime::{Builder, Runtime};

/// A second is enough: some files say that they are as long as they may be.
const LONGEST: Duration = Duration::from_secs(1);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

static OPTIONS: LazyLock<Options> = LazyLock::new(|| {
    let environment = Environment::fixed(variables(), nowhere(), 1000, nowhere());
    let config = Config::with_environment(Overrides::default(), environment);
    let mut options = Options::new(Arc::new(config), Connections::new());
    options.max_unpacked = MaxUnpacked::Bytes(256 << 20);
    options.tmpdir = "/dev/shm".into();
    options
});

/// A place where nothing is.
pub(super) fn nowhere() -> &'static Path {
    Path::new("/nonexistent")
}

/// The variables of a user who has a folder for what is running; another would get one made.
pub(super) fn variables() -> [(&'static str, &'static str); 2] {
    [("PATH", "/nonexistent"), ("XDG_RUNTIME_DIR", "/")]
}

/// The runtime of all targets.
pub(super) fn runtime() -> &'static Runtime {
    &RUNTIME
}

/// A file of these bytes, as long as `work` takes.
pub(super) fn with_file(bytes: &[u8], work: impl FnOnce(&Path)) {
    let file = tempfile::NamedTempFile::new_in("/dev/shm").expect("a file");
    file.as_file().write_all_at(bytes, 0).expect("room for it");
    work(file.path());
}

/// Reads the image of this transport in a file of these bytes.
pub(super) fn read(transport: &str, bytes: &[u8], details: &str) {
    with_file(bytes, |path| read_at(transport, path, details));
}

/// Reads the image of this transport at a place.
pub(super) fn read_at(transport: &str, path: &Path, details: &str) {
    let name = format!("{transport}:{}{details}", path.display());
    let Ok(name) = ImageName::parse(&name) else { return };
    // A file of the same name may have been opened before.
    let mut options = OPTIONS.clone();
    options.read_cache = Arc::default();
    let _ = RUNTIME.block_on(async { tokio::time::timeout(LONGEST, all(&name, &options)).await });
}

async fn all(name: &ImageName, options: &Options) -> Option<()> {
    let _ = skopeo_transport::tags(name, options).await;
    let source = skopeo_transport::open(name, options).await.ok()?;
    let _ = source.signatures(&Which::Top).await;
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
