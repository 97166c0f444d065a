//! What `sync --delete`, and `delete` of tags, must not take with what they delete.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use skopeo_testkit::registry::real::Real;
use skopeo_testkit::{Fault, Home, Image, On, Registry, Run, skip};

use crate::program::{at_home, fatal};
use crate::stage::whole_layout;
use crate::sync_names::{images_in, two};

const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// More tags than are looked at before one of them is deleted.
const MANY: usize = 205;

/// A source with `a:1` and `a:2`, and a mirror that has these, `old`, which is the image of 1, and
/// many more tags of it that are protected.
fn mirror(fillers: usize) -> (Registry, Registry, Home) {
    let (from, to, home) = two();
    for seed in [1, 2] {
        Image::new(seed).push(&from, &format!("a:{seed}"));
        Image::new(seed).push(&to, &format!("m/a:{seed}"));
    }
    Image::new(1).push(&to, "m/a:old");
    for filler in 0..fillers {
        Image::new(1).push(&to, &format!("m/a:f{filler}"));
    }
    (from, to, home)
}

fn sync(home: &Home, from: &Registry, place: &str, words: &[&str]) -> Run {
    let source = format!("{}/a", from.host());
    let kind = if place.contains(':') { "--dest=docker" } else { "--dest=dir" };
    let ends = ["sync", "--src=docker", kind, "--delete", "--protect=^f", &source, place];
    at_home(home, &[&ends, words].concat())
}

#[track_caller]
fn all_are_there(to: &Registry, fillers: usize, gone: &str) {
    let images = images_in(to);
    let tags: Vec<&str> = images.split(' ').filter_map(|it| it.strip_prefix("m/a:")).collect();
    assert_eq!(tags.len(), fillers + 2, "{images}");
    assert!(tags.contains(&"1") && tags.contains(&"2") && !tags.contains(&gone), "{images}");
}

#[test]
fn a_registry_that_takes_the_image_with_its_tag_costs_no_other_tag() {
    let no_digest = || Fault::no_header(On::manifests().method("HEAD"), "docker-content-digest");
    for (fillers, faults) in [
        (MANY, vec![Fault::tag_takes_image()]),
        (3, vec![Fault::tag_takes_image()]),
        (MANY, vec![Fault::tag_takes_image_but_cut()]),
        (3, vec![Fault::tag_takes_image_but_cut()]),
        (3, vec![no_digest(), Fault::tag_takes_image()]),
        (MANY, vec![]),
        (MANY, vec![Fault::status(On::manifests().method("DELETE").containing("/old"), 405)]),
    ] {
        let (from, to, home) = mirror(fillers);
        let shown = format!("{fillers} {faults:?}");
        faults.into_iter().for_each(|fault| to.fault(fault));
        let run = sync(&home, &from, &format!("{}/m", to.host()), &[]);
        assert_eq!(run.code, Some(0), "{shown}\n{run}");
        all_are_there(&to, fillers, "old");
        to.mend();
        for tag in ["1", "2"] {
            let name = to.docker(&format!("m/a:{tag}"));
            at_home(&home, &["copy", "-q", &name, &format!("oci:there:{tag}")]).success();
        }
        // The same of one tag.
        let name = to.docker("m/a:2");
        Image::new(2).push(&to, "m/a:same");
        to.fault(Fault::tag_takes_image());
        at_home(&home, &["delete", "--tag-only", &to.docker("m/a:same")]).success();
        at_home(&home, &["copy", "-q", &name, "oci:there:again"]).success();
    }
}

