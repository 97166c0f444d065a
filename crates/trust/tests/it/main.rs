//! Judgements of policies, from policy.json to the sentence that users read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bundles;
mod bundling;
#[expect(clippy::cloned_ref_to_slice_refs, reason = "the rows of a table look alike")]
mod golden;
mod hostile;
mod mutations;
mod signing;
mod tiled;
mod world;
