//! Tars that are written in odd ways: each comes out as it went in.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use proptest::prelude::*;
use skopeo_storage::contents::{Apply, Error, Whiteouts};

use super::make::*;
use crate::support::{is_root, skip};

#[test]
fn ends_are_as_they_were() {
    for end in [0, 512, 1024, 1536, 5000, 100_000] {
        let mut all = file("a", "x").bytes();
        all.resize(all.len() + end, 0);
        Layer::new().takes(&all, &OVERLAY);
    }
    let mut all = tar(&[file("a", "x")]);
    all.extend_from_slice(b"not even zeros");
    Layer::new().takes(&all, &OVERLAY);
    // Go's reader is content with a tar that ends within what fills a block.
    let whole = file("a", "x").bytes();
    for length in [513, 514, 1000, 1023] {
        Layer::new().takes(&whole[..length], &OVERLAY);
    }
    let applied = Layer::new().takes(b"", &OVERLAY);
    assert_eq!(applied.diff_size, 0);
}

#[test]
fn padding_need_not_be_zeros() {
    let mut all = file("a", "x").bytes();
    all[600..1024].fill(7);
    all.extend(file("b", "y").bytes());
    Layer::new().takes(&all, &OVERLAY);
}

#[test]
fn extensions_are_kept() {
    let long = "n".repeat(200);
    let mut layer = Layer::new();
    let mut all = Vec::new();
    let global = Member {
        kind: b'g',
        name: b"pax_global_header".to_vec(),
        ..file("", "17 comment=hello\n")
    };
    all.extend(global.bytes());
    all.extend(global.bytes()); // an object each would be a duplicate
    all.extend(
        Member { contents: format!("{long}\0").into(), ..member(b'L', "././@LongLink") }.bytes(),
    );
    all.extend(
        Member { contents: format!("{long}2\0").into(), ..member(b'K', "././@LongLink") }.bytes(),
    );
    all.extend(link(b'2', "cut", "cut").bytes());
    all.extend(pax(&[("path", b"not this one")]));
    all.extend(pax(&[("uid", b"70000")])); // only the last one counts
    all.extend(file("b", "y").bytes());
    layer.takes(&all, &OVERLAY);
    assert_eq!(fs_err::read_link(layer.path(&long)).unwrap().to_str().unwrap(), format!("{long}2"));
    if is_root() {
        assert_eq!(fs_err::metadata(layer.path("b")).unwrap().uid(), 70_000);
    }
}

#[test]
fn names_need_not_be_utf8() {
    let mut layer = Layer::new();
    let all =
        tar(&[Member { name: b"\xff\xfe<&>".to_vec(), ..file("", "x") }, file("q\"\\<", "y")]);
    layer.takes(&all, &OVERLAY);
    assert!(layer.recipe().contains("\"name_raw\":\"//48Jj4=\""), "{}", layer.recipe());
    assert_eq!(layer.text("q\"\\<"), "y");
}

#[test]
fn what_has_no_contents_in_the_recipe_has_them_nowhere_else() {
    // A size where nothing follows, and contents that are not kept as a file.
    let mut layer = Layer::new();
    let mut sized = link(b'1', "b", "a");
    sized.size = Some(octal(1));
    let all = tar(&[file("a", "x"), sized, file(".wh.c", "contents of a whiteout")]);
    layer.takes(&all, &VFS);
    let recipe = layer.recipe();
    assert!(recipe.contains("\"name\":\"b\",\"payload\":null"), "{recipe}");
    assert!(recipe.contains("\"name\":\".wh.c\",\"payload\":null"), "{recipe}");
}

#[test]
fn a_path_may_come_again_if_nothing_is_lost() {
    let mut layer = Layer::new();
    let again = Member { mode: 0o700, ..folder("./d") };
    layer.takes(&tar(&[folder("d/"), file("d/f", ""), again, file("d/f", "new")]), &OVERLAY);
    assert_eq!(fs_err::metadata(layer.path("d")).unwrap().mode(), 0o4_0700);
    assert_eq!(layer.text("d/f"), "new");
    assert_eq!(layer.recipe().matches("\"type\":1").count(), 2);
    for (first, second) in [("a", "a"), ("a", "./a"), ("a", "/a"), ("d/a", "d//a")] {
        let all = tar(&[file(first, "x"), file(second, "y")]);
        let error = Layer::new().apply(&all, &OVERLAY).unwrap_err();
        assert!(matches!(error, Error::Duplicate { .. }));
        assert_eq!(words(&error), format!("{second:?}: duplicates of file paths not supported"));
    }
}

