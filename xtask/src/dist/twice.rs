//! Whether a second build, in another folder, gives the same bytes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use fs_err as fs;
use skopeo_image::Digest;

use super::{Target, build};
use crate::shell;

/// Builds the program again from a copy of the sources, and compares it with `program`.
pub(super) fn compare(target: Target, program: &Path, profile: &str, time: u64) -> Result<()> {
    // The folder has another length, too: what is as long as its name moves.
    let folder = tempfile::Builder::new().prefix("skopeo-built-a-second-time-").tempdir()?;
    let root = folder.path().join("sources");
    for path in sources()? {
        let to = root.join(&path);
        fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        fs::copy(shell::root().join(&path), to)?;
    }
    let place = build::Place { target: root.join("target"), root };
    let second = build::program(target, profile, time, &place)?;
    let told = same(program, &second)?;
    println!("{}: two builds gave the same bytes, {told}", target.triple());
    Ok(())
}

/// The files of this checkout as they are now, without those that git does not know.
fn sources() -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    let told = shell::output(git.current_dir(shell::root()).args(["ls-files", "-z"]))?;
    let named = told.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    // What was removed and not yet committed is listed.
    Ok(named.filter(|path| shell::root().join(path).is_file()).collect())
}

/// The digest of both files.
fn same(one: &Path, two: &Path) -> Result<Digest> {
    let (one, two) = (fs::read(one)?, fs::read(two)?);
    let first = one.iter().zip(&two).position(|(one, two)| one != two);
    if let Some(at) = first {
        let around = |bytes: &[u8]| {
            let bytes = &bytes[at.saturating_sub(32)..bytes.len().min(at + 32)];
            String::from_utf8_lossy(bytes).into_owned()
        };
        let (one, two) = (around(&one), around(&two));
        anyhow::bail!("two builds differ from byte {at} on: {one:?} and {two:?}");
    }
    ensure!(one.len() == two.len(), "two builds have {} and {} bytes", one.len(), two.len());
    Ok(Digest::sha256(&one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told() {
        let tmp = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            fs::write(tmp.path().join(name), text).unwrap();
            tmp.path().join(name)
        };
        let (one, same_text) = (file("one", "built in /a"), file("two", "built in /a"));
        assert_eq!(same(&one, &same_text).unwrap(), Digest::sha256(b"built in /a"));
        let other = same(&one, &file("three", "built in /b")).unwrap_err().to_string();
        assert_eq!(other, "two builds differ from byte 10 on: \"built in /a\" and \"built in /b\"");
        assert!(same(&one, &file("four", "built in /ab")).is_err());
    }

    #[test]
    fn the_sources_are_what_is_built() {
        let sources = sources().unwrap();
        for path in ["Cargo.lock", "rust-toolchain.toml", ".cargo/config.toml"] {
            assert!(sources.contains(&PathBuf::from(path)), "{path}");
        }
    }
}
