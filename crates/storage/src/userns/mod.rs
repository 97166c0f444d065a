//! A user without the rights of root gets them over the own store: in a user namespace, where the
//! user is root, and other ids are those that `/etc/subuid` and `/etc/subgid` set aside.
//!
//! The namespace is made by this process, while it has one thread only. Then a shell that was
//! started before, and is outside, runs the two programs that may write maps (`newgidmap`,
//! `newuidmap`), and the process starts its program again: it stays the same process, so that
//! signals and the exit code need nobody in between.

mod error;
mod ranges;

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use tracing::{debug, warn};

pub use error::{Error, Obstacle};

/// What a root may do that unpacks layers: chown, chmod and write where others may not, keep
/// set-uid bits, make devices, set capabilities of files. By their numbers in the kernel's mask.
const RIGHTS: u64 = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 27 | 1 << 31;

/// The exit codes by which the shell says how far it came.
const NO_GROUPS: i32 = 71;
const NO_USERS: i32 = 72;

/// Waits for a line, so that there is a namespace, and writes its maps. The groups come first, as
/// they can be written as long as there are no users.
const SCRIPT: &str = "read -r go || exit 1\n\
    newgidmap $1 $2 || exit 71\n\
    newuidmap $1 $3 || exit 72\n";

/// Who we are outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// The number of the user.
    pub uid: u32,
    /// The number of the group.
    pub gid: u32,
    /// The login name, where `/etc/passwd` does not tell.
    pub login: Option<String>,
}

/// Returns whether this process lacks rights that it needs to unpack layers.
#[must_use]
pub fn is_needed() -> bool {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    lacks_rights(&status)
}

fn lacks_rights(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & RIGHTS != RIGHTS)
}

/// Makes a namespace in which the user is root, and starts `inside` there in place of this program.
/// Comes back only if that did not work. This process must have one thread.
pub fn enter(outside: &Outside, inside: &mut Command) -> Error {
    match make(outside) {
        Ok(()) => Error::Start(inside.exec()),
        Err(error) => error,
    }
}

fn make(outside: &Outside) -> Result<(), Error> {
    let Outside { uid, gid, login } = outside;
    let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
    let passwd = read("/etc/passwd");
    let number = uid.to_string();
    let login = ranges::login(&passwd, *uid).or(login.as_deref()).unwrap_or(&number);
    let elsewhere = ranges::is_elsewhere(&read("/etc/nsswitch.conf"));
    // Groups, too, are looked up by the name of the user.
    let [users, groups] =
        [("UID", "subuid", &[][..]), ("GID", "subgid", &["-g"])].map(|(kind, file, options)| {
            let mut found = Vec::new();
            if !elsewhere {
                found = ranges::of_user(&read(&format!("/etc/{file}")), login, *uid);
            }
            if found.is_empty() {
                found = answered(options, login);
            }
            if found.is_empty() {
                warn!("Found no {kind} ranges set aside for user {login:?} in /etc/{file}.");
            }
            found
        });
    let (users, groups) = (ranges::map(*uid, &users), ranges::map(*gid, &groups));
    let helper = Helper::start(&users, &groups);
    let root = Path::new("/");
    unshare(CloneFlags::CLONE_NEWUSER)
        .map_err(|error| Error::Unshare { obstacle: Obstacle::find(root), source: error.into() })?;
    let failed = match helper.and_then(Helper::finish) {
        Ok(()) => {
            debug!("user namespace with users {users:?} and groups {groups:?}");
            return Ok(());
        }
        Err(failed) => failed,
    };
    warn!("{failed}; only files of your own user and group can be stored");
    // What needs no helper: who gives up the groups may write a map of the one id that is his.
    let write = |file: &str, text: String| {
        let path = format!("/proc/self/{file}");
        fs_err::write(&path, text).map_err(|source| Error::Map {
            file: path,
            obstacle: Obstacle::find(root),
            source,
        })
    };
    if !is_mapped("gid_map") {
        write("setgroups", "deny".to_owned())?;
        write("gid_map", format!("0 {gid} 1\n"))?;
    }
    write("uid_map", format!("0 {uid} 1\n"))
}

/// Asks the one program that knows all sources of ranges (NSS), such as directories in the network.
/// It is not installed everywhere, and does not have to be.
fn answered(options: &[&str], login: &str) -> Vec<ranges::Range> {
    let mut command = Command::new("getsubids");
    command.args(options).arg(login).stdin(Stdio::null());
    match command.output() {
        Ok(said) if said.status.success() => {
            ranges::of_answer(&String::from_utf8_lossy(&said.stdout))
        }
        Ok(said) => {
            debug!("getsubids: {}", String::from_utf8_lossy(&said.stderr).trim());
            Vec::new()
        }
        Err(error) => {
            debug!("starting getsubids: {error}");
            Vec::new()
        }
    }
}

fn is_mapped(file: &str) -> bool {
    fs_err::read(format!("/proc/self/{file}")).is_ok_and(|map| !map.is_empty())
}

/// What is outside, and writes the maps.
struct Helper(Child);

impl Helper {
    fn start(users: &[String], groups: &[String]) -> Result<Self, String> {
        // Words of digits only: the shell is to split them.
        let script = SCRIPT.replace("$2", &groups.join(" ")).replace("$3", &users.join(" "));
        let started = Command::new("sh")
            .args(["-c", &script, "sh", &std::process::id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        started.map(Self).map_err(|error| format!("starting newgidmap and newuidmap: {error}"))
    }

    /// Has the maps written, now that there is a namespace.
    fn finish(self) -> Result<(), String> {
        let Self(mut child) = self;
        let failed = |error: io::Error| format!("running newgidmap and newuidmap: {error}");
        if let Some(mut input) = child.stdin.take() {
            input.write_all(b"go\n").map_err(failed)?;
        }
        let mut said = String::new();
        if let Some(mut output) = child.stderr.take() {
            output.read_to_string(&mut said).map_err(failed)?;
        }
        let status = child.wait().map_err(failed)?;
        let program = match status.code() {
            Some(0) => return Ok(()),
            Some(NO_GROUPS) => "newgidmap",
            Some(NO_USERS) => "newuidmap",
            _ => "newgidmap and newuidmap",
        };
        let package = if said.contains("not found") {
            " (it is in the package uidmap or shadow-utils)"
        } else {
            ""
        };
        Err(format!("running {program}{package}: {}", said.trim().replace('\n', ": ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_counted() {
        let status = |mask: &str| format!("Name:\tx\nCapInh:\t0\nCapEff:\t{mask}\n");
        assert!(!lacks_rights(&status("000001ffffffffff")));
        assert!(lacks_rights(&status("0000000000000000")));
        // What Docker leaves a container's root is enough, though it may not mount.
        assert!(!lacks_rights(&status("00000000a80425fb")));
        // Without the right to make devices.
        assert!(lacks_rights(&status("00000000a00425fb")));
        assert!(!lacks_rights("nothing"));
    }

    #[test]
    fn the_script_gets_digits_only() {
        let range = ranges::Range { start: 100_000, count: 65_536 };
        for word in ranges::map(1000, &[range]) {
            assert!(word.bytes().all(|byte| byte.is_ascii_digit()), "{word}");
        }
    }
}
