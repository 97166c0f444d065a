//! certs.d: which certificates a registry host is met with.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use skopeo_image::Secret;
use tracing::{debug, warn};

use crate::{Config, Error, paths};

/// What a folder of certificates holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertDir {
    /// The contents of `*.crt`: certificates that are trusted besides the system's.
    pub roots_pem: Vec<Vec<u8>>,
    /// `*.cert` with its `*.key`: what the registry is shown when it asks for a certificate.
    pub client_pairs: Vec<ClientPair>,
    /// The folders of this host that people put certificates into, for hints in errors; more are
    /// looked for.
    pub usual: Vec<PathBuf>,
}

/// A client certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPair {
    /// The file of the certificate, for errors.
    pub path: PathBuf,
    /// The certificate chain, PEM.
    pub certificate_pem: Vec<u8>,
    /// The private key, PEM.
    pub key_pem: Secret,
}

/// Reads the certificates for `host` (with its port, as in references; `docker.io` as it is).
///
/// An explicit folder (`--cert-dir`) is read as it is; else the first that has a folder for the
/// host of the user's `certs.d`, the administrator's folders (for this user or root, then for all),
/// the vendor's, and `/etc/docker/certs.d`.
///
/// # Errors
///
/// A certificate without key or a key without certificate, or a file that cannot be read. A folder
/// that is missing or may not be listed is passed over.
pub fn load(config: &Config, explicit: Option<&Path>, host: &str) -> Result<CertDir, Error> {
    if let Some(folder) = explicit {
        if !folder.is_dir() {
            warn!("there are no certificates in {}: it is not a folder", folder.display());
        }
        return read_folder(folder, vec![folder.to_owned()]);
    }
    // Hosts may come from a manifest's URLs. A folder above is nobody's.
    if matches!(host, "" | "." | "..") || host.contains(['/', '\\', '\0']) {
        return Ok(CertDir::default());
    }
    let environment = config.environment();
    let folders = paths::drop_in_folders(environment, "certs", "").into_iter().rev();
    let docker = environment.system("/etc/docker/certs.d");
    let searched: Vec<PathBuf> = folders.chain([docker.clone()]).map(|it| it.join(host)).collect();
    let users = paths::user_config(environment).join("certs.d");
    let administrators = environment.system("/etc/containers/certs.d");
    let usual = [users, administrators, docker].map(|it| it.join(host)).to_vec();
    for folder in &searched {
        match fs_err::metadata(folder) {
            Ok(_) => return read_folder(folder, usual),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                debug!("passing over {}: {error}", folder.display());
            }
            Err(error) => return Err(Error::file("stat", folder, error)),
        }
    }
    Ok(CertDir { usual, ..CertDir::default() })
}

fn read_folder(folder: &Path, usual: Vec<PathBuf>) -> Result<CertDir, Error> {
    let mut found = CertDir { usual, ..CertDir::default() };
    for name in &names(folder)? {
        let path = folder.join(name);
        if name.ends_with(".crt") {
            found.roots_pem.extend(paths::read_if_there(&path)?);
        } else if let Some(base) = name.strip_suffix(".cert") {
            let key = format!("{base}.key");
            let key_path = folder.join(&key);
            if !key_path.exists() {
                return Err(Error::Invalid(format!(
                    "missing key {key} for client certificate {name}. Note that CA certificates \
                     should use the extension .crt"
                )));
            }
            let key_pem = String::from_utf8(paths::read(&key_path)?).map_err(|_| {
                Error::Invalid(format!("the key {} is not in PEM format", key_path.display()))
            })?;
            found.client_pairs.push(ClientPair {
                certificate_pem: paths::read(&path)?,
                key_pem: key_pem.into(),
                path,
            });
        } else if let Some(base) = name.strip_suffix(".key") {
            let certificate = format!("{base}.cert");
            if !folder.join(&certificate).exists() {
                return Err(Error::Invalid(format!(
                    "missing client certificate {certificate} for key {name}"
                )));
            }
        }
    }
    Ok(found)
}

