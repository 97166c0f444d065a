//! The user's gpg, which has the keys: it asks its agent, or a smart card, for what it needs.

use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use bytes::Bytes;
use skopeo_image::{
    Classify, ErrorClass, RawManifest, Reference, Secret, Signature, SignatureKind,
};
use skopeo_trust::sign::{Payload, SignError, Signer};
use zeroize::Zeroizing;

/// Status lines begin with it.
const STATUS: &str = "[GNUPG:] ";

/// A key of the user's keyring.
#[derive(Debug)]
pub(crate) struct Gpg {
    key: String,
    /// Without one, the agent knows or asks.
    passphrase: Option<Secret>,
    /// The key as gpg names it, once it has been asked. It is asked by one of us at a time: an agent
    /// that many ask at once runs out of its locked memory.
    found: tokio::sync::Mutex<Option<String>>,
}

/// What gpg said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GpgError {
    #[error("running gpg")]
    Start(#[source] io::Error),
    #[error("Invalid value: gpg has no secret key for {0:?}")]
    NoKey(String),
    #[error("Invalid value: gpg has {1} secret keys for {0:?}")]
    Ambiguous(String, usize),
    #[error("{said}")]
    Refused {
        /// Its reason.
        said: String,
        /// Whether its agent had to know the pass phrase, or to ask for it.
        by_agent: bool,
    },
    #[error("talking to gpg")]
    Talk(#[source] io::Error),
}

impl Classify for GpgError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::NoKey(_) | Self::Ambiguous(..) => Some(ErrorClass::InvalidInput),
            Self::Start(_) => Some(ErrorClass::Unsupported),
            Self::Refused { .. } | Self::Talk(_) => None,
        }
    }

    fn hint(&self) -> Option<String> {
        matches!(self, Self::Refused { by_agent: true, .. }).then(|| {
            "gpg's agent asks for pass phrases at a terminal; where there is none, the flag \
             --sign-passphrase-file (--passphrase-file of standalone-sign) gives it"
                .to_owned()
        })
    }
}

/// What a run of gpg came to.
struct Said {
    ok: bool,
    out: Vec<u8>,
    err: String,
}

impl Gpg {
    /// The key that gpg finds for a fingerprint, or by whatever else a key can be found.
    pub(crate) fn new(key: String, passphrase: Option<Secret>) -> Self {
        // As in the original, nothing in the file means that the agent is asked.
        let passphrase = passphrase.filter(|passphrase| !passphrase.is_empty());
        Self { key, passphrase, found: tokio::sync::Mutex::default() }
    }

    /// Signs bytes: an OpenPGP message with the payload in it, not armoured.
    ///
    /// # Errors
    /// What gpg says.
    pub(crate) async fn sign_bytes(&self, payload: Vec<u8>) -> Result<Bytes, GpgError> {
        let mut found = self.found.lock().await;
        let key = match &*found {
            Some(key) => key.clone(),
            None => found.insert(self.find().await?).clone(),
        };
        let mut arguments = vec!["--no-armor", "--no-textmode", "--local-user", &key];
        arguments.extend(["--output", "-"]);
        let mut input = Zeroizing::new(Vec::new());
        if let Some(passphrase) = &self.passphrase {
            // Of stdin the first line is the pass phrase then, and the rest is to be signed.
            arguments.extend(["--pinentry-mode", "loopback", "--passphrase-fd", "0"]);
            input.extend_from_slice(passphrase.reveal().as_bytes());
            input.push(b'\n');
        }
        input.extend_from_slice(&payload);
        arguments.push("--sign");
        let said = run(&arguments, input).await?;
        if !said.ok || said.out.is_empty() {
            let by_agent = self.passphrase.is_none();
            return Err(GpgError::Refused { said: why(&said.err), by_agent });
        }
        Ok(said.out.into())
    }

    /// The fingerprint of the one key that is meant.
    async fn find(&self) -> Result<String, GpgError> {
        let none = || GpgError::NoKey(self.key.clone());
        // It would be an option.
        if self.key.is_empty() || self.key.starts_with('-') {
            return Err(none());
        }
        let list = ["--with-colons", "--list-secret-keys", "--", &self.key];
        let said = run(&list, Zeroizing::default()).await?;
        let text = String::from_utf8_lossy(&said.out);
        let mut fingerprints = Vec::new();
        let mut in_primary = false;
        for line in text.lines() {
            let fields: Vec<&str> = line.split(':').collect();
            match fields.first() {
                Some(&"sec") => in_primary = true,
                Some(&"fpr") if in_primary => {
                    fingerprints.extend(fields.get(9).map(|it| (*it).to_owned()));
                    in_primary = false;
                }
                _ => {}
            }
        }
        match <[String; 1]>::try_from(fingerprints) {
            // Who writes so wants this very subkey.
            Ok(_) if self.key.ends_with('!') => Ok(self.key.clone()),
            Ok([fingerprint]) => Ok(fingerprint),
            Err(all) if all.is_empty() => Err(none()),
            Err(all) => Err(GpgError::Ambiguous(self.key.clone(), all.len())),
        }
    }
}

