//! `skopeo sync` by the installed original and by us: what is copied, what is said, how it ends.

use std::collections::BTreeMap;

use skopeo_image::Compression;
use skopeo_testkit::twin::{Side, canonical_tree, differences, without_what_was_asked};
use skopeo_testkit::{Format, Home, Image, Registry, Run, Twin};

use crate::sync_stage::tags;

/// What is run, and where it is known to be another thing than in 1.9.3, which distributions have.
struct Row {
    name: &'static str,
    /// `{from}` is the source's host, `{to}` the destination's; nobody is at
    /// port 1.
    words: String,
    /// Files in the folder where it is run, before.
    files: Vec<(&'static str, String)>,
    /// What differs, of `code`, `stdout`, `stderr` and `result`.
    known: &'static [&'static str],
}

fn row(name: &'static str, words: &str) -> Row {
    Row { name, words: words.to_owned(), files: Vec::new(), known: &[] }
}

/// On stdout is what it would take, which only we say.
const TABLE: &[&str] = &["stdout"];

/// That of several platforms one is copied only we say.
const PLATFORMS: &[&str] = &["stderr"];

/// With this as `list.yml`.
fn yaml(name: &'static str, words: &str, text: &str) -> Row {
    row(name, words).file("list.yml", text)
}

impl Row {
    fn file(mut self, name: &'static str, text: &str) -> Self {
        self.files.push((name, text.to_owned()));
        self
    }

    /// Differs in these, for the reason given where it is called.
    fn known(self, known: &'static [&'static str]) -> Self {
        Self { known, ..self }
    }
}

/// What there is to copy: several repositories and shapes, layers that are shared.
fn fill(registry: &Registry) {
    let of = |seed: u64| {
        let builder = Image::builder(seed).layer_size(2000);
        builder.layer_of(77, Compression::Gzip).layer_of(seed, Compression::Gzip)
    };
    for (tag, seed) in [("1", 1), ("2", 2), ("latest", 2)] {
        of(seed).build().push(registry, &format!("lib/one:{tag}"));
    }
    of(3).format(Format::Docker).build().push(registry, "other/two:1");
    Image::platforms(4, 3).push(registry, "multi/list:v1");
    Image::platforms(5, 2).push(registry, "multi/list:v2");
    let versions = ["1.0.0", "1.1.0", "2.0.0", "v2.1.0", "1.2", "1.0.0-rc1", "nightly", "3.0.0"];
    for (seed, version) in versions.iter().enumerate() {
        of(10 + seed as u64).build().push(registry, &format!("versions/app:{version}"));
    }
}

/// The same as folders.
fn folders(home: &Home) {
    let of = |seed: u64| Image::builder(seed).layer_of(77, Compression::Gzip).build();
    for (name, seed) in [("one:1", 1), ("one:2", 2), ("deep/er/two:latest", 3), ("plain", 4)] {
        of(seed).write_dir(&home.path("work/images").join(name));
    }
    Image::platforms(6, 2).write_dir(&home.path("work/lists/list:v1"));
    home.write("work/empty/nothing/here", "");
}

