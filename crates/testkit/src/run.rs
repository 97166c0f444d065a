//! Runs of programs, and what they said, with what changes from run to run made the same.

use std::ffi::OsStr;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::home::Home;

/// What a program said and how it ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Run {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
}

/// Runs a program in a home, without standard input.
///
/// # Panics
/// If it cannot be started.
pub fn run<S: AsRef<OsStr>>(home: &Home, program: impl AsRef<Path>, arguments: &[S]) -> Run {
    run_with_input(home, program, arguments, b"")
}

/// Runs a program in a home, with these bytes as its standard input.
///
/// # Panics
/// If it cannot be started.
pub fn run_with_input<S: AsRef<OsStr>>(
    home: &Home,
    program: impl AsRef<Path>,
    arguments: &[S],
    input: &[u8],
) -> Run {
    let program = program.as_ref();
    let mut child = home
        .command(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("starting {}: {error}", program.display()));
    let stdin = child.stdin.take();
    let input = input.to_vec();
    // The program may write before it reads.
    let writer = std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    let output = child.wait_with_output().expect("a child of our own");
    let _ = writer.join();
    Run {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code(),
    }
}

/// Returns the installed original, if there is one.
#[must_use]
pub fn original() -> Option<PathBuf> {
    installed("skopeo")
}

/// The programs that the test command installs, each with its Debian package.
const PEERS: &str = include_str!("../../../xtask/peers.txt");

/// Returns a program where distributions install programs.
///
/// # Panics
/// If the test command does not install it: its test would be skipped where nobody looks.
#[must_use]
#[track_caller]
pub fn installed(name: &str) -> Option<PathBuf> {
    let is_peer = PEERS.lines().any(|line| line.split(' ').next() == Some(name));
    assert!(is_peer, "{name} is not in xtask/peers.txt");
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// Ends a test that cannot run here, loudly; in CI (`CI` is set) that is a failure.
#[macro_export]
macro_rules! skip {
    ($($why:tt)*) => {{
        let why = ::std::format!($($why)*);
        ::std::assert!(!$crate::run::in_ci(), "in CI no test may be skipped: {why}");
        ::std::eprintln!("SKIPPED: {why}");
        return;
    }};
}

/// Ends a test that this machine does not allow, whatever is installed on it: loudly, and in CI
/// too.
#[macro_export]
macro_rules! cannot {
    ($($why:tt)*) => {{
        ::std::eprintln!("SKIPPED: {}", ::std::format!($($why)*));
        return;
    }};
}

/// Returns the path of an example that cargo has built with the running test: a program that tests
/// start.
///
/// # Panics
/// If it was not built: `cargo test` builds examples unless single targets are asked for.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the path of the test");
    let folder = own.parent().and_then(Path::parent).expect("a folder of cargo");
    let program = folder.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} was not built: run `cargo build --examples`", program.display());
    program
}

/// Returns whether skipping is a failure.
#[must_use]
pub fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

impl Run {
    /// Returns the run, if it ended well.
    ///
    /// # Panics
    /// With all that it said, if it did not.
    #[track_caller]
    pub fn success(self) -> Self {
        assert!(self.code == Some(0), "{self}");
        self
    }

    /// Returns the run, if it ended with this code.
    ///
    /// # Panics
    /// With all that it said, if it did not.
    #[track_caller]
    pub fn failure(self, code: i32) -> Self {
        assert!(self.code == Some(code), "wanted exit code {code}\n{self}");
        self
    }

    /// Returns its standard output as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }

