//! Key providers: programs that wrap and unwrap the key (ocicrypt's key provider protocol; JSON on
//! stdin and stdout).

use std::collections::BTreeMap;
use std::io::{self, Read, Write as _};
use std::process::{Command, Stdio};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{CryptError, MAX_MESSAGE};

/// What a provider may say on stderr that is shown, in bytes.
const MAX_COMPLAINT: u64 = 4096;

/// A program that keeps keys.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name, as in `provider:NAME` and in the annotation.
    pub name: String,
    /// The program, searched in `PATH` if it has no slash.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

type Parameters = BTreeMap<String, Vec<String>>;

#[derive(Serialize)]
struct Input<'a> {
    op: &'a str,
    keywrapparams: WrapParameters,
    keyunwrapparams: UnwrapParameters,
}

#[derive(Default, Serialize)]
struct WrapParameters {
    ec: Option<EncryptConfig>,
    optsdata: Option<String>,
}

#[derive(Default, Serialize)]
struct UnwrapParameters {
    dc: Option<DecryptConfig>,
    annotation: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EncryptConfig {
    parameters: Parameters,
    decrypt_config: DecryptConfig,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DecryptConfig {
    parameters: Parameters,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Output {
    keywrapresults: Option<WrapResults>,
    keyunwrapresults: Option<UnwrapResults>,
}

#[derive(Deserialize)]
struct WrapResults {
    annotation: Option<String>,
}

#[derive(Deserialize)]
struct UnwrapResults {
    optsdata: Option<String>,
}

impl Provider {
    /// Lets it wrap `secret`. It is told only what was said to it, not the keys of others.
    pub(super) fn wrap(&self, secret: &[u8], said: &[String]) -> Result<Vec<u8>, CryptError> {
        let parameters = self.parameters(said);
        let input = Input {
            op: "keywrap",
            keywrapparams: WrapParameters {
                ec: Some(EncryptConfig { parameters, decrypt_config: DecryptConfig::default() }),
                optsdata: Some(BASE64.encode(secret)),
            },
            keyunwrapparams: UnwrapParameters::default(),
        };
        self.ask(&input, |output| output.keywrapresults.and_then(|results| results.annotation))
            .map_err(|source| CryptError::Provider { name: self.name.clone(), source })
    }

    /// Lets it unwrap what it wrapped.
    pub(super) fn unwrap(
        &self,
        message: &[u8],
        said: &[String],
    ) -> Result<Zeroizing<Vec<u8>>, String> {
        let parameters = self.parameters(said);
        let input = Input {
            op: "keyunwrap",
            keywrapparams: WrapParameters::default(),
            keyunwrapparams: UnwrapParameters {
                dc: Some(DecryptConfig { parameters }),
                annotation: Some(BASE64.encode(message)),
            },
        };
        self.ask(&input, |output| output.keyunwrapresults.and_then(|results| results.optsdata))
            .map(Zeroizing::new)
            .map_err(|error| format!("key provider {}: {error}", self.name))
    }

    fn parameters(&self, said: &[String]) -> Parameters {
        if said.is_empty() {
            return Parameters::new();
        }
        [(self.name.clone(), said.iter().map(|it| BASE64.encode(it)).collect())].into()
    }

    fn ask(
        &self,
        input: &Input<'_>,
        answer: impl FnOnce(Output) -> Option<String>,
    ) -> io::Result<Vec<u8>> {
        let input = Zeroizing::new(serde_json::to_vec(input)?);
        let output = self.run(input)?;
        let wrong = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        // The text of the error could quote the key.
        let output: Output = skopeo_image::go_json::from_slice(&output)
            .map_err(|_| wrong("its answer is not JSON with a key"))?;
        let answer = answer(output).filter(|answer| !answer.is_empty());
        let answer = answer.ok_or_else(|| wrong("its answer has no key"))?;
        BASE64.decode(answer).map_err(|_| wrong("its answer is not base64"))
    }

    fn run(&self, input: Zeroizing<Vec<u8>>) -> io::Result<Zeroizing<Vec<u8>>> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("running {}: {error}", self.program))
        };
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(named)?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = thread::spawn(move || {
            // A program that does not want to read it all may still answer.
            stdin.map(|mut stdin| stdin.write_all(&input))
        });
        let complaint = thread::spawn(move || stderr.map(|it| read(it, MAX_COMPLAINT)));
        // A byte more tells that there is more.
        let most = u64::try_from(MAX_MESSAGE).unwrap_or(u64::MAX).saturating_add(1);
        let output = stdout.map_or_else(|| Ok(Zeroizing::default()), |it| read(it, most));
        if !matches!(&output, Ok(output) if output.len() <= MAX_MESSAGE) {
            let _ = child.kill();
        }
        let status = child.wait()?;
        let _ = write.join();
        let complaint = complaint.join().ok().flatten().and_then(Result::ok).unwrap_or_default();
        let output = output?;
        if output.len() > MAX_MESSAGE {
            return Err(io::Error::other(format!(
                "the answer of {} has more than {MAX_MESSAGE} bytes",
                self.program
            )));
        }
        if !status.success() {
            let complaint = String::from_utf8_lossy(&complaint);
            let said = format!("running {}: {status}: {}", self.program, complaint.trim());
            return Err(io::Error::other(said.trim_end_matches([':', ' '])));
        }
        Ok(output)
    }
}

