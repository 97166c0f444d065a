//! The examples, against a registry in this process.

use std::path::Path;
use std::sync::Arc;

use skopeo_config::{Config, Environment, Overrides};
use skopeo_copy::Outcome;
use skopeo_testkit::{Image, On, Registry};
use skopeo_transport::{Connections, Options};

#[expect(dead_code, reason = "its `main` is for those who run it")]
#[path = "../../examples/copy_image.rs"]
mod copy_image;
#[expect(dead_code, reason = "its `main` is for those who run it")]
#[path = "../../examples/inspect.rs"]
mod inspect;

/// Options of a machine where nothing is configured but that registries speak HTTP.
fn options(root: &Path) -> Options {
    let environment = Environment::fixed([("PATH", "/usr/bin")], root.join("home"), 1000, root);
    let config = Config::with_environment(Overrides::default(), environment);
    let mut options = Options::new(Arc::new(config), Connections::new());
    options.registry.tls_verify = Some(false);
    options
}

#[tokio::test]
async fn the_example_copies_an_image_once() {
    let root = tempfile::tempdir().unwrap();
    let (registry, image) = (Registry::start(), Image::new(1));
    image.push(&registry, "team/app:1");
    let (from, options) = (registry.docker("team/app:1"), options(root.path()));
    let to = format!("oci:{}:app:1", root.path().join("out").display());
    for outcome in [Outcome::Written, Outcome::Present] {
        let copied = copy_image::copy_image(&options, &from, &to).await.unwrap();
        assert_eq!((copied.digest, copied.outcome), (image.digest(), outcome));
    }
    assert_eq!(registry.count(&On::blobs()), image.blobs().len());
    let error = copy_image::copy_image(&options, "nonsense", &to).await.unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
}

#[tokio::test]
async fn the_example_says_what_an_image_is() {
    let root = tempfile::tempdir().unwrap();
    let (registry, list) = (Registry::start(), Image::platforms(1, 2));
    let image = &list.instances()[0];
    list.push(&registry, "team/app:1");
    image.push(&registry, "team/app:one");
    let options = options(root.path());
    let lines = inspect::inspect(&options, &registry.docker("team/app:one")).await.unwrap();
    assert_eq!(lines[0], format!("{} {}", image.digest(), image.media_type()));
    assert_eq!(lines.len(), 1 + image.layers().len());
    let lines = inspect::inspect(&options, &registry.docker("team/app:1")).await.unwrap();
    assert!(lines[1].starts_with(image.digest().as_str()), "{lines:?}");
    assert_eq!((lines.len(), registry.count(&On::blobs())), (3, 0));
}
