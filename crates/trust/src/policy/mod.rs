//! policy.json, whole and strict: what is not understood is an error, because a typing mistake in a
//! security policy must not pass.

mod judge;
mod scope;

use std::collections::BTreeMap;
use std::sync::Arc;

use skopeo_image::PolicyScope;
use tracing::debug;

use crate::PolicyError;
use crate::machine::{Machine, Memory, Nowhere};
use crate::openpgp::Keyring;
use crate::requirement::parse_list;
use crate::sigstore::TrustRoot;
use crate::strict::{self, Fields, Wrong};

pub use crate::requirement::{
    BundleIdentity, Bundles, Fulcio, Key, Keys, Pki, Requirement, SignedBy, SignedByKeys,
    SignedIdentity, SigstoreSigned, Subject,
};

/// What is required of images, by where they come from.
///
/// Clones share what they know of keys.
#[derive(Clone, Debug)]
pub struct Policy {
    default: Vec<Requirement>,
    transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
    signatures_required: bool,
    machine: Arc<dyn Machine>,
    keyrings: Arc<Memory<SignedByKeys, Keyring>>,
    roots: Arc<Memory<SigstoreSigned, TrustRoot>>,
}

impl Policy {
    /// Parses policy.json. `path` is for errors only.
    ///
    /// # Errors
    ///
    /// Anything that is not exactly as it should be, unknown and duplicate keys included.
    pub fn parse(bytes: &[u8], path: &str) -> Result<Self, PolicyError> {
        parse(bytes)
            .map_err(|wrong| PolicyError { path: path.to_owned(), reason: wrong.in_text(bytes) })
    }

    /// Returns the policy of `--insecure-policy`: everything is accepted.
    #[must_use]
    pub fn insecure() -> Self {
        Self::new(vec![Requirement::InsecureAcceptAnything], BTreeMap::new())
    }

    fn new(
        default: Vec<Requirement>,
        transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
    ) -> Self {
        Self {
            default,
            transports,
            signatures_required: false,
            machine: Arc::new(Nowhere),
            keyrings: Arc::default(),
            roots: Arc::default(),
        }
    }

    /// Returns the policy on a machine. Without one no key is found, so no signature is believed.
    #[must_use]
    pub fn on(mut self, machine: Arc<dyn Machine>) -> Self {
        self.machine = machine;
        self
    }

    /// Returns the policy with `--require-signed`: an image is accepted only if a requirement was
    /// met that verifies a signature.
    #[must_use]
    pub fn require_signed(mut self) -> Self {
        self.signatures_required = true;
        self
    }

    /// Returns whether [`Self::require_signed`] was asked for.
    #[must_use]
    pub fn signatures_required(&self) -> bool {
        self.signatures_required
    }

    /// Returns whether no signature of an image of that name is looked at: those need not be read
    /// then.
    #[must_use]
    pub fn accepts_unsigned(&self, scope: &PolicyScope) -> bool {
        let requirements = self.requirements(scope);
        !self.signatures_required
            && !requirements.is_empty()
            && requirements.iter().all(|it| matches!(it, Requirement::InsecureAcceptAnything))
    }

    /// Returns whether a requirement for that name can be met by a bundle of sigstore: those are
    /// looked for only then.
    #[must_use]
    pub fn asks_for_bundles(&self, scope: &PolicyScope) -> bool {
        self.requirements(scope).iter().any(|it| match it {
            Requirement::SigstoreSigned(requirement) => requirement.bundles.is_some(),
            _ => false,
        })
    }

    /// Returns the requirements for a name: those of its most specific scope, else those of its
    /// transport, else the default ones.
    #[must_use]
    pub fn requirements(&self, scope: &PolicyScope) -> &[Requirement] {
        self.section(scope).1
    }

    /// Returns where policy.json speaks of a name, and what it says there.
    #[must_use]
    pub fn section(&self, scope: &PolicyScope) -> (Section, &[Requirement]) {
        if let Some(scopes) = self.transports.get(scope.transport) {
            let general = String::new();
            let names = std::iter::once(&scope.identity).chain(&scope.namespaces).chain([&general]);
            for name in names {
                if let Some(requirements) = scopes.get(name) {
                    debug!("using transport {:?} policy section {name:?}", scope.transport);
                    return (Section::Scope(name.clone()), requirements);
                }
            }
        }
        debug!("using the default policy section");
        (Section::Default, &self.default)
    }
}

/// A place in policy.json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Section {
    /// `default`.
    Default,
    /// A scope of the name's transport; empty: the transport's own default.
    Scope(String),
}

fn parse(bytes: &[u8]) -> Result<Policy, Wrong> {
    let mut fields = Fields::parse(strict::document(bytes)?)?;
    let default = fields.take("default");
    let transports = fields.take("transports");
    fields.finish()?;

    let mut result = BTreeMap::new();
    if let Some(transports) = transports {
        for (transport, scopes) in Fields::parse(transports)?.into_entries() {
            let mut by_scope = BTreeMap::new();
            for (name, requirements) in Fields::parse(scopes)?.into_entries() {
                if !name.is_empty() && !scope::is_valid(&transport, &name) {
                    return Err(Wrong::from(format!("Unknown key {name:?}")).within(requirements));
                }
                by_scope.insert(name, parse_list(requirements)?);
            }
            result.insert(transport, by_scope);
        }
    }
    let default = default.ok_or("Default policy is missing")?;
    Ok(Policy::new(parse_list(default)?, result))
}

#[cfg(test)]
mod tests;
