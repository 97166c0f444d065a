//! Docker's own variables: which daemon its programs talk to.

use std::path::PathBuf;

use crate::Environment;
use crate::env::{DOCKER_CERT_PATH, DOCKER_CONFIG, DOCKER_HOST, DOCKER_TLS_VERIFY};

/// The daemon that `$DOCKER_HOST` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerHost {
    /// Its address, such as `tcp://host:2376`.
    pub host: String,
    /// The folder of `ca.pem`, `cert.pem` and `key.pem`: `$DOCKER_CERT_PATH`, or Docker's own
    /// configuration folder if certificates are to be verified.
    pub cert_dir: Option<PathBuf>,
    /// Whether certificates are to be verified: `$DOCKER_TLS_VERIFY` is anything but empty.
    pub verify: bool,
}

impl DockerHost {
    /// `None` unless `$DOCKER_HOST` is set; the other variables are nothing without it.
    pub(crate) fn read(environment: &Environment) -> Option<Self> {
        let host = environment.text(DOCKER_HOST)?;
        let verify = environment.var(DOCKER_TLS_VERIFY).is_some();
        let usual = || {
            let folder = environment.path(DOCKER_CONFIG);
            folder.unwrap_or_else(|| environment.home().join(".docker"))
        };
        let cert_dir = environment.path(DOCKER_CERT_PATH).or_else(|| verify.then(usual));
        Some(Self { host, cert_dir, verify })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_docker_reads() {
        let read = |vars: &[(&str, &str)]| {
            DockerHost::read(&Environment::fixed(vars.iter().copied(), "/home/me", 1, "/"))
        };
        let host = "tcp://h:1";
        let expected = |cert_dir: Option<&str>, verify| {
            let cert_dir = cert_dir.map(PathBuf::from);
            Some(DockerHost { host: host.to_owned(), cert_dir, verify })
        };
        assert_eq!(read(&[(DOCKER_CERT_PATH, "/c"), (DOCKER_TLS_VERIFY, "1")]), None);
        assert_eq!(read(&[(DOCKER_HOST, "")]), None);
        let named = (DOCKER_HOST, host);
        assert_eq!(read(&[named]), expected(None, false));
        assert_eq!(read(&[named, (DOCKER_CERT_PATH, "/c")]), expected(Some("/c"), false));
        assert_eq!(
            read(&[named, (DOCKER_TLS_VERIFY, "0")]),
            expected(Some("/home/me/.docker"), true)
        );
        assert_eq!(
            read(&[named, (DOCKER_TLS_VERIFY, "1"), (DOCKER_CONFIG, "/d")]),
            expected(Some("/d"), true)
        );
    }
}
