//! `docker-credential-NAME`: programs that keep credentials.
//!
//! The protocol: the action is the argument, the question comes on stdin, the answer is JSON on
//! stdout; an error is a text on stdout and an exit code.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use skopeo_image::{Secret, go_json};

use super::Stored;
use crate::{Environment, Error, programs};

/// What every helper says when it has nothing for a host.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user name that means the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// One helper program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Helper<'a> {
    name: &'a str,
    environment: &'a Environment,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

impl<'a> Helper<'a> {
    pub(super) fn new(name: &'a str, environment: &'a Environment) -> Self {
        Self { name, environment }
    }

    /// What is kept for a host; nothing if the helper has nothing.
    pub(super) fn get(self, host: &str) -> Result<Stored, Error> {
        let output = match self.run("get", "getting", host.as_bytes()) {
            Ok(output) => output,
            Err(Error::Helper { output, .. }) if output == NOT_FOUND => return Ok(Stored::None),
            Err(error) => return Err(error),
        };
        let found: Credentials = go_json::from_slice(&output)
            .map_err(|source| Error::Json { path: self.program(), source: source.into() })?;
        let secret = Secret::from(found.secret);
        Ok(match found.username.as_str() {
            TOKEN_USER => Stored::IdentityToken { username: String::new(), token: secret },
            "" if secret.is_empty() => Stored::None,
            _ => Stored::Basic { username: found.username, password: secret },
        })
    }

    /// Keeps credentials for a host. Returns where, in words.
    pub(super) fn store(
        self,
        host: &str,
        username: &str,
        password: &Secret,
    ) -> Result<String, Error> {
        let credentials = Credentials {
            server_url: host.to_owned(),
            username: username.to_owned(),
            secret: password.reveal().to_owned(),
        };
        let mut input = go_json::to_vec(&credentials).expect("three texts");
        input.push(b'\n');
        self.run("store", "storing", &input)?;
        Ok(format!("credential helper: {}", self.name))
    }

    /// Forgets a host. Returns whether there was something to forget.
    pub(super) fn erase(self, host: &str) -> Result<bool, Error> {
        match self.run("erase", "erasing", host.as_bytes()) {
            Ok(_) => Ok(true),
            Err(Error::Helper { output, .. }) if output == NOT_FOUND => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All hosts that something is kept for, with their user names.
    pub(super) fn list(self) -> Result<BTreeMap<String, String>, Error> {
        let output = self.run("list", "listing", b"unused")?;
        go_json::from_slice(&output)
            .map_err(|source| Error::Json { path: self.program(), source: source.into() })
    }

    /// Whether the program can be found at all.
    pub(super) fn exists(self) -> bool {
        self.find().is_some()
    }

    fn program(self) -> PathBuf {
        PathBuf::from(format!("docker-credential-{}", self.name))
    }

    fn find(self) -> Option<PathBuf> {
        programs::find(self.program(), self.environment)
    }

    fn run(self, argument: &str, action: &'static str, input: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |status: String, output: &[u8]| Error::Helper {
            action,
            status,
            output: String::from_utf8_lossy(output).trim().to_owned(),
        };
        // A helper is named by a file, not by a path.
        let program = (!self.name.contains('/')).then(|| self.find()).flatten();
        let Some(program) = program else {
            let name = self.program();
            return Err(failed(format!("exec: {name:?}: executable file not found in $PATH"), b""));
        };
        let mut child = Command::new(program)
            .arg(argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string(), b""))?;
        let mut stdin = child.stdin.take().expect("stdin was piped above");
        // Questions are far smaller than a pipe's buffer, so this cannot block on the answer. A
        // helper may also answer without having read.
        match stdin.write_all(input) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(failed(error.to_string(), b""));
            }
            _ => drop(stdin),
        }
        let output = child.wait_with_output().map_err(|error| failed(error.to_string(), b""))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let status = match output.status.code() {
            Some(code) => format!("exit status {code}"),
            None => output.status.to_string(),
        };
        Err(failed(status, &output.stdout))
    }
}
