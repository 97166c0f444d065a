//! `--tls-details`: which versions, ciphers and groups are spoken.

use rustls::crypto::aws_lc_rs::kx_group;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, SupportedProtocolVersion};

use super::TlsError;
use crate::options::TlsDetails;

/// Cipher suites that the original knows and rustls does not have, all of them weak.
const PASSED_OVER: &[&str] = &[
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

/// Narrows `provider` to what the details allow, and gives the versions to speak.
pub(super) fn apply(
    details: &TlsDetails,
    provider: &mut CryptoProvider,
) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let versions = match details.min_version.as_deref() {
        None | Some("" | "1.0" | "1.1" | "1.2") => ALL_VERSIONS.to_vec(),
        Some("1.3") => vec![&TLS13],
        Some(other) => return Err(TlsError::Version(other.to_owned())),
    };
    if let Some(names) = &details.cipher_suites {
        cipher_suites(names, provider)?;
    }
    if let Some(names) = &details.named_groups {
        let groups: Vec<_> = names.iter().map(|name| group(name)).collect::<Result<_, _>>()?;
        provider.kx_groups = groups.into_iter().flatten().collect();
        if provider.kx_groups.is_empty() {
            return Err(TlsError::NoGroup);
        }
    }
    let usable = |version: &&SupportedProtocolVersion| {
        provider.cipher_suites.iter().any(|suite| suite.version().version == version.version)
    };
    let versions: Vec<_> = versions.into_iter().filter(usable).collect();
    if versions.is_empty() {
        return Err(TlsError::NoCipherSuite(details.cipher_suites.clone().unwrap_or_default()));
    }
    Ok(versions)
}

/// As in Go, the list is about TLS 1.2; the suites of TLS 1.3 are always there.
fn cipher_suites(names: &[String], provider: &mut CryptoProvider) -> Result<(), TlsError> {
    let is_wanted = |suite: &rustls::SupportedCipherSuite| {
        suite.version().version == TLS13.version
            || names.iter().any(|name| *name == iana_name(suite))
    };
    for name in names {
        let known = provider.cipher_suites.iter().any(|suite| *name == iana_name(suite));
        if !known && !PASSED_OVER.contains(&name.as_str()) {
            return Err(TlsError::CipherSuite(name.clone()));
        }
    }
    provider.cipher_suites.retain(is_wanted);
    Ok(())
}

fn iana_name(suite: &rustls::SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    if suite.version().version == TLS12.version { name } else { name.replacen("TLS13_", "TLS_", 1) }
}

/// The group of this name; `None` if the original knows it and rustls does not have it.
fn group(name: &str) -> Result<Option<&'static dyn SupportedKxGroup>, TlsError> {
    Ok(match name {
        "secp256r1" => Some(kx_group::SECP256R1),
        "secp384r1" => Some(kx_group::SECP384R1),
        "secp521r1" => None,
        "x25519" => Some(kx_group::X25519),
        "X25519MLKEM768" => Some(kx_group::X25519MLKEM768),
        other => return Err(TlsError::Group(other.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::default_provider;

    use super::*;

    type Names = Option<&'static [&'static str]>;
    type Row = (Option<&'static str>, Names, Names, Result<(usize, usize), TlsError>);

    #[test]
    fn takes_what_the_original_takes() {
        let owned = |names: Names| {
            names.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        let weak = "TLS_RSA_WITH_RC4_128_SHA";
        let strong = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
        let rows: [Row; 12] = [
            (None, None, None, Ok((2, 9))),
            (Some("1.0"), None, None, Ok((2, 9))),
            (Some("1.3"), None, None, Ok((1, 9))),
            (Some("1.4"), None, None, Err(TlsError::Version("1.4".into()))),
            (None, Some(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]), None, Ok((2, 4))),
            (None, Some(&["TLS_AES_128_GCM_SHA256"]), None, Ok((1, 3))),
            (None, Some(&["TLS_RSA_WITH_RC4_128_SHA"]), None, Ok((1, 3))),
            (None, Some(&["TLS_X"]), None, Err(TlsError::CipherSuite("TLS_X".into()))),
            (None, None, Some(&["x25519", "secp256r1"]), Ok((2, 9))),
            (None, None, Some(&["secp521r1", "secp384r1"]), Ok((2, 9))),
            (None, None, Some(&["secp521r1"]), Err(TlsError::NoGroup)),
            (None, None, Some(&["X25519"]), Err(TlsError::Group("X25519".into()))),
        ];
        assert!(PASSED_OVER.contains(&weak) && !PASSED_OVER.contains(&strong));
        for (min_version, cipher_suites, named_groups, expected) in rows {
            let details = TlsDetails {
                min_version: min_version.map(str::to_owned),
                cipher_suites: owned(cipher_suites),
                named_groups: owned(named_groups),
            };
            let mut provider = default_provider();
            let found = apply(&details, &mut provider)
                .map(|versions| (versions.len(), provider.cipher_suites.len()));
            assert_eq!(found, expected, "{details:?}");
        }
    }
}
