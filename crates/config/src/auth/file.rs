//! auth.json, Docker's config.json and the older ~/.dockercfg: one format with three dresses.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::{DecodeError, Engine as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use skopeo_image::{Secret, go_json};
use tracing::{debug, warn};

use super::{Stored, fields};
use crate::{Error, links, paths};

/// A credential file and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CredentialFile {
    pub(super) path: PathBuf,
    pub(super) dress: Dress,
}

/// How a credential file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dress {
    /// auth.json, and config.json where it is only read.
    Auth,
    /// config.json that is to be written so that Docker can go on with it.
    Docker,
    /// ~/.dockercfg: the entries are the whole file, and their keys are URLs. Never written.
    Legacy,
}

/// What a credential file holds.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Contents {
    /// Credentials by host, namespace or repository.
    pub(super) auths: BTreeMap<String, Entry>,
    /// Credential helpers by host.
    pub(super) helpers: BTreeMap<String, String>,
    /// The whole file, so that what is not understood here is kept.
    root: Map<String, Value>,
}

/// One value of `auths`.
#[derive(Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(expecting = "an object with the credentials of a registry")]
pub(super) struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "identityToken")]
    identitytoken: Option<String>,
    /// Fields that are not understood here and kept as long as the entry is.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What is in it stays in it.
impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (auths, helpers) = (self.auths.keys(), &self.helpers);
        write!(f, "Contents({:?}, {helpers:?})", auths.collect::<Vec<_>>())
    }
}

impl Entry {
    /// An entry for a user name and a password.
    pub(super) fn new(username: &str, password: &Secret) -> Self {
        let pair = format!("{username}:{}", password.reveal());
        let auth = base64::engine::general_purpose::STANDARD.encode(pair);
        Self { auth: Some(auth), ..Self::default() }
    }

    /// What stands in it unencoded, as it is written by hand. Docker and Kubernetes use that, too.
    fn in_the_open(&self) -> Option<Stored> {
        let text = |key: &str| self.rest.get(key).and_then(Value::as_str);
        let username = text("username").filter(|username| !username.is_empty())?;
        let password = text("password")?;
        Some(Stored::Basic { username: username.to_owned(), password: password.into() })
    }
}

impl CredentialFile {
    /// What the file holds; nothing if it does not exist.
    pub(super) fn read(&self) -> Result<Contents, Error> {
        let contents = paths::read_if_there(&self.path)
            .and_then(|bytes| bytes.map_or_else(|| Ok(Contents::default()), |it| self.parse(&it)));
        contents.map_err(|error| error.during(format!("reading JSON file {:?}", self.path)))
    }

    fn parse(&self, bytes: &[u8]) -> Result<Contents, Error> {
        let failed = |source: serde_json::Error| Error::Json {
            path: self.path.clone(),
            source: source.into(),
        };
        if self.dress == Dress::Legacy {
            let mut auths: Value = go_json::from_slice(bytes).map_err(failed)?;
            fields::name_of_entries(&mut auths);
            let auths: BTreeMap<String, Option<Entry>> =
                serde_json::from_value(auths).map_err(failed)?;
            return Ok(Contents { auths: present(auths), ..Contents::default() });
        }
        let mut root = fields::root(bytes).map_err(failed)?;
        wrap_bare_entries(&mut root);
        let part = |key: &str| root.get(key).cloned().unwrap_or(Value::Null);
        let auths: Option<BTreeMap<String, Option<Entry>>> =
            serde_json::from_value(part("auths")).map_err(failed)?;
        let helpers: Option<BTreeMap<String, Option<String>>> =
            serde_json::from_value(part("credHelpers")).map_err(failed)?;
        Ok(Contents {
            auths: present(auths.unwrap_or_default()),
            helpers: present(helpers.unwrap_or_default()),
            root,
        })
    }

    /// Changes the file: the old one or the new one is there at any moment, whole, for its owner
    /// only. Changes that are made at the same time are made one after the other.
    pub(super) fn edit<T>(&self, change: impl FnOnce(&mut Contents) -> T) -> Result<T, Error> {
        if self.dress == Dress::Legacy {
            let path = self.path.display();
            let text = format!("writes to {path} using legacy format are not supported");
            return Err(Error::Invalid(text));
        }
        let writing = |error: Error| error.during(format!("writing to file {:?}", self.path));
        // A link is followed, so that it stays one.
        let target = links::target(&self.path).map_err(writing)?;
        let _lock = lock(folder_of(&self.path));
        let mut contents = self.read()?;
        let result = change(&mut contents);
        let bytes = contents.encode(self.dress);
        replace(&target, &bytes).map_err(writing)?;
        Ok(result)
    }

    /// Makes the folder that the file is to lie in, for its owner only.
    pub(super) fn make_folder(&self) -> Result<(), Error> {
        let folder = &links::target(folder_of(&self.path))?;
        skopeo_system::make_private_folder(folder)
            .map_err(|error| Error::file("mkdir", folder, error))
    }
}

impl Contents {
    /// Whether nothing at all is kept under `key`, not even an empty entry.
    pub(super) fn lacks(&self, key: &str) -> bool {
        !self.auths.contains_key(key)
    }

    /// Docker's helper for every host that has no helper of its own.
    pub(super) fn store(&self) -> Option<&str> {
        self.root.get("credsStore").and_then(Value::as_str).filter(|name| !name.is_empty())
    }

