//! Flags on how a command tells what it does.

use anyhow::{Result, bail};

use super::flag::{Flag, Offers};
use super::names;
use super::value::{Values, choice};

/// What stdout is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Output {
    /// The original's lines.
    #[default]
    Text,
    /// One JSON document, and nothing else.
    Json,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// Bars on a terminal, else the original's lines.
    Auto,
    /// Bars wherever there is a terminal.
    Bars,
    /// A line for each step, on stderr.
    Steps,
    /// An object of JSON for each event, on stderr.
    Events,
    /// Not at all.
    Nothing,
}

const OUTPUTS: [&str; 2] = ["text", "json"];
const SHOWS: [&str; 5] = ["auto", "bar", "plain", "json", "none"];

/// `--output`.
pub(crate) fn output() -> Flag {
    Flag::new(
        names::OUTPUT,
        "what to print on stdout (text, or json: one document with the results)",
    )
    .offers(Offers::Words(&OUTPUTS))
}

/// `--progress`.
pub(crate) fn progress() -> Flag {
    Flag::new(names::PROGRESS, "how to show the progress (auto, bar, plain, json, or none)")
        .offers(Offers::Words(&SHOWS))
}

impl Output {
    /// # Errors
    /// If the value is not one of those that are allowed.
    pub(crate) fn new(values: &Values) -> Result<Self> {
        Ok(match choice(values, names::OUTPUT, &OUTPUTS)? {
            Some("json") => Self::Json,
            _ => Self::Text,
        })
    }
}

impl Show {
    /// # Errors
    /// If the value is not one of those that are allowed, or `--quiet` says otherwise.
    pub(crate) fn new(values: &Values) -> Result<Self> {
        let quiet = values.switch(names::QUIET);
        let show = match choice(values, names::PROGRESS, &SHOWS)? {
            Some("bar") => Self::Bars,
            Some("plain") => Self::Steps,
            Some("json") => Self::Events,
            Some("none") => Self::Nothing,
            _ => Self::Auto,
        };
        match show {
            Self::Auto | Self::Nothing if quiet => Ok(Self::Nothing),
            _ if quiet => bail!("Cannot use --quiet and --progress flags together"),
            show => Ok(show),
        }
    }
}
