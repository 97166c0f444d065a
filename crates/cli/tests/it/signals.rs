//! Signals that ask the program to end: whichever it is, and whatever is written, nothing stays that
//! was not there before, but parts of large blobs.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use skopeo_testkit::{Fault, Home, Image, On, Registry};

use crate::stage::{SKOPEO, finish, home, skopeo, start};

/// The signals, with the exit codes by which shells know them.
const SIGNALS: [(Signal, i32); 3] = [(Signal::HUP, 129), (Signal::INT, 130), (Signal::TERM, 143)];

const MIB: u64 = 1 << 20;

/// A registry of which no layer ever comes to its end.
fn source() -> Registry {
    let source = Registry::start();
    for tag in 0..3 {
        let image = Image::builder(tag).layers(2).layer_size(3_000_000).build();
        image.push(&source, &format!("lib/image:v{tag}"));
        for layer in image.layers() {
            let on = On::blobs().containing(layer.digest.to_string());
            source.fault(Fault::stall(on).after(MIB / 2));
        }
    }
    source
}

/// All that is below a folder, by its path from there.
fn all_below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs_err::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() && !path.is_symlink() {
                waiting.push(path);
            }
        }
    }
    found
}

/// Waits until as many blobs are on their way.
fn until_on_their_way(source: &Registry, blobs: usize) {
    while source.count(&On::blobs()) < blobs {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Until what has come so far is written somewhere, too.
    std::thread::sleep(Duration::from_millis(100));
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn nothing_stays_whichever_signal_ends_it() {
    let source = source();
    let home = home(&[&source.host()]);
    let from = source.docker("lib/image:v0");
    let repository = format!("{}/lib/image", source.host());
    // What is there before, so that it is added to.
    let there = Image::new(9);
    there.write_oci(&home.path("work/source"), Some("old"));
    for (kind, place) in [("oci-archive", "old.oci"), ("docker-archive", "old.docker")] {
        let to = format!("{kind}:{place}:old:1");
        skopeo(&home, &["copy", "-q", "oci:source:old", &to]).success();
    }
    let sync = |kind, place| ["sync", "--src=docker", "--dest", kind, &*repository, place];
    let rows: &[&[&str]] = &[
        &["copy", &from, "oci-archive:new.tar:v1"],
        &["copy", &from, "docker-archive:new.tar:v:1"],
        &["copy", &from, "oci-archive:old.oci:v1"],
        &["copy", &from, "docker-archive:old.docker:v:1"],
        &["copy", &from, "dir:folder"],
        &["copy", &from, "oci:layout:v1"],
        &["copy", "--dest-decompress", &from, "dir:folder"],
        &[
            "copy",
            "--dest-compress-format=zstd",
            "--dest-force-compress-format",
            &from,
            "oci:layout",
        ],
        &["copy", "--dest-shared-blob-dir=shared", &from, "oci:layout:v1"],
        &sync("dir", "folder"),
        &sync("oci", "layout"),
        &sync("oci-archive", "new.tar"),
        &sync("docker-archive", "new.tar"),
        &sync("oci-archive", "old.oci"),
        &sync("docker-archive", "old.docker"),
    ];
    // Layouts and folders of images keep what has come whole, and parts of what is large.
    let stays = |path: &str| {
        let name = path.rsplit('/').next().unwrap();
        let is_temporary = [".skopeo-", "oci-put-blob", "dir-put-blob", ".removed-"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        let is_kept = !is_temporary || name.starts_with(".skopeo-partial-");
        is_kept && ["folder", "layout", "shared"].iter().any(|folder| path.starts_with(folder))
    };
    for row in rows {
        for (signal_, code) in SIGNALS {
            let before = all_below(&home.path("work"));
            source.forget_requests();
            let words = [&row[..1], &["--tmpdir=../tmp"], &row[1..]].concat();
            let child = start(&home, &words);
            until_on_their_way(&source, 1);
            signal(&child, signal_);
            let run = finish(child, "what was asked to end");
            assert_eq!(run.code, Some(code), "{row:?}: {run}");
            let after = all_below(&home.path("work"));
            let new: Vec<_> = after.difference(&before).filter(|path| !stays(path)).collect();
            assert!(new.is_empty(), "{row:?}, {code}: {new:?}");
            assert_eq!(before.difference(&after).count(), 0, "{row:?}, {code}");
            assert_eq!(all_below(&home.path("tmp")).len(), 0, "{row:?}, {code}: left in tmp");
            for folder in ["folder", "layout", "shared"] {
                let _ = fs_err::remove_dir_all(home.path("work").join(folder));
            }
        }
    }
}

/// As `nohup` starts programs, and as shells start them in the background.
#[test]
fn what_was_ignored_from_the_start_stays_ignored() {
    let source = source();
    let home = home(&[&source.host()]);
    for (trap, ignored) in [("HUP", Signal::HUP), ("INT", Signal::INT)] {
        source.forget_requests();
        let mut command = home.command("sh");
        let script = format!("trap '' {trap}; exec \"$0\" \"$@\"");
        let from = source.docker("lib/image:v0");
        command.args(["-c", &script, SKOPEO, "copy", "-q", &from, "oci:layout:v1"]);
        let child = spawn(&mut command);
        until_on_their_way(&source, 1);
        signal(&child, ignored);
        std::thread::sleep(Duration::from_millis(300));
        signal(&child, Signal::TERM);
        let run = finish(child, "what ignores a signal");
        assert_eq!(run.code, Some(143), "{trap}: {run}");
    }
}

/// The server ends well by all of them: that is how it is ended.
#[test]
fn the_server_ends_well() {
    let home = Home::new();
    for (signal_, _) in SIGNALS {
        let mut child = start(&home, &["serve", "--listen", "127.0.0.1:0", "--create", "folder"]);
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        assert!(line.contains("127.0.0.1:"), "{line}");
        signal(&child, signal_);
        assert_eq!(finish(child, "a server").code, Some(0), "{signal_:?}");
    }
}

/// Who reads what is written to standard output may go away.
#[test]
fn nothing_stays_when_nobody_reads_any_more() {
    let source = Registry::start();
    let image = Image::builder(1).layers(2).layer_size(3_000_000).build();
    image.push(&source, "lib/image:v1");
    let home = home(&[&source.host()]);
    for kind in ["oci-archive", "docker-archive"] {
        let to = format!("{kind}:/dev/stdout");
        let from = source.docker("lib/image:v1");
        let mut child = start(&home, &["copy", "--tmpdir=../tmp", &from, &to]);
        drop(child.stdout.take());
        let run = finish(child, "what nobody reads");
        assert!(run.code.is_some_and(|code| code != 0), "{run}");
        assert_eq!(all_below(&home.path("tmp")).len(), 0, "left in tmp");
        assert_eq!(all_below(&home.path("work")).len(), 0, "left in work");
    }
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // In a group of its own, as what a terminal does to ours is not the matter here.
    command.process_group(0).spawn().unwrap()
}
