//! A user without the rights of root: in a user namespace, with the ids that the system has set
//! aside, or without any.

use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use serde_json::json;
use skopeo_image::Digest;
use skopeo_testkit::run::{installed, original};
use skopeo_testkit::tar::Member;
use skopeo_testkit::{Run, Tar, skip};

use super::{Place, lacking};

/// A user that nobody else is.
const USER: u32 = 61_234;

/// The first of the ids that are set aside for it, where there are any.
const ASIDE: u32 = 3_000_000;

struct User {
    place: Place,
    program: String,
}

impl User {
    fn new(ids: bool) -> Self {
        let place = Place::new("overlay");
        // Where the user may run it.
        let program = place.home.path("tmp/skopeo");
        fs_err::copy(env!("CARGO_BIN_EXE_skopeo"), &program).unwrap();
        for (name, text) in [
            ("subuid", format!("walter:{ASIDE}:65536\n")),
            ("subgid", format!("walter:{ASIDE}:65536\n")),
            ("passwd", format!("root:x:0:0::/:/bin/sh\nwalter:x:{USER}:{USER}::/:/bin/sh\n")),
        ] {
            let text = if ids || name == "passwd" { text } else { String::new() };
            place.home.write(&format!("tmp/{name}"), &text);
        }
        let user = Self { place, program: program.display().to_string() };
        user.give();
        user
    }

    /// Gives all of the home to the user.
    fn give(&self) {
        let root = self.place.home.path("");
        let owner = format!("{USER}:{USER}");
        let status = Command::new("chown").args(["-R", &owner]).arg(root).status().unwrap();
        assert!(status.success());
    }

    /// Runs a program as the user, who sees files of its own for those of the system.
    fn run(&self, program: &str, arguments: &[&str]) -> Run {
        let mut binds = String::new();
        for name in ["subuid", "subgid", "passwd"] {
            let file = self.place.home.path(format!("tmp/{name}"));
            binds.push_str(&format!("mount --bind {} /etc/{name} && ", file.display()));
        }
        let script = format!(
            "{binds}exec setpriv --reuid {USER} --regid {USER} --clear-groups -- \"$0\" \"$@\""
        );
        let mut command = self.place.home.command(installed("unshare").unwrap());
        command.args(["--mount", "sh", "-c", &script, program]).args(arguments);
        let output = command.stdin(Stdio::null()).output().unwrap();
        Run {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }

    fn skopeo(&self, arguments: &[&str]) -> Run {
        self.run(&self.program, arguments)
    }

    /// An image of one layer with a file of that owner.
    fn image(&self, name: &str, owner: u32) {
        let file = Member {
            mode: 0o640,
            owner: (owner, owner),
            seconds: 0,
            ..Member::file("owned", "abc")
        };
        let tar = Tar::new().member(&file).end();
        let layer = Digest::sha256(&tar);
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer.as_str()]},
        });
        let config = config.to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": Digest::sha256(config.as_bytes()).as_str(),
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": layer.as_str(),
                "size": tar.len(),
            }],
        });
        let folder = self.place.home.path("work").join(name);
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::write(folder.join("version"), "Directory Transport Version: 1.1\n").unwrap();
        fs_err::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
        fs_err::write(folder.join(layer.hex()), tar).unwrap();
        fs_err::write(folder.join(Digest::sha256(config.as_bytes()).hex()), config).unwrap();
        self.give();
    }

    /// The owner of the only file of the only layer.
    fn owner(&self) -> (u32, u32) {
        let layer = self.place.folders().remove(0);
        let file = self.place.home.path("store/overlay").join(layer).join("diff/owned");
        let found = fs_err::symlink_metadata(file).unwrap();
        (found.uid(), found.gid())
    }
}

/// Whether this machine lets a user make a namespace.
fn refused() -> Option<String> {
    if let Some(lack) = lacking(&["newuidmap", "setpriv", "unshare"]) {
        return Some(lack);
    }
    let tried = Command::new("setpriv")
        .args(["--reuid", "61234", "--regid", "61234", "--clear-groups", "unshare", "-U", "true"])
        .stderr(Stdio::null())
        .status();
    let made = tried.is_ok_and(|status| status.success());
    (!made).then(|| "users may not make user namespaces here".to_owned())
}

#[test]
fn with_ids_set_aside_files_have_other_owners() {
    if let Some(why) = refused() {
        skip!("{why}");
    }
    let user = User::new(true);
    user.image("image", 1000);
    user.skopeo(&["copy", "dir:image", "containers-storage:a"]).success();
    // 0 is the user, 1 the first that is set aside.
    assert_eq!(user.owner(), (ASIDE + 999, ASIDE + 999));
    let inspected = user.skopeo(&["inspect", "containers-storage:a"]).success();
    assert_eq!(inspected.json()["Name"], "docker.io/library/a");
    user.skopeo(&["copy", "containers-storage:a", "dir:out"]).success();
    let same = |name: &str| {
        let read = |folder: &str| {
            fs_err::read(user.place.home.path("work").join(folder).join(name)).unwrap()
        };
        assert_eq!(read("image"), read("out"));
    };
    same("manifest.json");
    if let Some(original) = original() {
        let theirs = ["copy", "containers-storage:a", "dir:theirs"];
        user.run(original.to_str().unwrap(), &theirs).success();
    }
    user.skopeo(&["delete", "containers-storage:a"]).success();
    assert!(user.place.folders().is_empty());
}