#[test]
fn what_could_take_others_along_is_not_risked() {
    let immutable = || {
        let on = On::manifests().method("PUT").containing("manifests/old");
        Fault::status(on, 409).code("TAG_IMMUTABLE", "")
    };
    for (fillers, unlisted, said) in [
        (3, false, "it also has the tags 1, f0, f1, f2"),
        (MANY, false, "it also has the tags 1, f0, f1, f10, "),
        (3, true, "its other tags are not known"),
    ] {
        let (from, to, home) = mirror(fillers);
        to.fault(immutable());
        to.fault(Fault::tag_takes_image());
        if unlisted {
            to.fault(Fault::status(On::tags(), 403).skip(1));
        }
        let before = images_in(&to);
        to.forget_requests();
        let run = sync(&home, &from, &format!("{}/m", to.host()), &[]).failure(1);
        assert!(run.stderr.contains(said), "{run}");
        assert_eq!(images_in(&to), before);
        let run = at_home(&home, &["delete", "--tag-only", &to.docker("m/a:old")]).failure(1);
        assert!(fatal(&run).contains(said), "{run}");
        assert!(!to.lines().iter().any(|line| line.starts_with("DELETE")), "{:?}", to.lines());
        // Where there is no other, nothing can be lost.
        Image::new(7).push(&to, "m/b:old");
        if !unlisted {
            to.mend();
            to.fault(immutable());
            at_home(&home, &["delete", "--tag-only", &to.docker("m/b:old")]).success();
            assert_eq!(images_in(&to), before);
        }
    }
}

#[test]
fn it_is_looked_afterwards_whether_all_is_there() {
    for (put_back, code) in [(true, 0), (false, 1)] {
        let (from, to, home) = mirror(0);
        Image::new(5).push(&to, "m/a:alone");
        // The first deletion, and what is left of it, show that this registry deletes tags only.
        // And then it does not.
        to.fault(Fault::tag_takes_image().skip(2));
        // With the image in a list its bytes stay, so that it can be put back.
        if put_back {
            Image::list(vec![Image::new(1)]).push(&to, "m/a:f-list");
        }
        let words = ["--report=report.json", "--keep-going"];
        let run = sync(&home, &from, &format!("{}/m", to.host()), &words);
        assert_eq!(run.code, Some(code), "{run}");
        let file = fs_err::read(home.path("work/report.json")).unwrap();
        let report: Value = serde_json::from_slice(&file).unwrap();
        let mut images = report["images"].as_array().unwrap().iter();
        let one = images.find(|it| it["destination"] == to.docker("m/a:1")).unwrap();
        if put_back {
            all_are_there(&to, 1, "old");
            let said = format!("{} went with a tag that was deleted", to.docker("m/a:1"));
            assert!(run.stderr.contains(&said), "{run}");
            assert_eq!(one["outcome"], "unchanged");
        } else {
            assert!(run.stderr.contains("must stay: it went with a tag"), "{run}");
            assert_eq!((&one["outcome"], &report["ok"]), (&json!("failed"), &json!(false)));
        }
    }
    // Nobody says what is there now.
    let (from, to, home) = mirror(0);
    to.fault(Fault::status(On::tags(), 403).skip(1));
    let run = sync(&home, &from, &format!("{}/m", to.host()), &[]).failure(1);
    assert!(run.stderr.contains("It is not known whether all images of a in"), "{run}");
}

#[test]
fn what_moves_meanwhile_stays() {
    let (from, to, home) = mirror(3);
    // What the first answer says is not so any more when the tag is read.
    let old = On::manifests().method("HEAD").containing("manifests/old");
    to.fault(Fault::wrong_digest(old).once());
    let run = sync(&home, &from, &format!("{}/m", to.host()), &[]).failure(1);
    assert!(run.stderr.contains("it was moved in the meantime"), "{run}");
    assert_eq!(images_in(&to), "m/a:1 m/a:2 m/a:f0 m/a:f1 m/a:f2 m/a:old");
}

#[test]
fn a_digest_that_is_not_told_is_not_deleted() {
    let (from, to, home) = mirror(3);
    let old = On::manifests().any_method().containing("manifests/old");
    to.fault(Fault::status(old, 403));
    let run = sync(&home, &from, &format!("{}/m", to.host()), &[]).failure(1);
    assert!(run.stderr.contains(&format!("Not deleting {}", to.docker("m/a:old"))), "{run}");
    assert_eq!(images_in(&to), "m/a:1 m/a:2 m/a:f0 m/a:f1 m/a:f2 m/a:old");
}

