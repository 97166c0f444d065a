//! Files use each other in one direction.

use super::*;

/// Files beside each other that use each other: crate, folder, files, and why they do. Whoever opens
/// such a circle takes its row away.
const CIRCLES: &[(&str, &str, &[&str], &str)] = &[
    (
        "transport",
        "",
        &[
            "atomic",
            "bundles",
            "collection",
            "destination",
            "dir",
            "docker_tar",
            "error",
            "files",
            "inside",
            "layout",
            "manifest",
            "name",
            "options",
            "partial",
            "probe",
            "read_cache",
            "referrer",
            "registry",
            "signature_file",
            "source",
            "storage",
            "synthetic",
            "tar",
            "temporary",
            "writer",
        ],
        "the error and the name list those of all transports, and each transport uses these two",
    ),
    (
        "transport",
        "docker_tar",
        &[
            "daemon",
            "destination",
            "error",
            "existing",
            "legacy",
            "manifest",
            "saved",
            "saving",
            "source",
        ],
        "the error has that of a daemon, and a daemon is reached with this error",
    ),
    (
        "transport",
        "synthetic",
        &["error", "sif"],
        "the error has that of a SIF file, and a SIF file is opened with this error",
    ),
];

/// Modules beside each other use each other in one direction only, but for those in [`CIRCLES`].
#[test]
fn files_use_each_other_in_one_direction() {
    let mut krates: BTreeMap<String, Vec<(Vec<String>, String)>> = BTreeMap::new();
    for (krate, path, text) in sources() {
        let below = path.strip_prefix(root().join("crates").join(&krate).join("src")).unwrap();
        let module = module_of(below);
        if !module.iter().any(|name| name == "tests") {
            krates.entry(krate).or_default().push((module, text));
        }
    }
    let mut found = Vec::new();
    for (krate, files) in &krates {
        found.extend(circles(files).into_iter().map(|(folder, circle)| (krate, folder, circle)));
    }
    let is_row = |(known, at, modules, _): &(&str, &str, &[&str], &str),
                  (krate, folder, circle): &(&String, Vec<String>, Vec<String>)| {
        let is_in = |module: &String| modules.contains(&module.as_str());
        known == krate && *at == folder.join("/") && circle.iter().all(is_in)
    };
    let new: Vec<_> =
        found.iter().filter(|it| !CIRCLES.iter().any(|row| is_row(row, it))).collect();
    assert!(new.is_empty(), "new circles between files: {new:#?}");
    let opened: Vec<_> =
        CIRCLES.iter().filter(|row| !found.iter().any(|it| is_row(row, it))).collect();
    assert!(opened.is_empty(), "these circles are no more, nor should their rows be: {opened:#?}");
}

/// The module that a file is, as names from the root of its crate.
fn module_of(file: &Path) -> Vec<String> {
    let names = file.with_extension("");
    let mut names: Vec<String> =
        names.components().map(|it| it.as_os_str().to_str().unwrap().to_owned()).collect();
    if names.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        names.pop();
    }
    names
}

