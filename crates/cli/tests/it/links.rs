//! Links that other users made where everybody may make some: nothing is written through them, and
//! elsewhere links are followed as ever.

use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::PathBuf;

use skopeo_testkit::{Home, Image, Registry, Run, skip};

use crate::stage::{home, skopeo};

/// Nobody, and not us.
const OTHER: u32 = 65_534;

struct Stage {
    home: Home,
    source: Registry,
}

impl Stage {
    /// A folder `all`, where everybody may make files, and another one, `real`, that links lead to.
    /// `None` where links cannot be given to others.
    fn new() -> Option<Self> {
        let source = Registry::start();
        Image::new(1).push(&source, "lib/image:v1");
        let home = home(&[&source.host()]);
        for folder in ["all", "real"] {
            fs_err::create_dir(home.path("work").join(folder)).unwrap();
        }
        let mode = std::fs::Permissions::from_mode(0o1777);
        fs_err::set_permissions(home.path("work/all"), mode).unwrap();
        let stage = Self { home, source };
        stage.link("probe", "../real", OTHER).then_some(stage)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path("work").join(name)
    }

    /// Makes a link in `all` that belongs to a user; `false` if that is not allowed.
    fn link(&self, name: &str, leads: &str, owner: u32) -> bool {
        let path = self.path("all").join(name);
        let _ = fs_err::remove_file(&path);
        symlink(leads, &path).unwrap();
        lchown(&path, Some(owner), None).is_ok()
    }

    /// What is in `real`.
    fn real(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs_err::read_dir(self.path("real")).unwrap().map(Result::unwrap);
        let read = |path: PathBuf| fs_err::read(&path).unwrap_or_default();
        let mut all: Vec<_> = entries
            .map(|entry| (entry.file_name().into_string().unwrap(), read(entry.path())))
            .collect();
        all.sort();
        all
    }

