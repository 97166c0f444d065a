//! Pass phrases, from files and from whoever sits at the terminal.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use skopeo_image::Secret;
use zeroize::Zeroizing;

use crate::args::report::Output;
use crate::report::say;
use crate::{go, prompt};

/// The largest file with a pass phrase, in bytes.
const MAX_FILE: usize = 64 << 10;

/// The first line of a file, which may be empty.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn of_file(path: &Path) -> Result<Secret> {
    let bytes = Zeroizing::new(go::read_at_most(path, MAX_FILE)?);
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = std::str::from_utf8(line).ok();
    Ok(text.with_context(|| format!("the pass phrase in {} is not text", path.display()))?.into())
}

/// What is typed as the pass phrase of a key.
///
/// # Errors
/// If nobody can be asked.
pub(crate) fn ask(key: &str, output: Output) -> Result<Secret> {
    if !prompt::can_ask() {
        bail!("Cannot prompt for a passphrase for key {key}, standard input is not a TTY");
    }
    let ask = || say(output, &format!("Passphrase for key {key}: "));
    let typed = prompt::ask_unseen(ask).context("Error reading password");
    say(output, "\n")?;
    typed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_pass_phrase() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        for (written, expected) in
            [("a b", "a b"), ("a\n", "a"), ("a\r\n", "a\r"), ("a\nb\n", "a"), ("", ""), ("\nx", "")]
        {
            fs_err::write(&path, written).unwrap();
            assert_eq!(of_file(&path).unwrap().reveal(), expected);
        }
        fs_err::write(&path, b"\xff").unwrap();
        assert!(of_file(&path).is_err());
        let missing = of_file(&folder.path().join("none")).unwrap_err().to_string();
        assert!(missing.ends_with(": no such file or directory"), "{missing}");
    }
}
