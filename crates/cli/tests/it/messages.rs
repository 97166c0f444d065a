//! The sentences that scripts rely on, word for word.

use skopeo_testkit::Home;

use crate::program::{at_home, fatal, run};

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
fn files_fail_in_the_words_of_go() {
    let home = Home::new();
    home.write("work/file", "x");
    home.write("work/bare/version", "Directory Transport Version: 1.1\n");
    let lstat = format!(
        "Error parsing image name \"dir:a/b/c\": lstat {}: no such file or directory",
        home.work("a")
    );
    for (words, sentence) in [
        (
            &["inspect", "dir:none"][..],
            "Error retrieving manifest for image: open none/manifest.json: no such file or directory",
        ),
        (
            &["inspect", "dir:file"],
            "Error parsing image name \"dir:file\": reading version file \"file/version\": open file/version: not a directory",
        ),
        (&["inspect", "dir:a/b/c"], &lstat),
        (
            &["inspect", "oci:none"],
            "Error parsing image name \"oci:none\": open none/index.json: no such file or directory",
        ),
        (
            &["copy", "dir:bare", "dir:out"],
            "determining manifest MIME type for dir:bare: open bare/manifest.json: no such file or directory",
        ),
        (
            &["copy", "oci:none", "dir:out"],
            "initializing source oci:none:: open none/index.json: no such file or directory",
        ),
        (
            &["copy", "dir:bare", "oci:file"],
            "initializing destination oci:file:: open file/index.json: not a directory",
        ),
        (&["delete", "oci:none:x"], "open none/index.json: no such file or directory"),
        (
            &["--policy", "none", "copy", "dir:bare", "dir:out"],
            "Error loading trust policy: open none: no such file or directory",
        ),
        (
            &["manifest-digest", "none"],
            "Error reading manifest from none: open none: no such file or directory",
        ),
        (
            &["manifest-digest", "bare"],
            "Error reading manifest from bare: read bare: is a directory",
        ),
        (&["serve", "--htpasswd", "none", "."], "open none: no such file or directory"),
        (
            &["logout", "--authfile", "none", "reg.example"],
            "credential file is not accessible: stat none: no such file or directory",
        ),
    ] {
        assert_eq!(fatal(&at_home(&home, words)), sentence, "{words:?}");
    }
}
