//! Without the rights of root, and with others at work.

use super::*;

/// Somebody swaps a folder for a link outward and back, all the time.
#[test]
fn a_race_does_not_lead_out() {
    for how in [OVERLAY, VFS] {
        let mut guarded = Guarded::new();
        let (folder, swap) =
            (guarded.layer.path("d"), guarded.layer.place.path().join("root/swap"));
        fs_err::create_dir_all(folder.join("folder")).unwrap();
        symlink(guarded.outside(), &swap).unwrap();
        let is_done = AtomicBool::new(false);
        let exchange = |from: &Path, to: &Path| {
            rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE)
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    // Removed by the layer meanwhile, perhaps.
                    _ = exchange(&folder, &swap);
                }
            });
            for round in 0..60 {
                let mut members = Vec::new();
                for number in 0..10 {
                    let name = |last: &str| format!("d/{last}{round}-{number}");
                    members.push(file(&name("f"), "x"));
                    members.push(file(&name("folder/g"), "x"));
                    members.push(file("e", ""));
                    members.push(file(&name(".wh.n"), ""));
                    members.push(link(b'1', &name("l"), &name("f")));
                }
                _ = guarded.apply(&members, &how);
                if how == VFS {
                    _ = guarded
                        .apply(&[file("d/.wh.secret", ""), file("d/.wh..wh..opq", "")], &how);
                }
            }
            is_done.store(true, Ordering::Relaxed);
        });
        assert_eq!(fs_err::read_to_string(guarded.outside().join("secret")).unwrap(), "secret");
    }
}

#[test]
fn changed_files_are_named_and_nothing_outside_is_read() {
    let all = tar(&[folder("d"), file("d/f", "text"), file("last", "x")]);
    type Change = fn(&Layer);
    let changes: [(&str, Change); 6] = [
        ("file integrity checksum failed for \"d/f\"", |layer| {
            fs_err::write(layer.path("d/f"), "tent").unwrap();
        }),
        ("file integrity checksum failed for \"d/f\"", |layer| {
            fs_err::write(layer.path("d/f"), "text and more").unwrap();
        }),
        ("file integrity checksum failed for \"d/f\"", |layer| {
            fs_err::write(layer.path("d/f"), "").unwrap();
        }),
        ("opening \"d/f\": No such file or directory (os error 2)", |layer| {
            fs_err::remove_file(layer.path("d/f")).unwrap();
        }),
        ("opening \"d/f\": Too many levels of symbolic links (os error 40)", |layer| {
            fs_err::remove_file(layer.path("d/f")).unwrap();
            fs_err::write(layer.place.path().join("text"), "text").unwrap();
            symlink("../../text", layer.path("d/f")).unwrap();
        }),
        ("reading \"d/f\": Is a directory (os error 21)", |layer| {
            fs_err::remove_file(layer.path("d/f")).unwrap();
            fs_err::create_dir(layer.path("d/f")).unwrap();
        }),
    ];
    for (expected, change) in changes {
        let mut layer = Layer::new();
        layer.takes(&all, &OVERLAY);
        change(&layer);
        assert_eq!(words(&layer.export().unwrap_err()), expected);
    }
    // A folder on the way that leads out: its file is the same, and is not read.
    let mut layer = Layer::new();
    layer.takes(&all, &OVERLAY);
    fs_err::rename(layer.path("d"), layer.place.path().join("d")).unwrap();
    symlink("../d", layer.path("d")).unwrap();
    assert!(words(&layer.export().unwrap_err()).starts_with("opening \"d/f\": "));
    // And one that is found in a layer below.
    let below = layer.place.path().join("below");
    fs_err::create_dir_all(below.join("d")).unwrap();
    fs_err::write(below.join("d/f"), "text").unwrap();
    let mut again = Vec::new();
    export(&*layer.split, &[layer.root.clone(), below], &mut again).unwrap();
    assert!(again == all);
}

#[test]
fn without_root_what_is_possible_is_done() {
    let place = tempfile::tempdir().unwrap();
    let run = |before: &[&str], task: &str| {
        let me = skopeo_testkit::run::example("storage-unprivileged");
        let mut command = if is_root() {
            fs_err::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o777))
                .unwrap();
            // Where nobody may read it.
            let copy = place.path().join("program");
            fs_err::copy(me, &copy).unwrap();
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]);
            command.args(before).arg(copy).env("TMPDIR", place.path());
            command
        } else {
            let words = [before, &[me.to_str().unwrap()]].concat();
            let mut command = Command::new(words[0]);
            command.args(&words[1..]);
            command
        };
        let run = command.arg(task).output().unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        // Some machines do not let users have namespaces.
        if !before.is_empty() && said.starts_with("unshare: ") {
            skip!("{said}");
        }
        assert!(run.status.success(), "{said}");
    };
    run(&[], "as-nobody");
    run(&["unshare", "--user", "--map-root-user"], "in-a-user-namespace");
}

#[test]
fn a_full_disk_names_the_entry() {
    let place = tempfile::tempdir().unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=256k", "none"]).arg(place.path());
    if !is_root() || !mount.status().unwrap().success() {
        skip!("nothing can be mounted");
    }
    let all = tar(&[file("small", "x"), file("d/large", &"x".repeat(1_000_000))]);
    let error = skopeo_storage::contents::apply(&*all, place.path(), Vec::new(), &OVERLAY);
    assert!(Command::new("umount").arg(place.path()).status().unwrap().success());
    let error = words(&error.unwrap_err());
    assert_eq!(error, "writing \"d/large\": No space left on device (os error 28)");
}
