//! Who may do what: everybody, or users of an htpasswd file.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fs_err as fs;
use http::header::{AUTHORIZATION, HeaderMap};
use skopeo_image::Digest;

use crate::Error;

/// A hash of no password, so that unknown users take as long as known ones.
const NOBODY: &str = "$2y$05$abcdefghijklmnopqrstuuN4vdbCWE2POUI1SH9s7pHfJJZyqdKgK";

/// Who may use the registry.
#[derive(Debug, Default)]
pub enum Access {
    /// Everybody.
    #[default]
    Anonymous,
    /// Whoever names a user and the password in HTTP's Basic scheme.
    Basic(Htpasswd),
}

/// Users and the bcrypt hashes of their passwords.
pub struct Htpasswd {
    users: HashMap<String, String>,
    /// Digests of credentials that were right once: bcrypt is slow on purpose, requests are many.
    proven: Mutex<HashSet<Digest>>,
}

impl Htpasswd {
    /// Reads a file as `htpasswd -B` writes it.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or has a line that is no user with a bcrypt hash.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::parse(&fs::read_to_string(path)?)
            .map_err(|line| Error::Htpasswd { path: path.display().to_string(), line })
    }

    /// Reads lines `user:hash`; empty ones and those that begin with `#` are skipped.
    ///
    /// # Errors
    ///
    /// The number of the first line that is neither, counted from 1.
    pub fn parse(text: &str) -> Result<Self, usize> {
        let mut users = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) = line.split_once(':').ok_or(number + 1)?;
            let is_bcrypt = ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|p| hash.starts_with(p));
            if user.is_empty() || !is_bcrypt || hash.len() != 60 {
                return Err(number + 1);
            }
            users.insert(user.to_owned(), hash.to_owned());
        }
        Ok(Self { users, proven: Mutex::default() })
    }

    /// Whether the password is the user's. Slow: not for the network's thread.
    fn verify(&self, credentials: &str) -> bool {
        let digest = Digest::sha256(credentials.as_bytes());
        let Some((user, password)) = credentials.split_once(':') else { return false };
        let lock = || self.proven.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if lock().contains(&digest) {
            return true;
        }
        let hash = self.users.get(user);
        let right = bcrypt::verify(password, hash.map_or(NOBODY, String::as_str)).unwrap_or(false);
        let right = right && hash.is_some();
        if right {
            lock().insert(digest);
        }
        right
    }
}

impl Access {
    /// Whether these headers let one in. Slow: not for the network's thread.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Anonymous => true,
            Self::Basic(users) => basic(headers).is_some_and(|found| users.verify(&found)),
        }
    }

    /// The challenge that goes with a 401.
    pub(crate) fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Anonymous => None,
            Self::Basic(_) => Some("Basic realm=\"skopeo\""),
        }
    }
}

fn basic(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(encoded.trim()))?;
    String::from_utf8(decoded.ok()?).ok()
}

impl std::fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Htpasswd").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_is_right() {
        let hash = bcrypt::hash("secret:with colon", 4).unwrap();
        let users = Htpasswd::parse(&format!("# users\n\nalice:{hash}\n")).unwrap();
        for (credentials, right) in [
            ("alice:secret:with colon", true),
            ("alice:secret:with colon", true), // from memory
            ("alice:wrong", false),
            ("alice:", false),
            ("alice", false),
            ("bob:secret:with colon", false),
            ("", false),
        ] {
            assert_eq!(users.verify(credentials), right, "{credentials}");
        }
    }

    #[test]
    fn other_hashes_are_refused_with_their_line() {
        for (text, line) in [
            ("alice:{SHA}x", 1),
            ("\n#\nalice", 3),
            (":$2y$05$", 1),
            ("alice:$apr1$abc$def", 1),
            ("alice:plain", 1),
        ] {
            assert_eq!(Htpasswd::parse(text).err(), Some(line), "{text}");
        }
    }
}
