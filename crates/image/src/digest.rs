//! Digests: `algorithm:hex`, as the OCI image specification defines them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// A hash algorithm that may name content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// The one that every registry has.
    Sha256,
    /// Registered by the digest grammar, seldom seen.
    Sha384,
    /// Registered by the OCI image specification.
    Sha512,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Returns the name before the colon.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Returns the length of the hexadecimal part, in characters.
    #[must_use]
    pub fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(s: &str) -> Result<Self, DigestError> {
        match s {
            "sha256" => Ok(Self::Sha256),
            "sha384" => Ok(Self::Sha384),
            "sha512" => Ok(Self::Sha512),
            _ => Err(DigestError::UnsupportedAlgorithm),
        }
    }
}

/// Why a text is no digest. The words are those of the Go library that scripts know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// No colon, an empty part, or characters outside the grammar.
    #[error("invalid checksum digest format")]
    InvalidFormat,
    /// The hexadecimal part is shorter or longer than the algorithm's.
    #[error("invalid checksum digest length")]
    InvalidLength,
    /// The algorithm is none of those in [`Algorithm`].
    #[error("unsupported digest algorithm")]
    UnsupportedAlgorithm,
}

/// The name of some bytes: an algorithm and lower-case hexadecimal of its length.
///
/// A value of this type is always valid, so its parts are safe as file names.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    text: Box<str>,
}

impl Digest {
    /// Returns the digest of `bytes`.
    #[must_use]
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns the sha256 digest of `bytes`.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, bytes)
    }

    /// Returns the algorithm before the colon.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the hexadecimal part after the colon.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.text.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// Returns the whole text, `algorithm:hex`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn from_raw(algorithm: Algorithm, hash: &[u8]) -> Self {
        let mut text = String::with_capacity(algorithm.as_str().len().saturating_add(129));
        text.push_str(algorithm.as_str());
        text.push(':');
        for byte in hash {
            let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0');
            text.extend([digit(byte >> 4), digit(byte & 15)]);
        }
        Self { algorithm, text: text.into() }
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(s: &str) -> Result<Self, DigestError> {
        let (name, hex) = s.split_once(':').ok_or(DigestError::InvalidFormat)?;
        if name.is_empty() || hex.is_empty() {
            return Err(DigestError::InvalidFormat);
        }
        let Ok(algorithm) = name.parse::<Algorithm>() else {
            return Err(unknown_algorithm(name, hex));
        };
        if hex.len() != algorithm.hex_len() {
            return Err(DigestError::InvalidLength);
        }
        if !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError::InvalidFormat);
        }
        Ok(Self { algorithm, text: s.into() })
    }
}

/// Whether the parts fit the grammar of digests of algorithms yet to come, or not even that.
fn unknown_algorithm(name: &str, encoded: &str) -> DigestError {
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let encoded = encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"=_-".contains(&b));
    let mut parts = name.split(['.', '+', '_', '-']);
    if encoded && parts.all(|part| !part.is_empty() && part.bytes().all(lower)) {
        DigestError::UnsupportedAlgorithm
    } else {
        DigestError::InvalidFormat
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("{error}: {text:?}")))
    }
}

/// Computes a [`Digest`] of bytes that arrive in pieces.
#[derive(Clone, Debug)]
pub struct Hasher(State);

#[derive(Clone, Debug)]
enum State {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    /// Returns a hasher that has seen nothing.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha384 => State::Sha384(Sha384::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha384(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// Returns the digest of all pieces.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest::from_raw(Algorithm::Sha256, &state.finalize()),
            State::Sha384(state) => Digest::from_raw(Algorithm::Sha384, &state.finalize()),
            State::Sha512(state) => Digest::from_raw(Algorithm::Sha512, &state.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn computes_and_prints() {
        assert_eq!(Digest::sha256(b"").to_string(), format!("sha256:{EMPTY}"));
        assert_eq!(Digest::of(Algorithm::Sha512, b"").hex().len(), 128);
        assert_eq!(Digest::of(Algorithm::Sha384, b"").hex().len(), 96);
    }

    #[test]
    fn parses_only_what_is_valid() {
        use DigestError::{InvalidFormat, InvalidLength, UnsupportedAlgorithm};
        for (text, expected) in [
            (format!("sha256:{EMPTY}"), Ok(())),
            (String::new(), Err(InvalidFormat)),
            ("sha256".into(), Err(InvalidFormat)),
            ("sha256:".into(), Err(InvalidFormat)),
            (format!(":{EMPTY}"), Err(InvalidFormat)),
            (format!("sha256:{}", EMPTY.to_uppercase()), Err(InvalidFormat)),
            (format!("sha256:../{}", &EMPTY[3..]), Err(InvalidFormat)),
            (format!("sha256:{}", &EMPTY[1..]), Err(InvalidLength)),
            ("sha256:x/y".into(), Err(InvalidLength)), // length first, as Go's library
            (format!("md5:{EMPTY}"), Err(UnsupportedAlgorithm)),
            (format!("sha256+b64u:{EMPTY}"), Err(UnsupportedAlgorithm)),
            (format!("MD5:{EMPTY}"), Err(InvalidFormat)),
            ("md5:a/b".into(), Err(InvalidFormat)),
        ] {
            assert_eq!(text.parse::<Digest>().map(|_| ()), expected, "{text}");
        }
    }
}