#[async_trait]
impl Signer for Gpg {
    fn kind(&self) -> SignatureKind {
        SignatureKind::Simple
    }

    fn doing(&self) -> &'static str {
        "Signing image using simple signing"
    }

    async fn prepare(&self) -> Result<(), SignError> {
        let mut found = self.found.lock().await;
        if found.is_none() {
            let key = self.find().await.map_err(|error| SignError::Refused(error.into()))?;
            *found = Some(key);
        }
        Ok(())
    }

    async fn sign(
        &self,
        manifest: &RawManifest,
        reference: &Reference,
    ) -> Result<Signature, SignError> {
        let (reference, digest) = (reference.to_string(), manifest.digest()?);
        let payload = Payload::now(SignatureKind::Simple, &reference, &digest).bytes()?;
        let signed = self.sign_bytes(payload).await;
        Ok(Signature::Simple(signed.map_err(|error| SignError::Refused(error.into()))?))
    }
}

/// Runs gpg, which ends if nobody waits for it any more.
async fn run(arguments: &[&str], input: Zeroizing<Vec<u8>>) -> Result<Said, GpgError> {
    let start = |program: &str| {
        let mut command = Command::new(program);
        command.args(["--batch", "--status-fd", "2"]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    };
    let child = start("gpg2").or_else(|_| start("gpg")).map_err(GpgError::Start)?;
    let running = Running(Arc::new(Mutex::new(child)));
    let child = running.0.clone();
    let talked = tokio::task::spawn_blocking(move || talk(&child, &input)).await;
    talked.map_err(io::Error::other).and_then(|it| it).map_err(GpgError::Talk)
}

fn talk(child: &Mutex<Child>, input: &[u8]) -> io::Result<Said> {
    let lock = || child.lock().unwrap_or_else(PoisonError::into_inner);
    let (stdin, stdout, stderr) = {
        let mut child = lock();
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // It may know without reading to the end that it will not sign.
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(input);
            }
        });
        let errors = scope.spawn(|| stderr.map(|mut stderr| stderr.read_to_end(&mut err)));
        let read = stdout.map(|mut stdout| stdout.read_to_end(&mut out));
        let _ = errors.join();
        read.transpose()
    })?;
    let ok = lock().wait()?.success();
    Ok(Said { ok, out, err: String::from_utf8_lossy(&err).into_owned() })
}

/// A gpg that is ended with whoever waits for it.
struct Running(Arc<Mutex<Child>>);

impl Drop for Running {
    fn drop(&mut self) {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(None) = child.try_wait() {
            let _ = child.kill();
        }
    }
}

/// Why gpg did not sign: by the codes of its status lines, whose words do not depend on the user's
/// language; if there are none that say more, its last line.
fn why(err: &str) -> String {
    let failure = err.lines().find_map(|line| {
        let mut words = line.strip_prefix(STATUS)?.split(' ');
        match words.next()? {
            "FAILURE" => words.nth(1)?.parse::<u32>().ok().map(|code| code & 0xffff),
            // gpg says "No secret key" of a key that is expired, too.
            "INV_SGNR" => Some(54),
            _ => None,
        }
    });
    let known = failure.and_then(|code| {
        Some(match code {
            11 => "Bad passphrase",
            17 => "No secret key",
            54 => "Unusable secret key",
            62 => "Timeout",
            77 => "No agent running",
            85 => "No pinentry",
            99 => "Operation cancelled",
            108 | 112 => "Card removed or not present",
            _ => return None,
        })
    });
    let last = || {
        let line = err.lines().rfind(|line| !line.starts_with(STATUS) && !line.trim().is_empty());
        line.map_or_else(|| "gpg gives no reason".to_owned(), |line| line.trim().to_owned())
    };
    known.map_or_else(last, str::to_owned)
}

/// All public keys in GnuPG's keyring.
///
/// # Errors
/// If gpg does not give them.
pub(crate) fn keyring() -> Result<Vec<u8>> {
    let export = |program: &str| {
        Command::new(program).args(["--batch", "--export"]).stdin(Stdio::null()).output()
    };
    let done = export("gpg2").or_else(|_| export("gpg"));
    let done = done.context("running gpg to read its keyring")?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("running gpg to read its keyring: {}: {}", done.status, said.trim());
    }
    Ok(done.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpg_is_understood_in_any_language() {
        for (err, expected) in [
            (
                "gpg: Beglaubigung fehlgeschlagen: Falsche Passphrase\n[GNUPG:] FAILURE sign 67108875\n",
                "Bad passphrase",
            ),
            ("[GNUPG:] INV_SGNR 9 0123\ngpg: no default secret key", "Unusable secret key"),
            ("[GNUPG:] FAILURE sign 83886179\n", "Operation cancelled"),
            ("gpg: one\n[GNUPG:] KEY_CONSIDERED X 0\ngpg: two\n\n", "gpg: two"),
            ("", "gpg gives no reason"),
        ] {
            assert_eq!(why(err), expected, "{err}");
        }
    }
}
