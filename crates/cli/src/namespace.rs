//! The user namespace that a user without the rights of root reads and writes a store of podman in.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Result;
use rustix::process::{getegid, geteuid};
use skopeo_config::{Environment, env};
use skopeo_storage::userns::{self, Outside};
use skopeo_transport::find;

use crate::args::names;
use crate::args::value::Values;

/// What stands behind the name of a program that runs in a namespace, as of podman.
const INSIDE: &str = "-in-a-user-namespace";

/// Starts this program again in a user namespace, if the command names a store of podman and the
/// user lacks what that takes. Otherwise nothing is done. The process must have one thread.
///
/// # Errors
/// If that does not work.
pub(crate) fn enter_if_needed(path: &[&str], flags: &Values, arguments: &[String]) -> Result<()> {
    let uid = geteuid();
    if !names_store(path, flags, arguments) || uid.is_root() || !userns::is_needed() {
        return Ok(());
    }
    // Who has made one says so, and who must not: there is nothing more to be had.
    if Environment::of_process().has(env::CONTAINERS_USERNS_CONFIGURED) {
        return Ok(());
    }
    let (uid, gid) = (uid.as_raw(), getegid().as_raw());
    let login = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let mut words = std::env::args_os();
    let mut name = words.next().unwrap_or_default();
    name.push(INSIDE);
    let mut inside = Command::new("/proc/self/exe");
    inside
        .arg0(name)
        .args(words)
        .env(env::CONTAINERS_USERNS_CONFIGURED, "done")
        .env(env::CONTAINERS_ROOTLESS_UID, uid.to_string())
        .env("_CONTAINERS_ROOTLESS_GID", gid.to_string());
    Err(userns::enter(&Outside { uid, gid, login }, &mut inside).into())
}

/// Whether a command is about images of a store, as far as its words say. What clients of the image
/// proxy will ask for is not known here.
fn names_store(path: &[&str], flags: &Values, arguments: &[String]) -> bool {
    let wants_root =
        |transport: &str| find(transport).is_some_and(|transport| transport.wants_root);
    let is_name =
        |word: &String| word.split_once(':').is_some_and(|(transport, _)| wants_root(transport));
    match path {
        ["copy" | "delete" | "inspect" | "layers"] | ["policy", "check"] => {
            arguments.iter().any(is_name)
        }
        ["sync"] => {
            [names::SRC, names::DEST]
                .into_iter()
                .any(|flag| flags.text(flag).is_some_and(wants_root))
                || flags.texts(names::TO).iter().any(is_name)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_names_a_store_needs_a_namespace() {
        for (path, arguments, expected) in [
            (&["copy"][..], &["docker://x", "containers-storage:x"][..], true),
            (&["copy"], &["containers-storage:x", "oci:x"], true),
            (&["copy"], &["docker://containers-storage", "oci:containers-storage:x"], false),
            (&["inspect"], &["containers-storage:x"], true),
            (&["delete"], &["containers-storage:[/x]y"], true),
            (&["layers"], &["containers-storage"], false),
            (&["policy", "check"], &["containers-storage:x"], true),
            (&["list-tags"], &["containers-storage:x"], false),
            (&["help"], &["containers-storage:x"], false),
        ] {
            let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
            let found = names_store(path, &Values::default(), &arguments);
            assert_eq!(found, expected, "{path:?} {arguments:?}");
        }
    }
}
