//! No link is followed, with `openat2` and without.

use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::sync::atomic::Ordering;

use super::*;

/// A folder and what lies beside it, opened in both ways.
fn opened(test: impl Fn(&Folder, &Path, &Path)) {
    for walks in [false, true] {
        let place = tempfile::tempdir().unwrap();
        let (inside, outside) = (place.path().join("in"), place.path().join("out"));
        fs_err::create_dir_all(inside.join("a/b")).unwrap();
        fs_err::create_dir_all(outside.join("b")).unwrap();
        fs_err::write(outside.join("secret"), "secret").unwrap();
        let folder = Folder::root(&inside).unwrap();
        folder.root.walks.store(walks, Ordering::Relaxed);
        test(&folder, &inside, &outside);
        assert_eq!(fs_err::read(outside.join("secret")).unwrap(), b"secret");
        assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 2);
        assert_eq!(fs_err::read_dir(outside.join("b")).unwrap().count(), 0);
    }
}

#[test]
fn files_are_made_read_moved_and_removed() {
    opened(|folder, inside, _| {
        let deep = folder.join("x/y").join("z");
        assert!(deep.look("f").unwrap().is_none() && deep.entries().unwrap().is_empty());
        deep.make().unwrap();
        deep.make().unwrap();
        deep.create("f").unwrap().write_all(b"one").unwrap();
        assert_eq!(deep.create("f").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        deep.rename("f", &folder.join("a"), "g").unwrap();
        folder.join("a").link("g", &deep, "h").unwrap();
        let mut text = String::new();
        deep.read("h").unwrap().unwrap().0.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one");
        let mut temporary = deep.temporary().unwrap();
        temporary.file().write_all(b"two").unwrap();
        temporary.persist("h").unwrap();
        drop(deep.temporary().unwrap());
        let names = deep.entries().unwrap();
        assert_eq!(names.iter().map(|it| it.0.as_str()).collect::<Vec<_>>(), ["h"]);
        assert_eq!(fs_err::read(inside.join("a/g")).unwrap(), b"one");
        assert!(deep.remove("h").unwrap() && !deep.remove("h").unwrap());
        assert!(folder.join("x/y").remove_folder("z").unwrap());
        assert!(folder.read("a").unwrap().is_none());
        assert_eq!(folder.look("a").unwrap().map(|it| it.is_dir()), Some(true));
    });
}

#[test]
fn no_link_is_followed_anywhere() {
    opened(|folder, inside, outside| {
        symlink(outside, inside.join("link")).unwrap();
        symlink(outside.join("secret"), inside.join("a/file")).unwrap();
        symlink(outside.join("new"), inside.join("a/dangling")).unwrap();
        symlink("../../out", inside.join("a/up")).unwrap();
        for below in ["link", "a/up", "a/../../out", "..", "/", "link/b"] {
            let through = folder.join(below);
            assert!(through.create("new").is_err(), "{below}");
            assert!(through.create_or_open("secret").is_err(), "{below}");
            assert!(through.temporary().is_err(), "{below}");
            assert!(!matches!(through.read("secret"), Ok(Some(_))), "{below}");
            assert!(!matches!(through.write("secret"), Ok(Some(_))), "{below}");
            assert!(!matches!(through.look("secret"), Ok(Some(_))), "{below}");
            assert!(through.entries().map_or(true, |found| found.is_empty()), "{below}");
            assert!(!through.remove("secret").unwrap_or(false), "{below}");
            assert!(!through.remove_folder("b").unwrap_or(false), "{below}");
            assert!(through.join("c").make().is_err(), "{below}");
            assert!(through.rename("secret", folder, "got").is_err(), "{below}");
            assert!(through.link("secret", folder, "got").is_err(), "{below}");
        }
        let a = folder.join("a");
        for name in ["file", "dangling", "../../out/secret", ".", ".."] {
            assert!(!matches!(a.read(name), Ok(Some(_))), "{name}");
            assert!(!matches!(a.write(name), Ok(Some(_))), "{name}");
            assert!(a.create(name).is_err() && a.create_or_open(name).is_err(), "{name}");
        }
        assert_eq!(a.look("file").unwrap().map(|it| it.is_symlink()), Some(true));
        // The link itself goes, not what it leads to.
        assert!(a.remove("file").unwrap());
        assert!(folder.read("got").unwrap().is_none());
    });
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    opened(|folder, inside, _| {
        let pipe = inside.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(inside.join("socket")).unwrap();
        for name in ["pipe", "socket", "a"] {
            assert!(folder.read(name).unwrap().is_none(), "{name}");
            assert!(!matches!(folder.write(name), Ok(Some(_))), "{name}");
            assert!(folder.create_or_open(name).is_err(), "{name}");
        }
    });
}
