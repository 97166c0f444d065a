//! Errors become words, hints and an exit code.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Error;
use skopeo_blob::{FileError, StreamError};
use skopeo_copy::Error as CopyError;
use skopeo_registry::Error as RegistryError;
use skopeo_transport::{Error as TransportError, NameError};

use crate::args::parse::ParseError;
use crate::logging::{self, Level};

/// An error after which the command's help is shown on stderr.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) &'static str);

/// An error with a sentence on what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Hinted {
    pub(crate) error: String,
    pub(crate) hint: String,
}

/// The user ended the program.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted {
    /// The code by which a shell recognises it: 128 and the signal's number.
    pub(crate) code: u8,
}

/// What a shell sees when a program was ended by SIGPIPE, as the original is.
const BROKEN_PIPE: u8 = 141;

/// Writes the error to stderr and says how to exit.
pub(crate) fn report(error: &Error) -> ExitCode {
    if let Some(interrupted) = error.chain().find_map(|error| error.downcast_ref::<Interrupted>()) {
        return ExitCode::from(interrupted.code);
    }
    if is_broken_pipe(error) {
        return ExitCode::from(BROKEN_PIPE);
    }
    logging::log(Level::Fatal, &sentence(error));
    if let Some(hint) = hint(error) {
        let _ = writeln!(io::stderr(), "hint: {}", logging::visible(&hint));
    }
    ExitCode::from(code(error))
}

/// The chain of the error, joined as Go's `%w` reads.
pub(crate) fn sentence(error: &Error) -> String {
    error.chain().enumerate().fold(String::new(), |mut text, (at, error)| {
        let _ = write!(text, "{}{error}", if at == 0 { "" } else { ": " });
        text
    })
}

/// 2 if what is missing is an image, else 1.
fn code(error: &Error) -> u8 {
    if error.chain().any(is_not_found) { 2 } else { 1 }
}

fn is_not_found(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<TransportError>().is_some_and(TransportError::is_not_found)
        || error.downcast_ref::<CopyError>().is_some_and(CopyError::is_not_found)
}

/// Whether the same step may go well in a moment.
pub(crate) fn is_transient(error: &Error) -> bool {
    error.chain().any(|error| {
        error.downcast_ref::<TransportError>().is_some_and(TransportError::is_transient)
            || error.downcast_ref::<CopyError>().is_some_and(CopyError::is_transient)
            || error.downcast_ref::<RegistryError>().is_some_and(RegistryError::is_transient)
            || error.downcast_ref::<StreamError>().is_some_and(StreamError::is_transient)
    })
}

fn hint(error: &Error) -> Option<String> {
    error.chain().find_map(|error| {
        let hinted = error.downcast_ref::<Hinted>().map(|hinted| hinted.hint.clone());
        hinted
            .or_else(|| error.downcast_ref::<ParseError>()?.hint.clone())
            .or_else(|| error.downcast_ref::<CopyError>()?.hint())
            .or_else(|| error.downcast_ref::<TransportError>()?.hint())
            .or_else(|| error.downcast_ref::<NameError>()?.hint().map(str::to_owned))
            .or_else(|| error.downcast_ref::<RegistryError>()?.hint().map(str::to_owned))
    })
}

/// Whether our stdout was closed: only that error is an `io::Error` at the top of its chain.
fn is_broken_pipe(error: &Error) -> bool {
    error.downcast_ref::<Stdout>().is_some_and(|error| error.0.kind() == io::ErrorKind::BrokenPipe)
}

/// Writing a result to stdout failed.
#[derive(Debug, thiserror::Error)]
#[error("writing to standard output")]
pub(crate) struct Stdout(#[source] FileError);

/// Writes a result to stdout.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Result<(), Stdout> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_ref())
        .and_then(|()| stdout.flush())
        .map_err(|error| Stdout(error.into()))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn errors_read_as_a_chain() {
        let error = anyhow!("no such file").context("reading x").context("Error reading manifest");
        assert_eq!(sentence(&error), "Error reading manifest: reading x: no such file");
        assert_eq!(code(&error), 1);
    }

    #[test]
    fn a_closed_stdout_is_quiet_and_any_other_closed_pipe_is_not() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&Error::from(Stdout(closed().into()))));
        assert!(!is_broken_pipe(&Error::from(closed()).context("uploading")));
    }
}
