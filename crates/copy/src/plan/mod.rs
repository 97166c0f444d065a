//! What is to be done, decided before a byte moves: pure, and printable.

mod crypt;
mod error;
mod format;
mod frozen;
mod image;
mod index;
mod layer;
mod surroundings;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use crypt::Crypt;
pub use error::{FormatError, FrozenError, IndexError, PlanError};
pub use frozen::Frozen;
pub use image::{DiffIds, ImagePlan};
pub use index::{EntryKind, IndexPlan, InstancePlan, Scope};
pub use layer::{LayerPlan, Wanted};

pub(crate) use image::plan_image;
pub(crate) use index::{Within, choose, parse as parse_index, plan_index, platforms};
pub(crate) use layer::recode;
pub(crate) use surroundings::Surroundings;

/// The first of some texts, each once: what an index names may be endless.
pub(crate) fn few<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    const SHOWN: usize = 12;
    let all: BTreeSet<&String> = texts.into_iter().collect();
    let shown: Vec<&str> = all.iter().take(SHOWN).map(|text| text.as_str()).collect();
    let more = all.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