#[test]
fn without_ids_the_user_is_all_there_is() {
    if let Some(why) = refused() {
        skip!("{why}");
    }
    let user = User::new(false);
    user.image("mine", 0);
    let run = user.skopeo(&["copy", "dir:mine", "containers-storage:a"]).success();
    assert!(run.stderr.contains("Found no UID ranges set aside for user"), "{run}");
    assert_eq!(user.owner(), (USER, USER));
    user.skopeo(&["copy", "containers-storage:a", "dir:out"]).success();
    user.image("others", 1000);
    let run = user.skopeo(&["copy", "dir:others", "containers-storage:b"]).failure(1);
    let sentence = "potentially insufficient UIDs or GIDs available in user namespace (requested \
                    1000:1000 for ";
    assert!(run.stderr.contains(sentence), "{run}");
    assert_eq!(user.place.list("images").len(), 1);
    // What names no store needs none of it.
    let run = user.skopeo(&["copy", "dir:others", "oci:layout:x"]).success();
    assert!(!run.stderr.contains("ranges"), "{run}");
}

/// Where the files say nothing, the program is asked that knows all other sources.
#[test]
fn ids_that_are_set_aside_elsewhere_are_asked_for() {
    if let Some(why) = refused() {
        skip!("{why}");
    }
    let user = User::new(false);
    user.image("mine", 0);
    let folder = user.place.home.path("tmp/bin");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> {}\necho \"0: walter {ASIDE} 65536\"\n",
        user.place.home.path("tmp/asked").display()
    );
    user.place.home.write("tmp/bin/getsubids", &script);
    let status = Command::new("chmod").args(["-R", "755"]).arg(&folder).status().unwrap();
    assert!(status.success());
    user.give();
    let path = format!("PATH={}:/usr/sbin:/usr/bin:/sbin:/bin", folder.display());
    let words = [&path, &user.program, "copy", "dir:mine", "containers-storage:a"];
    // Debian's own helpers look into the files alone, and refuse; the user's one id is left then.
    let run = user.run("/usr/bin/env", &words).success();
    let asked = fs_err::read_to_string(user.place.home.path("tmp/asked")).unwrap();
    assert_eq!(asked, "walter\n-g walter\n");
    assert!(!run.stderr.contains("Found no UID ranges"), "{run}");
    assert!(run.stderr.contains("running newgidmap"), "{run}");
    assert_eq!(user.owner(), (USER, USER));
}

/// Inside of what podman or buildah made, no second namespace is made; exit codes come through.
#[test]
fn who_is_inside_stays_there() {
    if let Some(why) = refused() {
        skip!("{why}");
    }
    let user = User::new(true);
    user.image("image", 1000);
    user.skopeo(&["copy", "dir:image", "containers-storage:a"]).success();
    user.skopeo(&["inspect", "containers-storage:none"]).failure(2);
    let inside = ["-Ur", user.program.as_str(), "inspect", "containers-storage:a"];
    let run = user.run(installed("unshare").unwrap().to_str().unwrap(), &inside).success();
    assert!(!run.stderr.contains("ranges"), "{run}");
}

/// Where nothing is configured, a user's podman finds what we have brought, and we what it has.
#[test]
fn the_podman_of_a_user_has_the_same_store() {
    if let Some(why) = refused().or_else(|| lacking(&["podman"])) {
        skip!("{why}");
    }
    let podman = installed("podman").unwrap().display().to_string();
    for ours_first in [true, false] {
        let user = User::new(true);
        user.image("image", 1000);
        let run = |program: &str, words: &[&str]| {
            let words = [&["-u", "CONTAINERS_STORAGE_CONF", program][..], words].concat();
            user.run("/usr/bin/env", &words).success()
        };
        let conf = user.place.home.path("home/.config/containers/storage.conf");
        fs_err::remove_file(conf).unwrap();
        let ours = |words: &[&str]| run(&user.program, words);
        let copy = |name: &str| ours(&["copy", "dir:image", &format!("containers-storage:{name}")]);
        let images = || run(&podman, &["images", "--format", "{{.Names}}"]).stdout;
        if ours_first {
            copy("h.io/ours:1");
            assert!(images().contains("h.io/ours:1"));
        } else {
            assert_eq!(images(), "");
            copy("h.io/ours:1");
        }
        run(&podman, &["tag", "h.io/ours:1", "h.io/theirs:1"]);
        ours(&["copy", "containers-storage:h.io/theirs:1", "dir:out"]);
        copy("h.io/again:1");
        assert!(images().contains("h.io/again:1"));
    }
}
