//! The sentences that scripts rely on, word for word.

use crate::program::run;

#[test]
fn words_that_make_no_command() {
    for (words, sentence) in [
        (&[][..], "Missing command 'skopeo COMMAND'\nTry 'skopeo --help' for more information"),
        (&["foo"], "Unrecognized command `skopeo foo`\nTry 'skopeo --help' for more information"),
        (
            &["kopy"],
            "Unrecognized command `skopeo kopy`\n\nDid you mean this?\n\tcopy\n\nTry 'skopeo --help' for more information",
        ),
        (&["copy", "--foo"], "unknown flag: --foo"),
        (&["inspect", "-z"], "unknown shorthand flag: 'z' in -z"),
        (&["inspect", "--creds"], "flag needs an argument: --creds"),
        (&["manifest-digest"], "Usage: skopeo manifest-digest manifest"),
        (
            &["--insecure-policy", "--require-signed", "manifest-digest", "x"],
            "--insecure-policy and --require-signed are mutually exclusive",
        ),
    ] {
        let output = run(words);
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{words:?}");
        assert_eq!(output.fatal(), sentence, "{words:?}");
    }
}

#[test]
fn what_is_not_built_is_named() {
    let output = run(&["sync", "--src", "docker", "--dest", "dir", "a", "b"]);
    assert_eq!(output.code, 1);
    assert!(output.fatal().starts_with("Unrecognized command `skopeo sync`"), "{output:?}");
    assert!(output.stderr.ends_with("that is not built yet\n"), "{output:?}");
    let output = run(&["copy", "--sign-by", "me", "a", "b"]);
    assert_eq!(output.fatal(), "--sign-by is not supported yet by this version of skopeo");
}
