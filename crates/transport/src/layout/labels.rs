//! What the images of a layout are called as images among others.

use std::collections::BTreeSet;

use skopeo_image::Reference;
use tracing::{debug, warn};

use super::index::Index;
use super::name::{Wanted, is_name};
use super::referrers_tag::is_made_of_digest;

/// The images of an index that have names, in its order: where each is, and its label.
///
/// A reference that is only a tag is one of `home`, and so is the only image of a layout where
/// that has no name at all. What cannot be the name of an image anywhere is left out, with a
/// warning: it would be no name at a destination either. So are images that lost their names.
pub(crate) fn labels(index: &Index, home: &str, place: &str) -> Vec<(Wanted, String)> {
    let images = index.entries().iter().enumerate();
    let images = images.filter(|(_, entry)| !entry.ref_name().is_some_and(is_made_of_digest));
    let images: Vec<_> = images.collect();
    if let [(at, entry)] = images[..]
        && entry.whole_name().is_none()
    {
        return vec![(Wanted::Index(at), home.to_owned())];
    }
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    let mut references = BTreeSet::new();
    let mut nameless = 0_usize;
    for (at, entry) in images {
        let Some(name) = entry.whole_name() else {
            nameless = nameless.saturating_add(1);
            continue;
        };
        let label = label(&name, home);
        if Reference::parse_normalized(&label).is_err() {
            warn!("Skipping {name:?} in {place}: it is not the name of an image");
            continue;
        }
        if !known.insert(label.clone()) {
            warn!("Skipping another {name:?} in {place}: the first of that name counts");
            continue;
        }
        // Of several that have the same reference, only the first is found by it.
        let reference = entry.ref_name().filter(|reference| references.insert(*reference));
        let first = reference.is_some_and(|it| index.find_first(it) == Some(at));
        let wanted = match reference.filter(|it| first && is_name(it)) {
            Some(reference) => Wanted::Reference(reference.to_owned()),
            None => Wanted::Index(at),
        };
        found.push((wanted, label));
    }
    if nameless > 0 {
        debug!("{nameless} images in {place} have no name");
    }
    found
}

fn label(name: &str, home: &str) -> String {
    if name.contains(['/', ':', '@']) { name.to_owned() } else { format!("{home}:{name}") }
}

#[cfg(test)]
mod tests {
    use skopeo_image::Digest;

    use super::*;

    fn index(annotations: &[&str]) -> Index {
        let digest = Digest::sha256(b"");
        let entries: Vec<_> = annotations
            .iter()
            .map(|it| format!(r#"{{"digest":"{digest}","annotations":{{{it}}}}}"#))
            .collect();
        Index::parse(format!(r#"{{"manifests":[{}]}}"#, entries.join(",")).into()).unwrap()
    }

    fn reference(name: &str) -> String {
        format!(r#""org.opencontainers.image.ref.name":"{name}""#)
    }

    fn labelled(annotations: &[&str]) -> Vec<(Wanted, String)> {
        labels(&index(annotations), "home", "oci:/home")
    }

    #[test]
    fn labels_are_names_of_images() {
        let digest = format!("quay.io/a/b@{}", Digest::sha256(b"x"));
        let referrer = Digest::sha256(b"x").to_string().replace(':', "-");
        for (name, expected) in [
            ("docker.io/library/busybox:1", Some("docker.io/library/busybox:1")),
            ("busybox:1", Some("busybox:1")),
            ("a/b", Some("a/b")),
            ("1.0", Some("home:1.0")),
            ("localhost:5000/a__b:_x-", Some("localhost:5000/a__b:_x-")),
            (digest.as_str(), Some(digest.as_str())),
            (referrer.as_str(), None),
            ("1.0+x", None),
            ("../x", None),
            ("../../etc/x:1", None),
            ("/etc/x:1", None),
            ("a/../b:1", None),
            ("a//b:1", None),
            ("a/./b:1", None),
            ("x:../y", None),
            ("x:1\\n2", None),
            ("x:1\\u0000", None),
            ("x\\u001b[2J:1", None),
            (&"a/".repeat(3000), None),
        ] {
            // Beside another: alone it need not have a name.
            let found = labelled(&[&reference("z:1"), &reference(name)]);
            let found: Vec<_> = found.into_iter().skip(1).collect();
            let Some(expected) = expected else {
                assert_eq!(found, [], "{name}");
                continue;
            };
            let wanted = Wanted::Reference(name.to_owned());
            assert_eq!(found, [(wanted, expected.to_owned())]);
        }
    }

    #[test]
    fn containerd_says_the_whole_name() {
        let of =
            |name: &str| format!(r#""io.containerd.image.name":"{name}",{}"#, reference("latest"));
        let found =
            labelled(&[&of("docker.io/library/a:latest"), &of("docker.io/library/b:latest")]);
        assert_eq!(
            found,
            [
                (Wanted::Reference("latest".into()), "docker.io/library/a:latest".to_owned()),
                (Wanted::Index(1), "docker.io/library/b:latest".to_owned()),
            ]
        );
    }

    #[test]
    fn the_nameless_count_only_alone() {
        assert_eq!(labelled(&[""]), [(Wanted::Index(0), "home".to_owned())]);
        assert_eq!(labelled(&["", ""]), []);
        assert_eq!(labelled(&["", &reference("a:1")]).len(), 1);
        let twice = [reference("a:1"), reference("a:1")];
        assert_eq!(labelled(&[&twice[0], &twice[1]]).len(), 1);
        assert_eq!(labelled(&[]), []);
    }
}
