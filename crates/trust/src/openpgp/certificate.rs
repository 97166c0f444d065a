//! One primary key with its subkeys, and what its owner said of them.

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{KeyFlags, PublicKey, Signature, SignatureType, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{Duration, KeyDetails as _, PublicParams, Tag, Timestamp};

use super::{OpenPgpError, end};

/// Shorter keys of RSA and DSA are not believed, in bits.
const MIN_BITS: u32 = 2048;

/// A primary key whose owner signed at least one statement about it, and its subkeys.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    key: SignedPublicKey,
    own: Own,
    revoked: bool,
}

/// What the owner said last of the primary key. One of the two is there.
#[derive(Clone, Debug)]
struct Own {
    /// Of the key alone; where it is silent, as what only names a revoker is, the other counts.
    alone: Option<Signature>,
    /// Of the key under a user id.
    named: Option<Signature>,
}

/// A key of a certificate that may have signed something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signer<'a> {
    certificate: &'a Certificate,
    /// `None`: the primary key.
    subkey: Option<&'a SignedPublicSubKey>,
}

impl Certificate {
    /// Nothing, if the owner of the key signed no user id and no statement about the key: anyone
    /// may have put it together.
    pub(super) fn new(key: SignedPublicKey) -> Option<Self> {
        let own = Own::of(&key)?;
        let primary = &key.primary_key;
        let revoked = key.details.revocation_signatures.iter().any(|it| {
            it.typ() == Some(SignatureType::KeyRevocation) && it.verify_key(primary).is_ok()
        });
        Some(Self { own, revoked, key })
    }

    pub(super) fn fingerprint(&self) -> String {
        format!("{:X}", self.key.primary_key.fingerprint())
    }

    pub(super) fn signers<'a>(
        &'a self,
        signature: &'a Signature,
    ) -> impl Iterator<Item = Signer<'a>> {
        let subkeys = self.key.public_subkeys.iter().map(Some);
        std::iter::once(None)
            .chain(subkeys)
            .map(|subkey| Signer { certificate: self, subkey })
            .filter(|signer| signer.may_have_made(signature))
    }

    fn primary(&self) -> &PublicKey {
        &self.key.primary_key
    }

    fn require_good(&self, now: u64) -> Result<(), OpenPgpError> {
        if self.revoked {
            return Err(OpenPgpError::RevokedKey(self.fingerprint()));
        }
        let created = self.primary().created_at();
        if u64::from(created.as_secs()) > now {
            return Err(OpenPgpError::KeyNotYet(self.fingerprint()));
        }
        if end(created, self.own.lifetime()).is_some_and(|end| end <= now) {
            return Err(OpenPgpError::ExpiredKey(self.fingerprint()));
        }
        Ok(())
    }
}

impl Own {
    fn of(key: &SignedPublicKey) -> Option<Self> {
        let primary = &key.primary_key;
        let named = key.details.users.iter().flat_map(move |user| {
            user.signatures.iter().filter(move |it| {
                it.typ() != Some(SignatureType::CertRevocation)
                    && it.verify_certification(primary, Tag::UserId, &user.id).is_ok()
            })
        });
        let alone = key.details.direct_signatures.iter().filter(move |it| {
            it.typ() == Some(SignatureType::Key) && it.verify_key(primary).is_ok()
        });
        let own = Self { alone: newest(alone).cloned(), named: newest(named).cloned() };
        (own.alone.is_some() || own.named.is_some()).then_some(own)
    }

    fn first<'a, T>(&'a self, of: impl Fn(&'a Signature) -> Option<T>) -> Option<T> {
        [&self.alone, &self.named].into_iter().flatten().find_map(of)
    }

    fn lifetime(&self) -> Option<Duration> {
        self.first(Signature::key_expiration_time)
    }

    fn flags(&self) -> Option<&KeyFlags> {
        self.first(flags)
    }
}

