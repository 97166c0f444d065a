//! Whether a log that is believed has the signature of a bundle, and since when.

use super::bundle::{Entry, Proof};
use super::checkpoint::Checkpoint;
use super::merkle;
use super::record::{self, Signed};
use super::rekor::{self, Log};

/// That a log has the signature.
#[derive(Debug)]
pub(super) struct Proven<'a> {
    /// The log, as it is trusted: perhaps twice, with two times in which its key was in use.
    pub(super) logs: Vec<&'a Log>,
    /// When it took it in, in seconds since 1970, if it signed that.
    pub(super) time: Option<i64>,
}

/// The logs that have it. Entries of logs that are not believed say nothing; what one of the others
/// has to say must be right, all of it.
pub(super) fn prove<'a>(
    logs: &'a [Log],
    entries: &[Entry],
    signed: Signed<'_>,
) -> Result<Vec<Proven<'a>>, String> {
    let mut proven = Vec::new();
    for entry in entries {
        let name = &entry.log_id.key_id.0;
        let own: Vec<&Log> = logs.iter().filter(|log| log.may_be(name)).collect();
        if own.is_empty() {
            continue;
        }
        record::matches(entry, signed)?;
        let (mut found, mut failed) = (Proven { logs: Vec::new(), time: None }, None);
        for log in own {
            match prove_one(log, entry) {
                Ok(time) => {
                    found.logs.push(log);
                    found.time = found.time.or(time);
                }
                Err(why) => failed = Some(why),
            }
        }
        match failed {
            Some(why) if found.logs.is_empty() => return Err(why.to_owned()),
            _ => proven.push(found),
        }
    }
    if proven.is_empty() {
        return Err("no trusted log has an entry for it".to_owned());
    }
    Ok(proven)
}

/// When the log took the entry in, if it signed that.
fn prove_one(log: &Log, entry: &Entry) -> Result<Option<i64>, &'static str> {
    if entry.is_tiled() {
        return prove_tiled(log, entry);
    }
    let body = &entry.canonicalized_body.0;
    let mut time = None;
    if let Some(promise) = &entry.inclusion_promise {
        let signed_ = &promise.signed_entry_timestamp.0;
        let number = |number: u64| i64::try_from(number).unwrap_or(-1);
        let (then, index) = (number(entry.integrated_time.0), number(entry.log_index.0));
        if !rekor::promised(log, body, then, index, signed_) {
            return Err("the log's promise of the entry is not valid");
        }
        time = Some(then);
    }
    match &entry.inclusion_proof {
        Some(proof) if is_included(log, body, proof) => {}
        Some(_) => return Err(NOT_INCLUDED),
        None if time.is_none() => return Err("the log's entry has neither promise nor proof"),
        None => {}
    }
    Ok(time)
}

const NOT_INCLUDED: &str = "the proof that the entry is in the log is not valid";

/// A log in tiles has only a proof, and its checkpoint says all about the tree. No time is signed.
fn prove_tiled(log: &Log, entry: &Entry) -> Result<Option<i64>, &'static str> {
    if entry.inclusion_promise.is_some() {
        return Err("the log's entry has a promise, which such a log does not make");
    }
    let proof = entry.inclusion_proof.as_ref();
    let proof = proof.ok_or("the log's entry has no proof that it is in the log")?;
    let leads = leads_to(entry, proof).is_some_and(|it| it.is_of(&log.key, &log.origins));
    if leads { Ok(None) } else { Err(NOT_INCLUDED) }
}

/// The checkpoint of a proof, if the entry is in the tree of which that speaks.
fn leads_to<'a>(entry: &Entry, proof: &'a Proof) -> Option<Checkpoint<'a>> {
    let checkpoint = Checkpoint::parse(&proof.checkpoint.envelope)?;
    let (body, index) = (&entry.canonicalized_body.0, entry.log_index.0);
    let root = merkle::root(body, index, checkpoint.size, &path(proof)?)?;
    (root == checkpoint.root).then_some(checkpoint)
}

/// Whether a proof leads from the entry to its checkpoint, whoever signed that.
pub(super) fn leads_anywhere(entry: &Entry, proof: &Proof) -> bool {
    leads_to(entry, proof).is_some()
}

fn is_included(log: &Log, body: &[u8], proof: &Proof) -> bool {
    let Some(path) = path(proof) else { return false };
    let Some(root) = merkle::root(body, proof.log_index.0, proof.tree_size.0, &path) else {
        return false;
    };
    let Some(checkpoint) = Checkpoint::parse(&proof.checkpoint.envelope) else { return false };
    proof.root_hash.0 == root
        && checkpoint.root == root
        && checkpoint.size == proof.tree_size.0
        && checkpoint.is_by(&log.key)
}

fn path(proof: &Proof) -> Option<Vec<merkle::Hash>> {
    proof.hashes.iter().map(|it| it.0.as_slice().try_into().ok()).collect()
}
