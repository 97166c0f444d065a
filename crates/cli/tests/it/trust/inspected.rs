//! What `inspect` shows if the policy is to judge it.

use super::*;

/// `inspect` asks no policy unless it is told to; then it shows nothing that is not accepted, in any
/// form.
#[test]
fn what_is_inspected_is_judged_if_that_is_asked_for() {
    if installed("gpg").is_none() {
        skip!("no gpg is installed");
    }
    let place = Place::new();
    policy_of(&place, &identity(r#"{"type":"exactRepository","dockerRepository":"x.example/y"}"#));
    let list = Image::platforms(3, 2);
    let folder = place.home.path("work/list");
    list.write_dir(&folder);
    let single = place.home.path("work/single");
    place.image.write_dir(&single);
    let inspect = |words: &str, name: &str| {
        let line = ["inspect --override-arch amd64", words, name].join(" ");
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        at_home(&place.home, &words)
    };
    let of_image = ["", "--raw", "--config", "--config --raw", "--format {{.Digest}}"];
    // Of an index, these show the index, and the others one image of it.
    let of_index = ["--raw", "--all-platforms"];
    let judged = |words: &str, name: &str| inspect(&format!("--verify-policy {words}"), name);
    for words in of_image {
        inspect(words, "dir:single").success();
        let refused = judged(words, "dir:single");
        assert!(fatal(&refused).ends_with(NONE), "{words}: {refused}");
        assert_eq!(refused.stdout, "");
    }
    sign_at(&place, &single.join("signature-1"), place.image.digest().as_str(), "x.example/y:1");
    for words in of_image {
        let shown = judged(words, "dir:single").success();
        assert_eq!(shown.stdout, inspect(words, "dir:single").success().stdout, "{words}");
    }
    // The signature of an image is none of the index that it is in, and the reverse.
    let instance = list.manifests()[0].digest();
    let beside = folder.join(format!("{}.signature-1", instance.hex()));
    sign_at(&place, &beside, instance.as_str(), "x.example/y:1");
    for words in of_index {
        assert!(fatal(&judged(words, "dir:list")).ends_with(NONE), "{words}");
    }
    for words in ["", "--config", "--config --raw"] {
        judged(words, "dir:list").success();
    }
    fs_err::remove_file(&beside).unwrap();
    sign_at(&place, &folder.join("signature-1"), list.digest().as_str(), "x.example/y:1");
    for words in of_index {
        judged(words, "dir:list").success();
    }
    for words in ["", "--config", "--config --raw"] {
        assert!(fatal(&judged(words, "dir:list")).ends_with(NONE), "{words}");
    }
    for words in ["--signatures", "--referrers"] {
        let refused = judged(words, "dir:single");
        let sentence = "--verify-policy cannot be used together with --referrers or --signatures";
        assert_eq!(fatal(&refused), sentence);
    }
}
