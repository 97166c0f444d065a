//! Whether an image is where a file says that it is.

use skopeo_image::Reference;
use skopeo_transport::{Collection, CollectionKind, ImageName, join};

use crate::destination::Target;

/// The name that a file gives to an image in a place; nothing if it is not in it.
pub(crate) fn name(place: &Target, collection: &dyn Collection, text: &str) -> Option<ImageName> {
    if place.kind == CollectionKind::Docker {
        let name = ImageName::parse(text).ok()?;
        return label(place, &name).map(|_| name);
    }
    // Not parsed: what is above it need not be there yet.
    let label = of_text(place, text).filter(|label| is_inside(label))?;
    let name = collection.name(label).ok()?;
    (name.to_string() == text).then_some(name)
}

/// What an image is called within its place.
pub(crate) fn label(place: &Target, name: &ImageName) -> Option<String> {
    if name.transport() != place.kind.as_str() {
        return None;
    }
    match place.kind {
        CollectionKind::Docker => docker(place, name.docker_reference()?),
        _ => of_text(place, &name.to_string()).map(str::to_owned),
    }
}

fn of_text<'a>(place: &Target, text: &'a str) -> Option<&'a str> {
    let details = text.strip_prefix(place.kind.as_str())?.strip_prefix(':')?;
    match place.kind {
        CollectionKind::Dir => match join(&place.place, "").as_str() {
            "." | "" => Some(details),
            "/" => details.strip_prefix('/'),
            folder => details.strip_prefix(folder)?.strip_prefix('/'),
        },
        _ => details.strip_prefix(place.place.as_str())?.strip_prefix(':'),
    }
}

/// Whether a label leads nowhere but into its place.
pub(crate) fn is_inside(label: &str) -> bool {
    label.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn docker(place: &Target, reference: &Reference) -> Option<String> {
    // Of one part alone, Docker Hub would make another name.
    let probe = Reference::parse_normalized(&join(&place.place, "x/x")).ok()?;
    let prefix = probe.name.to_string();
    let name = reference.name.to_string();
    let repository = name.strip_prefix(prefix.strip_suffix("x/x")?)?;
    let label = match (&reference.digest, &reference.tag) {
        (Some(digest), _) => format!("{repository}@{digest}"),
        (None, Some(tag)) => format!("{repository}:{tag}"),
        (None, None) => repository.to_owned(),
    };
    (!repository.is_empty()).then_some(label)
}

#[cfg(test)]
mod tests {
    use skopeo_transport::{Connections, Options, collection};

    use super::*;

    #[test]
    fn only_what_is_in_a_place_has_a_label_there() {
        let config = skopeo_config::Config::new(skopeo_config::Overrides::default());
        let options = Options::new(std::sync::Arc::new(config), Connections::new());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (place, name, expected) in [
            ("docker://r.example:5000/m", "docker://r.example:5000/m/a/b:1", Some("a/b:1")),
            ("docker://r.example:5000/m/", "docker://r.example:5000/m/a:1", Some("a:1")),
            ("docker://r.example:5000", "docker://r.example:5000/a:1", Some("a:1")),
            ("docker://docker.io", "docker://docker.io/library/a:1", Some("library/a:1")),
            ("docker://docker.io", "docker://a:1", Some("library/a:1")),
            ("docker://docker.io/me", "docker://me/a:1", Some("a:1")),
            ("docker://r.example:5000/m", "docker://r.example:5000/mm/a:1", None),
            ("docker://r.example:5000/m", "docker://r.example:5000/a:1", None),
            ("docker://r.example:5000/m", "docker://r.example/m/a:1", None),
            ("docker://r.example:5000/m", "docker://evil.example/m/a:1", None),
            ("docker://r.example:5000/m", "dir:m/a:1", None),
            ("dir:out", "dir:out/a:1", Some("a:1")),
            ("dir:out/", "dir:out/x/a:1", Some("x/a:1")),
            ("dir:.", "dir:a:1", Some("a:1")),
            ("dir:/srv/out", "dir:/srv/out/a:1", Some("a:1")),
            ("dir:out", "dir:elsewhere", None),
            ("dir:out", "dir:out", None),
            ("dir:out", "dir:outer/a:1", None),
            ("dir:out", "dir:out/../a:1", None),
            ("dir:out", "dir:out/x/../../a:1", None),
            ("dir:out", "dir:/out/a:1", None),
            ("dir:.", "dir:/a:1", None),
            ("dir:.", "dir:../a:1", None),
            ("oci:out", "oci:out:x/a:1", Some("x/a:1")),
            ("oci:out", "oci:other:x/a:1", None),
            ("oci:out", "oci:out/../x:a:1", None),
            ("oci:out", "oci:out:", None),
        ] {
            let place: Target = place.parse().unwrap();
            let collection = runtime.block_on(collection(place.kind, &place.place, &options));
            let found = super::name(&place, &*collection.unwrap(), name);
            let found = found.and_then(|name| label(&place, &name));
            assert_eq!(found.as_deref(), expected, "{place} {name}");
        }
    }
}
