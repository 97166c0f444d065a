//! The hashes that sigstore's documents name.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

/// A hash of bytes, by what sigstore or Rekor call its algorithm; `None` of what nobody may use.
pub(super) fn by_name(name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let algorithm: &'static Algorithm = match name {
        "SHA2_256" | "sha256" => &SHA256,
        "SHA2_384" | "sha384" => &SHA384,
        "SHA2_512" | "sha512" => &SHA512,
        _ => return None,
    };
    Some(digest(algorithm, bytes).as_ref().to_vec())
}

/// A hash of bytes, by the number of its algorithm, encoded (the body of an `AlgorithmIdentifier`).
pub(super) fn by_number(identifier: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    // `2.16.840.1.101.3.4.2`, below which these are, with a NULL behind or without.
    let rest = identifier.strip_prefix(&[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2])?;
    let (last, parameters) = rest.split_first()?;
    let algorithm: &'static Algorithm = match last {
        1 => &SHA256,
        2 => &SHA384,
        3 => &SHA512,
        _ => return None,
    };
    let plain = parameters.is_empty() || parameters == [5, 0];
    plain.then(|| digest(algorithm, bytes).as_ref().to_vec())
}
