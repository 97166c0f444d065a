//! The completion scripts, run in the shells that are here.

use std::path::Path;
use std::process::Command;

use skopeo_testkit::run::in_ci;

use crate::program::{output, run, skopeo};

fn installed(shell: &str) -> bool {
    let found = Command::new(shell).arg("--version").output().is_ok();
    if !found {
        assert!(!in_ci(), "in CI no test may be skipped: {shell} is not installed");
        eprintln!("SKIPPED: {shell} is not installed");
    }
    found
}

/// A folder with the program's folder first in PATH and the script in a file.
fn in_shell(shell: &str, arguments: &[&str], code: &str) -> Option<String> {
    if !installed(shell) {
        return None;
    }
    let tmp = tempfile::tempdir().unwrap();
    let script = run(&["completion", shell]);
    assert_eq!(script.code, 0);
    fs_err::write(tmp.path().join("script"), &script.stdout).unwrap();
    let code = code.replace("SCRIPT", tmp.path().join("script").to_str().unwrap());
    let bin = Path::new(env!("CARGO_BIN_EXE_skopeo")).parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(bin.to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let mut command = Command::new(shell);
    command.args(arguments).arg(code).current_dir(tmp.path());
    command.env("PATH", path.unwrap()).env("HOME", tmp.path());
    let output = output(&mut command);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{}", output.stdout);
    Some(output.stdout)
}

#[test]
fn answers_questions() {
    let output = run(&["__complete", "inspect", "--manifest-d"]);
    let (answer, directive) = output.stdout.split_once('\n').unwrap();
    assert!(answer.starts_with("--manifest-digest\t"), "{output:?}");
    assert_eq!(directive, ":4\n");
    let output = run(&["__completeNoDesc", "copy", "docker:"]);
    assert_eq!(output.stdout, "docker://\n:6\n");
}

#[test]
fn bash_completes() {
    let ask = |line: &str| {
        let code = format!(
            "source SCRIPT; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=(skopeo); \
             _skopeo; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        in_shell("bash", &["--norc", "-c"], &code)
    };
    for (line, answer) in [
        ("skopeo lo", "login\nlogout\n"),
        ("skopeo copy docker:", "//\n"),
        ("skopeo copy --multi-arch=in", "index-only\n"),
        ("skopeo inspect --no", "--no-creds\n--no-tags\n"),
        ("skopeo copy oci:scr", "script\n"), // a file beside it
    ] {
        let Some(given) = ask(line) else { return };
        assert_eq!(given, answer, "{line}");
    }
}

#[test]
fn fish_completes() {
    let Some(given) =
        in_shell("fish", &["--no-config", "-c"], "source SCRIPT; complete -C 'skopeo lo'")
    else {
        return;
    };
    let words: Vec<_> = given.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(words, ["login", "logout"]);
    let files = in_shell(
        "fish",
        &["--no-config", "-c"],
        "source SCRIPT; complete -C 'skopeo copy oci:scr'",
    );
    assert_eq!(files.unwrap(), "oci:script\n");
}

#[test]
fn zsh_accepts_the_script() {
    let code = "autoload -Uz compinit; compinit -u -d dump; source SCRIPT; print ${_comps[skopeo]}";
    let Some(given) = in_shell("zsh", &["-f", "-c"], code) else { return };
    assert_eq!(given, "_skopeo\n");
}

#[test]
fn every_shell_has_a_script() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = output(&mut skopeo(&["completion", shell, "--no-descriptions"]));
        assert!(script.stdout.contains("__completeNoDesc"), "{shell}");
    }
}
