//! What others wrote, changed at random: a target for everything that reads it.
//!
//! A [`Target`] is a plain function, so that three programs can run it: the test beside it with a
//! fixed number of inputs, `cargo xtask fuzz` for as long as wanted, and libFuzzer, which needs
//! another compiler (`libfuzzer/`).
//!
//! - `targets`: what is read, one file for each kind
//! - `mutate`: inputs from seeds, the same each time
//! - `run`: input after input; what fails is made small

mod mutate;
mod run;
mod targets;

use std::path::{Path, PathBuf};

pub use mutate::Mutator;
pub use run::{Finding, attempt, minimise, run};
pub use targets::TARGETS;

/// Something that reads what others wrote.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder in `seeds/`.
    pub name: &'static str,
    /// Panics if anything is wrong; whatever the input is, nothing else may happen.
    pub body: fn(&[u8]),
    /// How many inputs a test takes: some milliseconds' worth.
    pub in_tests: u64,
    /// Words that are put into inputs.
    pub words: &'static [&'static str],
}

/// The target of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// What is checked in for a target, in the order of their names: what a run begins with.
///
/// # Panics
/// If they cannot be read.
#[must_use]
pub fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let folder = root().join("seeds").join(target.name);
    let Ok(entries) = fs_err::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs_err::read(path).expect("a readable seed")).collect()
}

/// The folder of this crate.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