/// The beginning of what comes. The rest is read too, up to where no honest program would go, so
/// that nobody waits for it to be read.
fn read(mut from: impl Read, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut read = Zeroizing::new(Vec::new());
    from.by_ref().take(limit).read_to_end(&mut read)?;
    if u64::try_from(read.len()).is_ok_and(|len| len < limit) || limit > MAX_COMPLAINT {
        return Ok(read);
    }
    io::copy(&mut from, &mut io::sink())?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Provider {
        Provider {
            name: "p".to_owned(),
            program: "sh".to_owned(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
        }
    }

    #[test]
    fn speaks_the_protocol() {
        let said = ["x".to_owned()];
        let wraps = r#"read -r line; [ "$line" = '{"op":"keywrap","keywrapparams":{"ec":{"Parameters":{"p":["eA=="]},"DecryptConfig":{"Parameters":{}}},"optsdata":"cw=="},"keyunwrapparams":{"dc":null,"annotation":null}}' ] && echo '{"keywrapresults":{"annotation":"dw=="},"keyunwrapresults":{"optsdata":null}}'"#;
        assert_eq!(shell(wraps).wrap(b"s", &said).unwrap(), b"w");
        let unwraps = r#"read -r line; [ "$line" = '{"op":"keyunwrap","keywrapparams":{"ec":null,"optsdata":null},"keyunwrapparams":{"dc":{"Parameters":{"p":["eA=="]}},"annotation":"dw=="}}' ] && echo '{"keyunwrapresults":{"optsdata":"cw=="}}'"#;
        assert_eq!(*shell(unwraps).unwrap(b"w", &said).unwrap(), b"s");
    }

    #[test]
    fn says_what_is_wrong_with_a_provider() {
        for (script, expected) in [
            ("echo no >&2; exit 3", "exit status: 3: no"),
            ("echo x", "its answer is not JSON with a key"),
            ("echo '{\"keywrapresults\":3}'", "its answer is not JSON with a key"),
            ("echo '{}'", "its answer has no key"),
            (r#"echo '{"keyunwrapresults":{"optsdata":"-"}}'"#, "its answer is not base64"),
            ("yes", "has more than"),
        ] {
            let error = shell(script).unwrap(b"w", &[]).unwrap_err();
            assert!(error.contains(expected), "{error}: {expected}");
        }
        let missing = Provider { program: "/nowhere".to_owned(), ..shell("") };
        let error = missing.wrap(b"s", &[]).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.starts_with("running /nowhere: No such file"), "{source}");
    }
}
