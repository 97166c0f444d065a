//! OpenPGP (RFC 4880, RFC 9580): the key as an encrypted message.

use std::io::Read as _;

use pgp::composed::{
    Message, MessageBuilder, PublicOrSecret, SignedPublicKey, SignedPublicSubKey, SignedSecretKey,
    TheRing,
};
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{KeyFlags, PublicKey, PublicSubkey, Signature, SignatureType};
use pgp::types::{KeyDetails as _, Password, Timestamp};
use rand::rngs::OsRng;
use skopeo_image::Secret;
use tracing::debug;
use zeroize::Zeroizing;

use super::{Attempts, CryptError, KeyError, MAX_SECRET};

/// A key that a message is encrypted to.
#[derive(Clone, Debug)]
pub(super) enum Recipient {
    Primary(Box<PublicKey>),
    Sub(Box<PublicSubkey>),
}

/// The keys of a secret keyring, and what opens them.
pub(super) struct Ring {
    keys: Vec<SignedSecretKey>,
    password: Password,
}

/// The keys in `keyring` (binary or armored) whose user ids have one of `names` as name, address or
/// all of it, or that have it as their fingerprint.
pub(super) fn recipients(keyring: &[u8], names: &[String]) -> Result<Vec<Recipient>, KeyError> {
    let mut missing: Vec<String> = names.to_vec();
    let mut found = Vec::new();
    for key in parse(keyring).map_err(|error| KeyError::Keyring(Box::new(error)))? {
        let PublicOrSecret::Public(key) = key else { continue };
        let meant: Vec<&String> = names.iter().filter(|name| is_meant(&key, name)).collect();
        if meant.is_empty() {
            continue;
        }
        let Some(recipient) = encryption_key(&key) else {
            debug!("PGP: no key can encrypt for {}", key.primary_key.fingerprint());
            continue;
        };
        missing.retain(|name| !meant.contains(&name));
        found.push(recipient);
    }
    if missing.is_empty() { Ok(found) } else { Err(KeyError::NoRecipient(missing)) }
}

/// The secret keys in a file; `None` if there are none.
pub(super) fn ring(file: &[u8], password: Option<&Secret>) -> Result<Option<Ring>, KeyError> {
    let Ok(keys) = parse(file) else { return Ok(None) };
    let keys: Vec<_> = keys
        .filter_map(|key| match key {
            PublicOrSecret::Secret(key) => Some(key),
            PublicOrSecret::Public(_) => None,
        })
        .collect();
    let password = password.map_or_else(Password::empty, |it| Password::from(it.reveal()));
    Ok((!keys.is_empty()).then_some(Ring { keys, password }))
}

/// Wraps `secret` for all of `recipients`.
pub(super) fn wrap(secret: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>, CryptError> {
    let failed = |error: pgp::errors::Error| CryptError::Wrap(format!("PGP: {error}"));
    let mut message = MessageBuilder::from_bytes("", secret.to_vec())
        .seipd_v1(OsRng, SymmetricKeyAlgorithm::AES256);
    for recipient in recipients {
        match recipient {
            Recipient::Primary(key) => message.encrypt_to_key(OsRng, key.as_ref()),
            Recipient::Sub(key) => message.encrypt_to_key(OsRng, key.as_ref()),
        }
        .map_err(failed)?;
    }
    message.to_vec(OsRng).map_err(failed)
}

/// What was wrapped, if it was for a key of one of `rings`; the reason if not.
pub(super) fn unwrap(
    message: &[u8],
    rings: &[Ring],
    attempts: &mut Attempts,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut reason = None;
    for ring in rings {
        // At most so many encrypted keys are in it.
        attempts.take_some((message.len() / 64).saturating_add(1))?;
        match open(message, ring) {
            Ok(secret) => return Ok(secret),
            Err(error) => {
                reason.get_or_insert(error);
            }
        }
    }
    let locked = rings.iter().any(Ring::is_locked);
    let reason = if locked { Some("a pass phrase is wrong or missing".to_owned()) } else { reason };
    let reason = reason.map_or(String::new(), |reason| format!(" ({reason})"));
    Err(format!("PGP: No suitable key found to unwrap key{reason}"))
}

impl Ring {
    /// Whether the pass phrase opens not all of its keys.
    fn is_locked(&self) -> bool {
        let opens =
            |opened: pgp::errors::Result<pgp::errors::Result<()>>| matches!(opened, Ok(Ok(())));
        self.keys.iter().any(|key| {
            let subkeys = &mut key.secret_subkeys.iter();
            !subkeys.all(|sub| opens(sub.unlock(&self.password, |_, _| Ok(()))))
        })
    }
}

fn open(message: &[u8], ring: &Ring) -> Result<Zeroizing<Vec<u8>>, String> {
    let text = |error: pgp::errors::Error| error.to_string();
    let keys = TheRing {
        secret_keys: ring.keys.iter().collect(),
        key_passwords: vec![&ring.password],
        ..TheRing::default()
    };
    let message = Message::from_bytes(message).map_err(text)?;
    let (mut message, _) = message.decrypt_the_ring(keys, true).map_err(text)?;
    if message.is_compressed() {
        message = message.decompress().map_err(text)?;
    }
    let mut secret = Zeroizing::new(Vec::with_capacity(MAX_SECRET));
    let most = u64::try_from(MAX_SECRET).unwrap_or(u64::MAX).saturating_add(1);
    let read = message.by_ref().take(most).read_to_end(&mut secret);
    read.map_err(|error| error.to_string())?;
    if secret.len() > MAX_SECRET { Err("too long".to_owned()) } else { Ok(secret) }
}

/// The keys of a keyring. What is not understood is left out, as other programs put things there.
fn parse(file: &[u8]) -> pgp::errors::Result<Box<dyn Iterator<Item = PublicOrSecret> + '_>> {
    let keys: Box<dyn Iterator<Item = pgp::errors::Result<PublicOrSecret>>> =
        if file.first().is_some_and(|first| first & 0x80 != 0) {
            PublicOrSecret::from_bytes_many(file)?
        } else {
            PublicOrSecret::from_armor_many_buf(file)?.0
        };
    Ok(Box::new(keys.filter_map(|key| match key {
        Ok(key) => Some(key),
        Err(error) => {
            debug!("PGP: ignoring a key: {error}");
            None
        }
    })))
}