/// The names in a folder, sorted. Names that are no UTF-8 have no meaning here.
fn names(folder: &Path) -> Result<BTreeSet<String>, Error> {
    let entries = match fs_err::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            debug!("passing over {}: {error}", folder.display());
            return Ok(BTreeSet::new());
        }
        Err(error) => return Err(Error::file("open", folder, error)),
    };
    entries
        .map(|entry| entry.map_err(|error| Error::file("read", folder, error)))
        .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Machine;

    /// The files found, by what is in them.
    fn found(machine: &Machine, explicit: Option<&str>, host: &str) -> String {
        let explicit = explicit.map(|folder| machine.path(folder));
        match load(&machine.config(), explicit.as_deref(), host) {
            Ok(found) => {
                let roots = found.roots_pem.iter().map(|pem| String::from_utf8_lossy(pem).into());
                let pairs = found.client_pairs.iter().map(|pair| {
                    let certificate = String::from_utf8_lossy(&pair.certificate_pem);
                    format!("{certificate}+{}", pair.key_pem.reveal())
                });
                roots.chain(pairs).collect::<Vec<_>>().join(" ")
            }
            Err(error) => machine.plain(&error),
        }
    }

    #[test]
    fn the_first_folder_that_exists_counts() {
        let user = [
            "home/.config/containers/certs.d/h:5000/ca.crt",
            "etc/containers/certs.rootless.d/1000/h:5000/ca.crt",
            "etc/containers/certs.rootless.d/h:5000/ca.crt",
            "etc/containers/certs.d/h:5000/ca.crt",
            "usr/share/containers/certs.rootless.d/1000/h:5000/ca.crt",
            "usr/share/containers/certs.rootless.d/h:5000/ca.crt",
            "usr/share/containers/certs.d/h:5000/ca.crt",
            "etc/docker/certs.d/h:5000/ca.crt",
        ];
        let root = [
            "home/.config/containers/certs.d/h:5000/ca.crt",
            "etc/containers/certs.rootful.d/h:5000/ca.crt",
            "etc/containers/certs.d/h:5000/ca.crt",
            "usr/share/containers/certs.rootful.d/h:5000/ca.crt",
            "usr/share/containers/certs.d/h:5000/ca.crt",
            "etc/docker/certs.d/h:5000/ca.crt",
        ];
        let of_root: fn() -> Machine = || Machine::new().rootful();
        for (places, new) in [(&user[..], Machine::new as fn() -> Machine), (&root[..], of_root)] {
            for skipped in 0..=places.len() {
                let machine = places[skipped..]
                    .iter()
                    .fold(new(), |machine, place| machine.file(place, place));
                let expected = places.get(skipped).copied().unwrap_or_default();
                assert_eq!(found(&machine, None, "h:5000"), expected);
                assert_eq!(found(&machine, None, "h"), "");
                assert_eq!(found(&machine, Some("other"), "h:5000"), "");
            }
            let usual = load(&new().config(), None, "h").unwrap().usual;
            assert_eq!(usual.len(), 3);
            assert!(usual.iter().all(|it| it.ends_with("certs.d/h")), "{usual:?}");
        }
        // The other one's are not read.
        let machine = Machine::new().file(root[1], "root's");
        assert_eq!(found(&machine, None, "h:5000"), "");
        let machine = Machine::new().rootful().file(user[1], "user's");
        assert_eq!(found(&machine, None, "h:5000"), "");
        let machine = Machine::new().var_path("XDG_CONFIG_HOME", "xdg");
        let machine = machine.file("xdg/containers/certs.d/h:5000/ca.crt", "moved");
        assert_eq!(found(&machine, None, "h:5000"), "moved");
        // An empty folder hides the next ones.
        let machine = Machine::new().file(user[1], "x");
        fs_err::create_dir_all(machine.path("home/.config/containers/certs.d/h:5000")).unwrap();
        assert_eq!(found(&machine, None, "h:5000"), "");
    }

    #[test]
    fn a_host_is_no_way_out() {
        let machine = Machine::new()
            .file("etc/docker/a.crt", "above")
            .file("etc/docker/certs.d/a.crt", "all")
            .file("etc/docker/certs.d/h/x/a.crt", "below");
        for host in ["", ".", "..", "../certs.d", "h/x", "/etc/docker"] {
            assert_eq!(found(&machine, None, host), "", "{host:?}");
        }
        let machine = machine.file("etc/docker/certs.d/[::1]:5000/a.crt", "v6");
        assert_eq!(found(&machine, None, "[::1]:5000"), "v6");
    }

    #[test]
    fn what_the_names_mean() {
        for (files, expected) in [
            (vec!["b.crt", "a.crt"], "a.crt b.crt"),
            (vec!["c.cert", "c.key", "a.crt"], "a.crt c.cert+c.key"),
            (vec!["a.pem", "key", "cert", "crt"], ""),
            (
                vec!["c.cert"],
                "missing key c.key for client certificate c.cert. Note that CA certificates \
                 should use the extension .crt",
            ),
            (vec!["c.key"], "missing client certificate c.cert for key c.key"),
        ] {
            let machine = files
                .iter()
                .fold(Machine::new(), |machine, file| machine.file(&format!("certs/{file}"), file));
            assert_eq!(found(&machine, Some("certs"), "h"), expected, "{files:?}");
        }
        let machine = Machine::new().file("certs/a.crt/folder", "");
        assert_eq!(found(&machine, Some("certs"), "h"), "open /certs/a.crt: is a directory");
    }
}
