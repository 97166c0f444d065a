//! What is copied is judged.

use super::*;

#[test]
fn each_instance_of_a_list_is_judged_by_itself() {
    if installed("gpg").is_none() {
        skip!("no gpg is installed");
    }
    let place = Place::new();
    policy_of(&place, &identity(r#"{"type":"exactRepository","dockerRepository":"x.example/y"}"#));
    let list = Image::platforms(2, 2);
    let folder = place.home.path("work/list");
    list.write_dir(&folder);
    let mut number = 0;
    let mut copy = |words: &str| {
        number += 1;
        let line = format!("copy {words} dir:list dir:out{number}");
        at_home(&place.home, &line.split(' ').collect::<Vec<_>>())
    };
    assert_eq!(
        fatal(&copy("--override-arch amd64")),
        format!("copying system image from manifest list: {NONE}")
    );
    let instances: Vec<String> =
        list.manifests()[..2].iter().map(|it| it.digest().to_string()).collect();
    let beside = |digest: &str| folder.join(format!("{}.signature-1", &digest[7..]));
    sign_at(&place, &beside(&instances[0]), &instances[0], "x.example/y:1");
    copy("--override-arch amd64").success();
    let other = fatal(&copy("--override-arch arm64"));
    assert_eq!(other, format!("copying system image from manifest list: {NONE}"));
    assert_eq!(fatal(&copy("--all")), format!("copying image 2/2 from manifest list: {NONE}"));
    // The signature of one instance is none of the other.
    sign_at(&place, &beside(&instances[1]), &instances[0], "x.example/y:1");
    let wrong = format!("Signature for digest {} does not match", instances[0]);
    assert!(fatal(&copy("--all")).ends_with(&wrong));
    sign_at(&place, &beside(&instances[1]), &instances[1], "x.example/y:1");
    copy("--all").success();
    // Where no instance is copied, the list has to be signed.
    assert_eq!(fatal(&copy("--multi-arch index-only")), NONE);
    sign_at(&place, &folder.join("signature-1"), list.digest().as_str(), "x.example/y:1");
    copy("--multi-arch index-only").success();
}

#[test]
fn what_many_images_are_copied_with_asks_too() {
    if installed("gpg").is_none() {
        skip!("no gpg is installed");
    }
    let place = Place::new();
    policy_of(&place, SIGNED);
    let host = place.registry.host();
    let sigs = place.home.path("work/sigs");
    place.home.registries_d(
        "x",
        &format!("docker:\n  {host}/app:\n    lookaside: file://{}\n", sigs.display()),
    );
    let line = |words: &str| {
        let words = words.replace("HOST", &host);
        at_home(&place.home, &words.split(' ').collect::<Vec<_>>())
    };
    let commands = [
        "sync --src docker --dest dir --scoped HOST/app out1",
        "sync --src docker --dest docker HOST/app:1 HOST/copies",
        "sync --src docker --to docker://HOST/a --to docker://HOST/b HOST/app:1",
        "copy docker://HOST/app:1 oci:out:1",
        "sync --dry-run --src docker --dest docker --output json HOST/app:1 HOST/more",
    ];
    for words in commands {
        let run = line(words);
        assert_ne!(run.code, Some(0), "{words}\n{run}");
        assert!(run.stderr.contains("A signature was required, but no signature exists"), "{run}");
    }
    let beside = |number: usize| {
        let folder = format!("app@{}", place.image.digest()).replace(':', "=");
        sigs.join(folder).join(format!("signature-{number}"))
    };
    let name = place.name("app:1");
    sign_at(&place, &beside(1), place.image.digest().as_str(), "x.example/another:1");
    sign_at(&place, &beside(2), place.image.digest().as_str(), &name);
    for words in commands {
        // Their destinations have no place for signatures.
        let words = words.replacen(' ', " --remove-signatures ", 1);
        let run = line(&words);
        assert_eq!(run.code, Some(0), "{words}\n{run}");
    }
    // What was asked, and what came of it.
    let run = line("--debug copy --remove-signatures docker://HOST/app:1 oci:debug:1").success();
    for told in [
        "signature 0: Signature for identity \\\"x.example/another:1\\\" is not accepted",
        "signature 1: accepted",
        "requirement 0 (signedBy): met",
    ] {
        assert!(run.stderr.contains(told), "{told}\n{run}");
    }
    // The same, asked for.
    let run = line("policy check docker://HOST/app:1").success();
    let digest = place.image.digest();
    let expected = format!(
        "docker://{host}/app:1 is {digest}, with 2 signatures\npolicy.json has it under \
         default\nsignedBy: met\naccepted\n"
    );
    assert_eq!(run.stdout, expected);
    let none = line("--exit-codes detailed policy check --output json docker://HOST/copies/app:1")
        .failure(10);
    assert_eq!(fatal(&none), NONE);
    let answer = none.json();
    assert_eq!(answer["accepted"], false);
    assert_eq!(answer["requirements"][0]["type"], "signedBy");
    assert_eq!(answer["requirements"][0]["met"], false);
    assert_eq!(answer["reason"], "A signature was required, but no signature exists");
    line("policy check docker://HOST/copies/app:1").failure(1);
    // Another name of the same image has other signatures to show.
    Image::new(1).push(&place.registry, "app:2");
    let error = fatal(&line("copy --remove-signatures docker://HOST/app:2 oci:out2:1"));
    let expected = format!(
        "Source image rejected: None of the signatures were accepted, reasons: Signature for \
         identity \"x.example/another:1\" is not accepted; Signature for identity \"{name}\" is \
         not accepted"
    );
    assert_eq!(error, expected);
}
