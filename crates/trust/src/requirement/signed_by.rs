//! The requirement `signedBy`.

use super::identity::{self, SignedIdentity};
use crate::strict::{self, Fields, Wrong};

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

impl SignedBy {
    pub(super) fn parse(fields: &mut Fields<'_>) -> Result<Self, Wrong> {
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
        let identity = identity::parse(fields)?;
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
