//! Images as others read them.

use skopeo_image::Compression;
use skopeo_testkit::run::original;
use skopeo_testkit::{Format, Home, Image, Registry, run, skip};

#[test]
fn the_original_reads_them_all() {
    let Some(skopeo) = original() else { skip!("skopeo is not installed") };
    let home = Home::new();
    let registry = Registry::start();
    let builder = || Image::builder(3);
    let images = [
        (
            "oci",
            builder()
                .layer(Compression::Gzip)
                .layer(Compression::Zstd)
                .layer(Compression::Uncompressed)
                .build(),
        ),
        ("docker", builder().format(Format::Docker).layers(3).label("a", "b").build()),
        ("signed", builder().format(Format::Schema1Signed).named("signed", "v1").build()),
        ("list", Image::platforms(4, 6)),
        ("docker-list", Image::list(vec![builder().format(Format::Docker).build()])),
    ];
    for (name, image) in &images {
        let digest = image.digest().to_string();
        image.push(&registry, &format!("{name}:v1"));
        image.write_dir(&home.path(format!("work/{name}-dir")));
        let from_registry = registry.docker(&format!("{name}:v1"));
        let out = home.work(&format!("{name}-out"));
        let copy = |from: &str, to: &str| {
            let all = ["--insecure-policy", "copy", "--all", "--src-tls-verify=false", from, to];
            run(&home, &skopeo, &all).success()
        };
        let _ = copy(&from_registry, &format!("dir:{out}"));
        let manifest = format!("{out}/manifest.json");
        let seen = run(&home, &skopeo, &["manifest-digest", &manifest]).success().stdout;
        assert_eq!(seen.trim(), digest, "{name}");
        let _ =
            copy(&format!("dir:{}", home.work(&format!("{name}-dir"))), &format!("dir:{out}-2"));
        // 1.9.3 knows only OCI's types in layouts.
        if image.media_type().as_str().contains("oci") {
            image.write_oci(&home.path("work/layout"), Some(name));
            let from = format!("oci:{}:{name}", home.work("layout"));
            let _ = copy(&from, &format!("dir:{out}-3"));
        }
    }
}