fn is_meant(key: &SignedPublicKey, name: &str) -> bool {
    let fingerprint = key.primary_key.fingerprint().to_string();
    let hex = name.strip_prefix("0x").unwrap_or(name);
    if hex.eq_ignore_ascii_case(&fingerprint) {
        return true;
    }
    key.details.users.iter().any(|user| {
        let id = String::from_utf8_lossy(user.id.id()).into_owned();
        let is_signed = user.signatures.iter().any(|it| {
            it.verify_certification(&key.primary_key, pgp::types::Tag::UserId, &user.id).is_ok()
        });
        is_signed && names_of(&id).any(|its| its == name)
    })
}

/// `Name (comment) <address>`: all of it, the name with and without comment, and the address.
fn names_of(id: &str) -> impl Iterator<Item = &str> {
    let (before, address) = match id.split_once('<') {
        Some((before, rest)) => (before.trim(), rest.strip_suffix('>')),
        None => (id.trim(), None),
    };
    let name = before.split_once('(').map_or(before, |(name, _)| name.trim());
    [Some(id), Some(before), Some(name), address].into_iter().flatten().filter(|it| !it.is_empty())
}

/// The newest key that may be used to encrypt today, as GnuPG chooses it: a subkey before the
/// primary key.
fn encryption_key(key: &SignedPublicKey) -> Option<Recipient> {
    let primary = &key.primary_key;
    if key.details.revocation_signatures.iter().any(|it| it.verify_key(primary).is_ok()) {
        return None;
    }
    let own = key
        .details
        .users
        .iter()
        .flat_map(|user| {
            let is_own = |it: &&Signature| {
                it.verify_certification(primary, pgp::types::Tag::UserId, &user.id).is_ok()
            };
            user.signatures.iter().filter(is_own)
        })
        .max_by_key(|signature| signature.created());
    let expires = |created: Timestamp, signature: &Signature| {
        let lifetime = signature.key_expiration_time().map_or(0, |it| u64::from(it.as_secs()));
        (lifetime > 0).then(|| u64::from(created.as_secs()).saturating_add(lifetime))
    };
    let now = u64::from(Timestamp::now().as_secs());
    let is_over =
        |created, signature: &Signature| expires(created, signature).is_some_and(|end| end <= now);
    let own = own.filter(|own| !is_over(primary.created_at(), own))?;
    let usable = |sub: &&SignedPublicSubKey| {
        let bound = |kind| {
            sub.signatures
                .iter()
                .filter(move |it| it.typ() == Some(kind))
                .filter(|it| it.verify_subkey_binding(primary, &sub.key).is_ok())
                .max_by_key(|it| it.created())
        };
        let is_revoked = sub.signatures.iter().any(|it| {
            it.typ() == Some(SignatureType::SubkeyRevocation)
                && it.verify_subkey_binding(primary, &sub.key).is_ok()
        });
        !is_revoked
            && sub.key.algorithm().can_encrypt()
            && bound(SignatureType::SubkeyBinding).is_some_and(|binding| {
                may_encrypt(&binding.key_flags()) && !is_over(sub.key.created_at(), binding)
            })
    };
    let newest =
        key.public_subkeys.iter().filter(usable).max_by_key(|sub| sub.key.created_at().as_secs());
    if let Some(sub) = newest {
        return Some(Recipient::Sub(Box::new(sub.key.clone())));
    }
    (primary.algorithm().can_encrypt() && may_encrypt(&own.key_flags()))
        .then(|| Recipient::Primary(Box::new(primary.clone())))
}

fn may_encrypt(flags: &KeyFlags) -> bool {
    flags.encrypt_comms() || flags.encrypt_storage()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_user_ids() {
        for (id, expected) in [
            ("A B (c) <d@e>", &["A B (c) <d@e>", "A B (c)", "A B", "d@e"][..]),
            ("A <d@e>", &["A <d@e>", "A", "A", "d@e"]),
            ("<d@e>", &["<d@e>", "d@e"]),
            ("A", &["A", "A", "A"]),
            ("", &[]),
        ] {
            assert_eq!(names_of(id).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn what_is_no_keyring_has_no_keys() {
        for file in
            [&b""[..], b"x", b"\x99\x01", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", &[0xff; 99]]
        {
            assert!(ring(file, None).unwrap().is_none());
            let names = ["a".to_owned()];
            let error = recipients(file, &names).map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with("PGP: "), "{error}");
        }
    }
}