/// What came of a run: what was said, normalised, and what was written.
fn side(side: &Side, row: &Row, from: &Registry) -> (Run, BTreeMap<String, String>) {
    let to = Registry::start();
    let [from_host, to_host] = [from.host(), to.host()];
    let hosts = [("{from}", &from_host), ("{to}", &to_host)];
    let filled = |text: &str| {
        hosts.iter().fold(text.to_owned(), |text, (name, host)| text.replace(name, host))
    };
    // The source has a name without a port, too: with one, references to it are too odd for some.
    let insecure =
        |host: &String| format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n");
    let named = format!(
        "[[registry]]\nprefix = \"from.example\"\nlocation = \"{from_host}\"\ninsecure = true\n"
    );
    side.home.registries_conf(&format!("{}{}{named}", insecure(&from_host), insecure(&to_host)));
    for (name, text) in &row.files {
        side.home.write(&format!("work/{name}"), &filled(text));
    }
    let words = filled(&row.words);
    let words: Vec<&str> = words.split_whitespace().collect();
    let run = skopeo_testkit::run(&side.home, &side.program, &words);
    let text = |text: &str| {
        let text = text.replace(&side.home.path("").display().to_string(), "[HOME]/");
        let named = hosts.iter().fold(text, |text, (name, host)| text.replace(host.as_str(), name));
        sorted(&named)
    };
    // Hints are ours, and how to use it each says in its own words.
    let logged = |line: &&str| line.contains(" level=");
    let stderr = run.stderr.lines().filter(logged).collect::<Vec<_>>().join("\n");
    let run = Run { stdout: text(&run.stdout), stderr: text(&stderr), code: run.code };
    let mut written = tags(to.root());
    let folder = side.home.path("work/to");
    if folder.exists() {
        written.extend(canonical_tree(&folder));
        fs_err::remove_dir_all(&folder).unwrap();
    }
    for (name, _) in &row.files {
        let _ = fs_err::remove_file(side.home.path("work").join(name));
    }
    let digests = side.home.path("work/digests");
    if digests.exists() {
        let text = fs_err::read_to_string(&digests).unwrap().replace(&to_host, "{to}");
        written.insert("digests".to_owned(), sorted(&text));
        fs_err::remove_file(digests).unwrap();
    }
    (run, written)
}

