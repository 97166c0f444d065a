//! The client that bootc and rpm-ostree are built with.

use containers_image_proxy::oci_spec::image::Digest as OciDigest;
use containers_image_proxy::{GetBlobError, ImageProxy, ImageProxyConfig};
use skopeo_image::Digest;
use skopeo_testkit::image::{Format, Layer};
use skopeo_testkit::registry::On;
use skopeo_testkit::{Fault, Home, Image, Registry};
use tokio::io::AsyncReadExt as _;

use crate::stage::{SKOPEO, home};

async fn client(home: &Home) -> ImageProxy {
    let mut config = ImageProxyConfig::default();
    config.skopeo_cmd = Some(home.command(SKOPEO));
    ImageProxy::new_with_config(config).await.unwrap()
}

fn oci(digest: &Digest) -> OciDigest {
    digest.as_str().parse().unwrap()
}

fn stage(layers: usize, size: usize, format: Format) -> (Registry, Home, Image) {
    let registry = Registry::start();
    let home = home(&[&registry.host()]);
    let image = Image::builder(1).layers(layers).layer_size(size).format(format).build();
    image.push(&registry, "lib/image:v1");
    (registry, home, image)
}

/// A blob whole, or the sentence about it.
async fn blob(
    proxy: &ImageProxy,
    image: &containers_image_proxy::OpenedImage,
    digest: &Digest,
    size: u64,
) -> Result<Vec<u8>, String> {
    let (mut reader, driver) =
        proxy.get_blob(image, &oci(digest), size).await.map_err(|it| it.to_string())?;
    let mut bytes = Vec::new();
    let (read, done) = tokio::join!(reader.read_to_end(&mut bytes), driver);
    read.unwrap();
    done.map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[tokio::test]
async fn an_image_is_read_whole() {
    for format in [Format::Oci, Format::Docker] {
        let (registry, home, image) = stage(3, 300_000, format);
        let proxy = client(&home).await;
        let by_tag = registry.docker("lib/image:v1");
        let by_digest = format!("{}@{}", registry.docker("lib/image"), image.digest());
        for name in [by_tag, by_digest] {
            let open = proxy.open_image(&name).await.unwrap();
            let (digest, manifest) = proxy.fetch_manifest(&open).await.unwrap();
            assert_eq!(digest, image.digest().to_string());
            let config = proxy.fetch_config(&open).await.unwrap();
            assert_eq!(config.architecture().to_string(), "amd64");
            let layers = proxy.get_layer_info(&open).await.unwrap().unwrap();
            assert_eq!(layers.len(), 3);
            for ((told, layer), listed) in layers.iter().zip(image.layers()).zip(manifest.layers())
            {
                assert_eq!(told.digest, oci(&layer.digest));
                assert_eq!(*listed.digest(), told.digest);
                let size = layer.bytes.len() as u64;
                assert_eq!((told.size, listed.size()), (size, size));
                assert_eq!(blob(&proxy, &open, &layer.digest, size).await.unwrap(), layer.bytes);
                let raw = proxy.get_raw_blob(&open, &told.digest).await.unwrap();
                let (announced, mut reader, errors) = raw;
                let mut bytes = Vec::new();
                let (read, failed) = tokio::join!(reader.read_to_end(&mut bytes), errors);
                read.unwrap();
                failed.unwrap();
                assert_eq!((announced, bytes), (Some(size), layer.bytes.to_vec()));
            }
            let (mut reader, driver) =
                proxy.get_descriptor(&open, manifest.config()).await.unwrap();
            let mut bytes = Vec::new();
            let (read, done) = tokio::join!(reader.read_to_end(&mut bytes), driver);
            read.unwrap();
            done.unwrap();
            assert_eq!(oci(&Digest::sha256(&bytes)), *manifest.config().digest());
            proxy.close_image(&open).await.unwrap();
        }
        proxy.finalize().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_there_is_none() {
    let (registry, home, _) = stage(1, 1000, Format::Oci);
    let proxy = client(&home).await;
    let there = proxy.open_image_optional(&registry.docker("lib/image:v1")).await.unwrap();
    let missing = proxy.open_image_optional(&registry.docker("lib/image:v2")).await.unwrap();
    assert!(there.is_some() && missing.is_none());
    let error = proxy.open_image(&registry.docker("lib/image:v2")).await.unwrap_err().to_string();
    assert!(error.starts_with("failed to invoke method OpenImage: "), "{error}");
    proxy.finalize().await.unwrap();
}

#[tokio::test]
async fn blobs_come_at_the_same_time() {
    let (registry, home, image) = stage(4, 3_000_000, Format::Oci);
    let proxy = client(&home).await;
    let open = proxy.open_image(&registry.docker("lib/image:v1")).await.unwrap();
    // All of them are begun before any is read.
    let mut begun = Vec::new();
    for Layer { digest, bytes, .. } in image.layers() {
        let size = bytes.len() as u64;
        begun.push((proxy.get_blob(&open, &oci(digest), size).await.unwrap(), bytes));
    }
    let (mut reading, mut driving) = (Vec::new(), Vec::new());
    for ((mut reader, driver), expected) in begun {
        driving.push(driver);
        reading.push(async move {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).await.unwrap();
            assert_eq!(bytes, *expected);
        });
    }
    let (_, done) = tokio::join!(
        futures_util::future::join_all(reading),
        futures_util::future::join_all(driving)
    );
    done.into_iter().for_each(|done| done.unwrap());
    proxy.finalize().await.unwrap();
}

#[tokio::test]
async fn what_goes_wrong_is_told() {
    let (registry, home, image) = stage(1, 8_000_000, Format::Oci);
    let proxy = client(&home).await;
    let open = proxy.open_image(&registry.docker("lib/image:v1")).await.unwrap();
    let layer = &image.layers()[0];
    let size = layer.bytes.len() as u64;
    registry.fault(Fault::corrupt(On::blobs()).after(100));
    let error = blob(&proxy, &open, &layer.digest, size).await.unwrap_err();
    assert!(error.contains("Digest did not match"), "{error}");
    registry.mend();
    let error = blob(&proxy, &open, &Digest::sha256(b"other"), size).await.unwrap_err();
    assert!(error.starts_with("failed to invoke method GetBlob: "), "{error}");
    // A line that breaks once is nobody's business.
    registry.fault(Fault::cut(On::blobs()).after(3 << 20).times(1));
    assert_eq!(blob(&proxy, &open, &layer.digest, size).await.unwrap(), layer.bytes);
    registry.mend();
    registry.fault(Fault::stall(On::blobs()).after(3 << 20));
    let mut registry = registry;
    let (_announced, mut reader, errors) =
        proxy.get_raw_blob(&open, &oci(&layer.digest)).await.unwrap();
    registry.stop();
    let mut bytes = Vec::new();
    let (read, failed) = tokio::join!(reader.read_to_end(&mut bytes), errors);
    read.unwrap();
    assert!(bytes.len() < layer.bytes.len());
    assert!(matches!(failed, Err(GetBlobError::Retryable(_))), "{failed:?}");
    proxy.finalize().await.unwrap();
}

#[tokio::test]
async fn a_client_that_gives_up_a_blob_goes_on() {
    let (registry, home, image) = stage(2, 3_000_000, Format::Oci);
    let proxy = client(&home).await;
    let open = proxy.open_image(&registry.docker("lib/image:v1")).await.unwrap();
    let [first, second] = image.layers() else { panic!("two layers") };
    let size = first.bytes.len() as u64;
    let (mut reader, driver) = proxy.get_blob(&open, &oci(&first.digest), size).await.unwrap();
    reader.read_exact(&mut [0; 1000]).await.unwrap();
    drop(reader);
    let error = driver.await.unwrap_err().to_string();
    assert!(error.contains("broken pipe"), "{error}");
    let size = second.bytes.len() as u64;
    assert_eq!(blob(&proxy, &open, &second.digest, size).await.unwrap(), second.bytes);
    proxy.finalize().await.unwrap();
}