#[test]
fn chosen_tags_take_no_others_along() {
    // This registry says of 1 that it is another image than old: nothing is known of that one.
    let (_, to, home) = mirror(0);
    let head = On::manifests().method("HEAD").containing("/manifests/1");
    to.fault(Fault::wrong_digest(head).once());
    let words = ["delete", "--match=^old$", "--yes", &to.docker("m/a")];
    at_home(&home, &words).failure(2);
    assert_eq!(images_in(&to), "m/a:1 m/a:2 m/a:old");
    // Tag by tag, with more of the same image that go.
    let (_, to, home) = mirror(3);
    to.fault(Fault::tag_takes_image());
    let words = ["delete", "--match=^(old|f.*)$", "--tag-only", "--yes", &to.docker("m/a")];
    at_home(&home, &words).success();
    assert_eq!(images_in(&to), "m/a:1 m/a:2");
}

#[test]
fn many_tags_of_a_real_registry_stay() {
    let Some(real) = Real::start() else { skip!("no docker-registry is installed") };
    let (from, home) = (Registry::start(), Home::new());
    home.insecure(&[&from.host(), &real.host()]);
    for tag in 0..MANY {
        Image::new(1).push(&from, &format!("a:{tag}"));
    }
    Image::new(1).push(&from, "a:old");
    let place = format!("{}/m", real.host());
    sync(&home, &from, &place, &[]).success();
    at_home(&home, &["delete", "--tag-only", &from.docker("a:old")]).success();
    sync(&home, &from, &place, &[]).success();
    let listed = at_home(&home, &["list-tags", &real.docker("m/a")]).success().json();
    assert_eq!(listed["Tags"].as_array().unwrap().len(), MANY);
    at_home(&home, &["copy", "-q", &real.docker("m/a:7"), "oci:there"]).success();
}

#[test]
fn only_the_files_of_an_image_go_with_it() {
    let (from, _, home) = two();
    for seed in [1, 2, 3] {
        Image::new(seed).push(&from, &format!("a:{seed}"));
    }
    sync(&home, &from, "place", &[]).success();
    let place = home.path("work/place");
    // Beside images, in images, and images in images.
    for file in ["place/notes.txt", "place/a:2/notes.txt", "place/a:2/signature-of-mine"] {
        home.write(&format!("work/{file}"), "mine");
    }
    Image::new(7).write_dir(&place.join("a:2/deep/nested:1"));
    Image::new(8).write_dir(&place.join("a:own"));
    fs_err::remove_file(place.join("a:own/version")).unwrap();
    home.write("work/place/a:data/manifest.json", "{}");
    for tag in ["2", "3"] {
        at_home(&home, &["delete", "--tag-only", &from.docker(&format!("a:{tag}"))]).success();
    }
    let run = sync(&home, &from, "place", &[]).success();
    let said = "dir:place/a:2 is deleted, but its folder stays, as there is more in it: \
                \\\"deep, notes.txt, signature-of-mine\\\"";
    assert!(run.stderr.contains(said), "{run}");
    assert!(run.stderr.contains("Deleted 2 images"), "{run}");
    for file in ["notes.txt", "a:2/notes.txt", "a:2/signature-of-mine", "a:data/manifest.json"] {
        assert!(place.join(file).is_file(), "{file}");
    }
    assert!(place.join("a:own/manifest.json").is_file() && !place.join("a:3").exists());
    let left = fs_err::read_dir(place.join("a:2")).unwrap().count();
    assert_eq!(left, 4, "deep, the two files, and version");
    let inspect = |name: &str| {
        let words = ["inspect", "--format={{.Digest}}", name];
        at_home(&home, &words).success().stdout.trim().to_owned()
    };
    assert_eq!(inspect("dir:place/a:2/deep/nested:1"), Image::new(7).digest().to_string());
    at_home(&home, &["inspect", "dir:place/a:2"]).failure(1);

    // It comes back, and again as another one, and all else is still there.
    for seed in [2, 9] {
        Image::new(seed).push(&from, "a:2");
        sync(&home, &from, "place", &[]).success();
        assert_eq!(inspect("dir:place/a:2"), Image::new(seed).digest().to_string());
        assert_eq!(inspect("dir:place/a:2/deep/nested:1"), Image::new(7).digest().to_string());
        assert!(place.join("a:2/notes.txt").is_file());
        assert!(place.join("a:2/signature-of-mine").is_file());
    }
    let files = fs_err::read_dir(place.join("a:2")).unwrap().count();
    let clean = fs_err::read_dir(place.join("a:1")).unwrap().count();
    assert_eq!(files, clean + 3, "nothing of the image before");
}

