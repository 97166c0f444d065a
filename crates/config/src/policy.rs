//! Where policy.json lies. What it says is for `trust` to judge.

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

/// Reads the file given by `--policy`, else by `CONTAINERS_POLICY_JSON`, else the first that
/// exists.
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
        if let Some(bytes) = paths::read_if_there(path)? {
            return Ok(PolicyFile { path: path.clone(), bytes });
        }
    }
    Err(Error::NoPolicy(candidates.into()))
}

#[cfg(test)]
mod tests {
    use crate::testing::Machine;

    #[test]
    fn the_first_that_exists_counts() {
        let machine = || {
            Machine::new()
                .file("usr/share/containers/policy.json", "usr")
                .file("etc/containers/policy.json", "etc")
                .file("xdg/containers/policy.json", "xdg")
                .file("named.json", "named")
                .file("flag.json", "flag")
        };
        let usr = Machine::new().file("usr/share/containers/policy.json", "usr");
        let user = machine().file("home/.config/containers/policy.json", "user");
        let named = machine().var_path("CONTAINERS_POLICY_JSON", "named.json");
        let mut flag = machine().var_path("CONTAINERS_POLICY_JSON", "named.json");
        flag.overrides.policy = Some(flag.path("flag.json"));
        for (machine, expected) in [
            (usr, "usr"),
            (machine(), "etc"),
            (user, "user"),
            (machine().var_path("XDG_CONFIG_HOME", "xdg"), "xdg"),
            (named, "named"),
            (flag, "flag"),
        ] {
            assert_eq!(machine.config().policy().unwrap().bytes, expected.as_bytes());
        }
    }

    #[test]
    fn without_a_policy_there_is_an_error() {
        for (machine, expected) in [
            (
                Machine::new(),
                "config file not found: no policy.json file found; searched paths: \
                 [\"/home/.config/containers/policy.json\" \"/etc/containers/policy.json\" \
                 \"/usr/share/containers/policy.json\"]",
            ),
            (
                Machine::new()
                    .var_path("CONTAINERS_POLICY_JSON", "none.json")
                    .file("etc/containers/policy.json", "etc"),
                "open /none.json: no such file or directory",
            ),
            (
                Machine::new().file("etc/containers/policy.json/folder", ""),
                "open /etc/containers/policy.json: is a directory",
            ),
        ] {
            let error = machine.config().policy().unwrap_err();
            assert_eq!(machine.plain(&error), expected);
        }
    }
}