/// Lines without their times, in the words of 1.22, sorted: many images are copied at once.
fn sorted(text: &str) -> String {
    let gone = ["Storing signatures", "Storing list signatures"];
    let older = [
        ("manifest unknown: manifest unknown", "manifest unknown"),
        ("repository tags for image", "repository tags for repo"),
        (
            "invalid status code from registry 404 (Not Found)",
            "repository name not known to registry",
        ),
    ];
    let text = without_what_was_asked(text);
    let text = older.iter().fold(text, |text, (old, new)| text.replace(old, new));
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !gone.contains(line) && !line.contains("Start filtering using the regular"))
        .map(|line| {
            let line = match line.strip_prefix("time=\"").and_then(|rest| rest.split_once("\" ")) {
                Some((_, rest)) => rest,
                None => line,
            };
            let line = line.trim_end();
            match line.strip_suffix(" images in list").filter(|l| l.starts_with("Copying ")) {
                Some(counts) => format!("{}…", counts.replace(" of ", " images generated from ")),
                None => line.replace(" images in list", "…"),
            }
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

/// Lines that only one of them has.
fn lines(theirs: &str, ours: &str) -> String {
    let counts = |text: &str| {
        let mut counts = BTreeMap::new();
        text.lines().for_each(|line| *counts.entry(line.to_owned()).or_insert(0) += 1);
        counts
    };
    let (theirs, ours) = (counts(theirs), counts(ours));
    let more = |a: &BTreeMap<String, i32>, b: &BTreeMap<String, i32>, mark: &str| {
        let more = |(line, count): (&String, &i32)| {
            let more = count - b.get(line).unwrap_or(&0);
            (more > 0).then(|| format!("{mark}{more} {line}\n"))
        };
        a.iter().filter_map(more).collect::<String>()
    };
    more(&theirs, &ours, "-") + &more(&ours, &theirs, "+")
}

#[track_caller]
fn compare(rows: Vec<Row>) {
    let Some(twin) = Twin::new(env!("CARGO_BIN_EXE_skopeo")) else {
        skopeo_testkit::skip!("the original skopeo is not installed: nothing to compare with");
    };
    let from = Registry::start();
    fill(&from);
    twin.prepare(folders);
    let mut report = String::new();
    for row in rows {
        let (theirs, their_tree) = side(twin.original(), &row, &from);
        let (ours, our_tree) = side(twin.ours(), &row, &from);
        let mut found = Vec::new();
        if theirs.code != ours.code {
            found.push(("code", format!("{:?} {:?}", theirs.code, ours.code)));
        }
        if theirs.stdout != ours.stdout && theirs.code == Some(0) {
            found.push(("stdout", lines(&theirs.stdout, &ours.stdout)));
        }
        if theirs.stderr != ours.stderr {
            found.push(("stderr", lines(&theirs.stderr, &ours.stderr)));
        }
        let differing = differences(&their_tree, &our_tree);
        if !differing.is_empty() {
            found.push(("result", differing.join("\n")));
        }
        for known in row.known {
            if !found.iter().any(|(what, _)| what == known) {
                report += &format!("== {}: {known} is the same now\n", row.name);
            }
        }
        for (what, text) in found.into_iter().filter(|(what, _)| !row.known.contains(what)) {
            report += &format!("== {} ({}): {what}\n{text}\n", row.name, row.words);
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn registry_to_folder() {
    let sync = |rest: &str| format!("sync --src docker --dest dir {rest}");
    compare(vec![
        row("a repository", &sync("{from}/lib/one to")),
        row("tagged", &sync("{from}/lib/one:1 to")),
        row("a tag for a default", &sync("{from}/lib/one:latest to")),
        row("scoped", &sync("--scoped {from}/lib/one to")),
        row("scoped and tagged", &sync("--scoped {from}/lib/one:2 ./to/")),
        row("lists", &sync("--override-os linux --override-arch arm64 {from}/multi/list to"))
            .known(PLATFORMS),
        row("all of lists", &sync("--all {from}/multi/list to")),
        row("docker", &sync("{from}/other/two to")),
        row("oci asked for", &sync("--format oci {from}/other/two to")),
        row("v2s2 asked for", &sync("-f v2s2 {from}/lib/one to")),
        row("v2s1 asked for", &sync("--format v2s1 {from}/other/two to")),
        row("format and lists", &sync("--all --format v2s2 {from}/multi/list to")),
        row("without signatures", &sync("--remove-signatures {from}/lib/one to")),
        row("digests kept", &sync("--preserve-digests --all {from}/multi/list to")),
        row("short flags", "sync -s docker -d dir -a {from}/multi/list:v1 to"),
        row("dry run of a tag", &sync("--dry-run {from}/lib/one:1 to"))
            // it makes the folders there, which then are in its own way; and the table
            .known(&["result", "stdout"]),
        row("keep going", &sync("--keep-going {from}/lib/one to")),
        row("nobody's name", &sync("from.example/lib/one:1 to")),
        row("scoped, without port", &sync("--scoped from.example/lib/one:1 to")),
    ]);
}

#[test]
fn registry_to_registry() {
    let sync = |rest: &str| format!("sync --src docker --dest docker {rest}");
    compare(vec![
        row("a repository", &sync("{from}/lib/one {to}")),
        row("below a path", &sync("{from}/lib/one {to}/some/path")),
        row("a slash at the end", &sync("{from}/lib/one {to}/some/path/")),
        row("tagged", &sync("{from}/lib/one:1 {to}/x")),
        row("lists", &sync("--override-os linux --override-arch amd64 {from}/multi/list {to}/x"))
            .known(PLATFORMS),
        row("all of lists", &sync("--all {from}/multi/list {to}/x")),
        row("all, digests kept", &sync("-a --preserve-digests {from}/multi/list {to}/x")),
        row("oci asked for", &sync("--format oci {from}/other/two {to}/x")),
        row("v2s2 asked for", &sync("--format v2s2 {from}/lib/one {to}/x")),
        row("without signatures", &sync("--remove-signatures {from}/lib/one {to}/x")),
        row("scoped", &sync("--scoped from.example/lib/one:1 {to}/x")),
        row("dry run", &sync("--dry-run {from}/lib/one {to}/x")).known(TABLE),
        row("keep going", &sync("--keep-going {from}/versions/app {to}/x")),
        row("retries", &sync("--retry-times 2 {from}/lib/one {to}/x")),
        row(
            "flags of sides",
            &sync("--src-tls-verify=false --dest-no-creds {from}/lib/one {to}/x"),
        ),
        row("deprecated flag", &sync("--tls-verify=false {from}/lib/one:1 {to}/x")),
    ]);
}

#[test]
fn folder_to_registry() {
    let sync = |rest: &str| format!("sync --src dir --dest docker {rest}");
    compare(vec![
        row("a folder", &sync("images {to}/x")),
        row("a slash at the end", &sync("./images/ {to}/x")),
        row("dots", &sync("images/../images/one:1/.. {to}/x")),
        row("scoped", &sync("--scoped images {to}/x")),
        row("scoped, a slash at the end", &sync("--scoped ./images/ {to}/x/")),
        row("one image", &sync("images/one:1 {to}/x")),
        row("one image, scoped", &sync("--scoped images/one:1 {to}/x")),
        row("one image, slash", &sync("images/one:1/ {to}/x")),
        row("lists", &sync("--override-os linux --override-arch amd64 lists {to}/x"))
            .known(PLATFORMS),
        row("all of lists", &sync("--all lists {to}/x")),
        row("dry run", &sync("--dry-run images {to}/x")).known(TABLE),
        row("keep going", &sync("--keep-going images {to}/x")),
        row("v2s2 asked for", &sync("--format v2s2 images/deep {to}")),
    ]);
}

#[test]
fn file_to_anything() {
    let dir = |rest: &str| format!("sync --src yaml --dest dir {rest} list.yml to");
    let registry = |rest: &str| format!("sync --src yaml --dest docker {rest} list.yml {{to}}/x");
    let one = |seed: u64| {
        let image = Image::builder(seed).layer_size(2000);
        image.layer_of(77, Compression::Gzip).layer_of(seed, Compression::Gzip).build()
    };
    let digest = one(1).digest();
    let all = "{from}:\n  images:\n    lib/one: []\n    other/two:\n";
    let tags = "{from}:\n  tls-verify: false\n  images:\n    lib/one: [\"1\", latest]\n    other/two:\n      - 1\n";
    let digests = format!("{{from}}:\n  images:\n    lib/one:\n      - {digest}\n      - \"2\"\n");
    let regex = "{from}:\n  images-by-tag-regex:\n    versions/app: ^1\\.[01]\n";
    let unanchored = "{from}:\n  images-by-tag-regex:\n    versions/app: '2'\n";
    let everything =
        "{from}:\n  images: {lib/one: ['1']}\n  images-by-tag-regex: {multi/list: 'v1$'}\n";
    let nothing = "{from}:\n  images-by-tag-regex:\n    versions/app: ^nothing$\n";
    let empty = "{from}:\n  tls-verify: false\n";
    let unknown = "{from}:\n  some-key: 1\n  images: {lib/one: ['1']}\n";
    let creds = "{from}:\n  credentials: {username: u, password: p}\n  images: {lib/one: ['1']}\n";
    let verify = "{from}:\n  tls-verify: true\n  images: {lib/one: ['1']}\n";
    compare(vec![
        yaml("all tags", &dir(""), all),
        yaml("all tags, scoped", &dir("--scoped"), all),
        yaml("all tags to a registry", &registry(""), all),
        yaml("some tags", &dir("--scoped"), tags),
        yaml("some tags to a registry", &registry(""), tags),
        yaml("digests, scoped", &dir("--scoped"), &digests),
        yaml("digests to a registry", &registry(""), &digests),
        yaml("a regex", &dir(""), regex),
        yaml("a regex to a registry", &registry(""), regex),
        yaml("a regex without anchors", &registry(""), unanchored),
        yaml("everything", &registry("--all"), everything),
        yaml("everything dry", &registry("--dry-run"), everything).known(TABLE),
        yaml("nothing chosen", &registry(""), nothing),
        yaml("nothing named", &registry(""), empty),
        yaml("an unknown key", &registry(""), unknown),
        yaml("credentials", &registry(""), creds),
        yaml("an empty file", &registry(""), ""),
        // Nothing is made for nothing.
        yaml("tls wanted", &dir(""), verify).known(&["result"]),
    ]);
}

#[test]
fn failures() {
    let none = "{from}:\n  images: {lib/none: []}\n";
    let down = "127.0.0.1:1:\n  images: {lib/none: []}\n";
    let regex = "{from}:\n  images-by-tag-regex: {lib/one: '('}\n";
    let semver = "{from}:\n  images-by-semver: {lib/one: 'x y z'}\n";
    let yaml_to = "sync --src yaml --dest docker list.yml {to}";
    compare(vec![
        row("no transports", "sync x y"),
        row("no source transport", "sync --dest docker x y"),
        row("no destination transport", "sync --src docker x y"),
        row("a wrong source transport", "sync --src sif --dest dir x y"),
        row("a wrong destination transport", "sync --src docker --dest yaml x y"),
        row("folders to folders", "sync --src dir --dest dir images to"),
        row("an unknown flag", "sync --nothing x y"),
        row("a wrong format", "sync --format v9 --src docker --dest docker {from}/lib/one {to}/x"),
        row("a bad source name", "sync --src docker --dest dir UPPER/case to"),
        row("a bad destination name", "sync --src docker --dest docker {from}/lib/one UPPER/case"),
        row("a source name with a transport", "sync --src docker --dest dir docker://{from}/x to"),
        row("a missing folder", "sync --src dir --dest docker nowhere {to}"),
        row("an empty folder", "sync --src dir --dest docker empty {to}"),
        row("a missing repository", "sync --src docker --dest dir {from}/lib/none to"),
        // What is missing has a code of its own in 1.22. Nothing is made for nothing.
        row("a missing tag", "sync --src docker --dest dir {from}/lib/one:none to")
            .known(&["code", "result"]),
        row(
            "the same, going on",
            "sync --keep-going --src docker --dest docker {from}/lib/one:none {to}",
        ),
        row("a source that is down", "sync --src docker --dest dir 127.0.0.1:1/lib/one to"),
        row("a tag that is down", "sync --src docker --dest dir 127.0.0.1:1/lib/one:1 to")
            .known(&["result"]),
        row(
            "a destination that is down",
            "sync --src dir --dest docker images/one:1 127.0.0.1:1/x",
        ),
        row("a missing file", "sync --src yaml --dest dir list.yml to"),
        // The place, in other words.
        yaml("no yaml", yaml_to, "a: [").known(&["stderr"]),
        yaml("yaml of another shape", yaml_to, "- a\n- b\n").known(&["stderr"]),
        yaml("a bad tls-verify", yaml_to, "{from}:\n  tls-verify: perhaps\n").known(&["stderr"]),
        // Errors here, which 1.9.3 and 1.22 only log.
        yaml("a missing repository in a file", yaml_to, none).known(&["code", "stderr"]),
        yaml("a registry that is down in a file", yaml_to, down).known(&["code", "stderr"]),
        yaml("a bad regex", yaml_to, regex).known(&["code", "stderr"]),
        yaml("a bad semver", yaml_to, semver).known(&["code", "stderr"]),
        yaml("a bad tag", yaml_to, "{from}:\n  images: {lib/one: ['a b', '1']}\n")
            .known(&["code", "stderr"]),
        yaml("a bad repository", yaml_to, "{from}:\n  images: {'lib/one:1': []}\n")
            .known(&["code", "stderr"]),
        yaml("a tag that is missing", yaml_to, "{from}:\n  images: {lib/one: [none]}\n")
            .known(&["code"]),
    ]);
}
