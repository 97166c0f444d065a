//! The requirements of policy.json.

mod identity;
mod signed_by;
mod sigstore;

use serde_json::value::RawValue;

use crate::strict::{self, Fields, Wrong};

pub use identity::SignedIdentity;
pub use signed_by::{SignedBy, SignedByKeys};
pub use sigstore::{BundleIdentity, Bundles, Fulcio, Key, Keys, Pki, SigstoreSigned, Subject};

/// What has to be true of an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Requirement {
    /// Nothing.
    InsecureAcceptAnything,
    /// Something impossible.
    Reject,
    /// It has a simple signature of a trusted key.
    SignedBy(SignedBy),
    /// It is built on an image that is signed. Parsed, but implemented by nobody.
    SignedBaseLayer {
        /// The name of the image it is built on.
        base_layer_identity: SignedIdentity,
    },
    /// It has a sigstore signature of a trusted key or authority.
    SigstoreSigned(SigstoreSigned),
}

impl Requirement {
    /// Returns the `type` in policy.json.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::InsecureAcceptAnything => "insecureAcceptAnything",
            Self::Reject => "reject",
            Self::SignedBy(_) => "signedBy",
            Self::SignedBaseLayer { .. } => "signedBaseLayer",
            Self::SigstoreSigned(_) => "sigstoreSigned",
        }
    }

    /// Returns whether it is met by a good signature only.
    #[must_use]
    pub fn verifies_signatures(&self) -> bool {
        matches!(self, Self::SignedBy(_) | Self::SigstoreSigned(_))
    }

    fn parse(raw: &RawValue) -> Result<Self, Wrong> {
        let name = strict::type_of(raw)?;
        let mut fields = Fields::parse(raw)?;
        let _ = fields.take("type");
        let requirement = match name.as_str() {
            "insecureAcceptAnything" => Self::InsecureAcceptAnything,
            "reject" => Self::Reject,
            "signedBy" => Self::SignedBy(SignedBy::parse(&mut fields)?),
            "signedBaseLayer" => Self::SignedBaseLayer {
                base_layer_identity: SignedIdentity::parse(fields.require("baseLayerIdentity")?)?,
            },
            "sigstoreSigned" => Self::SigstoreSigned(SigstoreSigned::parse(&mut fields)?),
            _ => return Err(format!("Unknown policy requirement type {name:?}").into()),
        };
        fields.finish()?;
        Ok(requirement)
    }
}

/// Parses a list of requirements, which must not be empty.
pub(crate) fn parse_list(raw: &RawValue) -> Result<Vec<Requirement>, Wrong> {
    let list: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    if list.is_empty() {
        let reason = "List of verification policy requirements must not be empty";
        return Err(Wrong::from(reason).within(raw));
    }
    let parse = |it: &RawValue| Requirement::parse(it).map_err(|wrong| wrong.within(it));
    list.into_iter().map(parse).collect()
}
