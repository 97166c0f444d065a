//! From a reference to the places to ask for it.

use skopeo_image::Reference;

use super::{PullFrom, Registries, Registry};
use crate::Error;

/// One place where an image may be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The reference to use there, rewritten to the endpoint's location.
    pub reference: Reference,
    /// Whether bad certificates and plain http are accepted.
    pub insecure: bool,
    /// Whether this is a mirror, and not the primary location.
    pub is_mirror: bool,
}

impl Registries {
    /// Returns the entry with the longest prefix that matches `name`: a host, a repository, or a
    /// namespace.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Registry> {
        // Of equally long ones the first: prefixes are sorted, so `*.` comes before letters.
        self.entries
            .iter()
            .filter(|registry| match_length(name, &registry.prefix).is_some())
            .reduce(|best, next| if next.prefix.len() > best.prefix.len() { next } else { best })
    }

    /// Returns the places to read one image from: mirrors first, the primary location last.
    ///
    /// Places that are blocked are left out.
    ///
    /// # Errors
    ///
    /// All places are blocked, or a rewritten reference is not valid.
    pub fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>, Error> {
        let Some(registry) = self.find(&reference.name.to_string()) else {
            return Ok(vec![Endpoint {
                reference: reference.clone(),
                insecure: false,
                is_mirror: false,
            }]);
        };
        let digested = reference.digest.is_some();
        let mut endpoints = Vec::new();
        for mirror in &registry.mirrors {
            let used = match mirror.pull_from {
                PullFrom::All => true,
                PullFrom::DigestOnly => digested,
                PullFrom::TagOnly => !digested,
            };
            if used {
                endpoints.push(Endpoint {
                    reference: rewrite(reference, &registry.prefix, Some(&mirror.location))?,
                    insecure: mirror.insecure,
                    is_mirror: true,
                });
            }
        }
        endpoints.push(Endpoint {
            reference: rewrite(reference, &registry.prefix, registry.location.as_deref())?,
            insecure: registry.insecure,
            is_mirror: false,
        });
        // A rewritten reference may belong to another entry, which may block it.
        let mut refused = None;
        endpoints.retain(|endpoint| match self.refuse_blocked(&endpoint.reference) {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!("not asking {}: {error}", endpoint.reference);
                refused = Some(error);
                false
            }
        });
        match refused {
            Some(error) if endpoints.is_empty() => Err(error),
            _ => Ok(endpoints),
        }
    }

    /// Returns the place for everything but reading one image: writing, deleting, listing tags.
    ///
    /// The reference is not rewritten, as in the original; the entry that matches it says whether
    /// the place is insecure.
    ///
    /// # Errors
    ///
    /// The place is blocked.
    pub fn primary(&self, reference: &Reference) -> Result<Endpoint, Error> {
        let registry = self.refuse_blocked(reference)?;
        Ok(Endpoint {
            reference: reference.clone(),
            insecure: registry.is_some_and(|registry| registry.insecure),
            is_mirror: false,
        })
    }

    /// Returns whether bad certificates and plain http are accepted for a bare host, as `login`
    /// asks.
    ///
    /// # Errors
    ///
    /// The host is blocked.
    pub fn insecure_host(&self, host: &str) -> Result<bool, Error> {
        let registry = self.find(host);
        match registry {
            Some(registry) if registry.blocked => Err(self.blocked(registry)),
            _ => Ok(registry.is_some_and(|registry| registry.insecure)),
        }
    }

    fn refuse_blocked(&self, reference: &Reference) -> Result<Option<&Registry>, Error> {
        match self.find(&reference.name.to_string()) {
            Some(registry) if registry.blocked => Err(self.blocked(registry)),
            found => Ok(found),
        }
    }

    fn blocked(&self, registry: &Registry) -> Error {
        let sources = self.sources.iter().map(|path| path.display().to_string());
        Error::Blocked {
            prefix: registry.prefix.clone(),
            sources: sources.collect::<Vec<_>>().join(", "),
        }
    }
}

/// How much of `name` a prefix covers, if it matches: up to the end, or a `/`, `:` or `@`.
fn match_length(name: &str, prefix: &str) -> Option<usize> {
    if let Some(domain) = prefix.strip_prefix('*').filter(|domain| domain.starts_with('.')) {
        let end = name.find(['/', ':', '@']).unwrap_or(name.len());
        return name[..end].ends_with(domain).then_some(end);
    }
    let rest = name.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with(['/', ':', '@'])).then_some(prefix.len())
}

/// `reference` with its prefix replaced by a location; without a location it stays as it is.
fn rewrite(
    reference: &Reference,
    prefix: &str,
    location: Option<&str>,
) -> Result<Reference, Error> {
    let Some(location) = location else {
        return Ok(reference.clone());
    };
    let text = reference.to_string();
    let Some(length) = match_length(&text, prefix) else {
        let text = format!("invalid prefix '{prefix}' for reference '{text}'");
        return Err(Error::Invalid(text));
    };
    let rewritten = format!("{location}{}", &text[length..]);
    Reference::parse_canonical(&rewritten)
        .map_err(|error| Error::Invalid(error.to_string()).during("rewriting reference"))
}