    /// Runs a command whose file, or folder, is behind a link of another user: it is refused. Then
    /// the same behind a link of our own.
    fn check(&self, words: &[&str], file: &str, link: (&str, &str), content: Option<&str>) {
        let fill = || match content {
            Some(content) => fs_err::write(self.path("real/file"), content).unwrap(),
            None => {
                let _ = fs_err::remove_file(self.path("real/file"));
            }
        };
        let words: Vec<String> = words.iter().map(|word| word.replace("{}", file)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        fill();
        let (name, leads) = link;
        assert!(self.link(name, leads, OTHER));
        let before = self.real();
        let refused: Run = skopeo(&self.home, &words).failure(1);
        assert!(refused.stderr.contains("not following the link"), "{words:?}: {refused}");
        assert!(refused.stderr.contains("hint: "), "{words:?}: {refused}");
        assert_eq!(self.real(), before, "{words:?}");

        assert!(self.link(name, leads, 0));
        skopeo(&self.home, &words).success();
        assert_ne!(self.real(), before, "{words:?}");
        assert!(self.path("all").join(name).is_symlink(), "{words:?}");
        fs_err::remove_dir_all(self.path("real")).unwrap();
        fs_err::create_dir(self.path("real")).unwrap();
    }
}

#[test]
fn of_other_users_are_not_followed_by_flags() {
    let Some(stage) = Stage::new() else { skip!("only root can make links of others") };
    let from = stage.source.docker("lib/image:v1");
    let repository = format!("{}/lib/image", stage.source.host());
    let host = stage.source.host();
    let sync = ["sync", "--src=docker", "--dest=oci", &*repository, "place"];
    let with = |flag: &'static str| [&sync[..1], &[flag], &sync[1..]].concat();
    let report = skopeo(&stage.home, &with("--report=report.json"));
    report.success();
    let rows: Vec<(Vec<&str>, Option<&str>)> = vec![
        (vec!["copy", "--digestfile={}", &from, "oci:layout:v1"], Some("precious")),
        (with("--digestfile={}"), Some("precious")),
        (with("--report={}"), Some("precious")),
        (with("--lock={}"), Some("precious")),
        (with("--state={}"), None),
        (vec!["sync", "report", "merge", "--output-file={}", "report.json"], Some("precious")),
        (
            vec!["login", "--tls-verify=false", "-uuser", "-psecret", "--authfile={}", &host],
            Some("{}"),
        ),
        (
            vec!["login", "--tls-verify=false", "-uu", "-ps", "--compat-auth-file={}", &host],
            Some("{}"),
        ),
        (vec!["logout", "--all", "--authfile={}"], Some("{\"auths\":{\"a.io\":{}}}")),
    ];
    for (words, content) in rows {
        // The file itself, and a folder on the way to it.
        stage.check(&words, "all/link", ("link", "../real/file"), content);
        stage.check(&words, "all/folder/file", ("folder", "../real"), content);
    }
}

#[test]
fn of_other_users_are_not_followed_to_where_images_are_written() {
    let Some(stage) = Stage::new() else { skip!("only root can make links of others") };
    let from = stage.source.docker("lib/image:v1");
    let repository = format!("{}/lib/image", stage.source.host());
    let sync = |kind| vec!["sync", "--src=docker", "--dest", kind, &*repository, "{}"];
    for words in [
        vec!["copy", "-q", &from, "oci-archive:{}:v1"],
        vec!["copy", "-q", &from, "docker-archive:{}:v:1"],
        sync("oci-archive"),
        sync("docker-archive"),
    ] {
        stage.check(&words, "all/link", ("link", "../real/file"), Some(""));
        stage.check(&words, "all/folder/file", ("folder", "../real"), None);
    }
    for words in [
        vec!["copy", "-q", &from, "dir:{}"],
        vec!["copy", "-q", &from, "oci:{}:v1"],
        vec!["copy", "-q", "--dest-shared-blob-dir={}", &from, "oci:layout:v1"],
        sync("dir"),
        sync("oci"),
    ] {
        stage.check(&words, "all/folder", ("folder", "../real"), None);
    }
    // Nor is anything deleted there.
    Image::new(1).write_oci(&stage.path("real"), Some("v1"));
    assert!(stage.link("folder", "../real", OTHER));
    let before = stage.real();
    let refused = skopeo(&stage.home, &["delete", "oci:all/folder:v1"]).failure(1);
    assert!(refused.stderr.contains("not following the link"), "{refused}");
    assert_eq!(stage.real(), before);
    assert!(stage.link("folder", "../real", 0));
    skopeo(&stage.home, &["delete", "oci:all/folder:v1"]).success();
}

/// A link that leads to what is not there yet is kept, and what it leads to is made.
#[test]
fn links_to_what_is_not_there_yet_stay_links() {
    let source = Registry::start();
    Image::new(1).push(&source, "lib/image:v1");
    let home = home(&[&source.host()]);
    let from = source.docker("lib/image:v1");
    symlink("report", home.path("work/link")).unwrap();
    let words = ["copy", "-q", "--digestfile=link", &from, "oci:layout:v1"];
    skopeo(&home, &words).success();
    assert!(home.path("work/report").exists() && home.path("work/link").is_symlink());
    symlink("image.tar", home.path("work/to.tar")).unwrap();
    skopeo(&home, &["copy", "-q", &from, "docker-archive:to.tar:v:1"]).success();
    assert!(home.path("work/image.tar").exists() && home.path("work/to.tar").is_symlink());
}

#[test]
fn of_other_users_are_not_served_nor_logged_through() {
    let Some(stage) = Stage::new() else { skip!("only root can make links of others") };
    stage.link("log", "../real/log", OTHER);
    stage.link("folder", "../real", OTHER);
    let listen = "--listen=127.0.0.1:0";
    for words in [
        &["serve", listen, "--create", "--log", "all/log", "served"][..],
        &["serve", listen, "all/folder"],
        &["serve", listen, "--create", "all/folder/below"],
    ] {
        let run = skopeo(&stage.home, words);
        assert_eq!(run.code, Some(1), "{words:?} {run}");
        assert!(run.stderr.contains("all/"), "{words:?} {run}");
        assert_eq!(stage.real(), [], "{words:?}");
    }
}
