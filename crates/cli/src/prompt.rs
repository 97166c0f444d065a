//! Questions on the terminal whose answers it does not show.

#[cfg(unix)]
use std::io::Read as _;
use std::io::{self, IsTerminal as _};

#[cfg(unix)]
use anyhow::Context as _;
use anyhow::{Result, bail};
#[cfg(unix)]
use skopeo_blob::FileError;
use skopeo_image::Secret;

#[cfg(unix)]
use crate::exit::Interrupted;

/// Whether somebody can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Asks by `say`, and reads what is typed, which the terminal does not show: from before the question
/// is there, so that no answer comes too early. The keys that end programs are read as letters
/// meanwhile, so that the terminal is never left silent.
///
/// # Errors
/// If stdin is no terminal, or whoever types breaks off.
#[cfg(unix)]
pub(crate) fn ask_unseen(say: impl FnOnce() -> Result<()>) -> Result<Secret> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

    let stdin = io::stdin();
    let before = match tcgetattr(&stdin) {
        Ok(before) => before,
        Err(error) => {
            say()?;
            // The words are those that Go's users know.
            return Err(FileError::from(io::Error::from(error)).into());
        }
    };
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    tcsetattr(&stdin, OptionalActions::Flush, &silent).context("turning the echo off")?;
    let typed = say().and_then(|()| read_typed(&mut stdin.lock()));
    // What is typed ahead of the next question stays.
    tcsetattr(&stdin, OptionalActions::Drain, &before).context("turning the echo on")?;
    typed
}

/// Asks by `say`, and reads what is typed, which the terminal does not show.
///
/// # Errors
/// If stdin is no terminal, or whoever types breaks off.
#[cfg(windows)]
pub(crate) fn ask_unseen(say: impl FnOnce() -> Result<()>) -> Result<Secret> {
    say()?;
    if !can_ask() {
        bail!("the standard input is no terminal");
    }
    Ok(console::Term::stderr().read_secure_line()?.into())
}

/// Reads to the end of the line, letter by letter.
#[cfg(unix)]
fn read_typed(keys: &mut impl io::BufRead) -> Result<Secret> {
    const INTERRUPT: u8 = 3;
    const END: u8 = 4;
    const BACKSPACE: u8 = 8;
    const DELETE: u8 = 127;

    let mut line = zeroize::Zeroizing::new(Vec::new());
    for key in keys.bytes() {
        match key? {
            b'\r' | b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned().into()),
            INTERRUPT => return Err(Interrupted { code: 130, hint: None }.into()),
            END if line.is_empty() => break,
            BACKSPACE | DELETE => {
                // A letter may be several bytes: the first is no continuation.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            key => line.push(key),
        }
    }
    bail!("EOF")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn typing_can_be_mended_and_broken_off() {
        for (keys, typed) in [
            (&b"secret\nrest"[..], Some("secret")),
            (b"ax\x7fb\r", Some("ab")),
            ("a\u{e9}\x7fb\n".as_bytes(), Some("ab")),
            (b"a\x03", None),
            (b"\x04", None),
        ] {
            let read = read_typed(&mut &keys[..]);
            assert_eq!(read.ok().as_ref().map(Secret::reveal), typed);
        }
    }
}
