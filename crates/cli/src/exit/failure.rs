//! An error as JSON.

use anyhow::Error;
use serde::Serialize;
use skopeo_image::ErrorClass;

use super::class::{class, registry, row_of};
use super::{ExitCodes, Manner};
use super::{exit_code, hint, is_transient, sentence};

/// What `--error-format json` says of an error, and what a report of `--output json` has as its
/// `error`. docs/json.md explains the fields.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    /// One of the names in the table of classes.
    pub(crate) class: &'static str,
    /// The sentence that is otherwise shown.
    pub(crate) message: String,
    /// The HTTP status, where a registry answered.
    status: Option<u16>,
    /// The registry's codes.
    codes: Vec<String>,
    /// The registry's words.
    registry: Option<String>,
    /// What may be done about it.
    hint: Option<String>,
    /// Whether the same command may do better in a moment.
    retryable: bool,
    /// With which code the program ends because of it.
    exit_code: u8,
}

impl Failure {
    pub(crate) fn new(error: &Error, exit_codes: ExitCodes) -> Self {
        let kind = class(error).unwrap_or(ErrorClass::Other);
        let answer = registry(error).and_then(skopeo_registry::Error::answer);
        let passing = matches!(kind, ErrorClass::RateLimited | ErrorClass::Timeout);
        Self {
            class: row_of(kind).name,
            message: sentence(error),
            status: answer.map(skopeo_registry::Answer::status),
            codes: answer.map(|answer| answer.codes().to_vec()).unwrap_or_default(),
            registry: answer.map(ToString::to_string),
            hint: hint(error),
            retryable: is_transient(error) || passing,
            exit_code: exit_code(error, &Manner { exit_codes, ..Manner::default() }),
        }
    }
}
