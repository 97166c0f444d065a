//! `dir:` written over what is there already, beside the installed original.
//!
//! Debian's 1.9.3 takes folders of version 1.1 only; 1.22, which we follow, what is not later than
//! 1.2, which transport/tests/laws/dir.rs looks at.

use std::os::unix::fs::symlink;

use fs_err as fs;
use skopeo_testkit::twin::{differences, tree};
use skopeo_testkit::{Format, Home, Image, Twin, skip};

use crate::program::fatal;

const VERSION: &str = "Directory Transport Version: 1.1\n";

/// What is at `work/to`, and what both say when a copy goes there.
struct Row {
    what: &'static str,
    flags: &'static [&'static str],
    prepare: fn(&Home),
}

const fn row(what: &'static str, prepare: fn(&Home)) -> Row {
    Row { what, flags: &[], prepare }
}

fn write(home: &Home, name: &str, text: &str) {
    home.write(&format!("work/to/{name}"), text);
}

const ROWS: &[Row] = &[
    row("nothing", |_| {}),
    row("an empty folder", |home| fs::create_dir(home.path("work/to")).unwrap()),
    row("another image", |home| Image::new(9).write_dir(&home.path("work/to"))),
    row("a list", |home| Image::platforms(9, 3).write_dir(&home.path("work/to"))),
    row("an image with company", |home| {
        Image::new(9).write_dir(&home.path("work/to"));
        write(home, "signature-1", "old");
        write(home, "signature-17", "old");
        write(home, "a/folder/with/files", "x");
        write(home, ".hidden", "x");
        symlink("/etc/passwd", home.path("work/to/link")).unwrap();
    }),
    row("only a version", |home| write(home, "version", VERSION)),
    row("a version that is none", |home| {
        write(home, "version", "mine");
        write(home, "thesis", "important");
    }),
    row("a version without end", |home| {
        write(home, "version", "Directory Transport Version: 1.1");
        write(home, "thesis", "important");
    }),
    row("a folder of others", |home| write(home, "thesis", "important")),
    row("a file", |home| home.write("work/to", "important")),
    row("a link to a folder", |home| {
        Image::new(9).write_dir(&home.path("work/real"));
        symlink("real", home.path("work/to")).unwrap();
    }),
    row("a link to nowhere", |home| symlink("nowhere", home.path("work/to")).unwrap()),
    Row {
        what: "an image, both ways of packing",
        flags: &["--dest-compress", "--dest-decompress"],
        prepare: |home| Image::new(9).write_dir(&home.path("work/to")),
    },
    Row {
        what: "an image, unpacked",
        flags: &["--dest-decompress"],
        prepare: |home| Image::new(9).write_dir(&home.path("work/to")),
    },
    Row {
        what: "the same image",
        flags: &["--format", "v2s2"],
        prepare: |home| Image::new(1).write_dir(&home.path("work/to")),
    },
];

#[test]
fn what_is_there_is_treated_as_the_original_does() {
    if Twin::new(env!("CARGO_BIN_EXE_skopeo")).is_none() {
        skip!("the original skopeo is not installed: nothing to compare with");
    }
    let sources =
        [Image::new(1), Image::builder(2).format(Format::Docker).build(), Image::platforms(3, 2)];
    let mut report = String::new();
    for Row { what, flags, prepare } in ROWS {
        for (at, source) in sources.iter().enumerate() {
            let twin = Twin::new(env!("CARGO_BIN_EXE_skopeo")).unwrap();
            twin.prepare(|home| {
                source.write_dir(&home.path("work/from"));
                prepare(home);
            });
            let all: &[&str] = if source.instances().is_empty() { &[] } else { &["--all"] };
            let words = [&["copy"][..], all, flags, &["dir:from", "dir:to"]].concat();
            let both = twin.run(&words);
            let work = |home: &Home| tree(&home.path("work"));
            let (theirs, ours) = (work(&twin.original().home), work(&twin.ours().home));
            let mut differing = differences(&theirs, &ours);
            // Newer Go sees that a file is no folder when it opens it.
            let said = fatal(&both.original).replace(": readdirent ", ": open ");
            if both.original.code != both.ours.code || said != fatal(&both.ours) {
                differing.push(format!("{}\n{}", both.original, both.ours));
            }
            if !differing.is_empty() {
                report += &format!("== {what}, source {at}:\n{}\n", differing.join("\n"));
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}