    /// Returns the same with everything that changes from run to run replaced: the home's paths,
    /// ports of loopback, digests (numbered in order of appearance), times and durations.
    #[must_use]
    pub fn normalised(&self, home: &Home) -> Self {
        let mut digests = Vec::new();
        let mut clean = |text: &str| {
            let text = text.replace(&home.path("").display().to_string(), "[HOME]/");
            normalise(&text, &mut digests)
        };
        Self { stdout: clean(&self.stdout), stderr: clean(&self.stderr), code: self.code }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => writeln!(f, "exit code: {code}")?,
            None => writeln!(f, "ended by a signal")?,
        }
        write!(f, "----- stdout -----\n{}----- stderr -----\n{}", self.stdout, self.stderr)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Replaces ports, digests, times and durations.
#[must_use]
pub fn normalise(text: &str, digests: &mut Vec<String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let at_word = !result.ends_with(|c: char| c.is_ascii_alphanumeric());
        let hex = rest.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).count();
        if at_word && (hex == 64 || hex == 128) {
            let digest = &rest[..hex];
            let known = digests.iter().position(|known| known == digest);
            let number = known.unwrap_or_else(|| {
                digests.push(digest.to_owned());
                digests.len() - 1
            });
            result += &format!("[DIGEST {}]", number + 1);
            rest = &rest[hex..];
        } else if let Some((length, replacement)) = at_word.then(|| changing(rest)).flatten() {
            result += &replacement;
            rest = &rest[length..];
        } else {
            let next = rest.chars().next().map_or(1, char::len_utf8);
            result += &rest[..next];
            rest = &rest[next..];
        }
    }
    result
}

/// A port or a time at the begin of `text`: its length, and what stands for it.
fn changing(text: &str) -> Option<(usize, String)> {
    for host in ["127.0.0.1:", "localhost:", "[::1]:"] {
        if let Some(rest) = text.strip_prefix(host) {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let port = (digits > 0).then(|| (host.len() + digits, format!("{host}[PORT]")));
            return port;
        }
    }
    // 2024-01-02T03:04:05.678+00:00
    let pattern = "dddd-dd-ddTdd:dd:dd";
    let fits = |(c, p): (char, char)| if p == 'd' { c.is_ascii_digit() } else { c == p };
    if text.len() >= pattern.len() && text.chars().zip(pattern.chars()).all(fits) {
        let tail = &text[pattern.len()..];
        let fraction = tail.bytes().take_while(|b| *b == b'.' || b.is_ascii_digit()).count();
        let zone = &tail[fraction..];
        let zone = match zone.bytes().next() {
            Some(b'Z') => 1,
            Some(b'+' | b'-') if zone.len() >= 6 => 6,
            _ => 0,
        };
        return Some((pattern.len() + fraction + zone, "[TIME]".to_owned()));
    }
    // 1.23s, 45ms, 6.7µs: only with a fraction or a short unit, lest words be taken for times.
    let number = text.bytes().take_while(|b| *b == b'.' || b.is_ascii_digit()).count();
    let unit = ["ms", "µs", "ns", "s"].iter().find(|unit| text[number..].starts_with(**unit))?;
    let end = number + unit.len();
    let whole = !text[end..].starts_with(|c: char| c.is_ascii_alphanumeric());
    let is_time = number > 0 && whole && (text[..number].contains('.') || unit.len() > 1);
    is_time.then(|| (end, "[DURATION]".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_replaced() {
        let (a, b) = ("a".repeat(64), "0".repeat(64));
        for (text, expected) in [
            ("nothing to do", "nothing to do"),
            ("docker://127.0.0.1:43117/a:v1", "docker://127.0.0.1:[PORT]/a:v1"),
            ("localhost:5000", "localhost:[PORT]"),
            (
                &format!("sha256:{a} sha256:{b} {a}"),
                "sha256:[DIGEST 1] sha256:[DIGEST 2] [DIGEST 1]",
            ),
            ("at 2024-01-02T03:04:05Z.", "at [TIME]."),
            ("time=\"2024-01-02T03:04:05+02:00\"", "time=\"[TIME]\""),
            ("2024-01-02T03:04:05.123456789Z", "[TIME]"),
            ("took 1.5s, 20ms", "took [DURATION], [DURATION]"),
            ("5s s390x v1.2 10 layers", "5s s390x v1.2 10 layers"),
            ("ähm µ", "ähm µ"),
        ] {
            assert_eq!(normalise(text, &mut Vec::new()), expected);
        }
    }

    #[test]
    fn homes_are_hermetic() {
        let home = Home::new().variable("X", "y");
        let seen = run(&home, "/usr/bin/env", &[] as &[&str]).success().stdout;
        assert!(
            seen.contains("X=y\n")
                && seen.contains(&format!("HOME={}", home.work("").replace("work/", "home")))
        );
        assert!(!seen.contains("CARGO"), "{seen}");
        let echoed = run_with_input(&home, "/bin/cat", &["-"], b"input").success();
        assert_eq!(echoed.stdout, "input");
    }
}