#[test]
fn of_a_layout_only_what_has_such_names_goes() {
    let (from, _, home) = two();
    for seed in [1, 2] {
        Image::new(seed).push(&from, &format!("a:{seed}"));
    }
    let source = format!("{}/a", from.host());
    let sync = ["sync", "--src=docker", "--dest=oci", "--delete", &source, "place"];
    let sync = |more: &[&str]| at_home(&home, &[&sync[..], more].concat());
    sync(&["--preserve-path"]).success();
    // Others name images by a tag alone, or as containerd does.
    for (seed, name) in [(5, "9"), (6, "a:8")] {
        Image::new(seed).write_dir(&home.path("work/other"));
        at_home(&home, &["copy", "-q", "dir:other", &format!("oci:place:{name}")]).success();
        fs_err::remove_dir_all(home.path("work/other")).unwrap();
    }
    fs_err::rename(home.path("work/place"), home.path("work/a")).unwrap();
    let index = home.path("work/a/index.json");
    let text = fs_err::read_to_string(&index).unwrap();
    let text = text.replace(
        "\"org.opencontainers.image.ref.name\":\"a:8\"",
        "\"io.containerd.image.name\":\"a:8\",\"org.opencontainers.image.ref.name\":\"8\"",
    );
    fs_err::write(&index, text).unwrap();
    home.write("work/a/notes.txt", "mine");
    home.write("work/a/blobs/sha256/notes.txt", "mine");
    Image::new(7).write_dir(&home.path("work/a/nested:1"));
    at_home(&home, &["delete", "--tag-only", &from.docker("a:2")]).success();
    let words = ["sync", "--src=docker", "--dest=oci", "--delete", "--preserve-path", &source, "a"];
    let run = at_home(&home, &words).success();
    assert!(run.stderr.contains("Deleted 1 images"), "{run}");
    for (name, seed) in [("oci:a:a:1", 1), ("oci:a:9", 5), ("oci:a:8", 6), ("dir:a/nested:1", 7)] {
        let run = at_home(&home, &["inspect", "--format={{.Digest}}", name]).success();
        assert_eq!(run.stdout.trim(), Image::new(seed).digest().to_string(), "{name}");
    }
    at_home(&home, &["inspect", "oci:a:a:2"]).failure(2);
    assert!(home.path("work/a/notes.txt").is_file());
    assert!(home.path("work/a/blobs/sha256/notes.txt").is_file());
}

#[test]
fn a_name_that_a_layout_has_twice_goes_whole_or_stays() {
    let (from, _, home) = two();
    for seed in [1, 2] {
        Image::new(seed).push(&from, &format!("a:{seed}"));
    }
    let source = format!("{}/a", from.host());
    let words = ["sync", "--src=docker", "--dest=oci", "--delete", &source, "place"];
    let sync = || at_home(&home, &words);
    sync().success();
    at_home(&home, &["delete", "--tag-only", &from.docker("a:2")]).success();
    let path = home.path("work/place/index.json");
    let before: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
    // The name twice: for another image, and for the same.
    let write = |of: usize| {
        let mut index = before.clone();
        let list = index["manifests"].as_array_mut().unwrap();
        let name = |entry: &Value| entry["annotations"][REF_NAME].as_str().unwrap().to_owned();
        let doomed = list.iter().position(|entry| name(entry).ends_with(":2")).unwrap();
        let mut more = list[if of == 2 { doomed } else { 1 - doomed }].clone();
        more["annotations"] = list[doomed]["annotations"].clone();
        list.push(more);
        fs_err::write(&path, index.to_string()).unwrap();
    };
    let tags = || fs_err::read_to_string(&path).unwrap().matches("a:2\"").count();
    write(1);
    let run = sync().failure(1);
    assert!(run.stderr.contains("the index also has this name for another image"), "{run}");
    assert!(!run.stderr.contains("Deleted 1 images"), "{run}");
    assert_eq!(tags(), 2);
    write(2);
    let run = sync().success();
    assert!(run.stderr.contains("Deleted 1 images"), "{run}");
    assert_eq!(tags(), 0);
    at_home(&home, &["inspect", &format!("oci:place:{}/a:1", from.host())]).success();
}

