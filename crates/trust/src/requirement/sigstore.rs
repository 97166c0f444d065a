//! The requirement `sigstoreSigned`.

use serde_json::value::RawValue;

use super::identity::{self, SignedIdentity};
use crate::strict::{self, Fields, Wrong};

/// Whose sigstore signature is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SigstoreSigned {
    /// Who may have signed.
    pub keys: Keys,
    /// The keys of the transparency logs, one of which must know the signature. Empty: none has to.
    pub rekor: Vec<Key>,
    /// Which name the signature has to be for.
    pub identity: SignedIdentity,
    /// Whether bundles count, too: a member of ours.
    pub bundles: Option<Bundles>,
}

/// Which bundles count, although none names an image as other signatures do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bundles {
    /// What a bundle has to say about the image.
    pub identity: BundleIdentity,
    /// Who may have said when it was signed. If there is somebody, a signed time has to be there.
    pub stamps: Option<Key>,
}

/// What a bundle has to say about the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BundleIdentity {
    /// Its digest, whatever it is called.
    DigestOnly,
    /// Its digest, and beside it a name that `signedIdentity` accepts.
    SubjectName,
}

/// Who may have signed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Keys {
    /// The owner of one of these keys.
    Keys(Vec<Key>),
    /// Someone to whom Fulcio gave a certificate.
    Fulcio(Fulcio),
    /// Someone with a certificate of another authority.
    Pki(Pki),
}

/// A public key or certificate, or a file of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// In a file.
    Path(String),
    /// In policy.json itself.
    Data(Vec<u8>),
}

/// Certificates of Fulcio that are trusted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fulcio {
    /// The roots.
    pub ca: Key,
    /// Who told Fulcio who it was.
    pub oidc_issuer: String,
    /// Who it was.
    pub subject: Subject,
}

/// To whom Fulcio gave a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Whoever has this address.
    Email(String),
    /// What has this URI, as jobs of CI have: a member of ours.
    Uri(String),
    /// What has a URI that begins so: a member of ours.
    UriPrefix(String),
}

/// Certificates of another authority that are trusted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pki {
    /// The roots.
    pub roots: Key,
    /// The certificates between the roots and the signer's.
    pub intermediates: Option<Key>,
    /// The signer's address. At least one of this and the host name is there.
    pub subject_email: Option<String>,
    /// The signer's host name.
    pub subject_hostname: Option<String>,
}

impl SigstoreSigned {
    pub(super) fn parse(fields: &mut Fields<'_>) -> Result<Self, Wrong> {
        let identity = identity::parse(fields)?;
        let bundles = Bundles::parse(fields)?;
        let path = fields.text("keyPath")?;
        let paths = fields.list("keyPaths")?;
        let data = fields.data("keyData")?;
        let datas = fields.data_list("keyDatas")?;
        let fulcio = fields.take("fulcio").map(Fulcio::parse).transpose()?;
        let pki = fields.take("pki").map(Pki::parse).transpose()?;
        let sources = [
            path.map(|path| Keys::Keys(vec![Key::Path(path)])),
            paths.map(|paths| Keys::Keys(all(paths, Key::Path))),
            data.map(|data| Keys::Keys(vec![Key::Data(data)])),
            datas.map(|datas| Keys::Keys(all(datas, Key::Data))),
            fulcio.map(Keys::Fulcio),
            pki.map(Keys::Pki),
        ];
        let keys = exactly_one(sources).ok_or(
            "exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio, and pki must be \
             specified",
        )?;

        let path = fields.text("rekorPublicKeyPath")?;
        let paths = fields.list("rekorPublicKeyPaths")?;
        let data = fields.data("rekorPublicKeyData")?;
        let datas = fields.data_list("rekorPublicKeyDatas")?;
        let sources = [
            path.map(|path| vec![Key::Path(path)]),
            paths.map(|paths| all(paths, Key::Path)),
            data.map(|data| vec![Key::Data(data)]),
            datas.map(|datas| all(datas, Key::Data)),
        ];
        let given = sources.iter().flatten().count();
        if given > 1 {
            return Err("at most one of rekorPublickeyPath, rekorPublicKeyPaths, \
                        rekorPublickeyData and rekorPublicKeyDatas can be used simultaneously"
                .into());
        }
        if given == 0 && matches!(keys, Keys::Fulcio(_)) {
            return Err("At least one of rekorPublickeyPath, rekorPublicKeyPaths, \
                        rekorPublickeyData and rekorPublicKeyDatas must be specified if fulcio is \
                        used"
                .into());
        }
        if given > 0 && matches!(keys, Keys::Pki(_)) {
            return Err("rekorPublickeyPath, rekorPublicKeyPaths, rekorPublickeyData and \
                        rekorPublicKeyDatas are not supported for pki"
                .into());
        }
        let rekor = sources.into_iter().flatten().next().unwrap_or_default();
        Ok(Self { keys, rekor, identity, bundles })
    }
}

