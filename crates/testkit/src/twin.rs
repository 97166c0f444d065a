//! The installed original and ours, side by side on the same input.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use fs_err as fs;
use skopeo_image::manifest::jws;
use skopeo_image::{Digest, MediaType};

use crate::home::Home;
use crate::run::{Run, original, run_with_input};

/// Two programs, each with a home of its own.
#[derive(Debug)]
pub struct Twin {
    original: Side,
    ours: Side,
}

/// One of the two.
#[derive(Debug)]
pub struct Side {
    /// The program.
    pub program: PathBuf,
    /// Where it runs.
    pub home: Home,
}

/// What both said, normalised.
#[derive(Clone, Debug)]
pub struct Both {
    /// The original.
    pub original: Run,
    /// Ours.
    pub ours: Run,
}

impl Twin {
    /// Returns the installed original beside the program `ours`; `None` if the original is not
    /// installed. Use it with [`skip!`](crate::skip).
    #[must_use]
    pub fn new(ours: impl Into<PathBuf>) -> Option<Self> {
        let original = Side { program: original()?, home: Home::new() };
        Some(Self { original, ours: Side { program: ours.into(), home: Home::new() } })
    }

    /// Returns the original's side.
    #[must_use]
    pub fn original(&self) -> &Side {
        &self.original
    }

    /// Our side.
    #[must_use]
    pub fn ours(&self) -> &Side {
        &self.ours
    }

    /// Does the same to both homes: writes configuration, makes images.
    pub fn prepare(&self, mut work: impl FnMut(&Home)) {
        work(&self.original.home);
        work(&self.ours.home);
    }

    /// Runs both with the same arguments, in which `{work}` is each one's own folder.
    pub fn run(&self, arguments: &[&str]) -> Both {
        self.run_with_input(arguments, b"")
    }

    /// Runs both with the same standard input, too.
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Both {
        let run = |side: &Side| {
            let work = side.home.path("work").display().to_string();
            let arguments: Vec<_> = arguments.iter().map(|a| a.replace("{work}", &work)).collect();
            run_with_input(&side.home, &side.program, &arguments, input).normalised(&side.home)
        };
        Both { original: run(&self.original), ours: run(&self.ours) }
    }

    /// Both have written the same below `name` in their work folders, byte for byte.
    ///
    /// # Panics
    /// With a list of what differs.
    #[track_caller]
    pub fn assert_same_tree(&self, name: &str) {
        let tree = |side: &Side| tree(&side.home.path("work").join(name));
        let differing = differences(&tree(&self.original), &tree(&self.ours));
        assert!(differing.is_empty(), "{name} differs:\n{}", differing.join("\n"));
    }
}

impl Both {
    /// Both ended well.
    ///
    /// # Panics
    /// With what the other said, if not.
    #[track_caller]
    pub fn success(self) -> Self {
        Self { original: self.original.success(), ours: self.ours.success() }
    }

    /// Exit code and standard output are the same.
    ///
    /// # Panics
    /// With both, if they are not.
    #[track_caller]
    pub fn assert_same(&self) {
        let differ =
            self.original.code != self.ours.code || self.original.stdout != self.ours.stdout;
        assert!(!differ, "the original:\n{}\nours:\n{}", self.original, self.ours);
    }

    /// Exit code and standard output as JSON are the same, spaces and order of keys aside.
    ///
    /// # Panics
    /// With both, if they are not.
    #[track_caller]
    pub fn assert_same_json(&self) {
        let same = self.original.code == self.ours.code && self.original.json() == self.ours.json();
        assert!(same, "the original:\n{}\nours:\n{}", self.original, self.ours);
    }
}

/// Returns a message without what 1.22 says, and 1.9.3 does not, before a registry that was not
/// reached: what it was asked for.
#[must_use]
pub fn without_what_was_asked(message: &str) -> String {
    let asked = regex::Regex::new(
        "(fetching manifest [^ ]+ in [^ ]+|getting repository tags): (pinging container registry)",
    );
    asked.expect("a valid pattern").replace_all(message, "$2").into_owned()
}

/// Returns all files and links below a folder with what is in them, and the empty folders; our lock
/// files do not count.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        let mut empty = true;
        for entry in fs::read_dir(&next).expect("a folder that can be read") {
            empty = false;
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            let metadata = fs::symlink_metadata(&path).expect("an entry that is there");
            if metadata.is_dir() {
                waiting.push(path);
            } else if metadata.is_symlink() {
                let target = fs::read_link(&path).expect("a link");
                found.insert(name, format!("link to {}", target.display()));
            } else if path.file_name().is_some_and(|name| name != ".lock") {
                found.insert(name, content(&path));
            }
        }
        if empty && next != folder {
            let name = next.strip_prefix(folder).unwrap_or(&next).display().to_string();
            found.insert(name, "empty folder".to_owned());
        }
    }
    found
}