/// Two files of holes, by GNU tar in each of its formats; the contents of the first.
pub(crate) fn sparse() -> (Vec<Vec<u8>>, Vec<u8>) {
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("holes");
    let file = fs_err::File::create(&path).unwrap();
    for number in 0..40_u64 {
        let (at, piece) = (number * 1_000_000, format!("piece {number}"));
        std::os::unix::fs::FileExt::write_all_at(file.file(), piece.as_bytes(), at).unwrap();
    }
    file.set_len(60_000_000).unwrap();
    fs_err::File::create(source.path().join("empty")).unwrap().set_len(1 << 20).unwrap();
    let formats = [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ];
    let tars = formats.map(|format| {
        let mut command = Command::new("tar");
        command.args(["-c", "-S", "-C"]).arg(source.path()).args(format).args(["holes", "empty"]);
        let tar = command.output().unwrap().stdout;
        assert!(tar.len() > 10_000 && tar.len() < 4_000_000, "{format:?} {}", tar.len());
        tar
    });
    (tars.into(), fs_err::read(path).unwrap())
}

#[test]
fn sparse_files_have_holes_and_come_out_as_they_were() {
    let (tars, expected) = sparse();
    for all in tars {
        let mut layer = Layer::new();
        layer.takes(&all, &OVERLAY);
        assert!(fs_err::read(layer.path("holes")).unwrap() == expected);
        let stat = fs_err::metadata(layer.path("holes")).unwrap();
        assert!(stat.blocks() * 512 < 4_000_000);
        assert_eq!(fs_err::metadata(layer.path("empty")).unwrap().len(), 1 << 20);
    }
}

/// What GNU tar writes, and what it reads, of files with all that it knows.
#[test]
fn gnu_tar_agrees() {
    if !is_root() {
        skip!("owners and devices are for root");
    }
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("source");
    fs_err::create_dir_all(source.join("d/e")).unwrap();
    for (name, length) in
        [("a", 0), ("d/b", 511), ("d/c", 512), ("d/e/f", 300_000), ("d/e/g", 262_144)]
    {
        fs_err::write(source.join(name), vec![7; length]).unwrap();
    }
    fs_err::write(source.join("d").join("l".repeat(150)), "long").unwrap();
    fs_err::hard_link(source.join("d/b"), source.join("d/e/h")).unwrap();
    std::os::unix::fs::symlink("t".repeat(180), source.join("s")).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        assert!(command.args(arguments).current_dir(&source).status().unwrap().success());
    };
    run("mkfifo", &["fifo"]);
    run("mknod", &["null", "c", "1", "3"]);
    run("chown", &["123:456", "d/c"]);
    run("chmod", &["6711", "d/c"]);
    run("touch", &["-d", "2001-02-03 04:05:06.123456789", "d/c", "d/e", "d"]);
    run("touch", &["-h", "-d", "2001-02-03 04:05:06.123456789", "s"]);
    for format in ["v7", "oldgnu", "gnu", "ustar", "pax"] {
        let mut command = Command::new("tar");
        let all =
            command.arg(format!("--format={format}")).args(["-c", "-C"]).arg(&source).arg(".");
        let all = all.output().unwrap().stdout; // v7 leaves out what it has no room for
        let mut layer = Layer::new();
        layer.takes(&all, &OVERLAY);
        let theirs = place.path().join(format);
        fs_err::create_dir(&theirs).unwrap();
        let tar = place.path().join("tar");
        fs_err::write(&tar, &all).unwrap();
        let mut command = Command::new("tar");
        let command =
            command.args(["-xp", "--numeric-owner", "-C"]).arg(&theirs).arg("-f").arg(&tar);
        assert!(command.status().unwrap().success());
        assert_eq!(listing(&layer.root), listing(&theirs), "{format}");
    }
}

