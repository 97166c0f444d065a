//! Where policy.json lies. What it says is for `trust` to judge.

use std::io;
use std::path::{Path, PathBuf};

use crate::{Environment, Error, env, paths};

/// The trust policy, unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    /// Where it was found, for errors.
    pub path: PathBuf,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Reads the file given by `--policy`, else by `CONTAINERS_POLICY_JSON`, else the first that exists.
///
/// # Errors
///
/// There is none, or it cannot be read. There is no built-in policy to fall back on.
pub(crate) fn load(
    environment: &Environment,
    explicit: Option<&Path>,
) -> Result<PolicyFile, Error> {
    let named = explicit.map(Path::to_owned);
    if let Some(path) = named.or_else(|| environment.path(env::CONTAINERS_POLICY_JSON)) {
        let bytes = paths::read(&path)?;
        return Ok(PolicyFile { path, bytes });
    }
    let candidates = paths::candidates(environment, "policy.json");
    for path in &candidates {
        match fs_err::read(path) {
            Ok(bytes) => return Ok(PolicyFile { path: path.clone(), bytes }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::file("open", path, error)),
        }
    }
    Err(Error::NoPolicy(candidates.into()))
}
