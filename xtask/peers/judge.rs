//! Judges a bundle: ROOT BUNDLE DIGEST, and a public key where it is by a key.

use std::process::ExitCode;

use sigstore_trust_root::TrustedRoot;
use sigstore_types::{Bundle, DerPublicKey, Sha256Hash};
use sigstore_verify::{Policy, PublicKeyVerificationPolicy, VerificationPolicy, Verifier};

fn judge(words: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [root, bundle, digest, key @ ..] = words else { return Err("three words or four".into()) };
    let root = TrustedRoot::from_file(root)?;
    let bundle: Bundle = serde_json::from_slice(&std::fs::read(bundle)?)?;
    let policy: Box<dyn Policy> = match key {
        [key] => {
            let key = DerPublicKey::from_pem(&std::fs::read_to_string(key)?)?;
            Box::new(PublicKeyVerificationPolicy::new(key))
        }
        _ => Box::new(VerificationPolicy::any_identity()),
    };
    let digest = Sha256Hash::from_hex(digest)?;
    Verifier::new(&root)?.verify(digest, &bundle, policy.as_ref())?;
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match judge(&words) {
        Ok(()) => {
            println!("verified");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
