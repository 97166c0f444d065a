//! Faults of a destination.

use super::*;

/// Everything that goes wrong where an image goes to.
fn destination_faults() -> Vec<Row> {
    let uploads = |method: &str| On::uploads().method(method);
    let manifest = || On::manifests().method("PUT");
    let heads = || On::blobs().method("HEAD");
    vec![
        ("upload cut", vec![Fault::cut_request(uploads("PUT")).after(70_000).times(2)], Right),
        ("upload always cut", vec![Fault::cut_request(uploads("PUT")).after(9_000)], Named("blob")),
        ("answer to an upload lost", vec![Fault::done_but_cut(uploads("PUT")).times(2)], Right),
        ("answer to the begin lost", vec![Fault::done_but_cut(uploads("POST")).times(2)], Right),
        ("answer to the manifest lost", vec![Fault::done_but_cut(manifest()).once()], Right),
        ("429 at begin", vec![Fault::status(uploads("POST"), 429).retry_after(1).times(2)], Right),
        ("429 at the end", vec![Fault::status(uploads("PUT"), 429).retry_after(0).times(2)], Right),
        ("429 on manifest", vec![Fault::status(manifest(), 429).retry_after(1).once()], Right),
        ("500 at begin", vec![Fault::status(uploads("POST"), 500).times(2)], Right),
        (
            "503 in mid-upload",
            vec![Fault::status(uploads("PUT"), 503).after(50_000).times(2)],
            Right,
        ),
        ("500 on manifest", vec![Fault::status(manifest(), 500).times(2)], Right),
        ("500 for ever", vec![Fault::status(manifest(), 500)], Named("500 Internal Server Error")),
        (
            "503 for ever",
            vec![Fault::status(uploads("PUT"), 503)],
            Named("503 Service Unavailable"),
        ),
        (
            "401 in mid-upload",
            vec![Fault::status(uploads("PUT"), 401).after(50_000).times(3)],
            Right,
        ),
        ("401 for ever", vec![Fault::status(uploads("PUT"), 401)], Named("unauthorized")),
        ("401 on manifest", vec![Fault::status(manifest(), 401).once()], Right),
        (
            "403 in mid-upload",
            vec![Fault::status(uploads("PUT"), 403).after(10_000)],
            Named("denied"),
        ),
        ("403 on HEAD", vec![Fault::head_forbidden()], Right),
        ("500 on HEAD", vec![Fault::status(heads(), 500).times(2)], Right),
        ("no Location", vec![Fault::no_header(uploads("POST"), "location")], Named("Location")),
        ("no Location in the end", vec![Fault::no_header(uploads("PUT"), "location")], Right),
        ("hang up at begin", vec![Fault::hang_up(uploads("POST")).times(2)], Right),
        ("hang up in the end", vec![Fault::hang_up(uploads("PUT")).times(2)], Right),
        ("hang up on HEAD", vec![Fault::hang_up(heads()).times(2)], Right),
        ("hang up on manifest", vec![Fault::hang_up(manifest()).once()], Right),
        ("no answer at begin", vec![Fault::silence(uploads("POST")).once()], Right),
        ("no answer in the end", vec![Fault::silence(uploads("PUT")).once()], Right),
        ("no answer to HEAD", vec![Fault::silence(heads()).once()], Right),
        ("wrong digest of an upload", vec![Fault::wrong_digest(uploads("PUT"))], Right),
        ("wrong digest of a manifest", vec![Fault::wrong_digest(manifest())], Right),
        ("413", vec![Fault::status(uploads("PUT"), 413).after(50_000).times(3)], Right),
        ("POST gone", vec![Fault::status(uploads("POST"), 404)], Named("name unknown")),
        (
            "400 on manifest",
            vec![Fault::status(manifest(), 400).code("NAME_INVALID", "no")],
            Named("invalid: no"),
        ),
    ]
}

#[test]
fn from_a_layout_into_a_registry() {
    for_each(destination_faults(), |(what, faults, end)| {
        let (image, older) = (image(1), image(2));
        let tokens = TokenAuth::new().user("u", "p");
        let target = Registry::builder().token_auth(tokens).start();
        older.push(&target, "to/image:v1");
        for fault in faults {
            target.fault(fault);
        }
        let home = home(&[&target.host()]);
        home.auth(&target.host(), "u", "p");
        image.write_oci(&home.path("work/folder"), Some("v1"));
        let run = copy(&home, "oci:folder:v1", &target.docker("to/image:v1"), &[]);
        let named = tag(&target, "to/image", "v1");
        check(what, &run, end, named, &image.digest(), Some(&older.digest()), &target);
    });
}

