//! Files that are signed and verified.

use super::*;

#[test]
fn files_are_signed_and_verified_by_either_program() {
    let Some(original) = original() else { skip!("no skopeo is installed") };
    let home = Home::new();
    let Some(gpg) = Gpg::new(&home) else { skip!("no gpg is installed") };
    let key = gpg.key("one@example.com", "");
    let other = gpg.key("two@example.com", "");
    let public = gpg.export(&key);
    Image::new(1).write_dir(&home.path("work/d"));
    let digest = Image::new(1).digest();
    let manifest = "d/manifest.json";
    let reference = "testing/smoketest";
    let ours = env!("CARGO_BIN_EXE_skopeo");
    let good = format!("Signature verified using fingerprint {key}, digest {digest}\n");
    for (program, file) in [(ours, "ours"), (original.to_str().unwrap(), "theirs")] {
        let sign = ["standalone-sign", manifest, reference, &key, "-o", file];
        assert_eq!(run(&home, program, &sign).success().stdout, "");
        let verify = |reference: &str, keys: &str, more: &[&str]| {
            let words = [&["standalone-verify", manifest, reference, keys, file], more].concat();
            at_home(&home, &words)
        };
        let theirs = ["standalone-verify", manifest, reference, &key, file];
        run(&home, &original, &theirs).success();
        let only = ["--public-key-file", &public];
        for (reference, keys, more) in [
            (reference, key.clone(), &[][..]),
            ("docker.io/testing/smoketest", format!("{other},{key}"), &[]),
            (reference, key.clone(), &only),
            (reference, "any".to_owned(), &only),
        ] {
            assert_eq!(verify(reference, &keys, more).success().stdout, good, "{file} {keys}");
        }
        for (reference, keys, sentence) in [
            (reference, other.clone(), format!("signature by key {key} of {key} is not accepted")),
            (
                reference,
                key.to_lowercase(),
                format!("signature by key {key} of {key} is not accepted"),
            ),
            (
                "testing/other",
                key.clone(),
                "Docker reference \"testing/smoketest\" does not match \"testing/other\""
                    .to_owned(),
            ),
        ] {
            let run = verify(reference, &keys, &[]).failure(1);
            assert_eq!(fatal(&run), format!("Error verifying signature: {sentence}"));
        }
        let any = verify(reference, "any", &[]).failure(1);
        assert_eq!(fatal(&any), "Cannot use any fingerprint without a public key file");

        let dump = ["untrusted-signature-dump-without-verification", file];
        let (ours, theirs) = (at_home(&home, &dump).success(), run(&home, &original, &dump));
        assert_eq!(ours.stdout, theirs.success().stdout);
    }
    home.write("work/other.json", "{}");
    let swapped = ["standalone-verify", "other.json", reference, &key, "ours"];
    let swapped = at_home(&home, &swapped).failure(1);
    let sentence = format!(
        "Error verifying signature: Signature for docker digest \"{digest}\" does not match"
    );
    assert_eq!(fatal(&swapped), sentence);
}

#[test]
fn commands_about_files_fail_in_the_words_of_the_original() {
    let home = Home::new();
    home.write("work/m", "{}");
    let sign =
        "Usage: skopeo standalone-sign manifest docker-reference key-fingerprint -o signature";
    let verify =
        "Usage: skopeo standalone-verify manifest docker-reference key-fingerprint signature";
    for (words, sentence) in [
        ("standalone-sign m ref key", sign),
        ("standalone-sign m ref -o x", sign),
        (
            "standalone-sign none ref key -o x",
            "Error reading none: open none: no such file or directory",
        ),
        ("standalone-verify m ref key", verify),
        (
            "standalone-verify none ref key sig",
            "Error reading manifest from none: open none: no such file or directory",
        ),
        (
            "standalone-verify m ref key none",
            "Error reading signature from none: open none: no such file or directory",
        ),
        (
            "standalone-verify m ref key m --public-key-file none",
            "Error reading public keys from none: open none: no such file or directory",
        ),
        (
            "untrusted-signature-dump-without-verification none",
            "Error reading untrusted signature from none: open none: no such file or directory",
        ),
        ("layers", "Usage: layers imageReference [layer...]"),
    ] {
        let run = at_home(&home, &words.split(' ').collect::<Vec<_>>()).failure(1);
        assert_eq!(fatal(&run), sentence, "{words}");
    }
    let empty = ["standalone-sign", "m", "", "key", "-o", "x"];
    let empty = at_home(&home, &empty).failure(1);
    assert_eq!(fatal(&empty), "Error creating signature: Unexpected empty signature content");
    let dump = at_home(&home, &["untrusted-signature-dump-without-verification", "m"]).failure(1);
    assert!(fatal(&dump).starts_with("Error decoding untrusted signature: "), "{dump}");
}