#[test]
fn a_name_that_a_place_has_twice_is_given_whole() {
    for kind in ["oci", "oci-archive"] {
        let (from, _, home) = two();
        Image::new(1).push(&from, "a:1");
        let source = format!("{}/a", from.host());
        let words = ["sync", "--src=docker", "--all", &source, &format!("--dest={kind}"), "place"];
        // Another image has the same name, in the second place.
        let name = format!("{}/a:1", from.host());
        Image::new(1).write_oci(&home.path("work/layout"), Some(&name));
        let index = home.path("work/layout/index.json");
        let read = || -> Value { serde_json::from_slice(&fs_err::read(&index).unwrap()).unwrap() };
        let one = read()["manifests"][0].clone();
        fs_err::remove_file(&index).unwrap();
        Image::new(2).write_oci(&home.path("work/layout"), Some(&name));
        let mut twice = read();
        twice["manifests"].as_array_mut().unwrap().insert(0, one);
        fs_err::write(&index, twice.to_string()).unwrap();
        let (layout, place) = (home.path("work/layout"), home.path("work/place"));
        if kind == "oci" {
            fs_err::rename(&layout, &place).unwrap();
        } else {
            let mut tar = Command::new("tar");
            let tar = tar.arg("-cf").arg(&place).arg("-C").arg(&layout).arg(".");
            assert!(tar.status().unwrap().success());
        }
        Image::new(3).push(&from, "a:1");
        at_home(&home, &words).success();
        if kind == "oci-archive" {
            fs_err::remove_dir_all(&layout).unwrap();
            fs_err::create_dir(&layout).unwrap();
            let tar = Command::new("tar").arg("-xf").arg(&place).arg("-C").arg(&layout).status();
            assert!(tar.unwrap().success());
        }
        let there = if kind == "oci" { &place } else { &layout };
        assert_eq!(whole_layout(there), [(name, Image::new(3).digest())].into());
        let index: Value =
            serde_json::from_slice(&fs_err::read(there.join("index.json")).unwrap()).unwrap();
        assert_eq!(index["manifests"].as_array().unwrap().len(), 1, "{index}");
        // What nothing has a name for any more is gone, too.
        let blobs = fs_err::read_dir(there.join("blobs/sha256")).unwrap().count();
        assert_eq!(blobs, 2 + Image::new(3).layers().len(), "{kind}");
    }
}

#[test]
fn who_is_written_to_is_not_deleted() {
    let (from, _, home) = two();
    for seed in [1, 2] {
        Image::new(seed).push(&from, &format!("a:{seed}"));
    }
    sync(&home, &from, "place", &[]).success();
    at_home(&home, &["delete", "--tag-only", &from.docker("a:2")]).success();
    // As another program that writes there.
    let script = format!(
        "exec 9<{}; flock 9; echo; read -r line",
        home.path("work/place/a:2/version").display()
    );
    let mut bash = Command::new("bash");
    let bash = bash.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut other = bash.spawn().unwrap();
    let mut line = String::new();
    let stdout = other.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    let run = sync(&home, &from, "place", &[]).failure(1);
    assert!(run.stderr.contains("Error deleting \\\"dir:place/a:2\\\""), "{run}");
    at_home(&home, &["inspect", "dir:place/a:2"]).success();
    drop(other.stdin.take());
    other.wait().unwrap();
    sync(&home, &from, "place", &[]).success();
    assert!(!home.path("work/place/a:2").exists());
}
