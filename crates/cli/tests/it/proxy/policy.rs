//! The policy is asked when an image is opened: what the name leads to, or what is chosen from it,
//! has to be let in.

use std::path::Path;

use serde_json::{Value, json};
use skopeo_image::Digest;
use skopeo_testkit::gpg::Gpg;
use skopeo_testkit::{Home, Image, skip};

use super::start;

const NAME: &str = "example.com/signed:v1";

/// A key of OpenPGP, made for one test.
struct Signer<'a> {
    gpg: Gpg<'a>,
    home: &'a Home,
}

impl<'a> Signer<'a> {
    fn new(home: &'a Home) -> Option<Self> {
        let gpg = Gpg::new(home)?;
        let _ = gpg.key("t@example.com", "");
        let exported = gpg.export("t@example.com");
        fs_err::rename(exported, home.path("work/key.gpg")).unwrap();
        Some(Self { gpg, home })
    }

    /// Writes a signature of that manifest.
    fn sign(&self, digest: &Digest, to: &Path) {
        let payload = json!({
            "critical": {
                "identity": {"docker-reference": NAME},
                "image": {"docker-manifest-digest": digest.to_string()},
                "type": "atomic container signature",
            },
            "optional": {},
        });
        let file = self.home.path("payload");
        fs_err::write(&file, payload.to_string()).unwrap();
        let (to, file) = (to.to_str().unwrap(), file.to_str().unwrap());
        let run = self.gpg.run(&["--yes", "--quiet", "--output", to, "--sign", file]);
        run.success();
    }
}

fn signed_by(home: &Home) -> Value {
    json!({"default": [{
        "type": "signedBy",
        "keyType": "GPGKeys",
        "keyPath": home.work("key.gpg"),
        "signedIdentity": {"type": "exactReference", "dockerReference": NAME},
    }]})
}

#[test]
fn the_list_or_the_instance_has_to_be_signed() {
    let home = Home::new();
    let Some(signer) = Signer::new(&home) else { skip!("gpg is not installed") };
    let instance = Image::builder(1).layers(1).build();
    let list = Image::list(vec![instance.clone()]);
    home.policy(&signed_by(&home));
    let unsigned = "Source image rejected: A signature was required, but no signature exists";
    for (name, signs_list, signs_instance) in [
        ("none", false, false),
        ("list", true, false),
        ("instance", false, true),
        ("both", true, true),
    ] {
        let folder = home.path("work").join(name);
        list.write_dir(&folder);
        if signs_list {
            signer.sign(&list.digest(), &folder.join("signature-1"));
        }
        if signs_instance {
            let hex = instance.digest().hex().to_owned();
            signer.sign(&instance.digest(), &folder.join(format!("{hex}.signature-1")));
        }
        let client = start(&home, &["--override-arch", "amd64", "--override-os", "linux"]);
        for method in ["OpenImage", "OpenImageOptional"] {
            let answer = client.call(method, json!([format!("dir:{name}")]));
            if signs_list || signs_instance {
                let id = answer.value();
                let (digest, _) = client.piped("GetManifest", json!([id]));
                assert_eq!(digest, instance.digest().to_string(), "{name}");
            } else {
                assert_eq!(answer.error(), ("other", unsigned), "{name}");
            }
        }
        client.shut_down().success();
    }
}

#[test]
fn a_single_image_has_to_be_signed_itself() {
    let home = Home::new();
    let Some(signer) = Signer::new(&home) else { skip!("gpg is not installed") };
    let (image, other) = (Image::new(1), Image::new(2));
    home.policy(&signed_by(&home));
    for (name, signed, good) in [("own", &image, true), ("another's", &other, false)] {
        let folder = home.path("work").join(name);
        image.write_dir(&folder);
        signer.sign(&signed.digest(), &folder.join("signature-1"));
        let client = start(&home, &["--require-signed"]);
        let answer = client.call("OpenImage", json!([format!("dir:{name}")]));
        assert_eq!(answer.json["success"], good, "{name}: {}", answer.json);
        client.shut_down().success();
    }
}

#[test]
fn what_the_policy_rejects_is_not_open() {
    let home = Home::new();
    Image::new(1).write_dir(&home.path("work/image"));
    Image::platforms(1, 2).write_dir(&home.path("work/list"));
    home.policy(&json!({"default": [{"type": "reject"}]}));
    for name in ["image", "list"] {
        let client = start(&home, &[]);
        let answer = client.call("OpenImage", json!([format!("dir:{name}")]));
        let (code, error) = answer.error();
        assert_eq!(code, "other");
        assert!(error.starts_with("Source image rejected: Running image dir:"), "{error}");
        assert!(error.ends_with(" is rejected by policy."), "{error}");
        assert_eq!(client.call("GetManifest", json!([1])).error().1, "no image 1");
        client.shut_down().success();
        let client = start(&home, &["--insecure-policy"]);
        assert_eq!(client.open(&format!("dir:{name}")), 1);
        client.shut_down().success();
    }
    home.policy(&json!({"default": [{"type": "insecureAcceptAnything"}]}));
    let client = start(&home, &["--require-signed"]);
    let answer = client.call("OpenImage", json!(["dir:image"]));
    let expected = "Source image rejected: No signature verification policy found for image dir:";
    assert!(answer.error().1.starts_with(expected), "{}", answer.error().1);
    client.shut_down().success();
}