/// The folders in which modules use each other in a circle, with those of each circle by name.
fn circles(files: &[(Vec<String>, String)]) -> Vec<(Vec<String>, Vec<String>)> {
    let mut modules = BTreeSet::new();
    for (module, _) in files {
        modules.extend((0..=module.len()).map(|len| module[..len].to_vec()));
    }
    // What a module takes from others and gives on under a name.
    let mut named = BTreeMap::new();
    for (module, text) in files {
        for (name, path) in used_by(module, text) {
            named.insert((module.clone(), name), path);
        }
    }
    // Which module of a folder uses which others in it.
    let mut used: BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (module, text) in files {
        for (_, path) in used_by(module, text) {
            let path = defined(path, &modules, &named);
            let common = module.iter().zip(&path).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (module.get(common), path.get(common)) {
                let folder = used.entry(module[..common].to_vec()).or_default();
                folder.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    let mut found = Vec::new();
    for (folder, uses) in &used {
        let reached = |from: &String| {
            let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
            while let Some(name) = next.pop() {
                let more = uses.get(name).into_iter().flatten();
                next.extend(more.filter(|name| reached.insert((*name).clone())));
            }
            reached
        };
        let all: BTreeMap<&String, BTreeSet<String>> =
            uses.keys().map(|name| (name, reached(name))).collect();
        let mut told = BTreeSet::new();
        for (name, reached) in &all {
            if !reached.contains(*name) || told.contains(*name) {
                continue;
            }
            let circle = all
                .iter()
                .filter(|(other, back)| reached.contains(**other) && back.contains(*name));
            let circle: Vec<String> = circle.map(|(other, _)| (*other).clone()).collect();
            told.extend(circle.iter().cloned());
            found.push((folder.clone(), circle));
        }
    }
    found
}

/// The module that defines what a path names, also where others give it on.
fn defined(
    mut path: Vec<String>,
    modules: &BTreeSet<Vec<String>>,
    named: &BTreeMap<(Vec<String>, String), Vec<String>>,
) -> Vec<String> {
    // No name is given on more often.
    for _ in 0..8 {
        let mut len = path.len();
        while !modules.contains(&path[..len]) {
            len -= 1;
        }
        let (module, rest) = path.split_at(len);
        let target = rest.first().and_then(|name| named.get(&(module.to_vec(), name.clone())));
        match target {
            Some(target) if *target != path[..=len] => {
                path = target.iter().chain(&rest[1..]).cloned().collect();
            }
            _ => {
                path.truncate(len);
                return path;
            }
        }
    }
    panic!("{path:?} has no end");
}

/// What the `use` lines of a module name within its crate, as names from its root, and what each is
/// called there.
fn used_by(module: &[String], text: &str) -> Vec<(String, Vec<String>)> {
    let text: String = code(text).flat_map(|line| [line.trim(), " "]).collect();
    let children: BTreeSet<&str> = text
        .split(';')
        .filter_map(|line| line.rsplit_once("mod ").map(|(_, name)| name.trim()))
        .collect();
    let mut found = Vec::new();
    for line in text.split(';') {
        let Some((_, tree)) = line.rsplit_once("use ") else { continue };
        for path in paths(tree.trim()) {
            let (path, alias) = path.split_once(" as ").unwrap_or((&path, ""));
            let mut names = path.split("::").map(str::trim).peekable();
            let mut whole = match names.peek() {
                Some(&"crate") => Vec::new(),
                Some(&"self" | &"super") => module.to_vec(),
                Some(name) if children.contains(name) => module.to_vec(),
                _ => continue,
            };
            for name in names {
                match name {
                    "crate" | "self" => {}
                    "super" => _ = whole.pop(),
                    name => whole.push(name.to_owned()),
                }
            }
            let last = whole.last().cloned().unwrap_or_default();
            found.push((if alias.is_empty() { last } else { alias.trim().to_owned() }, whole));
        }
    }
    found
}

/// The single paths of a tree, as `a::{b, c::d}` has two.
fn paths(tree: &str) -> Vec<String> {
    let Some((stem, rest)) = tree.split_once('{') else {
        return vec![tree.trim().to_owned()];
    };
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let (mut parts, mut depth, mut part) = (Vec::new(), 0, String::new());
    for letter in inside.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(letter);
    }
    parts.push(part);
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.flat_map(paths).map(|path| format!("{}{path}", stem.trim())).collect()
}

#[test]
fn circles_are_found() {
    let file = |module: &str, text: &str| {
        (module.split('/').map(str::to_owned).collect::<Vec<_>>(), text.to_owned())
    };
    let files = [
        file("a", "use crate::{b::{self, X}, c};"),
        file("b", "use super::c::Y;\nuse std::fmt;"),
        file("c/d", "use super::e::Z;\nuse crate::a::W as V;"),
        file("c/e", "// use super::d;\nuse crate::Root;"),
        file("f", "use crate::a;"),
    ];
    let names = ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(circles(&files), [(Vec::new(), names)]);
    let open = &files[..2];
    assert_eq!(circles(open), []);
    // What the root gives on is in the module that defines it.
    let given_on = [
        file("a", "use crate::X;"),
        file("b", "use crate::a::Y;"),
        (Vec::new(), "mod a;\nmod b;\npub use b::Z as X;".to_owned()),
    ];
    assert_eq!(circles(&given_on), [(Vec::new(), vec!["a".to_owned(), "b".to_owned()])]);
}
