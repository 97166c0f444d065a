//! The laws of layouts in buckets at programs that others wrote: moto and Azurite.

use futures_util::{StreamExt as _, stream};
use skopeo_image::Which;
use skopeo_testkit::{Cloud, cannot, skip};
use skopeo_transport::{ImageName, Role, create, delete};

use crate::options::options_with;
use crate::sample::{blob, unverified};
use crate::{Place, Sample};

#[tokio::test]
async fn moto_keeps_the_laws() {
    match Cloud::moto() {
        // It reads and writes in two steps, so that of writers at once one may be lost: not by us.
        Ok(cloud) => keeps_the_laws(&cloud, 1).await,
        Err(why) => skip!("{why}"),
    }
}

#[tokio::test]
async fn azurite_keeps_the_laws() {
    match Cloud::azurite() {
        Ok(cloud) => keeps_the_laws(&cloud, 20).await,
        Err(why) => cannot!("{why}"),
    }
}

async fn keeps_the_laws(cloud: &Cloud, at_once: usize) {
    let name = |label: &str| ImageName::parse(&format!("oci:{}/a:{label}", cloud.bucket)).unwrap();
    let place = || {
        let mut place = Place::at(|_| name("tag").to_string());
        place.options = options_with(place.folder.path(), &cloud.environment);
        place
    };
    let (one, two) = (Sample::new(1), Sample::new(2));
    let here = place();
    assert!(!here.has_image().await);
    one.put(here.create().await).await.unwrap();
    one.assert_in(&*place().open().await.unwrap(), &Which::Top).await;
    assert_eq!(place().create().await.present().await.unwrap(), Some(one.digest()));

    // Of several parts; and a wrong one leaves nothing.
    let bytes: bytes::Bytes =
        (0..11_000_000_u32).map(|n| (n.wrapping_mul(40_503) >> 9) as u8).collect();
    let to = here.create().await;
    let wrong = unverified(&bytes).expect(&skopeo_image::Digest::sha256(b"other"), None);
    assert!(to.put_blob(wrong, Role::Layer(0)).await.is_err());
    let large = Sample::of(b"{}".to_vec().into(), vec![bytes.clone()]);
    to.put_blob(blob(&bytes), Role::Layer(0)).await.unwrap();
    to.abandon().await;
    let to = create(&name("large"), &place().options).await.unwrap();
    large.put(to).await.unwrap();
    let source = skopeo_transport::open(&name("large"), &place().options).await.unwrap();
    large.assert_in(&*source, &Which::Top).await;
    let wanted = crate::sample::descriptor(&bytes);
    let rest = source.blob_from(&wanted, 10_999_990).await.unwrap().unwrap();
    let rest = rest.expect(&skopeo_image::Digest::sha256(&bytes[10_999_990..]), Some(10));
    let rest: Vec<bytes::Bytes> =
        futures_util::TryStreamExt::try_collect(rest.into_stream()).await.unwrap();
    assert_eq!(rest.concat(), &bytes[10_999_990..]);

    // A digest that is known only at the end.
    let pieces: Vec<_> =
        bytes.chunks(90_000).map(|it| Ok(bytes::Bytes::copy_from_slice(it))).collect();
    let unnamed = skopeo_blob::Blob::unnamed(stream::iter(pieces).boxed());
    let to = create(&name("x"), &place().options).await.unwrap();
    let stored = to.put_blob(unnamed, Role::Layer(0)).await.unwrap();
    assert_eq!(stored.digest, skopeo_image::Digest::sha256(&bytes));

    // Writers at once lose nothing.
    let writers = (0..20_u32).map(|number| {
        let (options, name) = (place().options, name(&format!("many{number}")));
        async move {
            let to = create(&name, &options).await.unwrap();
            Sample::new(number + 10).put(to).await.unwrap();
        }
    });
    stream::iter(writers).buffer_unordered(at_once).collect::<Vec<()>>().await;
    let names = skopeo_transport::tags(&name("x"), &place().options).await.unwrap();
    assert_eq!(names.len(), 22, "{names:?}");

    // Who deletes takes only its own.
    let to = create(&name("two"), &place().options).await.unwrap();
    two.put(to).await.unwrap();
    delete(&name("tag"), &place().options).await.unwrap();
    assert!(!place().has_image().await);
    let source = skopeo_transport::open(&name("two"), &place().options).await.unwrap();
    two.assert_in(&*source, &Which::Top).await;
    let gone = delete(&name("tag"), &place().options).await.unwrap_err();
    assert!(gone.is_not_found(), "{gone}");
}
