//! Its requests, as Rekor's second version answers them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use aws_lc_rs::digest::{Algorithm, Digest, SHA256, SHA384, SHA512};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1,
    RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{LogFault, State, locked};

pub(super) fn answer(stream: TcpStream, state: &State) {
    let Some((line, body)) = request(&stream) else { return };
    let answered = match line.starts_with("POST /api/v2/log/entries ") {
        true => post(&body, state),
        false => Some((404, json!({"code": 5, "message": "Not Found"}))),
    };
    let Some((status, answer)) = answered else { return };
    let text = answer.to_string();
    let _ = write!(
        &stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
}

/// What is answered to the request of a new entry, if anything is.
pub(super) fn post(body: &Value, state: &State) -> Option<(u16, Value)> {
    let fault = locked(&state.faults).pop_front();
    locked(&state.requests).push(body.clone());
    let answer = match &fault {
        Some(LogFault::Status(status)) => (*status, json!({"code": 14, "message": "busy"})),
        fault => create(body, state, fault.as_ref()),
    };
    (fault != Some(LogFault::Unanswered)).then_some(answer)
}

fn request(stream: &TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, serde_json::from_slice(&body).unwrap_or_default()))
}

fn create(request: &Value, state: &State, fault: Option<&LogFault>) -> (u16, Value) {
    let refused = || (400, json!({"code": 3, "message": "invalid hashedrekord request"}));
    let Some(mut body) = canonical(request) else { return refused() };
    if fault == Some(&LogFault::Other) {
        body = body.replace("\"content\":\"", "\"content\":\"AAAA");
    }
    if !locked(&state.known).insert(body.clone().into_bytes()) {
        return (409, json!({"code": 6, "message": "an equivalent entry already exists"}));
    }
    let mut entry = state.add("hashedrekord", &body);
    match fault {
        Some(LogFault::Without(name)) => {
            entry.as_object_mut().map(|it| it.remove(*name));
        }
        Some(LogFault::Astray) => entry["logIndex"] = json!("0"),
        _ => {}
    }
    (201, entry)
}

/// What is logged of a request, if it is of something that its signer signed. What is by a
/// certificate is for whoever judges the bundle.
fn canonical(request: &Value) -> Option<String> {
    let request = &request["hashedRekordRequestV002"];
    let text = |pointer: &str| request.pointer(pointer).and_then(Value::as_str);
    let bytes = |pointer: &str| STANDARD.decode(text(pointer)?).ok();
    let details = text("/signature/verifier/keyDetails")?;
    let (name, hash, algorithm): (_, &'static Algorithm, &'static dyn VerificationAlgorithm) =
        match details {
            "PKIX_ECDSA_P256_SHA_256" => ("SHA2_256", &SHA256, &ECDSA_P256_SHA256_ASN1),
            "PKIX_ECDSA_P384_SHA_384" => ("SHA2_384", &SHA384, &ECDSA_P384_SHA384_ASN1),
            "PKIX_ECDSA_P521_SHA_512" => ("SHA2_512", &SHA512, &ECDSA_P521_SHA512_ASN1),
            "PKIX_RSA_PKCS1V15_2048_SHA256" => ("SHA2_256", &SHA256, &RSA_PKCS1_2048_8192_SHA256),
            _ => return None,
        };
    let digest = Digest::import_less_safe(&bytes("/digest")?, hash).ok()?;
    let signature = bytes("/signature/content")?;
    let signer = match text("/signature/verifier/publicKey/rawBytes") {
        Some(key) => {
            let key_ = UnparsedPublicKey::new(algorithm, STANDARD.decode(key).ok()?);
            key_.verify_digest(&digest, &signature).ok()?;
            format!(r#""publicKey":{{"rawBytes":"{key}"}}"#)
        }
        None => {
            let certificate = text("/signature/verifier/x509Certificate/rawBytes")?;
            format!(r#""x509Certificate":{{"rawBytes":"{certificate}"}}"#)
        }
    };
    let (digest, signature) = (STANDARD.encode(digest.as_ref()), STANDARD.encode(signature));
    Some(format!(
        r#"{{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{{"hashedRekordV002":{{"data":{{"algorithm":"{name}","digest":"{digest}"}},"signature":{{"content":"{signature}","verifier":{{"keyDetails":"{details}",{signer}}}}}}}}}}}"#
    ))
}
