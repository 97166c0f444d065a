//! Running the program in a home of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use skopeo_testkit::{Home, Run};

/// The folder of the whole project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// What a run gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The messages of the fatal lines on stderr, unquoted.
    pub(crate) fn fatal(&self) -> String {
        let line =
            self.stderr.lines().find(|line| line.contains(" level=fatal ")).unwrap_or_default();
        let message = line.split_once(" msg=").map_or("", |(_, message)| message);
        match message.strip_prefix('"') {
            Some(quoted) => serde_json::from_str(&format!("\"{quoted}")).unwrap(),
            None => message.to_owned(),
        }
    }
}

/// The program with an environment that knows nothing of this machine's user.
pub(crate) fn skopeo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skopeo"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("TZ", "UTC").env("HOME", "/nonexistent");
    command
}

/// Runs it to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    output(&mut skopeo(arguments))
}

pub(crate) fn output(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs it in a home of a test's own.
pub(crate) fn at_home(home: &Home, arguments: &[&str]) -> Run {
    skopeo_testkit::run(home, env!("CARGO_BIN_EXE_skopeo"), arguments)
}

/// The message of the fatal line of a run.
pub(crate) fn fatal(run: &Run) -> String {
    let Run { stdout, stderr, code } = run.clone();
    Output { code: code.unwrap_or(-1), stdout, stderr }.fatal()
}

/// Runs the same words by the installed original and by us, in homes of their own; nothing if there
/// is no original.
pub(crate) fn twins(arguments: &[&str]) -> Option<(Run, Run)> {
    let original = skopeo_testkit::run::original()?;
    let (first, second) = (Home::new(), Home::new());
    Some((skopeo_testkit::run(&first, original, arguments), at_home(&second, arguments)))
}
