use super::parse::{Invocation, Parsed, parse};
use super::*;
use crate::exit::ParseError;

fn run(line: &str) -> Result<Parsed, ParseError> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    parse(&tree(None), &words)
}

fn invocation(line: &str) -> Invocation {
    match run(line) {
        Ok(Parsed::Run(invocation)) => invocation,
        other => panic!("{line}: {other:?}"),
    }
}

/// Flags are sorted by their names: what one says is read without the others.
#[test]
fn explanations_stand_alone() {
    const REFERRING: [&str; 12] = [
        "the same",
        "that user",
        "that compression",
        "that certificate",
        "that file",
        "that flag",
        "these lines",
        "of these",
        "above",
        "below",
        "the former",
        "the latter",
    ];
    fn check(command: &Command) {
        for flag in &command.flags {
            for word in REFERRING {
                let says = flag.usage;
                assert!(!says.contains(word), "{} --{}: {says}", command.name, flag.name);
            }
        }
        command.commands.iter().for_each(check);
    }
    let root = tree(None);
    check(&root);
    assert!(root.persistent.iter().all(|flag| REFERRING.iter().all(|it| !flag.usage.contains(it))));
}

#[test]
fn every_flag_is_there_once_and_explained() {
    fn check(command: &Command, persistent: &[Flag]) {
        let flags: Vec<&Flag> = command.flags.iter().chain(persistent).collect();
        for (at, flag) in flags.iter().enumerate() {
            assert!(!flag.usage.is_empty(), "{} --{}", command.name, flag.name);
            assert!(!flag.usage.ends_with('.') || flag.usage.contains(". "), "{}", flag.name);
            for other in &flags[at + 1..] {
                assert_ne!(flag.name, other.name, "{}", command.name);
                assert!(flag.short.is_none() || flag.short != other.short, "{}", flag.name);
            }
        }
        command.commands.iter().for_each(|below| check(below, persistent));
    }
    let root = tree(None);
    check(&root, &[]);
    root.commands.iter().for_each(|command| check(command, &root.persistent));
}

#[test]
fn flags_stand_anywhere() {
    for line in [
        "--debug copy a b -q",
        "copy --debug a -q b",
        "copy a b --debug -q",
        "--debug=true copy -q=true a b",
        "--override-os linux --debug copy a b --quiet",
        "copy -q --debug -- a b",
    ] {
        let found = invocation(line);
        assert_eq!(found.path, ["copy"], "{line}");
        assert_eq!(found.arguments, ["a", "b"], "{line}");
        assert!(found.global.switch(names::DEBUG) && found.flags.switch(names::QUIET), "{line}");
    }
    assert_eq!(invocation("copy -- -a -b").arguments, ["-a", "-b"]);
    assert_eq!(invocation("copy -aqf oci a b").flags.text(names::FORMAT), Some("oci"));
    assert_eq!(invocation("copy -foci a b").flags.text(names::FORMAT), Some("oci"));
    assert_eq!(invocation("copy -f=oci a b").flags.text(names::FORMAT), Some("oci"));
    assert_eq!(invocation("copy --format --all a b").flags.text(names::FORMAT), Some("--all"));
    assert_eq!(
        invocation("copy --screds u:p a b").flags.text(names::CREDS.of(Prefix::Source)),
        Some("u:p")
    );
    assert_eq!(
        invocation("inspect --tls-verify=false x").flags.maybe_switch(names::TLS_VERIFY),
        Some(false)
    );
    let before = invocation("--tls-verify=false inspect x");
    assert_eq!(before.root_flags.maybe_switch(names::TLS_VERIFY), Some(false));
    assert!(!before.flags.has(names::TLS_VERIFY));
}

#[test]
fn refuses_in_the_words_of_the_original() {
    let missing = "Missing command 'skopeo COMMAND'\nTry 'skopeo --help' for more information";
    for (line, sentence) in [
        ("", missing),
        ("--debug", missing),
        ("foo", "Unrecognized command `skopeo foo`\nTry 'skopeo --help' for more information"),
        (
            "kopy",
            "Unrecognized command `skopeo kopy`\n\nDid you mean this?\n\tcopy\n\nTry 'skopeo --help' for more information",
        ),
        (
            "log",
            "Unrecognized command `skopeo log`\n\nDid you mean this?\n\tlogin\n\tlogout\n\nTry 'skopeo --help' for more information",
        ),
        (
            "-- copy",
            "Unrecognized command `skopeo copy`\n\nDid you mean this?\n\tcopy\n\nTry 'skopeo --help' for more information",
        ),
        ("copy --foo", "unknown flag: --foo"),
        ("--foo copy", "unknown flag: --foo"),
        ("copy -z", "unknown shorthand flag: 'z' in -z"),
        ("inspect -nz", "unknown shorthand flag: 'z' in -z"),
        ("copy --creds", "unknown flag: --creds"),
        ("copy --src-creds", "flag needs an argument: --src-creds"),
        ("copy -f", "flag needs an argument: 'f' in -f"),
        ("inspect -nf", "flag needs an argument: 'f' in -f"),
        ("copy --=3", "bad flag syntax: --=3"),
        ("copy ---x", "bad flag syntax: ---x"),
        (
            "copy --all=x a b",
            "invalid argument \"x\" for \"-a, --all\" flag: strconv.ParseBool: parsing \"x\": invalid syntax",
        ),
        (
            "--command-timeout=3 copy a b",
            "invalid argument \"3\" for \"--command-timeout\" flag: time: missing unit in duration \"3\"",
        ),
        ("completion bash foo", "unknown command \"foo\" for \"skopeo completion bash\""),
    ] {
        match run(line) {
            Err(error) => assert_eq!(error.message, sentence, "{line}"),
            Ok(parsed) => panic!("{line}: {parsed:?}"),
        }
    }
}

#[test]
fn help_and_version_win_over_the_rest() {
    for (line, parsed) in [
        ("--help", Parsed::Help(vec![])),
        ("--help copy", Parsed::Help(vec![])),
        ("-h copy", Parsed::Help(vec![])),
        ("copy --help", Parsed::Help(vec!["copy"])),
        ("copy a -h --sign-by X", Parsed::Help(vec!["copy"])),
        ("completion", Parsed::Help(vec!["completion"])),
        ("completion nonsense", Parsed::Help(vec!["completion"])),
        ("-v", Parsed::Version),
        ("--version", Parsed::Version),
        ("--debug --version", Parsed::Version),
    ] {
        assert_eq!(run(line), Ok(parsed), "{line}");
    }
    assert_eq!(run("copy -v").unwrap_err().message, "unknown shorthand flag: 'v' in -v");
}
