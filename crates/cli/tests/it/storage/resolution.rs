//! Which image a name leads to, where one list has brought several.

use skopeo_image::Digest;
use skopeo_testkit::{Image, Registry, skip};

use super::{Place, lacking};
use crate::program::fatal;

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Found {
    Amd,
    Arm,
    /// The list leads to an instance that the found image is not.
    NoInstance,
    /// No image at all.
    Nothing,
}

struct Stored {
    place: Place,
    registry: Registry,
    list: Digest,
    amd: Digest,
    arm: Digest,
}

impl Stored {
    fn new() -> Self {
        let instance = |seed, architecture| {
            Image::builder(seed).layers(1).platform("linux", architecture, "").build()
        };
        let (amd, arm) = (instance(1, "amd64"), instance(2, "arm64"));
        let list = Image::list(vec![amd.clone(), arm.clone()]);
        let registry = Registry::start();
        list.push(&registry, "t:list");
        let (list, amd, arm) = (list.digest(), amd.digest(), arm.digest());
        Self { place: Place::new("overlay"), registry, list, amd, arm }
    }

    /// The reference with the digests put in.
    fn reference(&self, text: &str) -> String {
        let digests = [("LIST", &self.list), ("AMD", &self.amd), ("ARM", &self.arm)];
        digests.iter().fold(text.to_owned(), |text, (word, it)| text.replace(word, it.as_str()))
    }

    /// Copies from the registry for that architecture.
    fn copy(&self, architecture: &str, from: &str, to: &str) {
        let from = format!("docker://{}/t{}", self.registry.host(), self.reference(from));
        let to = format!("containers-storage:h.io/t{}", self.reference(to));
        let arguments =
            ["--override-arch", architecture, "copy", "--src-tls-verify=false", &from, &to];
        self.place.skopeo(&arguments).success();
    }

    /// What the name leads to.
    fn find(&self, architecture: &str, name: &str) -> Found {
        let name = format!("containers-storage:{}", self.reference(name));
        let arguments = ["--override-arch", architecture, "inspect", "--config", &name];
        let run = self.place.skopeo(&arguments);
        if run.code == Some(0) {
            return match run.json()["architecture"].as_str().unwrap() {
                "amd64" => Found::Amd,
                _ => Found::Arm,
            };
        }
        let sentence = fatal(&run);
        if run.code == Some(2) {
            assert!(sentence.contains("does not resolve to an image ID"), "{run}");
            return Found::Nothing;
        }
        let missing = sentence.split_once("reading manifest for image instance ");
        assert!(missing.is_some_and(|(_, rest)| rest.contains("does not exist")), "{run}");
        Found::NoInstance
    }

    fn id(&self, digest: &Digest) -> String {
        let images = self.place.list("images");
        let key = format!("manifest-{digest}");
        let image = images.iter().find(|image| image["big-data-sizes"].get(&key).is_some());
        image.unwrap()["id"].as_str().unwrap().to_owned()
    }
}

#[test]
fn lists_tags_and_digests_find_what_the_original_finds() {
    if let Some(lack) = lacking(&[]) {
        skip!("{lack}");
    }
    use Found::{Amd, Arm, NoInstance, Nothing};

    // One tag: it moves to the second.
    let tagged = Stored::new();
    tagged.copy("amd64", ":list", ":latest");
    tagged.copy("arm64", ":list", ":latest");
    for (name, for_amd, for_arm) in [
        ("h.io/t", Arm, Arm),
        ("h.io/t@LIST", NoInstance, Arm),
        ("h.io/t@ARM", Arm, Arm),
        // What has no name any more is found by its id only.
        ("h.io/t@AMD", Nothing, Nothing),
        ("h.io/other@LIST", Nothing, Nothing),
        ("h.io/t:none", Nothing, Nothing),
    ] {
        assert_eq!(tagged.find("amd64", name), for_amd, "{name}");
        assert_eq!(tagged.find("arm64", name), for_arm, "{name}");
    }
    let id = tagged.id(&tagged.amd);
    for name in [format!("@{id}"), id.clone(), id[..12].to_owned(), format!("@{}", &id[..5])] {
        assert_eq!(tagged.find("arm64", &name), Amd, "{name}");
    }

    // The digest of the list: the name moves as well.
    let listed = Stored::new();
    listed.copy("amd64", ":list", "@LIST");
    listed.copy("arm64", ":list", "@LIST");
    assert_eq!(listed.find("amd64", "h.io/t@LIST"), NoInstance);
    assert_eq!(listed.find("arm64", "h.io/t@LIST"), Arm);

    // The digest of the one, and that of the list.
    let both = Stored::new();
    both.copy("amd64", "@AMD", "@AMD");
    both.copy("arm64", ":list", "@LIST");
    for (name, for_amd, for_arm) in
        [("h.io/t@LIST", NoInstance, Arm), ("h.io/t@AMD", Amd, Amd), ("h.io/t@ARM", Arm, Arm)]
    {
        assert_eq!(both.find("amd64", name), for_amd, "{name}");
        assert_eq!(both.find("arm64", name), for_arm, "{name}");
    }
    // Once the first has been had by the list too, the list leads to it.
    both.copy("amd64", ":list", ":x");
    assert_eq!(both.find("amd64", "h.io/t:y@LIST"), Amd);
    assert_eq!(both.find("arm64", "h.io/t:y@LIST"), Arm);

    // A list is not kept as such.
    let from = format!("docker://{}/t:list", both.registry.host());
    let all = ["copy", "--src-tls-verify=false", "--all", &from, "containers-storage:h.io/all"];
    let refused = both.place.skopeo(&all).failure(1);
    let sentence = "copying multiple images: destination transport \"containers-storage\" does not \
                    support copying multiple images as a group";
    assert!(fatal(&refused).ends_with(sentence), "{refused}");
    // A digest of something else is refused before anything is written.
    let other = format!("containers-storage:h.io/t@{}", Digest::sha256(b"other"));
    let refused = both.place.skopeo(&["copy", "--src-tls-verify=false", &from, &other]).failure(1);
    let sentence = "Digest of source image's manifest would not match destination reference";
    assert!(fatal(&refused).contains(sentence), "{refused}");
}

/// An id that no image has, and one whose image has another name.
#[test]
fn ids_and_names_must_fit() {
    if let Some(lack) = lacking(&[]) {
        skip!("{lack}");
    }
    let stored = Stored::new();
    stored.copy("amd64", "@AMD", ":1");
    let id = stored.id(&stored.amd);
    let unknown = "0".repeat(64);
    let ask = |name: &str| stored.place.skopeo(&["inspect", &format!("containers-storage:{name}")]);
    ask(&format!("h.io/t@{id}")).success();
    ask(&format!("h.io/t:2@{id}")).success();
    let run = ask(&format!("@{unknown}")).failure(1);
    let sentence = format!(
        "reading image \"{unknown}\": locating image with ID \"{unknown}\": image not known"
    );
    assert!(fatal(&run).ends_with(&sentence), "{run}");
    let run = ask(&format!("h.io/other@{id}")).failure(2);
    assert!(fatal(&run).ends_with("identifier is not an image"), "{run}");
    let run = stored.place.skopeo(&["delete", "containers-storage:h.io/none"]).failure(2);
    assert!(fatal(&run).contains("does not resolve to an image ID"), "{run}");
    let run = stored.place.skopeo(&["list-tags", "containers-storage:h.io/t"]).failure(1);
    assert!(fatal(&run).starts_with("Unsupported transport 'containers-storage'"), "{run}");
}