/// What changes on the way has a digest that is known only when it has been sent.
#[test]
fn a_blob_of_unknown_digest_into_a_registry() {
    let uploads = |method: &str| On::uploads().method(method);
    for_each(
        [
            ("nothing", vec![], Right),
            ("PATCH refused", vec![Fault::patch_refused()], Right),
            ("PATCH cut", vec![Fault::cut_request(uploads("PATCH")).after(50_000).times(2)], Right),
            ("PATCH lost", vec![Fault::done_but_cut(uploads("PATCH")).once()], Right),
            ("500 on PATCH", vec![Fault::status(uploads("PATCH"), 500).after(1000).once()], Right),
            ("401 on PATCH", vec![Fault::status(uploads("PATCH"), 401).after(1000).once()], Right),
            (
                "no Location",
                vec![Fault::no_header(uploads("PATCH"), "location")],
                Named("Location"),
            ),
            ("PUT lost", vec![Fault::done_but_cut(uploads("PUT")).once()], Right),
            ("401 on PUT", vec![Fault::status(uploads("PUT"), 401).once()], Right),
        ],
        |(what, faults, end)| {
            let image = image(1);
            let target = Registry::builder().token_auth(TokenAuth::new().user("u", "p")).start();
            for fault in faults {
                target.fault(fault);
            }
            let home = home(&[&target.host()]);
            home.auth(&target.host(), "u", "p");
            image.write_oci(&home.path("work/folder"), Some("v1"));
            let format = ["--dest-compress-format", "zstd", "--dest-force-compress-format"];
            let run = copy(&home, "oci:folder:v1", &target.docker("to/image:v1"), &format);
            let named = tag(&target, "to/image", "v1");
            match end {
                Right => assert!(run.code == Some(0) && named.is_some(), "{what}: {run}"),
                Named(words) => {
                    assert!(sentence(&run).contains(words), "{what}: {run}");
                    assert!(named.is_none(), "{what}");
                }
            }
        },
    );
}

#[test]
fn a_refused_type_is_written_as_another() {
    let image = image(1);
    let target = Registry::builder().fault(Fault::refuse_type(MediaType::OCI_MANIFEST)).start();
    let home = home(&[&target.host()]);
    image.write_oci(&home.path("work/folder"), Some("v1"));
    let to = target.docker("to/image:v1");
    assert_eq!(copy(&home, "oci:folder:v1", &to, &[]).code, Some(0));
    let index = target.root().join("to/image/index.json");
    let index: serde_json::Value = serde_json::from_slice(&fs_err::read(index).unwrap()).unwrap();
    assert_eq!(index["manifests"][0]["mediaType"], MediaType::DOCKER_MANIFEST.as_str());
    assert!(tag(&target, "to/image", "v1").is_some());
    let kept = copy(&home, "oci:folder:v1", &target.docker("to/other:v1"), &["--preserve-digests"]);
    assert!(sentence(&kept).contains("manifest"), "{kept}");
    assert_eq!(tag(&target, "to/other", "v1"), None);
}

#[test]
fn a_refused_mount_is_an_upload() {
    let mount = || On::uploads().method("POST").containing("mount=");
    for (what, fault, uploads) in [
        ("mounted", None, 0),
        ("405", Some(Fault::mount_refused()), 4),
        ("403", Some(Fault::status(mount(), 403)), 4),
        ("404", Some(Fault::status(mount(), 404)), 4),
        ("hang up", Some(Fault::hang_up(mount()).once()), 0),
    ] {
        let image = image(1);
        let registry = Registry::start();
        image.push(&registry, "from/image:v1");
        if let Some(fault) = fault {
            registry.fault(fault);
        }
        let home = home(&[&registry.host()]);
        let run =
            copy(&home, &registry.docker("from/image:v1"), &registry.docker("to/image:v1"), &[]);
        assert!(run.code == Some(0), "{what}: {run}");
        assert_eq!(tag(&registry, "to/image", "v1"), Some(image.digest()), "{what}");
        assert_eq!(registry.count(&On::uploads().method("PUT")), uploads, "{what}");
    }
}
