//! `skopeo manifest-digest`.

use crate::program::{Output, run};

#[test]
fn prints_the_digest_of_the_file() {
    let tmp = tempfile::tempdir().unwrap();
    let file = tmp.path().join("manifest.json");
    fs_err::write(&file, "{}").unwrap();
    let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\n";
    let expected = Output { code: 0, stdout: digest.to_owned(), stderr: String::new() };
    assert_eq!(run(&["manifest-digest", file.to_str().unwrap()]), expected);
}

#[test]
fn names_the_file_that_is_missing() {
    let output = run(&["manifest-digest", "/nonexistent"]);
    assert_eq!(output.code, 1);
    let sentence =
        "Error reading manifest from /nonexistent: open /nonexistent: no such file or directory";
    assert_eq!(output.fatal(), sentence);
}
