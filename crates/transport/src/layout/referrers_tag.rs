//! The names under which the referrers of an image are found: they are made of its digest.

/// Returns whether a reference is one of the names under which referrers of an image are found.
pub(super) fn is_made_of_digest(reference: &str) -> bool {
    subject_tag(reference).is_some()
}

/// Returns the part of such a name that is made of the digest of the subject.
pub(super) fn subject_tag(reference: &str) -> Option<&str> {
    let (tag, suffix) = match reference.find('.') {
        Some(at) => reference.split_at(at),
        None => (reference, ""),
    };
    let (algorithm, hex) = tag.split_once('-')?;
    let known = ["", ".sig", ".att", ".sbom"].contains(&suffix)
        && ["sha256", "sha384", "sha512"].contains(&algorithm);
    let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    (known && hex.len() >= 64 && hex.bytes().all(is_hex)).then_some(tag)
}

#[cfg(test)]
mod tests {
    use skopeo_image::Digest;
    use skopeo_registry::referrers_tag;

    use super::*;
    use crate::CosignTag;

    #[test]
    fn knows_the_names() {
        let hex = "0123456789abcdef".repeat(4);
        for (name, expected) in [
            (format!("sha256-{hex}"), true),
            (format!("sha256-{hex}.sig"), true),
            (format!("sha256-{hex}.att"), true),
            (format!("sha256-{hex}.sbom"), true),
            (format!("sha512-{hex}"), true),
            (format!("sha256-{hex}.tar"), false),
            (format!("sha256-{hex}.sig.x"), false),
            (format!("sha256-{}", hex.to_uppercase()), false),
            (format!("md5-{hex}"), false),
            ("sha256-0123".to_owned(), false),
            ("latest".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_made_of_digest(&name), expected, "{name}");
        }
        let digest = Digest::sha256(b"");
        for tag in CosignTag::ALL.map(|tag| tag.of(&digest)) {
            assert_eq!(subject_tag(&tag), Some(referrers_tag(&digest).as_str()));
        }
    }
}