impl Signer<'_> {
    /// Whether a signature names this key. One that names none may be anyone's.
    fn may_have_made(&self, signature: &Signature) -> bool {
        let (prints, ids) = (signature.issuer_fingerprint(), signature.issuer_key_id());
        let (print, id) = match self.subkey {
            Some(subkey) => (subkey.key.fingerprint(), subkey.key.legacy_key_id()),
            None => {
                let primary = self.certificate.primary();
                (primary.fingerprint(), primary.legacy_key_id())
            }
        };
        (prints.is_empty() && ids.is_empty()) || prints.contains(&&print) || ids.contains(&&id)
    }

    /// Whether this key made the signature of these bytes. That says nothing of the key.
    pub(super) fn verify(&self, signature: &Signature, payload: &[u8]) -> Result<(), OpenPgpError> {
        let result = match self.subkey {
            Some(subkey) => signature.verify(&subkey.key, payload),
            None => signature.verify(self.certificate.primary(), payload),
        };
        result.map_err(|_| OpenPgpError::Bad(self.fingerprint()))
    }

    /// Refuses the key if it may not sign, or is not good now, or was not when it signed.
    pub(super) fn require_good(&self, signed: Timestamp, now: u64) -> Result<(), OpenPgpError> {
        self.certificate.require_good(now)?;
        let (params, created, lifetime, may_sign) = match self.subkey {
            Some(subkey) => {
                let (key, binding) = (&subkey.key, self.binding(subkey)?);
                let may_sign = flags(binding).is_some_and(KeyFlags::sign);
                (key.public_params(), key.created_at(), binding.key_expiration_time(), may_sign)
            }
            None => {
                let (key, own) = (self.certificate.primary(), &self.certificate.own);
                // Without flags it may do what its algorithm can.
                let may_sign = own.flags().is_none_or(KeyFlags::sign);
                (key.public_params(), key.created_at(), own.lifetime(), may_sign)
            }
        };
        if u64::from(created.as_secs()) > now || created > signed {
            return Err(OpenPgpError::KeyNotYet(self.fingerprint()));
        }
        if end(created, lifetime).is_some_and(|end| end <= now) {
            return Err(OpenPgpError::ExpiredKey(self.fingerprint()));
        }
        if !may_sign {
            return Err(OpenPgpError::NotForSigning(self.fingerprint()));
        }
        match bits(params) {
            Some(bits) if bits < MIN_BITS => {
                Err(OpenPgpError::WeakKey { key: self.fingerprint(), bits })
            }
            _ => Ok(()),
        }
    }

    /// The primary key's newest statement that the subkey is its own. The subkey has to say so
    /// too, or anyone could adopt it.
    fn binding<'a>(&self, subkey: &'a SignedPublicSubKey) -> Result<&'a Signature, OpenPgpError> {
        let primary = self.certificate.primary();
        let own = |kind| {
            subkey.signatures.iter().filter(move |it| {
                it.typ() == Some(kind) && it.verify_subkey_binding(primary, &subkey.key).is_ok()
            })
        };
        if own(SignatureType::SubkeyRevocation).next().is_some() {
            return Err(OpenPgpError::RevokedKey(self.fingerprint()));
        }
        let binding = newest(own(SignatureType::SubkeyBinding));
        let adopted = |binding: &&Signature| {
            binding
                .embedded_signature()
                .is_some_and(|back| back.verify_primary_key_binding(&subkey.key, primary).is_ok())
        };
        binding.filter(adopted).ok_or_else(|| OpenPgpError::NotForSigning(self.fingerprint()))
    }

    pub(super) fn fingerprint(&self) -> String {
        match self.subkey {
            Some(subkey) => format!("{:X}", subkey.key.fingerprint()),
            None => self.certificate.fingerprint(),
        }
    }

    pub(super) fn primary(&self) -> String {
        self.certificate.fingerprint()
    }
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|it| it.created().map(Timestamp::as_secs))
}

/// What the owner says a key is for, if that is said.
fn flags(statement: &Signature) -> Option<&KeyFlags> {
    statement.config()?.hashed_subpackets().find_map(|it| match &it.data {
        SubpacketData::KeyFlags(flags) => Some(flags),
        _ => None,
    })
}

/// How long a key is, where that is what its strength depends on.
fn bits(params: &PublicParams) -> Option<u32> {
    if !matches!(params, PublicParams::RSA(_) | PublicParams::DSA(_)) {
        return None;
    }
    // Both begin with their modulus, and that with its length in bits.
    match params.to_bytes().ok()?[..] {
        [high, low, ..] => Some(u32::from(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}
