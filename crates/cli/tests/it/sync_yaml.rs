//! Files of `skopeo sync --src yaml`.

use skopeo_testkit::{Home, Image, Registry};

use crate::program::{at_home, fatal};
use crate::sync_names::{images_in, two};

#[test]
fn a_file_says_what_goes_where() {
    let (from, to, home) = two();
    for name in ["org/app:1.0", "org/app:1.1", "org/app:1.2-rc", "org/app:latest", "tool:1"] {
        Image::platforms(1, 2).push(&from, name);
    }
    let (source, place) = (from.host(), to.host());
    home.write(
        "work/sync.yaml",
        &format!(
            "version: 2
defaults:
  into: docker://{place}/mirror
  preserve-path: true
images:
  - from: docker://{source}/org/app
    semver: '*'
    newest: 1
  - from: docker://{source}/org/app
    to: docker://{place}/exactly/this
    include: ['^1', latest]
    exclude: [rc]
    append-suffix: -x
  - from: docker://{source}/tool:1
    to: [docker://{place}/tools/one:stable, 'dir:one/two']
    platforms: all
  - from: docker://{source}/org/app
    tags: [latest]
    into: ['dir:usb', docker://{place}/second]
  - from: registry://{source}
    repos: ^tool$
    prefix: walked
"
        ),
    );
    let run = at_home(&home, &["sync", "--src", "yaml", "sync.yaml"]).success();
    assert_eq!(
        images_in(&to),
        "exactly/this:1.0-x exactly/this:1.1-x exactly/this:latest-x mirror/org/app:1.1 \
         mirror/walked/tool:1 second/org/app:latest tools/one:stable"
    );
    assert!(run.stderr.contains("Synced 9 images from 5 sources"), "{run}");
    assert!(home.path("work/usb/org/app:latest/manifest.json").exists());
    let kind = |name: &str| {
        let run = at_home(&home, &["inspect", "--raw", name]).success();
        run.json()["manifests"].is_array()
    };
    assert!(kind(&to.docker("tools/one:stable")), "all platforms");
    assert!(kind("dir:one/two"), "all platforms");
    assert!(!kind(&to.docker("second/org/app:latest")), "one platform");
}

#[test]
fn what_goes_to_several_places_is_read_once() {
    let (from, _, home) = two();
    Image::new(1).push(&from, "a:1");
    let source = from.host();
    home.write(
        "work/f",
        &format!(
            "version: 2
images:
  - from: docker://{source}/a
    into: ['dir:usb', 'dir:other']
"
        ),
    );
    let run = at_home(&home, &["sync", "--src=yaml", "f"]).success();
    let read = |line: &&String| line.starts_with("GET") && line.contains("/blobs/");
    assert_eq!(from.lines().iter().filter(read).count(), 3, "{run}");
    home.write(
        "work/f",
        &format!(
            "version: 2
images:
  - {{from: docker://{source}/a, into: 'oci-archive:b.tar'}}
  - {{from: docker://{source}/a:1, to: 'oci-archive:./b.tar:again'}}
"
        ),
    );
    at_home(&home, &["sync", "--src=yaml", "f"]).success();
    // An archive is one, however it is written.
    let name = format!("oci-archive:b.tar:{source}/a:1");
    for name in [name.as_str(), "oci-archive:b.tar:again", "dir:usb/a:1", "dir:other/a:1"] {
        let run = at_home(&home, &["inspect", "--format={{.Digest}}", name]).success();
        assert_eq!(run.stdout.trim(), Image::new(1).digest().to_string(), "{name}");
    }
}

#[test]
fn folders_do_not_lie_in_each_other() {
    let (from, _, home) = two();
    Image::new(1).push(&from, "a:1");
    Image::new(1).push(&from, "a/b:1");
    let words = ["sync", "--src=registry", "--dest=dir", "--dest-template={{.Repository}}"];
    let run = at_home(&home, &[&words[..], &[&from.host(), "d"]].concat()).failure(1);
    assert!(fatal(&run).contains("would be written to dir:d/a/b, within docker://"), "{run}");
    assert!(!home.path("work/d").exists());
}

#[test]
fn a_folder_goes_back_where_it_came_from() {
    let (from, to, home) = two();
    Image::new(1).push(&from, "org/app:1");
    let (source, place) = (from.host(), to.host());
    let words = ["sync", "--src=docker", "--dest=dir", "--scoped"];
    at_home(&home, &[&words[..], &[&format!("{source}/org/app"), "usb"]].concat()).success();
    home.write("work/back.yaml", "version: 2\nimages:\n- {from: 'dir:usb', preserve-path: true}\n");
    let words = ["sync", "--src=yaml", "--dest=docker", "back.yaml", &place];
    at_home(&home, &words).success();
    assert_eq!(images_in(&to), "org/app:1");
    home.write("work/dirs.yaml", "version: 2\nimages:\n- {from: 'dir:usb', into: 'dir:x'}\n");
    let words = ["sync", "--src=yaml", "--exit-codes=detailed", "dirs.yaml"];
    let run = at_home(&home, &words).failure(11);
    assert!(fatal(&run).contains("\"dirs.yaml\": line 3: images[0]: sync from 'dir' to"), "{run}");
}

#[test]
fn secrets_come_from_the_environment() {
    let from = Registry::builder().htpasswd("reader", "read this").start();
    let to = Registry::builder().htpasswd("writer", "write this").start();
    let home = Home::new().variable("FROM", "read this").variable("TO", "write this");
    home.auth(&from.host(), "reader", "read this");
    Image::new(1).write_dir(&home.path("work/image"));
    home.insecure(&[&from.host(), &to.host()]);
    at_home(&home, &["copy", "dir:image", &from.docker("a:1")]).success();
    let home = Home::new().variable("FROM", "read this").variable("TO", "write this");
    let (source, place) = (from.host(), to.host());
    let file = |password: &str| {
        format!(
            "version: 2
registries:
  {source}:
    credentials: {{username: '${{READER:-reader}}', password: '{password}'}}
    tls-verify: false
  {place}:
    credentials: {{username: writer, password: '${{TO}}'}}
    tls-verify: false
images:
  - from: docker://{source}/a
    to: docker://{place}/b
"
        )
    };
    home.write("work/good.yaml", &file("${FROM}"));
    home.write("work/bad.yaml", &file("${NOT_THERE}"));
    let run = at_home(&home, &["sync", "--src=yaml", "bad.yaml"]).failure(1);
    assert_eq!(
        fatal(&run),
        format!(
            "Failed to unmarshal \"bad.yaml\": yaml: line 4, column 60: \
             registries.{source}.credentials.password: the environment has no NOT_THERE"
        )
    );
    let run = at_home(&home, &["sync", "--src=yaml", "good.yaml"]).success();
    assert_eq!(images_in(&to), "b:1");
    assert!(!run.stderr.contains("read this") && !run.stdout.contains("read this"), "{run}");
    let words = ["sync", "--src=yaml", "--src-creds=a:b", "good.yaml"];
    let run = at_home(&home, &words).failure(1);
    assert!(fatal(&run).contains("has the credentials for them itself"), "{run}");
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_place() {
    let home = Home::new();
    let file = |text: &str| format!("version: 2\nimages:\n- from: docker://q.io/a\n  {text}\n");
    for (text, sentence) in [
        (
            file("newst: 1"),
            "Failed to unmarshal \"f\": yaml: line 4, column 3: images[0].newst: unknown key \
             \"newst\", expected one of from, to, repos, tags, into, include,",
        ),
        (file("include: ['(']"), "line 4, column 13: images[0].include[0]: parsing the regular"),
        (file("semver: '>>1'"), "line 4, column 11: images[0].semver: parsing the range of"),
        (file("dest-template: '{{'"), "line 4, column 18: images[0].dest-template: template: "),
        (file("newest: 1"), "\"f\": line 3: images[0]: neither to nor into says where to"),
        ("version: 4\n".to_owned(), "line 1, column 10: version: \"4\" is no version"),
        (
            "a.b:\n  images-by-tag-regex: {x: '('}\n".to_owned(),
            "line 2, column 28: a.b.images-by-tag-regex.x: parsing",
        ),
        (
            "a.b:\n  images-by-semver: {x: '>>'}\n".to_owned(),
            "line 2, column 25: a.b.images-by-semver.x: parsing",
        ),
        ("a.b:\n  images: [x]\n".to_owned(), "line 2, column 11: a.b.images: "),
    ] {
        home.write("work/f", &text);
        let words: &[&str] = match text.starts_with("version") {
            true => &["sync", "--src=yaml", "f"],
            false => &["sync", "--src=yaml", "--dest=dir", "f", "d"],
        };
        let run = at_home(&home, words).failure(1);
        assert!(fatal(&run).contains(sentence), "{text}\n{run}");
    }
    home.write("work/f", "a.b: {images: {x: []}}\n");
    for (words, sentence) in [
        (&["sync", "--src=yaml", "f"][..], "Exactly two arguments expected"),
        (&["sync", "--src=docker", "a"], "Exactly two arguments expected"),
        (&["sync", "--src=yaml", "--dest=dir", "f"], "there is none"),
        (&["sync", "--src=yaml", "none"], "open none: no such file or directory"),
    ] {
        let run = at_home(&home, words).failure(1);
        assert!(fatal(&run).contains(sentence), "{words:?}: {run}");
    }
    home.write("work/f", "version: 2\nimages: [{from: 'docker://a', into: 'dir:d'}]\n");
    for words in [["--scoped"], ["--include=x"]] {
        let run = at_home(&home, &[&["sync", "--src=yaml", "f"], &words[..]].concat()).failure(1);
        assert!(
            fatal(&run).contains("so the selection and the names of images are in the file"),
            "{run}"
        );
    }
    assert!(!home.path("work/d").exists());
}

#[test]
fn version_1_goes_on_working_with_more_choice() {
    let (from, to, home) = two();
    for tag in ["1.0", "1.1", "1.2", "latest"] {
        Image::new(1).push(&from, &format!("a:{tag}"));
        Image::new(1).push(&from, &format!("b/c:{tag}"));
    }
    let (source, place) = (from.host(), to.host());
    home.write(
        "work/f",
        &format!(
            "{source}:
  images: {{a: ['not a tag', '1.0']}}
  images-by-tag-regex: {{b/c: '^1'}}
  nobody-knows: this
"
        ),
    );
    let words = ["sync", "--src=yaml", "--dest=docker", "--preserve-path", "f", &place];
    let more = ["--exclude=1$", "--semver=*", "--newest=1"];
    // A tag that is none is skipped alone, and the run fails.
    let run = at_home(&home, &[&words[..], &more].concat()).failure(1);
    assert_eq!(images_in(&to), "a:1.0 b/c:1.2");
    assert!(run.stderr.contains("Error parsing ref \\\"not a tag\\\", skipping"), "{run}");
}
