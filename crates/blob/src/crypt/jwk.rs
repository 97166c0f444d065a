//! Keys as JSON (RFC 7517, RFC 7518 section 6).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::KeyError;
use super::der::{INTEGER, SEQUENCE, element, unsigned};
use super::key::{self, Curve, KeyWrapLength, Oaep, Private, Public};

/// A point on a curve, as a header of JWE has it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Point {
    kty: String,
    crv: String,
    x: String,
    y: String,
}

impl Point {
    /// The point that is encoded as `04 X Y`.
    pub(super) fn new(curve: Curve, point: &[u8]) -> Option<Self> {
        let (x, y) = point.strip_prefix(&[4])?.split_at_checked(curve.length())?;
        Some(Self {
            kty: "EC".to_owned(),
            crv: curve.name().to_owned(),
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
        })
    }

    /// The point as `04 X Y`, if it is one.
    pub(super) fn decode(&self) -> Option<(Curve, Vec<u8>)> {
        if self.kty != "EC" {
            return None;
        }
        let curve = Curve::of_name(&self.crv)?;
        let mut point = vec![4];
        for coordinate in [&self.x, &self.y] {
            let bytes = URL_SAFE_NO_PAD.decode(coordinate).ok()?;
            if bytes.len() != curve.length() {
                return None;
            }
            point.extend_from_slice(&bytes);
        }
        Some((curve, curve.checked_point(point)?))
    }
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<String>,
    n: Option<String>,
    e: Option<String>,
    p: Option<String>,
    q: Option<String>,
    dp: Option<String>,
    dq: Option<String>,
    qi: Option<String>,
    k: Option<String>,
}

impl Drop for Jwk {
    fn drop(&mut self) {
        for secret in [
            &mut self.d,
            &mut self.p,
            &mut self.q,
            &mut self.dp,
            &mut self.dq,
            &mut self.qi,
            &mut self.k,
        ] {
            secret.zeroize();
        }
    }
}

impl Jwk {
    fn parse(file: &[u8]) -> Option<Self> {
        serde_json::from_slice(file).ok()
    }

    fn point(&self) -> Option<(Curve, Vec<u8>)> {
        let field = |field: &Option<String>| field.clone();
        Point {
            kty: self.kty.clone(),
            crv: field(&self.crv)?,
            x: field(&self.x)?,
            y: field(&self.y)?,
        }
        .decode()
    }
}

/// A field, as the bytes of a number.
fn number(field: &Option<String>) -> Option<Zeroizing<Vec<u8>>> {
    URL_SAFE_NO_PAD.decode(field.as_ref()?).ok().map(Zeroizing::new)
}

/// The public key in a JWK.
pub(super) fn public(file: &[u8]) -> Result<Public, KeyError> {
    let jwk = Jwk::parse(file).ok_or(KeyError::NotPublicKey)?;
    if jwk.d.is_some() || jwk.k.is_some() {
        return Err(KeyError::NotPublicKey);
    }
    let algorithm = jwk.alg.as_deref().unwrap_or_default();
    let unsupported =
        || KeyError::Unsupported(format!("{algorithm} is an unsupported JWE key algorithm"));
    match jwk.kty.as_str() {
        "RSA" => {
            let oaep = match algorithm {
                "" | "RSA-OAEP" => Oaep::Sha1,
                "RSA-OAEP-256" => Oaep::Sha256,
                _ => return Err(unsupported()),
            };
            let (n, e) = number(&jwk.n).zip(number(&jwk.e)).ok_or(KeyError::NotPublicKey)?;
            let spki = key::rsa_spki(&unsigned(&n), &unsigned(&e));
            Ok(Public::Rsa { key: key::rsa_public(&spki)?, oaep })
        }
        "EC" => {
            let wrap = match algorithm {
                "" | "ECDH-ES+A256KW" => KeyWrapLength::A256,
                "ECDH-ES+A128KW" => KeyWrapLength::A128,
                _ => return Err(unsupported()),
            };
            let (curve, point) = jwk.point().ok_or(KeyError::NotPublicKey)?;
            Ok(Public::Ec { curve, point, wrap })
        }
        _ => Err(KeyError::NotPublicKey),
    }
}

/// The private key in a JWK; `None` if there is none.
pub(super) fn private(file: &[u8]) -> Result<Option<Private>, KeyError> {
    let Some(jwk) = Jwk::parse(file).filter(|jwk| jwk.d.is_some()) else { return Ok(None) };
    match jwk.kty.as_str() {
        "RSA" => {
            let fields = [&jwk.n, &jwk.e, &jwk.d, &jwk.p, &jwk.q, &jwk.dp, &jwk.dq, &jwk.qi];
            let numbers: Option<Vec<_>> = fields
                .into_iter()
                .map(|field| number(field).map(|number| Zeroizing::new(unsigned(&number))))
                .collect();
            let numbers = numbers.ok_or_else(|| {
                KeyError::Unsupported("a JWK without n, e, d, p, q, dp, dq or qi".to_owned())
            })?;
            let version = element(INTEGER, &[&[0]]);
            let mut parts: Vec<&[u8]> = vec![&version];
            parts.extend(numbers.iter().map(|number| number.as_slice()));
            key::rsa_private(&Zeroizing::new(element(SEQUENCE, &parts))).map(Some)
        }
        "EC" => {
            let damaged = || KeyError::Unsupported("a damaged JWK".to_owned());
            let (curve, _) = jwk.point().ok_or_else(damaged)?;
            let secret = number(&jwk.d).ok_or_else(damaged)?;
            aws_lc_rs::agreement::PrivateKey::from_private_key(curve.algorithm(), &secret)
                .map(|key| Some(Private::Ec(curve, key)))
                .map_err(|_| damaged())
        }
        _ => Ok(None),
    }
}
