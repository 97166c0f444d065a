//! Pieces of a certificate as they are encoded, which its signature is checked with (X.690).

use x509_parser::asn1_rs::{Any, FromDer};

const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// Returns the algorithm and the bits of `SEQUENCE { AlgorithmIdentifier, BIT STRING }`: a public
/// key.
#[must_use]
pub fn public_key(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let (spki, _) = expect(SEQUENCE, spki)?;
    let (algorithm, rest) = expect(SEQUENCE, spki)?;
    Some((algorithm, bits(rest)?))
}

/// Returns what is signed of a certificate, by which algorithm, and the signature.
#[must_use]
pub fn signature(certificate: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (_, after) = expect(SEQUENCE, certificate)?;
    let signed = certificate.get(..certificate.len().checked_sub(after.len())?)?;
    let (algorithm, rest) = expect(SEQUENCE, after)?;
    Some((signed, algorithm, bits(rest)?))
}

/// Returns a bit string of whole bytes.
fn bits(bytes: &[u8]) -> Option<&[u8]> {
    let (body, _) = expect(BIT_STRING, bytes)?;
    let (&unused, bits) = body.split_first()?;
    (unused == 0).then_some(bits)
}

/// Returns the body of the first element if it has that tag, and what follows it.
#[must_use]
pub fn expect(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, found) = Any::from_der(bytes).ok()?;
    (found.header.raw_tag() == Some(&[tag])).then_some((found.data, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_pieces_of_a_real_certificate() {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["r.example".into()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let (signed, algorithm, bits) = signature(certificate.der()).unwrap();
        assert_eq!((signed[0], algorithm[0]), (SEQUENCE, 0x06));
        assert!((68..=72).contains(&bits.len()), "{}", bits.len());
        for length in 0..certificate.der().len() {
            assert!(signature(&certificate.der()[..length]).is_none());
        }
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        let (algorithm, point) = public_key(&spki).unwrap();
        assert_eq!((algorithm[0], point.len()), (0x06, 65));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for bytes in [
            &[][..],
            &[SEQUENCE],
            &[SEQUENCE, 0x80],
            &[SEQUENCE, 0x85, 1, 1, 1, 1, 1],
            &[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[SEQUENCE, 2, 0],
        ] {
            assert!(signature(bytes).is_none() && public_key(bytes).is_none(), "{bytes:?}");
        }
    }
}
