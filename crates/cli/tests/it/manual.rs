//! The commands of docs/jobs, as they stand there: only the registries' names are others.
//!
//! A block marked `sh` has to end well. Of a block marked `sh fails` each line has to fail.

use skopeo_testkit::{Home, Image, Registry};

use crate::program;
use crate::stage::{SKOPEO, finish, whole_layout};
use crate::sync_stage::whole_registry;

/// What a page finds: three registries, files with passwords, and the program on the path.
struct Reader {
    home: Home,
    hub: Registry,
    old: Registry,
    own: Registry,
}

impl Reader {
    fn new() -> Self {
        let hub = Registry::start();
        let guarded = || Registry::builder().htpasswd("me", "secret").start();
        let (old, own) = (guarded(), guarded());
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = std::path::Path::new(SKOPEO).parent().unwrap().display().to_string();
        let home = Home::new().variable("PATH", &format!("{bin}:{path}"));
        home.insecure(&[&hub.host(), &old.host(), &own.host()]);
        for name in ["password.txt", "old-password.txt"] {
            home.write(&format!("work/{name}"), "secret\n");
        }
        home.write("work/passphrase.txt", "a pass phrase\n");
        Image::platforms(1, 2).push(&hub, "library/alpine:3.20");
        for (seed, tag) in [(10, "1.19"), (20, "1.21"), (30, "1.27"), (40, "latest")] {
            Image::platforms(seed, 2).push(&hub, &format!("library/nginx:{tag}"));
        }
        Self { home, hub, old, own }
    }

    fn logged_in(self) -> Self {
        self.home.auth(&self.own.host(), "me", "secret");
        self
    }

    /// Does what the page says, from its first line to its last.
    #[track_caller]
    fn follow(&self, page: &str) -> String {
        let path = program::root().join("docs/jobs").join(page);
        let mut script = String::from("set -eux -o pipefail\n");
        for (kind, block) in blocks(&fs_err::read_to_string(path).unwrap()) {
            match kind {
                "sh" => script.push_str(&block),
                "sh fails" => {
                    for line in block.lines() {
                        script
                            .push_str(&format!("if {line}; then echo did not fail; exit 9; fi\n"));
                    }
                }
                _ => {}
            }
        }
        for (name, registry) in [
            ("docker.io/", &self.hub),
            ("old.example.com", &self.old),
            ("registry.example.com", &self.own),
        ] {
            let slash = if name.ends_with('/') { "/" } else { "" };
            script = script.replace(name, &format!("{}{slash}", registry.host()));
        }
        let mut bash = self.home.command("bash");
        bash.args(["-c", &script]).stdin(std::process::Stdio::null());
        bash.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        finish(bash.spawn().unwrap(), page).success().stdout
    }
}

/// The blocks of code of a page, each with the words behind its opening fence.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let block = lines.by_ref().take_while(|line| *line != "```");
            blocks.push((kind, block.map(|line| format!("{line}\n")).collect()));
        }
    }
    blocks
}

#[test]
fn blocks_are_found() {
    let page = "a\n```sh\nb\nc\n```\nd\n```\ne\n```\n```sh fails\nf\n```\n";
    let found = [("sh", "b\nc\n"), ("", "e\n"), ("sh fails", "f\n")];
    assert_eq!(blocks(page), found.map(|(kind, block)| (kind, block.to_owned())));
}

#[test]
fn every_job_is_tried() {
    let source = include_str!("manual.rs");
    for entry in fs_err::read_dir(program::root().join("docs/jobs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(source.contains(&format!("follow(\"{name}\")")), "docs/jobs/{name} is not tried");
    }
}

#[test]
fn copies_one_image() {
    let reader = Reader::new();
    reader.follow("copy.md");
    let alpine = Image::platforms(1, 2).digest().to_string();
    let there = whole_registry(reader.own.root());
    for name in ["base/alpine:3.20", "from-a-file/alpine:3.20"] {
        assert_eq!(there.get(name), Some(&alpine), "{there:?}");
    }
}

#[test]
fn promotes_an_image() {
    let reader = Reader::new().logged_in();
    let image = Image::platforms(5, 2);
    image.push(&reader.own, "staging/app:build-7");
    reader.own.forget_requests();
    reader.follow("promote.md");
    let there = whole_registry(reader.own.root());
    for tag in ["1.4.0", "1.4", "latest"] {
        assert_eq!(there.get(&format!("prod/app:{tag}")), Some(&image.digest().to_string()));
    }
    // As the page says, no layer moves.
    let moved: Vec<String> = reader.own.lines();
    let moved: Vec<&String> = moved.iter().filter(|line| line.starts_with("PATCH ")).collect();
    assert!(moved.is_empty(), "{moved:?}");
}

#[test]
fn mirrors_for_an_air_gap() {
    let reader = Reader::new().logged_in();
    reader.follow("air-gap.md");
    let digest = |image: Image| image.digest().to_string();
    let expected = [
        ("mirror/library/alpine:3.20", digest(Image::platforms(1, 2))),
        ("mirror/library/nginx:1.21", digest(Image::platforms(20, 2))),
        ("mirror/library/nginx:1.27", digest(Image::platforms(30, 2))),
    ];
    let expected = expected.map(|(name, digest)| (name.to_owned(), digest));
    assert_eq!(whole_registry(reader.own.root()), expected.into());
}

#[test]
fn migrates_a_registry() {
    let reader = Reader::new();
    for (seed, name) in [(50, "team/app:1"), (60, "team/app:2"), (70, "base:1")] {
        Image::platforms(seed, 2).push(&reader.old, name);
    }
    reader.follow("migrate.md");
    assert_eq!(whole_registry(reader.own.root()), whole_registry(reader.old.root()));
    assert_eq!(whole_registry(reader.own.root()).len(), 3);
}

#[test]
fn signs_and_requires_signatures() {
    let reader = Reader::new().logged_in();
    let said = reader.follow("sign.md");
    assert!(said.contains("sigstoreSigned: met\naccepted\n"), "{said}");
    let copied = whole_layout(&reader.home.path("work/alpine"));
    assert_eq!(copied.keys().collect::<Vec<_>>(), ["3.20"]);
}

/// A reader who looks for a message finds it: what docs/troubleshooting.md has in its left column
/// is in a sentence of some crate.
#[test]
fn messages_of_the_page_exist() {
    fn read(folder: &std::path::Path, text: &mut String) {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, text);
            } else if path.extension().is_some_and(|it| it == "rs") {
                text.push_str(&fs_err::read_to_string(&path).unwrap());
            }
        }
    }
    let mut source = String::new();
    for entry in fs_err::read_dir(program::root().join("crates")).unwrap() {
        read(&entry.unwrap().path().join("src"), &mut source);
    }
    // A sentence may be written on several lines.
    let source: String = source.split("\\\n").map(str::trim_start).collect();
    let page = fs_err::read_to_string(program::root().join("docs/troubleshooting.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let messages: Vec<&str> = rows
        .flat_map(|row| row.split(" | ").next().unwrap().split('`').skip(1).step_by(2))
        .collect();
    assert!(messages.len() > 40, "{messages:?}");
    let lost: Vec<_> = messages.into_iter().filter(|it| !source.contains(it)).collect();
    assert_eq!(lost, Vec::<&str>::new(), "nobody says this");
}
