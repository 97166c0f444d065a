//! The whole tree of `--help`, as one golden file: nothing users see changes unnoticed.

use crate::program;

/// Compares with the file, or writes it when `SKOPEO_BLESS` is set.
pub(crate) fn golden(path: &std::path::Path, text: &str) {
    if std::env::var_os("SKOPEO_BLESS").is_some() {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
        return;
    }
    let golden = fs_err::read_to_string(path).unwrap_or_default();
    let at = golden.lines().zip(text.lines()).position(|(old, new)| old != new);
    assert!(
        golden == text,
        "{} is stale (first difference in line {:?}): if the change is meant, run `cargo xtask man`",
        path.display(),
        at.map(|at| at + 1)
    );
}

#[test]
fn help_is_as_agreed_man_too() {
    let mut text = String::new();
    let mut paths = vec![vec![]];
    while let Some(path) = paths.pop() {
        let mut words = path.clone();
        words.push("--help".to_owned());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = program::run(&words);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{words:?}");
        text.push_str(&format!("$ skopeo {}\n{}\n", words.join(" "), output.stdout));
        let listed = output.stdout.split_once("Available Commands:\n").map_or("", |(_, rest)| rest);
        let names = listed.lines().take_while(|line| !line.is_empty());
        let mut names: Vec<_> =
            names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
        if path.is_empty() {
            names.extend(["completion", "experimental-image-proxy"].map(str::to_owned));
        }
        for name in names.into_iter().rev() {
            let mut below = path.clone();
            below.push(name);
            paths.push(below);
        }
    }
    golden(&program::root().join("crates/cli/tests/surface.txt"), &text);
}

#[test]
fn help_can_be_asked_for_in_several_ways() {
    let copy = program::run(&["copy", "--help"]);
    for words in [&["help", "copy"][..], &["copy", "-h"], &["copy", "a", "--all", "--help", "b"]] {
        assert_eq!(program::run(words), copy, "{words:?}");
    }
    let root = program::run(&["--help"]);
    for words in [&["help"][..], &["-h"], &["--help", "copy"]] {
        assert_eq!(program::run(words), root, "{words:?}");
    }
    let unknown = program::run(&["help", "nonsense"]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (0, ""));
    assert!(unknown.stderr.starts_with("Unknown help topic [`nonsense`]\nUsage:\n"));
}

#[test]
fn the_default_of_authfile_comes_from_the_environment() {
    let mut command = program::skopeo(&["inspect", "--help"]);
    let output = program::output(command.env("REGISTRY_AUTH_FILE", "/x/auth.json"));
    assert!(output.stdout.contains("(default \"/x/auth.json\")"), "{}", output.stdout);
}

/// Scripts take the third word, or the numbers behind "skopeo version", and ask for 1.6 or later.
#[test]
fn version_is_one_line_in_the_form_of_the_original() {
    for words in [["--version"], ["-v"]] {
        let output = program::run(&words);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""));
        let own = env!("CARGO_PKG_VERSION");
        assert_eq!(output.stdout, format!("skopeo version 1.24.0 (skopeo-rs {own})\n"));
        let third = output.stdout.split(' ').nth(2).unwrap();
        let numbers: Vec<u32> = third.split('.').map(|number| number.parse().unwrap()).collect();
        assert!(numbers.len() == 3 && numbers >= vec![1, 6, 0], "{third}");
    }
}
