//! The requirements of policy.json.

use serde_json::value::RawValue;

use super::SignedIdentity;
use super::sigstore::SigstoreSigned;
use crate::strict::{self, Fields, Wrong};

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

/// Whose simple signature is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBy {
    /// What the keys are: `GPGKeys`, or one of the types that were planned and never built.
    pub key_type: String,
    /// The keys.
    pub keys: SignedByKeys,
    /// Which name the signature has to be for.
    pub identity: SignedIdentity,
}

/// Where the keys for simple signatures are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SignedByKeys {
    /// In a file.
    Path(String),
    /// In several files.
    Paths(Vec<String>),
    /// In policy.json itself.
    Data(Vec<u8>),
}

const KEY_TYPES: [&str; 4] = ["GPGKeys", "signedByGPGKeys", "X509Certificates", "signedByX509CAs"];

impl Requirement {
    /// The `type` in policy.json.
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

    /// Whether it is met by a good signature only.
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

impl SignedBy {
    fn parse(fields: &mut Fields<'_>) -> Result<Self, Wrong> {
        let key_type = fields.optional::<String>("keyType")?.unwrap_or_default();
        let path = fields.take("keyPath");
        let paths = fields.take("keyPaths");
        let data = fields.take("keyData");
        let keys = match (path, paths, data) {
            (Some(path), None, None) => strict::value::<String>(path)?
                .filter(|path| !path.is_empty())
                .map(SignedByKeys::Path),
            (None, Some(paths), None) => strict::value(paths)?.map(SignedByKeys::Paths),
            (None, None, Some(data)) => strict::data(data)?.map(SignedByKeys::Data),
            (None, None, None) => {
                return Err(
                    "Exactly one of keyPath, keyPaths and keyData must be specified, none \
                            of them present"
                        .into(),
                );
            }
            _ => {
                return Err(
                    "Exactly one of keyPath, keyPaths and keyData must be specified, more \
                            than one present"
                        .into(),
                );
            }
        };
        let identity = parse_identity(fields)?;
        if key_type.is_empty() {
            return Err(format!("invalid keyType {key_type:?}").into());
        }
        if !KEY_TYPES.contains(&key_type.as_str()) {
            return Err(format!("Unrecognized keyType value {key_type:?}").into());
        }
        let keys = keys.ok_or("exactly one of keyPath, keyPaths and keyData must be specified")?;
        Ok(Self { key_type, keys, identity })
    }
}

/// A list of requirements, which must not be empty.
pub(super) fn parse_list(raw: &RawValue) -> Result<Vec<Requirement>, Wrong> {
    let list: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    if list.is_empty() {
        let reason = "List of verification policy requirements must not be empty";
        return Err(Wrong::from(reason).within(raw));
    }
    let parse = |it: &RawValue| Requirement::parse(it).map_err(|wrong| wrong.within(it));
    list.into_iter().map(parse).collect()
}

/// `signedIdentity`, or the default.
pub(super) fn parse_identity(fields: &mut Fields<'_>) -> Result<SignedIdentity, Wrong> {
    fields
        .take("signedIdentity")
        .map_or_else(|| Ok(SignedIdentity::default()), SignedIdentity::parse)
}
