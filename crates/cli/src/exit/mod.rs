//! Errors become words, hints and an exit code.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod class;
mod failure;
#[cfg(not(all(feature = "storage", target_os = "linux")))]
mod no_namespace;
pub(crate) mod sides;

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Error;
use skopeo_blob::{FileError, TooMuch, in_gos_words};
use skopeo_copy::Error as CopyError;
use skopeo_image::{Classify, ErrorClass};
use skopeo_transport::Error as TransportError;

use crate::logging::{self, Level};

pub(crate) use class::{CLASSES, class, class_of, row_of};
pub(crate) use failure::Failure;

/// In which manner a failure is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) errors: ErrorFormat,
    pub(crate) exit_codes: ExitCodes,
}

/// What `--error-format` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ErrorFormat {
    /// A line of the log, then the hint.
    #[default]
    Text,
    /// One line of JSON.
    Json,
}

/// What `--exit-codes` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ExitCodes {
    /// 2 if what is missing is an image, else 1.
    #[default]
    Original,
    /// One for each class of errors.
    Detailed,
}

/// An error after which the command's help is shown on stderr.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) &'static str);

/// Why the words make no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ParseError {
    /// The original's sentence.
    pub(crate) message: String,
    /// What else may help.
    pub(crate) hint: Option<String>,
}

impl ParseError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }
}

/// What was asked makes no sense: an error that nobody else has a word for, before anything was
/// done.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Invalid(pub(crate) Error);

/// An error that is no more than its sentence, its class, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct Classed {
    pub(crate) class: ErrorClass,
    pub(crate) sentence: String,
    pub(crate) hint: Option<String>,
}

/// `--command-timeout` ended the program.
#[derive(Debug, thiserror::Error)]
#[error("context deadline exceeded")]
pub(crate) struct DeadlineExceeded {
    /// After how long.
    pub(crate) after: Duration,
}

/// The user ended the program.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted {
    /// The code by which a shell recognises it: 128 and the signal's number.
    pub(crate) code: u8,
    /// How to go on.
    pub(crate) hint: Option<String>,
}

/// What a shell sees when a program was ended by SIGPIPE, as the original is.
const BROKEN_PIPE: u8 = 141;

/// Writes the error to stderr and says how to exit.
pub(crate) fn report(error: &Error, manner: &Manner) -> ExitCode {
    let code = ExitCode::from(exit_code(error, manner));
    logging::close_bars();
    if is_broken_pipe(error) {
        return code;
    }
    if manner.errors == ErrorFormat::Json {
        let failure = Failure::new(error, manner.exit_codes);
        let line = serde_json::to_string(&failure).unwrap_or_default();
        let _ = writeln!(io::stderr(), "{line}");
        return code;
    }
    logging::log(Level::Fatal, &sentence(error));
    if let Some(hint) = hint(error) {
        let _ = writeln!(io::stderr(), "hint: {}", logging::visible(&hint));
    }
    code
}

/// The code that the program ends with because of an error.
fn exit_code(error: &Error, manner: &Manner) -> u8 {
    if let Some(interrupted) = interrupted(error) {
        return interrupted.code;
    }
    if is_broken_pipe(error) {
        return BROKEN_PIPE;
    }
    match manner.exit_codes {
        ExitCodes::Original => code(error),
        ExitCodes::Detailed => row_of(class(error).unwrap_or(ErrorClass::Other)).code,
    }
}

fn interrupted(error: &Error) -> Option<&Interrupted> {
    error.chain().find_map(|error| error.downcast_ref::<Interrupted>())
}

/// The chain of the error, joined as Go's `%w` reads.
pub(crate) fn sentence(error: &Error) -> String {
    error.chain().enumerate().fold(String::new(), |mut text, (at, error)| {
        text += if at == 0 { "" } else { ": " };
        // The number that Rust says is not in the original's sentences.
        let _ = match error.downcast_ref::<io::Error>() {
            Some(error) => text.write_str(&in_gos_words(error)),
            None => write!(text, "{error}"),
        };
        text
    })
}

/// The error and its causes, each as the crate has it that made it.
fn links(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    error.chain().map(skopeo_sync::unwrapped)
}

/// 2 if what is missing is an image, else 1.
fn code(error: &Error) -> u8 {
    if links(error).any(is_not_found) { 2 } else { 1 }
}

fn is_not_found(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<TransportError>().is_some_and(TransportError::is_not_found)
        || error.downcast_ref::<CopyError>().is_some_and(CopyError::is_not_found)
}

/// Whether the same step may go well in a moment.
pub(crate) fn is_transient(error: &Error) -> bool {
    links(error).any(skopeo_copy::is_transient)
}

/// The same error with what to do about it, unless it says so itself.
pub(crate) fn with_hint(error: Error, text: String) -> Error {
    if hint(&error).is_some() {
        return error;
    }
    let class = class(&error).unwrap_or(ErrorClass::InvalidInput);
    Classed { class, sentence: sentence(&error), hint: Some(text) }.into()
}

/// What to do about [`TooMuch`].
const ALLOW_MORE: &str =
    "if you trust this data, allow it with --max-unpacked SIZE, such as 50GiB, or 0";

fn hint(error: &Error) -> Option<String> {
    let found = links(error).find_map(|link| {
        let hint = class::classified(link).and_then(Classify::hint);
        hint.or_else(|| TooMuch::of(link).map(|_| ALLOW_MORE.to_owned()))
    });
    found.map(|hint| sides::fit(hint, error))
}

impl Classify for UsageError {
    fn class(&self) -> Option<ErrorClass> {
        Some(ErrorClass::InvalidInput)
    }
}

impl Classify for ParseError {
    fn class(&self) -> Option<ErrorClass> {
        Some(ErrorClass::InvalidInput)
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl Classify for Invalid {
    fn class(&self) -> Option<ErrorClass> {
        Some(ErrorClass::InvalidInput)
    }
}

impl Classify for Classed {
    fn class(&self) -> Option<ErrorClass> {
        Some(self.class)
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl Classify for DeadlineExceeded {
    fn class(&self) -> Option<ErrorClass> {
        Some(ErrorClass::Timeout)
    }

    fn hint(&self) -> Option<String> {
        let nanos = i64::try_from(self.after.as_nanos()).unwrap_or(i64::MAX);
        Some(format!("--command-timeout={} ended the command", crate::go::duration(nanos)))
    }
}

impl Classify for Interrupted {
    fn class(&self) -> Option<ErrorClass> {
        Some(ErrorClass::Interrupted)
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// Whether our stdout was closed: only that error is an `io::Error` at the top of its chain.
fn is_broken_pipe(error: &Error) -> bool {
    error.downcast_ref::<Stdout>().is_some_and(|error| error.0.kind() == io::ErrorKind::BrokenPipe)
}

/// Writing a result to stdout failed.
#[derive(Debug, thiserror::Error)]
#[error("writing to standard output")]
pub(crate) struct Stdout(#[source] FileError);

impl Classify for Stdout {
    fn class(&self) -> Option<ErrorClass> {
        self.0.class()
    }
}

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
        let refused = io::Error::from_raw_os_error(2);
        let error = Error::from(refused).context("open x");
        assert_eq!(sentence(&error), "open x: no such file or directory");
        let said = io::Error::other("it says so (os error 2)").into();
        assert_eq!(sentence(&said), "it says so (os error 2)");
    }

    #[test]
    fn a_closed_stdout_is_quiet_and_any_other_closed_pipe_is_not() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&Error::from(Stdout(closed().into()))));
        assert!(!is_broken_pipe(&Error::from(closed()).context("uploading")));
    }
}
