//! Where a daemon is, and how one talks to it.

use std::path::{Path, PathBuf};

use skopeo_image::Secret;
use skopeo_registry::{ClientPair, TlsOptions};
use url::Url;

use super::DaemonError;
use crate::docker_tar::DockerTarError;
use crate::{Error, Options, registry};

/// Where a daemon is unless somebody says otherwise.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// Where a daemon is.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// As it was named, for errors.
    pub(super) shown: String,
    /// What the paths of its API are added to.
    pub(super) base: Url,
    /// The socket, where it is one.
    pub(super) socket: Option<PathBuf>,
    pub(super) tls: TlsOptions,
    /// Whether any certificate will do.
    pub(super) insecure: bool,
}

/// What was said about the daemon, by flags or else by Docker's own variables.
struct Wish {
    host: String,
    folder: Option<PathBuf>,
    insecure: bool,
    /// Whether `tcp://` does without TLS.
    plain: bool,
}

impl Endpoint {
    /// The daemon that the options mean.
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        let preparing =
            |source| DockerTarError::Daemon { doing: "initializing docker engine client", source };
        let wish = wish(options);
        let (protocol, address) = split(&wish.host).map_err(preparing)?;
        let scheme = match protocol {
            // Where there are no such sockets, it is a protocol that nobody speaks.
            "unix" if cfg!(unix) => {
                let path = if address.is_empty() { "/var/run/docker.sock" } else { address };
                return Ok(Self {
                    base: url("http", "localhost", &wish.host).map_err(preparing)?,
                    socket: Some(PathBuf::from(path)),
                    tls: TlsOptions::default(),
                    insecure: false,
                    shown: wish.host,
                });
            }
            "http" => "http",
            "tcp" if wish.plain => "http",
            "tcp" | "https" => "https",
            other => {
                let (host, protocol) = (wish.host.clone(), other.to_owned());
                return Err(preparing(DaemonError::Protocol { host, protocol }).into());
            }
        };
        let mut tls = TlsOptions { details: registry::tls_details(options)?, ..Default::default() };
        if scheme == "https"
            && let Some(folder) = &wish.folder
        {
            certificates(folder, wish.insecure, &mut tls).map_err(preparing)?;
        }
        Ok(Self {
            base: url(scheme, address, &wish.host).map_err(preparing)?,
            socket: None,
            tls,
            insecure: wish.insecure,
            shown: wish.host,
        })
    }
}

fn wish(options: &Options) -> Wish {
    let (folder, verify) = (options.registry.cert_dir.clone(), options.registry.tls_verify);
    if let Some(host) = &options.daemon.host {
        return Wish { host: host.clone(), folder, insecure: verify == Some(false), plain: false };
    }
    let Some(docker) = options.config.docker_host() else {
        let host = DEFAULT_HOST.to_owned();
        return Wish { host, folder, insecure: verify == Some(false), plain: false };
    };
    let plain = folder.is_none() && docker.cert_dir.is_none() && !docker.verify && verify.is_none();
    // As Docker has it: certificates without the wish to verify are for showing only.
    let insecure = match (verify, &folder) {
        (Some(verify), _) => !verify,
        (None, Some(_)) => false,
        (None, None) => docker.cert_dir.is_some() && !docker.verify,
    };
    Wish { host: docker.host, folder: folder.or(docker.cert_dir), insecure, plain }
}

/// The protocol and what follows it.
fn split(host: &str) -> Result<(&str, &str), DaemonError> {
    let split = host.split_once("://").filter(|(protocol, _)| !protocol.is_empty());
    split.ok_or_else(|| DaemonError::Host(host.to_owned()))
}

fn url(scheme: &str, address: &str, host: &str) -> Result<Url, DaemonError> {
    let url = Url::parse(&format!("{scheme}://{address}"));
    url.ok().filter(Url::has_host).ok_or_else(|| DaemonError::Host(host.to_owned()))
}

/// Reads `ca.pem`, and `cert.pem` with `key.pem`, as Docker calls them.
fn certificates(folder: &Path, insecure: bool, tls: &mut TlsOptions) -> Result<(), DaemonError> {
    tls.searched = vec![folder.to_owned()];
    if !insecure {
        let path = folder.join("ca.pem");
        let authorities = match fs_err::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => return Err(DaemonError::CaFile { path, source: error.into() }),
        };
        let marker = b"-----BEGIN CERTIFICATE-----";
        if !authorities.windows(marker.len()).any(|window| window == marker) {
            return Err(DaemonError::NoCertificate(path));
        }
        tls.extra_roots_pem.push(authorities);
    }
    let read = |name: &str| {
        fs_err::read(folder.join(name)).map_err(|error| DaemonError::KeyPair(error.into()))
    };
    let certificate_pem = read("cert.pem")?;
    let key_pem = Secret::from(String::from_utf8_lossy(&read("key.pem")?).into_owned());
    let name = folder.join("cert.pem").display().to_string();
    tls.client_pairs.push(ClientPair { name, certificate_pem, key_pem });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_addresses() {
        for (host, expected) in [
            ("unix:///run/x.sock", Some(("unix", "/run/x.sock"))),
            ("tcp://h:1/base", Some(("tcp", "h:1/base"))),
            ("h:1", None),
            ("://h", None),
            ("", None),
        ] {
            assert_eq!(split(host).ok(), expected, "{host}");
        }
        assert!(url("https", "", "tcp://").is_err());
        assert!(url("https", "a b", "tcp://a b").is_err());
        assert_eq!(url("https", "[::1]:2376", "x").unwrap().as_str(), "https://[::1]:2376/");
    }
}