    /// The credentials under exactly `key`, which is in `path`.
    pub(super) fn stored(&self, key: &str, path: &Path) -> Result<Stored, Error> {
        let Some(entry) = self.auths.get(key) else {
            return Ok(Stored::None);
        };
        let token = entry.identitytoken.as_deref().filter(|token| !token.is_empty());
        let text = entry.auth.as_deref().unwrap_or_default().replace(['\r', '\n'], "");
        let decoded = base64::engine::general_purpose::STANDARD.decode(text).map_err(|error| {
            let (path, reason) = (path.display(), base64_reason(error));
            Error::Invalid(format!("decoding the \"auth\" field of {key:?} in {path}: {reason}"))
        })?;
        // The text may hold a secret: it must not get into an error or a log.
        let pair = Secret::from(String::from_utf8_lossy(&decoded).into_owned());
        let split = pair.reveal().split_once(':');
        let username = split.map(|(username, _)| username.to_owned());
        if let Some(token) = token {
            return Ok(Stored::IdentityToken {
                username: username.unwrap_or_default(),
                token: token.into(),
            });
        }
        match (username, split) {
            (Some(username), Some((_, password))) => {
                let password = Secret::from(password.trim_matches('\0'));
                if username.is_empty() && password.is_empty() {
                    return Ok(Stored::None);
                }
                Ok(Stored::Basic { username, password })
            }
            _ if decoded.is_empty() => {
                if let Some(stored) = entry.in_the_open() {
                    warn!(
                        "the password for {key} is not encoded in {}; `skopeo login` writes it in the usual form",
                        path.display()
                    );
                    return Ok(stored);
                }
                debug!("the entry {key:?} in {} is empty", path.display());
                Ok(Stored::None)
            }
            _ => {
                warn!(
                    "Error parsing the \"auth\" field of a credential entry {key:?} in {path:?}, \
                     missing colon"
                );
                Ok(Stored::None)
            }
        }
    }

    /// The bytes of the file, as the original writes them, with what it would lose kept.
    fn encode(&self, dress: Dress) -> Vec<u8> {
        let auths: Map<String, Value> =
            self.auths.iter().map(|(key, entry)| (key.clone(), serde_json::json!(entry))).collect();
        let mut root = Map::new();
        match dress {
            Dress::Docker => {
                // Sorted; helpers stay as they were.
                let mut sorted: BTreeMap<_, _> = self.root.clone().into_iter().collect();
                sorted.insert("auths".to_owned(), auths.into());
                root.extend(sorted);
            }
            Dress::Auth | Dress::Legacy => {
                root.insert("auths".to_owned(), auths.into());
                if !self.helpers.is_empty() {
                    root.insert("credHelpers".to_owned(), serde_json::json!(self.helpers));
                }
                let known = |key: &str| matches!(key, "auths" | "credHelpers");
                root.extend(self.root.clone().into_iter().filter(|(key, _)| !known(key)));
            }
        }
        go_json::to_vec_indent(&root, "", "\t").expect("keys are texts and values were JSON before")
    }
}

/// Go's words for text that is no base64.
fn base64_reason(error: DecodeError) -> String {
    match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => {
            format!("illegal base64 data at input byte {at}")
        }
        error => format!("illegal base64 data: {error}"),
    }
}

/// Puts the entries of a file in the form of ~/.dockercfg, which Kubernetes keeps in secrets, where
/// those of the others are.
fn wrap_bare_entries(root: &mut Map<String, Value>) {
    if ["auths", "credHelpers", "credsStore"].iter().any(|key| root.contains_key(*key)) {
        return;
    }
    let is_entry = |value: &Value| {
        let has = |key: &str| value.get(key).is_some_and(Value::is_string);
        has("auth") || has("identitytoken") || has("username") && has("password")
    };
    let (entries, others): (Map<_, _>, Map<_, _>) =
        std::mem::take(root).into_iter().partition(|(_, value)| is_entry(value));
    *root = others;
    if !entries.is_empty() {
        root.insert("auths".to_owned(), entries.into());
    }
}

fn present<T: Default>(map: BTreeMap<String, Option<T>>) -> BTreeMap<String, T> {
    map.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Locks a folder until the result is dropped. Where that cannot be done, it is done without: the
/// original never locks.
fn lock(folder: &Path) -> Option<fs_err::File> {
    let folder = fs_err::File::open(folder).ok()?;
    folder.file().lock().ok()?;
    Some(folder)
}

/// Writes a file beside `target`, which is no link, and renames it.
fn replace(target: &Path, bytes: &[u8]) -> Result<(), Error> {
    use std::io::Write as _;
    let folder = folder_of(target);
    // Made with mode 0600.
    let mut file = tempfile::Builder::new()
        .prefix(".tmp-auth-")
        .tempfile_in(folder)
        .map_err(|error| Error::file("open", folder, error))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(|error| Error::file("write", file.path(), error))?;
    file.persist(target).map_err(|error| Error::file("rename", target, error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_do_not_print_secrets() {
        let file = CredentialFile { path: "x".into(), dress: Dress::Auth };
        let text = r#"{"auths":{"h.io":{"auth":"hush","identitytoken":"hush","x":"hush"}}}"#;
        let contents = file.parse(text.as_bytes()).unwrap();
        assert_eq!(format!("{contents:?}"), r#"Contents(["h.io"], {})"#);
    }
}