/// Members of any kind, none of which stands in another's way.
pub(crate) fn members() -> impl Strategy<Value = Vec<Member>> {
    let one = (
        prop::sample::select(b"\x000123567SLKxg".to_vec()),
        prop::sample::select(vec!["", "d/", "./", "/", "d/e/", "w/", "w/.wh."]),
        prop::collection::vec(any::<u8>(), 0..1500),
        any::<u16>(),
    );
    prop::collection::vec(one, 0..12).prop_map(|list| {
        let mut members: Vec<Member> = Vec::new();
        let mut linkable: Vec<Vec<u8>> = Vec::new();
        let mut is_renamed = false;
        for (number, (kind, folder, contents, some)) in list.into_iter().enumerate() {
            let mut member = member(kind, &format!("{folder}n{number}"));
            member.mode = u32::from(some) & 0o7777 | 0o700;
            member.seconds = some.into();
            match kind {
                0 | b'0' | b'7' => member.contents = contents,
                // A long name of its own, and an extended header.
                b'L' => {
                    member.contents = format!("{folder}long{}{number}\0", "x".repeat(120)).into();
                }
                b'K' => member.contents = vec![b'k'; 200],
                b'x' => {
                    let records = match some % 4 {
                        0 => extended(&[("comment", &[1, b'\n', some.to_le_bytes()[0]])]),
                        1 => extended(&[("mtime", format!("{some}.0{some}").as_bytes())]),
                        2 => extended(&[("uid", b"70000"), ("gid", some.to_string().as_bytes())]),
                        _ => extended(&[
                            ("atime", b"2000000000.5"),
                            ("SCHILY.xattr.trusted.a", b"\0"),
                        ]),
                    };
                    members.push(records);
                    continue;
                }
                b'g' => member.contents = b"17 comment=hello\n".to_vec(),
                b'1' => {
                    let at = usize::from(some).checked_rem(linkable.len());
                    let Some(at) = at.filter(|_| !is_renamed) else { continue };
                    member.link.clone_from(&linkable[at]);
                }
                b'2' => {
                    member.link = contents
                        .into_iter()
                        .filter(|byte| *byte != 0)
                        .chain(*b"x")
                        .take(99)
                        .collect();
                }
                _ => {}
            }
            if matches!(kind, b'L' | b'K') {
                is_renamed = true;
            } else if kind == b'S' {
                continue; // wants GNU's magic
            } else if !std::mem::take(&mut is_renamed)
                && !matches!(kind, b'5' | b'g')
                && (is_root() || !matches!(kind, b'3' | b'4'))
                && folder != "w/.wh."
            {
                linkable.push(member.name.clone());
            }
            members.push(member);
        }
        members
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn tars_come_out_as_they_went_in(
        members in members(),
        end in 0_usize..3000,
        whiteouts in 0..3,
    ) {
        let how = match whiteouts {
            0 if is_root() => OVERLAY,
            1 => VFS,
            _ => Apply { whiteouts: Whiteouts::Files, ..OVERLAY },
        };
        let mut all: Vec<u8> = members.iter().flat_map(Member::bytes).collect();
        all.resize(all.len() + end / 512 * 512, 0);
        let how = Apply { rootless: !is_root(), ..how };
        let mut layer = Layer::new();
        let is_cut = end % 512 > 0 && end > 1024;
        if is_cut {
            all.resize(all.len() + end % 512, 0);
        }
        layer.takes(&all, &how);
    }

    #[test]
    fn anything_is_refused_or_comes_out_again(mut members in members(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        members.push(file("last", "x"));
        let mut all = tar(&members);
        for (at, byte) in flips {
            let at = at.index(all.len());
            all[at] = byte;
            let start = at / 512 * 512;
            // Half of the headers are right again.
            if byte & 1 == 0 && let Some(block) = all.get_mut(start..start + 512) {
                let summed = summed(block.try_into().unwrap());
                block.copy_from_slice(&summed);
            }
        }
        let mut layer = Layer::new();
        if layer.apply(&all, &OVERLAY).is_ok() {
            match layer.export() {
                Ok((_, again)) => prop_assert!(again == all),
                // An entry took away a file that another had made.
                Err(Error::Entry { .. } | Error::Changed { .. }) => {}
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
    }
}
