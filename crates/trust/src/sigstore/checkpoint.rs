//! What a log says of its tree: a signed note (C2SP `tlog-checkpoint`).

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::merkle::Hash;
use super::public_key::PublicKey;

/// How a line with a signature begins: an em dash and a space.
const MARK: &str = "\u{2014} ";

/// Whoever signs for a log has witnesses; so many that nobody has more.
const MAX_SIGNATURES: usize = 32;

/// What a log says of its tree. Nothing of it is believed before [`Checkpoint::is_by`].
#[derive(Debug)]
pub(super) struct Checkpoint<'a> {
    /// What is signed.
    text: &'a str,
    /// The log, as its first line says it.
    origin: &'a str,
    /// How many leaves the tree has.
    pub(super) size: u64,
    /// Its root.
    pub(super) root: Hash,
    signatures: Vec<Signature<'a>>,
}

#[derive(Debug)]
struct Signature<'a> {
    name: &'a str,
    hint: [u8; 4],
    bytes: Vec<u8>,
}

impl<'a> Checkpoint<'a> {
    /// Reads it; `None` if it is none.
    pub(super) fn parse(note: &'a str) -> Option<Self> {
        let end = note.rfind("\n\n")?.checked_add(1)?;
        let (text, rest) = note.split_at_checked(end)?;
        let mut lines = text.lines();
        let origin = lines.next()?;
        let size = lines.next()?;
        let root = lines.next()?;
        if origin.is_empty() || lines.any(str::is_empty) {
            return None;
        }
        let size = size.parse().ok().filter(|parsed: &u64| parsed.to_string() == size)?;
        let root = STANDARD.decode(root).ok()?.try_into().ok()?;
        let rest = rest.strip_prefix('\n')?;
        if !rest.ends_with('\n') {
            return None;
        }
        let signatures: Vec<_> = rest.lines().map(Signature::parse).collect::<Option<_>>()?;
        let some = !signatures.is_empty() && signatures.len() <= MAX_SIGNATURES;
        some.then_some(Self { text, origin, size, root, signatures })
    }

    /// Whether the owner of a key signed it. Signatures of others, such as witnesses, say nothing.
    pub(super) fn is_by(&self, key: &PublicKey) -> bool {
        self.signatures.iter().any(|signature| self.is_signed(signature, key))
    }

    /// The same, of a log that signs under the name with which the checkpoint begins: one of these,
    /// if there are any.
    pub(super) fn is_of(&self, key: &PublicKey, origins: &[String]) -> bool {
        let named = origins.is_empty() || origins.iter().any(|origin| origin == self.origin);
        let mut own = self.signatures.iter().filter(|it| it.name == self.origin);
        named && own.any(|signature| self.is_signed(signature, key))
    }

    fn is_signed(&self, signature: &Signature<'_>, key: &PublicKey) -> bool {
        key_id(key, signature.name).starts_with(&signature.hint)
            && key.verify_logged(self.text.as_bytes(), &signature.bytes)
    }
}

impl<'a> Signature<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (name, bytes) = line.strip_prefix(MARK)?.split_once(' ')?;
        let bytes = STANDARD.decode(bytes).ok()?;
        let (hint, bytes) = bytes.split_at_checked(4)?;
        let named = !name.is_empty() && !bytes.is_empty();
        named.then_some(Self { name, hint: hint.try_into().ok()?, bytes: bytes.to_vec() })
    }
}

/// By which a signature of a note says whose it is: a hash of the name and the key (Ed25519), or of
/// the key alone (ECDSA, and all the first logs of sigstore).
pub(super) fn key_id(key: &PublicKey, name: &str) -> Vec<u8> {
    let hash = match key.ed25519() {
        Some(bits) => digest(&SHA256, &[name.as_bytes(), b"\n\x01", bits].concat()),
        None => digest(&SHA256, key.der()),
    };
    hash.as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_whole_or_not_at_all() {
        let root = STANDARD.encode([7; 32]);
        let line = format!("{MARK}log {}\n", STANDARD.encode([1, 2, 3, 4, 5]));
        let good = format!("log - 1\n12\n{root}\nother\n\n{line}{line}");
        let read = Checkpoint::parse(&good).unwrap();
        assert_eq!((read.size, read.root, read.signatures.len()), (12, [7; 32], 2));
        assert_eq!(read.text, format!("log - 1\n12\n{root}\nother\n"));
        for (from, to) in [
            ("log - 1\n", "\n"),
            ("12\n", "012\n"),
            ("12\n", "-1\n"),
            ("12\n", "\n"),
            (&*root, "AAAA"),
            ("\n\n", "\n"),
            ("\n\n", "\n\n\n"),
            (MARK, "- "),
            ("AQIDBAU=", "AQIDBA=="),
            ("AQIDBAU=", "?"),
            (MARK, "\u{2014}  "),
        ] {
            let bad = good.replacen(from, to, 1);
            assert!(Checkpoint::parse(&bad).is_none(), "{bad:?}");
        }
        assert!(Checkpoint::parse(good.trim_end()).is_none());
        assert!(Checkpoint::parse("").is_none());
        assert!(Checkpoint::parse(&format!("log\n1\n{root}\n\n{}", line.repeat(33))).is_none());
    }
}
