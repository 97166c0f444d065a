//! `atomic:`: images of a registry of `OpenShift`, found through its image streams.
//!
//! The image itself is read and written as `docker:` does it; which one a tag of a stream leads to,
//! and its signatures, are the API's affair. Only `OpenShift` before version 4 has that API.

mod api;
mod destination;
mod source;

use std::fmt;

use skopeo_image::{PolicyScope, Reference, ReferenceError};

use crate::named::Name;
use crate::registry::scopes;

pub use api::AtomicError;
pub(crate) use destination::create;
pub(crate) use source::open;

/// The name of an image in a stream, `HOST[:PORT]/NAMESPACE/STREAM:TAG`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AtomicName {
    /// With a tag and no digest.
    reference: Reference,
    namespace: String,
    stream: String,
}

/// Why a text is not the name of an image in a stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AtomicNameError {
    /// The text is not a reference.
    #[error("failed to parse image reference {text:?}")]
    Reference {
        /// The text.
        text: String,
        /// What is wrong with it.
        #[source]
        source: ReferenceError,
    },
    /// The name has no tag, or it has a digest.
    #[error("invalid image reference {0}, expected format: 'hostname/namespace/stream:tag'")]
    Tag(String),
    /// The path of the name is not a namespace and a stream.
    #[error("invalid image reference: {0}, expected format: 'hostname/namespace/stream:tag'")]
    Path(String),
}

impl AtomicName {
    /// Parses what stands behind the colon.
    pub(crate) fn parse(details: &str) -> Result<Self, AtomicNameError> {
        let reference = Reference::parse_normalized(details)
            .map_err(|source| AtomicNameError::Reference { text: details.to_owned(), source })?;
        if reference.tag.is_none() || reference.digest.is_some() {
            return Err(AtomicNameError::Tag(details.to_owned()));
        }
        match reference.name.path().split('/').collect::<Vec<_>>()[..] {
            [namespace, stream] => {
                let (namespace, stream) = (namespace.to_owned(), stream.to_owned());
                Ok(Self { reference, namespace, stream })
            }
            _ => Err(AtomicNameError::Path(reference.familiar())),
        }
    }

    fn tag(&self) -> &str {
        self.reference.tag.as_deref().unwrap_or_default()
    }

    /// The same place as `docker:` names it.
    fn docker(&self) -> String {
        format!("docker://{}", self.reference.familiar())
    }
}

impl Name for AtomicName {
    fn transport(&self) -> &'static str {
        "atomic"
    }

    fn policy_scope(&self) -> PolicyScope {
        PolicyScope {
            name: String::new(),
            transport: self.transport(),
            identity: self.reference.to_string(),
            namespaces: scopes(&self.reference.name),
            reference: Some(self.reference.to_string()),
        }
    }

    fn docker_reference(&self) -> Option<&Reference> {
        Some(&self.reference)
    }
}

impl fmt::Display for AtomicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reference.familiar())
    }
}

#[cfg(test)]
mod tests {
    use crate::ImageName;

    #[test]
    fn names_have_a_host_a_namespace_a_stream_and_a_tag() {
        let form = "expected format: 'hostname/namespace/stream:tag'";
        let digest = format!("sha256:{}", "0".repeat(64));
        for (text, sentence) in [
            ("h.example:8443/ns/stream:tag", String::new()),
            // As in the original: without a host it is Docker Hub's.
            ("ns/stream:tag", String::new()),
            ("h.example/ns/stream", format!("invalid image reference h.example/ns/stream, {form}")),
            ("x", format!("invalid image reference x, {form}")),
            ("h.example/s:t", format!("invalid image reference: h.example/s:t, {form}")),
            ("h.example/a/b/c:t", format!("invalid image reference: h.example/a/b/c:t, {form}")),
            (
                &format!("h.example/a/b@{digest}"),
                format!("invalid image reference h.example/a/b@{digest}, {form}"),
            ),
            (
                &format!("h.example/a/b:t@{digest}"),
                format!("invalid image reference h.example/a/b:t@{digest}, {form}"),
            ),
            ("h.example/../b:t", "failed to parse image reference \"h.example/../b:t\"".to_owned()),
            ("h.example/NS/b:t", "failed to parse image reference \"h.example/NS/b:t\"".to_owned()),
            ("//h/ns/b:t", "failed to parse image reference \"//h/ns/b:t\"".to_owned()),
            ("", "failed to parse image reference \"\"".to_owned()),
        ] {
            let parsed = ImageName::parse(&format!("atomic:{text}"));
            let told = parsed.err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(told, sentence, "{text}");
        }
        for (text, printed) in [
            ("atomic:h:1/ns/s:t", "atomic:h:1/ns/s:t"),
            ("atomic:docker.io/ns/s:t", "atomic:ns/s:t"),
        ] {
            let name = ImageName::parse(text).unwrap();
            assert_eq!(name.to_string(), printed);
            assert_eq!(ImageName::parse(printed).unwrap(), name);
        }
    }

    #[test]
    fn scopes_are_those_of_docker() {
        let scope = ImageName::parse("atomic:reg.a.example:5000/ns/s:t").unwrap().policy_scope();
        assert_eq!(scope.transport, "atomic");
        assert_eq!(scope.identity, "reg.a.example:5000/ns/s:t");
        assert_eq!(scope.reference.as_deref(), Some("reg.a.example:5000/ns/s:t"));
        assert_eq!(
            scope.namespaces,
            [
                "reg.a.example:5000/ns/s",
                "reg.a.example:5000/ns",
                "reg.a.example:5000",
                "*.a.example",
                "*.example"
            ]
        );
    }
}