impl Bundles {
    fn parse(fields: &mut Fields<'_>) -> Result<Option<Self>, Wrong> {
        let identity = fields.take("bundleIdentity").map(strict::string).transpose()?;
        let stamps = key(fields, "timestampAuthorityPath", "timestampAuthorityData")?;
        let identity = match identity.as_deref() {
            Some("digestOnly") => BundleIdentity::DigestOnly,
            Some("subjectName") => BundleIdentity::SubjectName,
            Some(other) => return Err(format!("Unknown bundleIdentity {other:?}").into()),
            None if stamps.is_some() => {
                return Err("timestampAuthorityPath and timestampAuthorityData are for bundles and need bundleIdentity".into());
            }
            None => return Ok(None),
        };
        Ok(Some(Self { identity, stamps }))
    }
}

impl Fulcio {
    fn parse(raw: &RawValue) -> Result<Self, Wrong> {
        let mut fields = Fields::parse(raw)?;
        let ca = key(&mut fields, "caPath", "caData")?;
        let issuer = fields.text("oidcIssuer")?;
        let subjects = [
            fields.text("subjectEmail")?.map(Subject::Email),
            fields.text("subjectURI")?.map(Subject::Uri),
            fields.text("subjectURIPrefix")?.map(Subject::UriPrefix),
        ];
        fields.finish()?;
        let ca = ca.ok_or("At least one of caPath and caData must be specified")?;
        let oidc_issuer = issuer.ok_or("oidcIssuer not specified")?;
        let mut subjects = subjects.into_iter().flatten();
        let subject = subjects.next().ok_or("subjectEmail not specified")?;
        if subjects.next().is_some() {
            return Err(
                "only one of subjectEmail, subjectURI and subjectURIPrefix can be used".into()
            );
        }
        // Otherwise one for `/team` would be met by `/team-of-others`.
        if let Subject::UriPrefix(prefix) = &subject
            && !prefix.ends_with(['/', '@'])
        {
            return Err(format!("subjectURIPrefix {prefix:?} must end with / or @").into());
        }
        Ok(Self { ca, oidc_issuer, subject })
    }
}

impl Pki {
    fn parse(raw: &RawValue) -> Result<Self, Wrong> {
        let mut fields = Fields::parse(raw)?;
        let roots = key(&mut fields, "caRootsPath", "caRootsData")?;
        let intermediates = key(&mut fields, "caIntermediatesPath", "caIntermediatesData")?;
        let subject_email = fields.text("subjectEmail")?;
        let subject_hostname = fields.text("subjectHostname")?;
        fields.finish()?;
        let roots = roots.ok_or("At least one of caRootsPath and caRootsData must be specified")?;
        if subject_email.is_none() && subject_hostname.is_none() {
            return Err("At least one of subjectEmail, subjectHostname must be specified".into());
        }
        Ok(Self { roots, intermediates, subject_email, subject_hostname })
    }
}

/// A path or data, not both.
fn key(fields: &mut Fields<'_>, path: &str, data: &str) -> Result<Option<Key>, String> {
    match (fields.text(path)?, fields.data(data)?) {
        (Some(_), Some(_)) => Err(format!("{path} and {data} cannot be used simultaneously")),
        (Some(found), None) => Ok(Some(Key::Path(found))),
        (None, Some(found)) => Ok(Some(Key::Data(found))),
        (None, None) => Ok(None),
    }
}

fn all<T>(items: Vec<T>, make: impl FnMut(T) -> Key) -> Vec<Key> {
    items.into_iter().map(make).collect()
}

fn exactly_one<T, const N: usize>(sources: [Option<T>; N]) -> Option<T> {
    let mut given = sources.into_iter().flatten();
    let first = given.next();
    if given.next().is_some() { None } else { first }
}
