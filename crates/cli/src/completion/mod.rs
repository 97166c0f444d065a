//! Completion of command lines. The scripts only ask: `skopeo __complete WORDS... LAST` answers from
//! the same table that parsing reads, so that no script ever goes stale.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod answer;
mod scripts;

use anyhow::Result;

use crate::args::command::Command;
use crate::exit::print;

pub(crate) use scripts::{explain, script};

/// Whether completions come with what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Descriptions {
    Shown,
    Left,
}

/// Whether the words are a question of a completion script.
pub(crate) fn requested(words: &[String]) -> Option<Descriptions> {
    match words.first().map(String::as_str) {
        Some("__complete") => Some(Descriptions::Shown),
        Some("__completeNoDesc") => Some(Descriptions::Left),
        _ => None,
    }
}

/// Answers: one candidate a line, a tab before its description, and last `:` with the directive.
pub(crate) fn complete(root: &Command, with: Descriptions, words: &[String]) -> Result<()> {
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", words),
    };
    let answer = answer::answer(root, before, last);
    let mut text = String::new();
    for (word, description) in answer.candidates {
        text.push_str(&word);
        if with == Descriptions::Shown && !description.is_empty() {
            text.push('\t');
            text.push_str(&description);
        }
        text.push('\n');
    }
    text.push_str(&format!(":{}\n", answer.directive));
    Ok(print(text)?)
}
