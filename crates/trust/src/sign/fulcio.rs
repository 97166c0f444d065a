//! Fulcio, which certifies for a short time whose a key is: what is sent to it, and what it
//! answers.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::Value;
use skopeo_image::go_json;

use super::PrivateKey;
use super::key_error::KeyError;

/// Where certificates are asked for, below the address of a server.
pub const PATH: &str = "api/v1/signingCert";

const END: &str = "-----END CERTIFICATE-----";

/// Why no certificate can be asked for, or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FulcioError {
    /// The token is no JWT.
    #[error("oidc: malformed jwt, {0}")]
    Token(&'static str),
    /// The token does not say whose it is.
    #[error("no subject found in claims")]
    NoSubject,
    /// Nobody has looked whether the address is the user's.
    #[error("not verified by identity provider")]
    NotVerified,
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The answer has no certificate.
    #[error("error decoding PEM")]
    NoCertificate,
    /// The request cannot be written.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// A certificate and what it is certified by, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate of the key.
    pub leaf: String,
    /// The others, the root last; may be empty.
    pub chain: String,
}

impl Certificate {
    /// Returns until when it is good, in seconds since 1970; this second is still within. None if
    /// it cannot be read.
    #[must_use]
    pub fn not_after(&self) -> Option<i64> {
        let block = pem::parse(&self.leaf).ok()?;
        let parsed = skopeo_x509::Certificate::parse(block.contents()).ok()?;
        Some(parsed.not_after)
    }
}

/// Returns whose an ID token says that it is. Nothing of it is verified: Fulcio does that.
///
/// # Errors
/// If it is none, or does not say it.
pub fn subject(token: &str) -> Result<String, FulcioError> {
    let parts: Vec<&str> = token.trim().split('.').collect();
    let [_, claims, _] = parts[..] else {
        return Err(FulcioError::Token("expected 3 parts"));
    };
    let claims = URL_SAFE_NO_PAD
        .decode(claims.trim_end_matches('='))
        .map_err(|_| FulcioError::Token("the payload is not base64"))?;
    let claims: Value = serde_json::from_slice(&claims)
        .map_err(|_| FulcioError::Token("the payload is not JSON"))?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
    if let Some(email) = text("email") {
        let verified = claims.get("email_verified");
        let verified = verified.is_some_and(|it| *it == Value::Bool(true) || *it == "true");
        return verified.then(|| email.to_owned()).ok_or(FulcioError::NotVerified);
    }
    text("sub").map(str::to_owned).ok_or(FulcioError::NoSubject)
}

/// Returns the body of a request for a certificate of `key`, whose owner proves to have it by
/// signing the subject.
///
/// # Errors
/// If the key cannot be used.
pub fn request(key: &PrivateKey, subject: &str) -> Result<Vec<u8>, FulcioError> {
    let request = Request {
        public_key: PublicKey { content: STANDARD.encode(key.public_der()?), algorithm: "ecdsa" },
        signed_email_address: STANDARD.encode(key.sign(subject.as_bytes())?),
        certificate_signing_request: None,
    };
    Ok(go_json::to_vec(&request)?)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    public_key: PublicKey,
    signed_email_address: String,
    certificate_signing_request: Option<String>,
}

#[derive(Serialize)]
struct PublicKey {
    content: String,
    algorithm: &'static str,
}

/// Returns the certificate in an answer.
///
/// # Errors
/// If there is none.
pub fn certificate(answer: &[u8]) -> Result<Certificate, FulcioError> {
    let text = std::str::from_utf8(answer).map_err(|_| FulcioError::NoCertificate)?;
    let (leaf, rest) = text.split_once(END).ok_or(FulcioError::NoCertificate)?;
    let rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')).unwrap_or(rest);
    let leaf = pem::parse(format!("{leaf}{END}\n")).map_err(|_| FulcioError::NoCertificate)?;
    if leaf.tag() != "CERTIFICATE" {
        return Err(FulcioError::NoCertificate);
    }
    let leaf = super::pem_text("CERTIFICATE", leaf.into_contents());
    Ok(Certificate { leaf, chain: rest.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(claims: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn tokens_say_whose_they_are() {
        for (claims, expected) in [
            (json!({"email": "a@b", "email_verified": true, "sub": "s"}), Ok("a@b")),
            (json!({"email": "a@b", "email_verified": "true"}), Ok("a@b")),
            (json!({"email": "a@b"}), Err("not verified by identity provider")),
            (
                json!({"email": "a@b", "email_verified": false}),
                Err("not verified by identity provider"),
            ),
            (json!({"email": "", "sub": "s"}), Ok("s")),
            (json!({"iss": "x"}), Err("no subject found in claims")),
        ] {
            let found = subject(&token(&claims)).map_err(|error| error.to_string());
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{claims}");
        }
        for text in ["", "a.b", "a.!.c", "a.e30=.c.d", "e30.W10.c"] {
            assert!(subject(text).is_err(), "{text}");
        }
    }

    #[test]
    fn requests_prove_that_the_key_is_there() {
        let (key, _) = PrivateKey::generate().unwrap();
        let body: Value = serde_json::from_slice(&request(&key, "a@b").unwrap()).unwrap();
        let members: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(members, ["publicKey", "signedEmailAddress", "certificateSigningRequest"]);
        let public = STANDARD.decode(body["publicKey"]["content"].as_str().unwrap()).unwrap();
        assert_eq!(public, key.public_der().unwrap());
        assert_eq!(body["certificateSigningRequest"], Value::Null);
    }

    #[test]
    fn answers_are_split_behind_the_first_certificate() {
        let leaf = super::super::pem_text("CERTIFICATE", b"leaf".to_vec());
        let root = super::super::pem_text("CERTIFICATE", b"root".to_vec());
        let both = certificate(format!("{leaf}{root}").as_bytes()).unwrap();
        assert_eq!(both, Certificate { leaf: leaf.clone(), chain: root });
        assert_eq!(certificate(leaf.as_bytes()).unwrap().chain, "");
        for answer in ["", "{}", "-----END CERTIFICATE-----"] {
            assert!(certificate(answer.as_bytes()).is_err(), "{answer}");
        }
    }
}