/// Returns the same with what is not defined by an image replaced, wherever it is named: a packed
/// blob is the tar in it, a schema 1 manifest what is signed in it, and files that name such files
/// have digests of what they then are. What 1.9.3, which distributions have, writes into layouts
/// otherwise than 1.22, which we follow, is made the same.
///
/// # Panics
/// If the folder cannot be read.
#[must_use]
pub fn canonical_tree(folder: &Path) -> BTreeMap<String, String> {
    let mut packed = BTreeMap::new();
    let mut texts = BTreeMap::new();
    let mut others = BTreeMap::new();
    for (path, shown) in tree(folder) {
        let place = folder.join(&path);
        let Some(bytes) = place.is_file().then(|| fs::read(&place).expect("a file")) else {
            others.insert(path, shown);
            continue;
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        let hex = name.split('.').next().filter(|hex| hex.len() == 64).map(str::to_owned);
        match (unpacked(&bytes), hex, String::from_utf8(bytes.clone())) {
            (Some((how, tar)), Some(hex), _) => {
                let content = format!("{how} of {}", Digest::sha256(&tar));
                packed.insert(hex, (format!("[{content}]"), bytes.len()));
                others.insert(path.replace(name, &format!("[{content}]")), content);
            }
            (_, hex, Ok(text)) if name != "oci-layout" => {
                let begin = "{\"schemaVersion\":2,";
                let typed = format!("{begin}\"mediaType\":\"{}\",", MediaType::OCI_INDEX);
                let text = match jws::payload(&bytes) {
                    Ok(payload) => String::from_utf8(payload).expect("what was text"),
                    Err(_) if name == "index.json" => text.replacen(&typed, begin, 1),
                    Err(_) => text,
                };
                texts.insert(path, (hex, text, bytes.len()));
            }
            _ if name == "oci-layout" => {
                others.insert(path, shown.replace(": ", ":"));
            }
            _ => {
                others.insert(path, shown);
            }
        }
    }
    // A manifest names a layer, a list names a manifest, a layout's index names a list.
    for _ in 0..4 {
        for (hex, text, size) in texts.values() {
            let content = with_names(text, &packed);
            let Some(hex) = hex.as_ref().filter(|_| content != *text) else { continue };
            let digest = Digest::sha256(content.as_bytes());
            packed.insert(hex.clone(), (format!("[text {}]", digest.hex()), *size));
        }
    }
    let renamed = |(path, (_, text, _)): (String, (Option<String>, String, usize))| {
        let content = with_names(&text, &packed);
        (with_names(&path, &packed), content)
    };
    others.extend(texts.into_iter().map(renamed));
    others
}

/// Puts names for digests, and no sizes where these are.
fn with_names(text: &str, names: &BTreeMap<String, (String, usize)>) -> String {
    let mut text = text.to_owned();
    for (hex, (name, size)) in names {
        if text.contains(hex.as_str()) {
            text = text.replace(hex.as_str(), name);
            for end in [",", "}"] {
                text = text.replace(&format!("\"size\":{size}{end}"), &format!("\"size\":0{end}"));
            }
        }
    }
    text
}

/// What is in a packed blob, and how it is packed.
fn unpacked(bytes: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    let mut content = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut content).ok()?;
        Some(("gzip", content))
    } else if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some(("zstd", zstd::decode_all(bytes).ok()?))
    } else {
        None
    }
}

/// Returns what two trees do not have in common, a line each.
#[must_use]
pub fn differences(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> Vec<String> {
    let names: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let missing = "(missing)".to_owned();
    let line = |name: &String| {
        let (left, right) = (a.get(name).unwrap_or(&missing), b.get(name).unwrap_or(&missing));
        (left != right).then(|| format!("{name}:\n  {left}\n  {right}"))
    };
    names.into_iter().filter_map(line).collect()
}

/// A small text as it is, anything else as size and digest.
fn content(path: &Path) -> String {
    let bytes = fs::read(path).expect("a file that can be read");
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.len() < 4096 => text.to_owned(),
        _ => format!("{} bytes, {}", bytes.len(), Digest::sha256(&bytes)),
    }
}
