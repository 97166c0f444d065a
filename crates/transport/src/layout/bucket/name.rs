//! Names of images in buckets.

use std::fmt;

use skopeo_image::PolicyScope;
use skopeo_objects::BucketUrl;

use super::super::LayoutNameError;
use super::super::name::{Wanted, is_name, parse_wanted};
use crate::named::Name;

/// The name of an image in a layout that lies in a bucket, or of a place for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BucketName {
    url: BucketUrl,
    wanted: Wanted,
}

impl BucketName {
    /// Parses what stands behind the colon of the transport: a place in a bucket up to the next
    /// colon that is not its scheme's, then a reference.
    pub(crate) fn parse(details: &str) -> Result<Self, LayoutNameError> {
        let (scheme, rest) = details.split_once("://").unwrap_or(("", details));
        let (path, reference) = rest.split_once(':').unwrap_or((rest, ""));
        let url = BucketUrl::parse(&format!("{scheme}://{path}"))?;
        Ok(Self { url, wanted: parse_wanted(reference)? })
    }

    pub(super) fn new(url: BucketUrl, wanted: Wanted) -> Self {
        Self { url, wanted }
    }

    /// The name of one of several images that a place has, or will have.
    pub(crate) fn within(place: &str, label: &str) -> Result<Self, LayoutNameError> {
        let all = Self::of_all(place)?;
        if !is_name(label) {
            return Err(LayoutNameError::Reference(label.to_owned()));
        }
        Ok(Self { wanted: parse_wanted(label)?, ..all })
    }

    /// The place itself.
    pub(super) fn of_all(place: &str) -> Result<Self, LayoutNameError> {
        Ok(Self { url: BucketUrl::parse(place)?, wanted: Wanted::Only })
    }

    /// The reference in it, if it has one.
    pub(crate) fn reference(&self) -> Option<&String> {
        match &self.wanted {
            Wanted::Reference(reference) => Some(reference),
            Wanted::Only | Wanted::Index(_) => None,
        }
    }

    pub(super) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Returns where the layout lies.
    #[must_use]
    pub fn url(&self) -> &BucketUrl {
        &self.url
    }
}

impl Name for BucketName {
    fn transport(&self) -> &'static str {
        "oci"
    }

    fn policy_scope(&self) -> PolicyScope {
        // As with folders, the reference is no part of it.
        let own = self.url.to_string();
        PolicyScope {
            name: String::new(),
            transport: self.transport(),
            identity: own.clone(),
            namespaces: std::iter::once(own).chain(self.url.parents()).collect(),
            reference: None,
        }
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.wanted {
            Wanted::Only => write!(f, "{}", self.url),
            Wanted::Reference(reference) => write!(f, "{}:{reference}", self.url),
            Wanted::Index(index) => write!(f, "{}:@{index}", self.url),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ImageName;

    #[test]
    fn names_print_as_they_parse() {
        for (text, printed) in [
            ("oci:s3://bucket", "oci:s3://bucket"),
            ("oci:s3://bucket/", "oci:s3://bucket"),
            ("oci:s3://bucket:latest", "oci:s3://bucket:latest"),
            ("oci:s3://bucket/a/b:h.io:5000/c:1@x", "oci:s3://bucket/a/b:h.io:5000/c:1@x"),
            ("oci:gs://bucket/a:@3", "oci:gs://bucket/a:@3"),
            ("oci:az://account/container/a:x", "oci:az://account/container/a:x"),
        ] {
            let name = ImageName::parse(text).unwrap();
            assert_eq!(name.to_string(), printed);
            assert_eq!(ImageName::parse(printed).unwrap(), name);
            assert_eq!(name.transport(), "oci");
        }
        for text in ["oci:s3://", "oci:az://account", "oci:s3://b:in'valid", "oci:gs://b:@-1"] {
            assert!(ImageName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn policies_are_asked_about_places_up_to_the_bucket() {
        let scope = ImageName::parse("oci:s3://bucket/a/b:x").unwrap().policy_scope();
        assert_eq!(scope.identity, "s3://bucket/a/b");
        assert_eq!(scope.namespaces, ["s3://bucket/a/b", "s3://bucket/a", "s3://bucket"]);
    }
}
